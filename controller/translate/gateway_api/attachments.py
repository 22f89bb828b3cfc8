"""All objects of this mode: what each route and each backend asks of Envoy Gateway."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from controller.api.findings import Subject
from controller.api.route import ParentRef
from controller.translate.envoy.documents import Document
from controller.translate.gateway_api.backends import maybe_backend
from controller.translate.gateway_api.names import FILTER, HTTP_ROUTE, POLICY, document, object_name
from controller.translate.gateway_api.policies import policy_spec, unrouted_spec
from controller.translate.gateway_api.rules import catch_all, keyed_rule, maybe_key, shared_out
from controller.translate.references import ResolvedBackend, ResolvedRoute
from controller.translate.settings import GatewaySettings


@dataclass(frozen=True)
class Attachment:
    """A route on its parents. Without slots, because what it comes to is looked at again and again.

    Attributes:
        parents, hostnames: as HTTPRoutes have them.
        path_prefix: stands before the paths that clients ask for.
        rules: one for each key, by the key.
    """

    subject: Subject
    uid: str
    parents: tuple[Document, ...]
    hostnames: tuple[str, ...]
    path_prefix: str
    rules: Mapping[str, Mapping[str, Any]]
    settings: GatewaySettings

    @cached_property
    def documents(self) -> list[Document]:
        """Its objects: what others refer to comes before them."""
        settings = self.settings
        name = object_name(self.subject.name)
        keyed = [self.rules[key] for key in sorted(self.rules)]
        parts = shared_out(catch_all(self.path_prefix, name), keyed)
        names = [object_name(self.subject.name, str(i)) for i in range(len(parts))]
        specs = [{**self._place(), "rules": rules} for rules in parts]
        return [
            document(FILTER, self.subject, self.uid, name, unrouted_spec(), settings),
            *(
                document(HTTP_ROUTE, self.subject, self.uid, each, spec, settings)
                for each, spec in zip(names, specs, strict=True)
            ),
            document(POLICY, self.subject, self.uid, name, policy_spec(names, settings), settings),
        ]

    def _place(self) -> Document:
        hostnames: Document = {"hostnames": list(self.hostnames)} if self.hostnames else {}
        return {"parentRefs": list(self.parents), **hostnames}


@dataclass(frozen=True, slots=True)
class GatewayObjects:
    """What there shall be. Without ``settings`` nothing: this is not Envoy Gateway mode.

    Attributes:
        backends: the Backends made for endpoints that a route can choose, by namespace and name.
    """

    settings: GatewaySettings | None = None
    attachments: tuple[Attachment, ...] = ()
    backends: Mapping[tuple[str, str], Document] = field(default_factory=dict)

    @property
    def documents(self) -> list[Document]:
        """All of them: what others refer to comes before them."""
        if self.settings is None:
            return []
        routed = [made for each in self.attachments for made in each.documents]
        return [*self.backends.values(), *routed]

    def lingering(self, rules: Mapping[Subject, Sequence[Mapping[str, Any]]]) -> "GatewayObjects":
        """The same, with further keyed rules for routes that are still there; for a key in both, ours counts."""
        attachments = (
            replace(each, rules={**_by_key(rules[each.subject]), **each.rules}) if each.subject in rules else each
            for each in self.attachments
        )
        return replace(self, attachments=tuple(attachments))


def is_attached(route: ResolvedRoute, settings: GatewaySettings | None) -> bool:
    """Whether a route is served in this mode: it has to name the Gateways that serve it."""
    return settings is None or (route.read.spec is not None and bool(route.read.spec.parent_refs))


def gateway_objects(
    routes: Iterable[ResolvedRoute],
    backends: Mapping[str, ResolvedBackend],
    settings: GatewaySettings | None,
    path_prefix: str,
) -> GatewayObjects:
    """The objects of all routes that name parents and have rules."""
    if settings is None:
        return GatewayObjects()
    attached = [route for route in routes if route.rules and is_attached(route, settings)]
    used = {choice.backend for route in attached for rule in route.rules for choice in rule.choices}
    made = [maybe_backend(backends[name], settings) for name in sorted(used)]
    return GatewayObjects(
        settings,
        tuple(
            _attachment(route, backends, settings, path_prefix)
            for route in sorted(attached, key=lambda route: route.read.subject)
        ),
        {(each["metadata"]["namespace"], each["metadata"]["name"]): each for each in made if each is not None},
    )


def _attachment(
    route: ResolvedRoute, backends: Mapping[str, ResolvedBackend], settings: GatewaySettings, path_prefix: str
) -> Attachment:
    spec, metadata = route.read.spec, route.read.metadata
    assert spec is not None
    choices = {
        backends[choice.backend].keyed(choice.route_key): choice for rule in route.rules for choice in rule.choices
    }
    return Attachment(
        route.read.subject,
        "" if metadata is None else metadata.uid,
        tuple(map(_parent, spec.parent_refs)),
        spec.hostnames,
        path_prefix,
        {key: keyed_rule(choice, backends[choice.backend], path_prefix) for key, choice in choices.items()},
        settings,
    )


def _parent(ref: ParentRef) -> Document:
    return ref.model_dump(by_alias=True, exclude_none=True)


def _by_key(rules: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {key: rule for rule in rules if (key := maybe_key(rule)) is not None}
