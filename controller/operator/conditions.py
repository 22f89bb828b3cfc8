"""What an object's status shall be, and whether that differs from what it is. No I/O; times come in as text."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from controller.api.findings import Finding, Severity, Subject
from controller.api.reasons import ConditionType, Reason
from controller.operator.fleet import Verdict
from controller.operator.published import BUDGET_BYTES, Published
from controller.translate.statuses import Condition, ObjectStatus, with_programmed, with_warning

#: The share of a ConfigMap above which its users hear of it.
_NEARLY_FULL: Final = 0.8
_COMPARED: Final = ("status", "reason", "message", "observedGeneration")
_TYPES: Final = frozenset(map(str, ConditionType))
#: The fields beside the conditions, of all kinds.
_FIELDS: Final = ("backends", "models", "target")
_SERVING: Final = str(ConditionType.SERVING)
#: What every change goes through for a while is bad, and yet no news.
_ROUTINE: Final = frozenset([str(Reason.REPLICAS_LAG)])

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Transition:
    """A change that people want to hear of once."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


def settled(status: ObjectStatus, published: Published) -> ObjectStatus:
    """The status as the ConfigMaps make it true: Programmed and Warnings know what was really written."""
    problem = published.problem
    if problem is not None and published.parts.get(status.subject, "") != status.part:
        status = replace(status, conditions=tuple(_unwritten(condition, problem) for condition in status.conditions))
    unheld = published.unheld.get(status.subject)
    if unheld is not None:
        status = replace(status, conditions=tuple(_unwritten(condition, unheld) for condition in status.conditions))
    status = _with_gateways(status, published.gateways.get(status.subject))
    full = sorted(name for name, size in published.sizes.items() if size >= _NEARLY_FULL * BUDGET_BYTES)
    return with_warning(status, _nearly_full(status.subject, full)) if full and status.part else status


def _with_gateways(status: ObjectStatus, told: Condition | None) -> ObjectStatus:
    """What Envoy Gateway says counts for what is otherwise in order."""
    programmed = next(each for each in status.conditions if each.type is ConditionType.PROGRAMMED)
    return status if told is None or programmed.status != "True" else with_programmed(status, told)


def _unwritten(condition: Condition, problem: Finding) -> Condition:
    if condition.type is not ConditionType.PROGRAMMED or condition.reason is Reason.NOT_PROGRAMMED:
        return condition
    return Condition(ConditionType.PROGRAMMED, "False", problem.reason, str(problem))


def _nearly_full(subject: Subject, names: Sequence[str]) -> Finding:
    which = f"ConfigMap {names[0]}" if len(names) == 1 else f"ConfigMaps {' and '.join(names)}"
    message = f"over {_NEARLY_FULL:.0%} of {which} is taken; what does not fit any more is refused"
    return Finding(subject, "", message, Reason.CONFIG_NEARLY_FULL, Severity.WARNING)


def maybe_update(stored: Document | None, status: ObjectStatus, serving: Verdict | None, now: str) -> Document | None:
    """The whole ``.status`` to write in place of ``stored``; None when nothing differs.

    ``serving`` None: nobody has been asked yet, so what the object says about it stays. A condition keeps the time of
    its last transition for as long as its status is the same.
    """
    before = by_type(stored)
    wanted = status.document()
    conditions = [
        {**condition, "lastTransitionTime": _transition_time(before.get(condition["type"]), condition["status"], now)}
        for condition in wanted["conditions"]
    ]
    told = _serving(before.get(_SERVING), status.generation, serving, now)
    if told is not None:
        conditions.insert(sum(condition["type"] != "Warnings" for condition in conditions), told)
    fields = {name: wanted[name] for name in _FIELDS if wanted.get(name)}
    document = {"conditions": conditions, **fields}
    return None if _is_same(stored or {}, before, document) else document


def _serving(before: Document | None, generation: int, serving: Verdict | None, now: str) -> dict[str, Any] | None:
    if serving is None:
        return None if before is None else dict(before)
    since = _transition_time(before, serving.status, now)
    return {
        "type": _SERVING,
        "status": serving.status,
        "observedGeneration": generation,
        "reason": str(serving.reason),
        "message": serving.message(since.partition("T")[2]),
        "lastTransitionTime": since,
    }


def _transition_time(before: Document | None, status: str, now: str) -> str:
    if before is None or before.get("status") != status:
        return now
    return str(before.get("lastTransitionTime") or now)


def _is_same(stored: Document, before: Mapping[str, Document], document: Document) -> bool:
    after = by_type(document)
    return (
        _TYPES & set(before) == set(after)
        and all(before[kind].get(name) == after[kind][name] for kind in after for name in _COMPARED)
        and all(before[kind].get("lastTransitionTime") for kind in after)
        and all((stored.get(name) or "") == document.get(name, "") for name in _FIELDS)
    )


def by_type(status: Document | None) -> dict[str, Document]:
    """The conditions of a ``.status``, which may be anything that somebody wrote there."""
    conditions = status.get("conditions") if isinstance(status, Mapping) else None
    listed = conditions if isinstance(conditions, Sequence) else ()
    return {str(one.get("type")): one for one in listed if isinstance(one, Mapping)}


def replacement(stored: Document | None, document: Document) -> Document:
    """A ``.status`` in which ``document`` stands for all that is ours; conditions and fields of other kinds stay."""
    others = [condition for kind, condition in by_type(stored).items() if kind not in _TYPES]
    fields = {name: value for name, value in (stored or {}).items() if name not in _FIELDS}
    return {**fields, **document, "conditions": [*document["conditions"], *others]}


def is_served(stored: Document | None, part: str) -> bool:
    """Whether a status says that all pods serve this very part."""
    conditions = by_type(stored)
    programmed, serving = conditions.get(str(ConditionType.PROGRAMMED), {}), conditions.get(_SERVING, {})
    return (
        bool(part)
        and str(programmed.get("message")).endswith(f"part {part}")
        and serving.get("status") == "True"
        and serving.get("observedGeneration") == programmed.get("observedGeneration")
    )


def transitions(stored: Document | None, written: Document) -> Iterator[Transition]:
    """What got bad, or good again, from one status to the next.

    Unknown is neither, and neither are pods that have not got a change yet.
    """
    before, after = by_type(stored), by_type(written)
    for kind in sorted(set(after) | (_TYPES & set(before))):
        old, new = _badness(kind, before.get(kind)), _badness(kind, after.get(kind))
        if new is not None and new != old:
            yield Transition("Warning", new, f"{kind}: {after[kind]['message']}")
        elif old is not None and new is None and (kind not in after or after[kind]["status"] != "Unknown"):
            yield Transition("Normal", *_relief(kind, after.get(kind)))


def _badness(kind: str, condition: Document | None) -> str | None:
    """The reason why it is bad enough to be told, None when it is not."""
    bad = "True" if kind == ConditionType.WARNINGS else "False"
    if condition is None or condition.get("status") != bad or condition.get("reason") in _ROUTINE:
        return None
    return str(condition.get("reason"))


def _relief(kind: str, condition: Document | None) -> tuple[str, str]:
    if condition is None:
        return "WarningsCleared", "there are no warnings any more"
    return str(condition["reason"]), f"{kind}: {condition['message']}"
