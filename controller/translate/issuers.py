"""Whose key set an issuer's tokens are verified by, where routes of several namespaces name the same issuer.

As long as Envoy has no key set of an issuer it asks for it within every request with a token of that issuer, whatever
route the request is for. Whoever names somebody else's issuer with an address that is slow, or never answers, would
make that one's callers wait.
"""

from collections.abc import Iterable, Mapping

from controller.api.client_auth import CallerTokens
from controller.api.findings import Finding, Subject
from controller.api.reasons import Reason
from controller.translate.precedence import in_order
from controller.translate.reading import ReadRoute
from extproc.config.errors import quoted

#: Issuer -> the namespace of the oldest route that names it, and the addresses that this namespace's routes have its
#: key set at.
Holders = Mapping[str, tuple[str, frozenset[str]]]


def holders_of(routes: Iterable[ReadRoute]) -> Holders:
    """Who was first, for each issuer."""
    holders: dict[str, tuple[str, frozenset[str]]] = {}
    for route in in_order(routes):
        tokens = _maybe_tokens(route)
        if tokens is None:
            continue
        own = route.subject.namespace
        namespace, uris = holders.get(tokens.issuer, (own, frozenset[str]()))
        if namespace == own:
            holders[tokens.issuer] = namespace, uris | frozenset(filter(None, [tokens.jwks_uri]))
    return holders


def maybe_taken(subject: Subject, tokens: CallerTokens, holders: Holders) -> Finding | None:
    """That a route has its issuer's keys fetched from elsewhere than an older one of another namespace does.

    Keys that are given, and not fetched, are nobody else's business.
    """
    namespace, uris = holders[tokens.issuer]
    if tokens.jwks_uri is None or namespace == subject.namespace or tokens.jwks_uri in uris:
        return None
    message = (
        f"an older LLMRoute of another namespace has the keys of issuer {quoted(tokens.issuer)} from elsewhere; "
        "give them as jwks or jwksConfigMapRef"
    )
    return Finding(subject, "spec.clientAuth.jwt.jwksURI", message, Reason.ISSUER_TAKEN)


def _maybe_tokens(route: ReadRoute) -> CallerTokens | None:
    door = None if route.spec is None else route.spec.client_auth
    return None if door is None else door.jwt
