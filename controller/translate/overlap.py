"""Rules that never get a request, because earlier rules take all of it or nothing can be what they ask for.

Only what is certain is said: a match is taken by an equal match for the same host that comes earlier. A match with
fewer conditions takes nothing from one with more, because more conditions win.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from controller.api.findings import Finding, Severity
from controller.api.reasons import Reason
from controller.translate.matches import Conditions
from controller.translate.references import ResolvedRoute, ResolvedRule
from extproc.config.errors import quoted
from extproc.config.names import BACKEND_HEADER, MODEL_HEADERS

_MODEL = MODEL_HEADERS[0]


class _Claim(NamedTuple):
    """A rule that takes a kind of request."""

    route: ResolvedRoute
    rule: int

    def seen_from(self, route: ResolvedRoute) -> str:
        """Its name for the owner of a route."""
        subject = self.route.read.subject
        foreign = "" if route is self.route else f"{subject.namespace}/{subject.name} "
        return f"{foreign}spec.rules[{self.rule}]"


#: The first rule that takes the requests for a host that meet a match, by the clients it takes them from; None: all.
_Claims = dict[tuple[str, Conditions], dict[str | None, _Claim]]


def overlaps(routes: Sequence[ResolvedRoute]) -> dict[int, list[Finding]]:
    """Warnings by the route's place in ``routes``, which is in order of precedence."""
    claims: _Claims = {}
    return {i: list(_of_route(route, claims)) for i, route in enumerate(routes)}


def _of_route(route: ResolvedRoute, claims: _Claims) -> Iterator[Finding]:
    spec = route.read.spec
    if spec is None:
        return
    schema = spec.input_schema.schema_ if spec.input_schema else None
    hosts = spec.hostnames or ("",)
    for rule in route.rules:
        yield from _of_rule(route, rule, _takers(rule, hosts, schema, claims))
        claim = _Claim(route, rule.read.index)
        for wanted in rule.read.conditions:
            for host in hosts:
                claims.setdefault((host, wanted), {}).setdefault(schema, claim)


def _takers(rule: ResolvedRule, hosts: Sequence[str], schema: str | None, claims: _Claims) -> list[_Claim | None]:
    """For each match, which earlier rule takes all of it; None when something is left."""
    takers: list[_Claim | None] = []
    for wanted in rule.read.conditions:
        found = [_maybe_taker(claims.get((host, wanted), {}), schema) for host in hosts]
        takers.append(found[0] if None not in found else None)
    return takers


def _maybe_taker(claims: Mapping[str | None, _Claim], schema: str | None) -> _Claim | None:
    """A claim on the same requests from the same clients, or from all of them."""
    return claims.get(None) or claims.get(schema)


def _of_rule(route: ResolvedRoute, rule: ResolvedRule, takers: Sequence[_Claim | None]) -> Iterator[Finding]:
    path = f"spec.rules[{rule.read.index}]"
    impossible = [_maybe_impossible(wanted) for wanted in rule.read.conditions]
    if takers[0] is not None and all(takers):
        message = f"it never gets a request: {takers[0].seen_from(route)} comes first and takes the same ones"
        yield Finding(route.read.subject, path, message, Reason.SHADOWED_RULE, Severity.WARNING)
        return
    for j, (taker, reason) in enumerate(zip(takers, impossible, strict=True)):
        why = reason if taker is None else f"{taker.seen_from(route)} comes first and takes the same requests"
        if why is not None:
            message = f"it is never met: {why}"
            yield Finding(
                route.read.subject, f"{path}.matches[{j}]", message, Reason.UNREACHABLE_MATCH, Severity.WARNING
            )


def _maybe_impossible(wanted: Conditions) -> str | None:
    """Why no request can meet a match by itself."""
    if any(name == BACKEND_HEADER for name, _, _ in wanted):
        return f"{BACKEND_HEADER} belongs to the gateway and is never there when a rule is chosen"
    exact = {value for name, kind, value in wanted if (name, kind) == (_MODEL, "Exact")}
    if len(exact) > 1:
        return f"it asks for two models at once, {' and '.join(sorted(map(quoted, exact)))}"
    return None
