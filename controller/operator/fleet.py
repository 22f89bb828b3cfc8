"""Who serves what: the extproc pods' answers, and what they mean for one object. No I/O."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from controller.api.findings import Subject
from controller.api.reasons import Reason
from controller.translate.statuses import Truth

#: Pods that one message names.
_NAMED: Final = 3
#: Of a pod's own words, characters that a message repeats.
_QUOTED: Final = 300


@dataclass(frozen=True, slots=True, order=True)
class Replica:
    """A ready extproc pod.

    Attributes:
        revision: what it serves, as it said last; None when it cannot be asked, and ``silence`` says why.
        refusal: why it cannot load the file as it is now; empty when it can.
    """

    name: str
    revision: int | None
    silence: str = ""
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the Serving condition says, but for the time in ``{since}``, which is the object's own."""

    status: Truth
    reason: Reason
    text: str

    def message(self, since: str) -> str:
        """For people; ``since`` is when it was first seen like this."""
        return self.text.replace("{since}", since, 1)

    @property
    def lagging(self) -> bool:
        """It may come true by waiting."""
        return self.reason is Reason.REPLICAS_LAG


NOT_SERVED: Final = Verdict("False", Reason.NOT_SERVED, "nothing of it is in the configuration")
NOT_PUBLISHED: Final = Verdict("False", Reason.NOT_SERVED, "what it is now is not in the configuration")


def serves(replica: Replica, floor: int, current: int) -> bool:
    """Whether it serves a revision from ``floor`` to ``current``.

    A later one than was ever published comes from another series: it was in a ConfigMap that somebody deleted since.
    """
    return replica.revision is not None and floor <= replica.revision <= current


def verdict(fleet: Sequence[Replica], floor: int, current: int) -> Verdict:
    """What the pods' answers mean for an object whose present part came with revision ``floor``."""
    if not fleet:
        return Verdict("Unknown", Reason.NO_REPLICAS, "no extproc pod is ready")
    serving = sum(serves(replica, floor, current) for replica in fleet)
    count = f"{serving} of {len(fleet)} extproc replicas"
    behind = [replica for replica in fleet if replica.revision is not None and not serves(replica, floor, current)]
    if behind:
        refused = any(replica.refusal for replica in behind)
        reason = Reason.CONFIG_REFUSED if refused else Reason.REPLICAS_LAG
        named = _listed(_lag(replica, floor or current) for replica in behind)
        return Verdict("False", reason, f"{count} since {{since}}; {named}")
    silent = [replica for replica in fleet if replica.revision is None]
    if silent:
        named = _listed(f"pod {replica.name} cannot be asked: {replica.silence}" for replica in silent)
        return Verdict("Unknown", Reason.REPLICA_SILENT, named)
    return Verdict("True", Reason.SERVING, count)


def _lag(replica: Replica, wanted: int) -> str:
    text = f"pod {replica.name} serves revision {replica.revision}, {wanted} has it"
    if not replica.refusal:
        return text
    refusal = replica.refusal if len(replica.refusal) <= _QUOTED else f"{replica.refusal[:_QUOTED]}..."
    return f"{text}; it refuses the present one: {refusal}"


def _listed(texts: Iterable[str]) -> str:
    all_texts = list(texts)
    shown = "; ".join(all_texts[:_NAMED])
    return shown if len(all_texts) <= _NAMED else f"{shown}; and {len(all_texts) - _NAMED} more"


@dataclass(frozen=True, slots=True)
class Floor:
    """Since which revision an object's present part is in the configuration, and since when (``clock()``)."""

    part: str
    revision: int
    at: float


class Floors:
    """The floor of every object that has a part in the configuration."""

    def __init__(self) -> None:
        self._floors: dict[Subject, Floor] | None = None
        self._revision = 0

    def publish(
        self, parts: Mapping[Subject, str], revision: int, now: float, was_served: Callable[[Subject, str], bool]
    ) -> None:
        """Note what the ConfigMap holds now.

        At the first call, and when others have written meanwhile, nobody knows when the parts came: those that
        ``was_served`` knows to have been served by all pods came before anything that is served now (a pod never goes
        back), the others count as new. So do all when revisions start again, because the ConfigMap was lost.
        """
        before, last = self._floors, self._revision
        if revision < last:
            before = {}
        elif revision > last + 1:
            before = None
        self._floors, self._revision = {}, revision
        for subject, part in parts.items():
            known = None if before is None else before.get(subject)
            if known is not None and known.part == part:
                self._floors[subject] = known
            else:
                old = before is None and was_served(subject, part)
                self._floors[subject] = Floor(part, 0 if old else revision, now)

    def get(self, subject: Subject) -> Floor | None:
        """None: nothing of the object is in the configuration."""
        return (self._floors or {}).get(subject)
