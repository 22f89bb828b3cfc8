"""Objects as they come, read one by one, so that a caller can keep what it read of an object that did not change."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from controller.api.backend import BackendSpec
from controller.api.findings import Finding, InvalidResource, Subject
from controller.api.reading import maybe_metadata, parse_backend, parse_route, subject_of
from controller.api.reasons import Reason
from controller.api.route import LLMRoute, RouteRule, RouteSpec
from controller.api.shape import Metadata
from controller.translate.matches import Conditions, conditions, config_matches
from extproc.config.schema import Match

_INSIDE_A_RULE = re.compile(r"spec\.rules\[([0-9]+)\]")
_RULE_FIELDS = {field.alias for field in RouteRule.model_fields.values()}


@dataclass(frozen=True, slots=True)
class ReadRule:
    """One rule with its place in the object.

    Attributes:
        fault: only its matches are valid, and it refuses what they take.
        conditions: of its matches; of one that everything meets where there are none.
        matches: the same for the processor.
    """

    index: int
    rule: RouteRule
    fault: str | None
    conditions: tuple[Conditions, ...]
    matches: tuple[Match, ...] | None

    @classmethod
    def of(cls, index: int, rule: RouteRule, fault: str | None) -> Self:
        """With what follows from the rule alone."""
        return cls(index, rule, fault, tuple(map(conditions, rule.matches)) or (Conditions(),), config_matches(rule))


@dataclass(frozen=True, slots=True)
class ReadRoute:
    """An LLMRoute. ``spec`` None: nothing of it can be used. ``rules`` lacks those whose matches cannot be read."""

    subject: Subject
    metadata: Metadata | None
    spec: RouteSpec | None = None
    rules: tuple[ReadRule, ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadBackend:
    """An LLMBackend. ``spec`` None: it cannot be used."""

    subject: Subject
    metadata: Metadata | None
    spec: BackendSpec | None = None
    findings: tuple[Finding, ...] = ()


def read_backend(obj: Mapping[str, Any]) -> ReadBackend:
    """Read an LLMBackend; what is wrong with it is in ``findings``."""
    try:
        backend = parse_backend(obj)
    except InvalidResource as invalid:
        return ReadBackend(subject_of(obj), maybe_metadata(obj), None, invalid.findings)
    return ReadBackend(subject_of(obj), backend.metadata, backend.spec)


def read_route(obj: Mapping[str, Any]) -> ReadRoute:
    """Read an LLMRoute. When all that is wrong is inside of some rules, the others remain."""
    whole, lost = obj, set[int]()
    faults: dict[int, str] = {}
    findings: list[Finding] = []
    while True:
        try:
            route = parse_route(whole)
        except InvalidResource as invalid:
            findings += invalid.findings
            worse = _by_rule(invalid.findings)
        else:
            return _read(route, subject_of(obj), faults, lost, findings)
        if worse is None:
            return ReadRoute(subject_of(obj), maybe_metadata(obj), findings=tuple(findings))
        # Parsing looks at shapes first and at meanings then, so that a second look may find more.
        rules = list(whole["spec"]["rules"])
        for index, found in worse.items():
            if index in faults or _is_lost(rules[index], found):
                lost.add(index)
            faults.setdefault(index, str(found[0]))
            rules[index] = {} if index in lost else _bare(rules[index])
        whole = {**obj, "spec": {**obj["spec"], "rules": rules}}


def _read(
    route: LLMRoute, subject: Subject, faults: Mapping[int, str], lost: set[int], findings: Sequence[Finding]
) -> ReadRoute:
    rules = tuple(ReadRule.of(i, rule, faults.get(i)) for i, rule in enumerate(route.spec.rules) if i not in lost)
    if not rules:
        return ReadRoute(subject, route.metadata, findings=tuple(findings))
    in_order = [finding for _, found in sorted((_by_rule(findings) or {}).items()) for finding in found]
    partial = tuple(replace(finding, reason=Reason.PARTIALLY_INVALID) for finding in in_order)
    return ReadRoute(subject, route.metadata, route.spec, rules, partial)


def _by_rule(findings: Sequence[Finding]) -> dict[int, list[Finding]] | None:
    """The findings by the rule they are in; None when one of them is about the whole."""
    rules: dict[int, list[Finding]] = {}
    for finding in findings:
        inside = _INSIDE_A_RULE.match(finding.path)
        if inside is None:
            return None
        rules.setdefault(int(inside[1]), []).append(finding)
    return rules


def _is_lost(rule: Any, findings: Sequence[Finding]) -> bool:
    """Whether nobody can say what a rule would have taken, because its matches are wrong, or may be misspelt."""
    inside = [finding.path.partition("].")[2] for finding in findings]
    if any(not path or path.startswith("matches") for path in inside):
        return True
    return "matches" not in rule and any(path not in _RULE_FIELDS for path in inside if "." not in path)


def _bare(rule: Mapping[str, Any]) -> dict[str, Any]:
    return {"matches": rule["matches"]} if rule.get("matches") else {}
