"""Which of several routes comes first: the older, then by namespace and name, as the Gateway API has it.

The order of rules in the configuration is this order; more specific hosts and more conditions are weighed by the
processor, which takes the file's order where they are equal. https://gateway-api.sigs.k8s.io/reference/spec/
(HTTPRouteRule, read 2026-11-22).
"""

from collections.abc import Iterable

from controller.translate.reading import ReadRoute


def in_order(routes: Iterable[ReadRoute]) -> list[ReadRoute]:
    """The routes, first in precedence first. A route without a creation time is as new as can be."""
    return sorted(routes, key=_key)


def _key(route: ReadRoute) -> tuple[bool, int, str, str]:
    created = route.metadata.created if route.metadata else None
    return created is None, created or 0, route.subject.namespace, route.subject.name
