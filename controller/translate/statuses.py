"""What to tell the owner of each object."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from controller.api.findings import Finding, Severity, Subject
from controller.api.reasons import MEANINGS, ConditionType, Reason
from controller.translate.references import ResolvedBackend, ResolvedRoute
from extproc.config.names import MODEL_HEADERS

Truth = Literal["True", "False", "Unknown"]

#: Findings and models that one message names. An object may have thousands of them.
_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition without the time of its last transition, which is known to whoever has the last one."""

    type: ConditionType
    status: Truth
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class ObjectStatus:
    """The status of one object.

    Attributes:
        fields: what ``kubectl get`` shows beside the conditions.
        part: the digest of what was compiled from it; empty when nothing was.
        uid: tells the object from another one of the same name; empty when nobody knows.
    """

    subject: Subject
    generation: int
    conditions: tuple[Condition, ...]
    fields: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    part: str = ""
    uid: str = ""

    def document(self) -> dict[str, Any]:
        """The ``.status`` to write, but for ``lastTransitionTime``."""
        conditions = [
            {
                "type": str(condition.type),
                "status": condition.status,
                "observedGeneration": self.generation,
                "reason": str(condition.reason),
                "message": condition.message,
            }
            for condition in self.conditions
        ]
        return {"conditions": conditions, **self.fields}


def route_status(route: ResolvedRoute, warnings: Sequence[Finding], part: str) -> ObjectStatus:
    """The status of a route; ``part`` is the digest of what was compiled from it."""
    read, findings = route.read, (*route.findings, *warnings)
    whole = read.spec is not None
    partial = whole and bool(read.findings)
    refusing = sum(1 for rule in route.rules if rule.refusal is not None)
    return ObjectStatus(
        read.subject,
        read.metadata.generation if read.metadata else 0,
        _conditions(
            findings,
            _programmed(part, _rules_phrase(len(route.rules), refusing), whole=whole, partial=partial),
            followed=whole,
        ),
        {"backends": f"{route.usable}/{route.named}", "models": _models(route)} if whole else {},
        findings,
        part if whole else "",
        read.metadata.uid if read.metadata else "",
    )


def backend_status(backend: ResolvedBackend, warnings: Sequence[Finding], part: str) -> ObjectStatus:
    """The status of a backend; ``part`` is the digest of what was compiled from it."""
    read, findings = backend.read, (*backend.findings, *warnings)
    return ObjectStatus(
        read.subject,
        read.metadata.generation if read.metadata else 0,
        _conditions(
            findings,
            _programmed(part, "the backend", whole=backend.upstream is not None, partial=False),
            followed=read.spec is not None,
        ),
        {} if backend.upstream is None else {"target": backend.upstream.target},
        findings,
        part,
        read.metadata.uid if read.metadata else "",
    )


def _conditions(findings: Sequence[Finding], programmed: Condition, *, followed: bool) -> tuple[Condition, ...]:
    accepted = _judged(findings, ConditionType.ACCEPTED, Reason.ACCEPTED, "the object is valid")
    if followed:
        resolved = _judged(findings, ConditionType.RESOLVED_REFS, Reason.RESOLVED_REFS, "all references are resolved")
    else:
        resolved = Condition(
            ConditionType.RESOLVED_REFS, "Unknown", Reason.NOT_CHECKED, "not followed, because the object is not valid"
        )
    return accepted, resolved, programmed, *_warnings(findings)


def unattached(status: ObjectStatus) -> ObjectStatus:
    """The status of a route that names no Gateway, where Gateways serve the routes: nothing of it is served."""
    if not status.part:
        return status
    message = "spec.parentRefs: there are none, and in Envoy Gateway mode nothing else serves a route"
    return with_programmed(
        replace(status, part=""), Condition(ConditionType.PROGRAMMED, "False", Reason.NO_PARENTS, message)
    )


def with_programmed(status: ObjectStatus, programmed: Condition) -> ObjectStatus:
    """The status with another word on whether the object is in the configuration."""
    conditions = (programmed if each.type is ConditionType.PROGRAMMED else each for each in status.conditions)
    return replace(status, conditions=tuple(conditions))


def with_warning(status: ObjectStatus, warning: Finding) -> ObjectStatus:
    """The status with one warning more, which only whoever writes the configuration can know."""
    findings = (*status.findings, warning)
    others = [condition for condition in status.conditions if condition.type is not ConditionType.WARNINGS]
    return replace(status, findings=findings, conditions=(*others, *_warnings(findings)))


def _warnings(findings: Sequence[Finding]) -> tuple[Condition, ...]:
    warnings = [finding for finding in findings if finding.severity is Severity.WARNING]
    if not warnings:
        return ()
    reasons = {finding.reason for finding in warnings}
    reason = warnings[0].reason if len(reasons) == 1 else Reason.SEVERAL_WARNINGS
    return (Condition(ConditionType.WARNINGS, "True", reason, _message(warnings)),)


def _judged(findings: Sequence[Finding], condition: ConditionType, good: Reason, message: str) -> Condition:
    against = [
        finding
        for finding in findings
        if finding.severity is Severity.ERROR and MEANINGS[finding.reason].condition is condition
    ]
    if not against:
        return Condition(condition, "True", good, message)
    return Condition(condition, "False", against[0].reason, _message(against))


def _programmed(part: str, what: str, *, whole: bool, partial: bool) -> Condition:
    kind = ConditionType.PROGRAMMED
    if not whole:
        return Condition(kind, "False", Reason.NOT_PROGRAMMED, "nothing of it is in the configuration")
    message = f"{what}, part {part}"
    if partial:
        return Condition(kind, "False", Reason.PARTIALLY_PROGRAMMED, f"without the rules that are not valid: {message}")
    return Condition(kind, "True", Reason.PROGRAMMED, message)


def _rules_phrase(rules: int, refusing: int) -> str:
    phrase = "1 rule" if rules == 1 else f"{rules} rules"
    return f"{phrase}, {refusing} answering 503" if refusing else phrase


def _message(findings: Sequence[Finding]) -> str:
    shown = "; ".join(str(finding) for finding in findings[:_SHOWN])
    return shown if len(findings) <= _SHOWN else f"{shown}; and {len(findings) - _SHOWN} more"


def _models(route: ResolvedRoute) -> str:
    names = list(dict.fromkeys(_model_names(route)))
    shown = ",".join(name if len(name) <= 64 else f"{name[:61]}..." for name in names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"


def _model_names(route: ResolvedRoute) -> Iterable[str]:
    """The models by which rules match: names, ``~expression``, or ``*`` for a match that does not ask for any."""
    for rule in route.rules:
        for wanted in rule.read.conditions:
            asked = [(kind, value) for name, kind, value in wanted if name in MODEL_HEADERS]
            yield from (value if kind == "Exact" else f"~{value}" for kind, value in sorted(asked)) if asked else "*"
