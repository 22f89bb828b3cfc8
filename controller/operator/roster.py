"""The extproc pods as far as they are known: who is there, and what each said last. No I/O; the time comes in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from controller.operator.fleet import Replica

#: How long a pod may be silent before that is news, seconds. A revision only rises in a pod's life, so what it said
#: last still holds.
_PATIENCE_S: Final = 10.0
#: How long a pod that has just come may take for its first answer, seconds.
_FIRST_ANSWER_S: Final = 3.0
#: How long the pods must have been the same before a change among them is news, seconds: a rolling update is not.
_SETTLE_S: Final = 3.0


@dataclass(frozen=True, slots=True, order=True)
class Pod:
    """A pod with an address. ``uid`` tells it from another one of the same name."""

    name: str
    uid: str
    address: str
    is_ready: bool = field(default=True, compare=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a pod said. Without a ``revision`` it serves none, or could not be asked; ``silence`` says which.

    ``accepts``: the newest version of the configuration's shape that it can read; None: it did not say.
    """

    revision: int | None
    silence: str = ""
    refusal: str = ""
    accepts: int | None = None


@dataclass(slots=True)
class _Known:
    since: float
    answered_at: float | None = None
    last: Answer | None = None
    silence: str = ""


def present_pods(pods: Sequence[Mapping[str, Any]]) -> tuple[Pod, ...]:
    """Those that have an address and are not being deleted; the ready ones take traffic."""
    return tuple(
        sorted(
            Pod(pod["metadata"]["name"], pod["metadata"]["uid"], pod["status"]["podIP"], _is_ready(pod))
            for pod in pods
            if "deletionTimestamp" not in pod["metadata"] and (pod.get("status") or {}).get("podIP")
        )
    )


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod["status"].get("conditions") or ()
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


class Roster:
    """What is shown of the pods: not every hiccup is."""

    def __init__(self) -> None:
        self._known: dict[Pod, _Known] = {}
        self._shown: dict[Pod, Replica] | None = None
        self._present: frozenset[Pod] = frozenset()
        self._changed_at = 0.0

    def update(self, answers: Mapping[Pod, Answer], now: float) -> tuple[Replica, ...] | None:
        """The pods after another round of questions; None while too little is known to say anything.

        A pod that has just come is left out until its first answer, or for some seconds. One that falls silent keeps
        its last answer for some seconds. Pods that come and go are shown once that has come to rest, but for the first
        ones of all, whom everybody waits for.
        """
        self._known = {pod: self._known.get(pod) or _Known(now) for pod in answers}
        for pod, answer in answers.items():
            known = self._known[pod]
            if answer.revision is None:
                known.silence = answer.silence
            else:
                known.answered_at, known.last, known.silence = now, answer, ""
        found = {pod: self._replica(pod, now) for pod in answers}
        present = {pod: replica for pod, replica in found.items() if replica is not None}
        if frozenset(present) != self._present:
            self._present, self._changed_at = frozenset(present), now
        if self._shown is None:
            if len(present) == len(answers):
                self._shown = present
        elif not self._shown or self._present == frozenset(self._shown) or now >= self._changed_at + _SETTLE_S:
            self._shown = present
        else:
            self._shown = {pod: present.get(pod, replica) for pod, replica in self._shown.items()}
        return None if self._shown is None else tuple(sorted(self._shown.values()))

    def lowest_revision(self) -> int | None:
        """The oldest revision that any pod may serve, shown or not; None when there are none, or one never answered."""
        revisions = [None if known.last is None else known.last.revision for known in self._known.values()]
        said = [revision for revision in revisions if revision is not None]
        return min(said) if said and len(said) == len(revisions) else None

    def is_settled(self) -> bool:
        """Whether what is shown is all that there is."""
        return self._shown is not None and frozenset(self._shown) == frozenset(self._known)

    def _replica(self, pod: Pod, now: float) -> Replica | None:
        known = self._known[pod]
        if known.last is None or known.answered_at is None:
            late = now >= known.since + _FIRST_ANSWER_S
            return Replica(pod.name, None, known.silence) if late else None
        if known.silence and now >= known.answered_at + _PATIENCE_S:
            return Replica(pod.name, None, known.silence)
        return Replica(pod.name, known.last.revision, refusal=known.last.refusal)
