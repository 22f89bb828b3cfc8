"""Which statuses are still to be written, in which order. No I/O; the time comes in."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from typing import Any, Final

from controller.api.findings import Subject
from controller.operator.conditions import is_served, maybe_update, settled
from controller.operator.fleet import NOT_PUBLISHED, NOT_SERVED, Floors, Replica, Verdict, verdict
from controller.operator.published import Published
from controller.translate.statuses import ObjectStatus

Object = Mapping[str, Any]
Counts = Counter[tuple[str, str, str]]

#: After a failure of one object, seconds; doubled each time up to the last.
RETRY_S: Final = 1.0
RETRY_MAX_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Job:
    """One write. ``known`` is the object as it was when its status was compared."""

    status: ObjectStatus
    serving: Verdict | None
    known: Object
    document: Mapping[str, Any]

    @property
    def subject(self) -> Subject:
        """Whose status it is."""
        return self.status.subject

    @property
    def uid(self) -> str:
        """Of the object that is meant; another one of the same name is none of this write's business."""
        return str(self.known["metadata"].get("uid", ""))


@dataclass(frozen=True, slots=True)
class _Same:
    """What was found to be as it should: the status, the object that had it, and what was said of the pods."""

    status: ObjectStatus
    known: Object | None
    serving: Verdict | None


class Backlog:
    """What one term of leading has to write. What was known in another one is not true any more.

    An object that differs keeps its place in the queue when newer passes come, and is compared with the newest of them
    when it is its turn: so nobody waits for ever while others change, and nothing that is out of date is written.
    ``get``: the object as last seen. ``hold_s``: as in ``StatusLane``.
    """

    def __init__(self, get: Callable[[Subject], Object | None], hold_s: float) -> None:
        self._get = get
        self._hold_s = hold_s
        self._published: Published | None = None
        self._fleet: tuple[Replica, ...] | None = None
        self._floors = Floors()
        self._verdicts: dict[int, Verdict] = {}
        self._statuses: dict[Subject, ObjectStatus] = {}
        self._same: dict[Subject, _Same] = {}
        self._queue: OrderedDict[Subject, None] = OrderedDict()
        self._underway: set[Subject] = set()
        self._failed: dict[Subject, tuple[float, int]] = {}
        #: Kinds in a namespace that may not be written, and until when nobody tries.
        self._denied: dict[tuple[str, str], float] = {}

    def __bool__(self) -> bool:
        """Whether there may be something to write."""
        return bool(self._queue)

    @property
    def has_begun(self) -> bool:
        """Whether there was a pass in this term."""
        return self._published is not None

    @property
    def subjects(self) -> Sequence[Subject]:
        """All objects that the newest pass knows; none before the first one."""
        return tuple(self._statuses)

    def offer(self, published: Published, now: float) -> None:
        """There was a new pass."""
        self._published = published
        self._statuses = {status.subject: status for status in published.translation.statuses}
        self._floors.publish(published.parts, published.revision, now, self._was_served)
        self._verdicts = {}
        for memory in (self._same, self._failed):
            for subject in memory.keys() - self._statuses.keys():
                del memory[subject]

    def observed(self, fleet: Sequence[Replica]) -> None:
        """What the ready extproc pods serve now."""
        self._fleet, self._verdicts = tuple(fleet), {}

    def examine(self, subject: Subject, now: float, counts: Counts) -> float:
        """Queue an object that may differ; seconds until it is to be examined again, if nothing happens before."""
        found = self._wanted(subject)
        if found is None:
            return inf
        status, serving = found
        for condition in status.conditions:
            counts[subject.kind, str(condition.type), condition.status] += 1
        counts[subject.kind, "Serving", "Unknown" if serving is None else serving.status] += 1
        same = self._same.get(subject)
        if (
            same is not None
            and same.known is self._get(subject)
            and (same.status is status or same.status == status)
            and same.serving == serving
        ):
            return inf
        wait = self._wait(subject, serving, now)
        if wait > 0:
            return wait
        self._queue.setdefault(subject)
        return inf

    def take(self, now: float, wall: float) -> Job | None:
        """What to write of the object that has waited longest; None when there is nothing to write of this one."""
        subject, _ = self._queue.popitem(last=False)
        found = self._wanted(subject)
        if found is None or subject in self._underway:
            return None
        status, serving = found
        if self._wait(subject, serving, now) > 0:
            return None
        known = self._get(subject)
        document = None
        if known is not None and _is_meant(status, known):
            document = maybe_update(known.get("status"), status, serving, stamp(wall))
        if known is None or document is None:
            self._same[subject] = _Same(status, known, serving)
            return None
        self._underway.add(subject)
        return Job(status, serving, known, document)

    def done(self, job: Job, reply: Object | None) -> None:
        """It was written, and the object is known as ``reply`` now; None: there is no such object."""
        subject = job.subject
        self._underway.discard(subject)
        self._failed.pop(subject, None)
        self._denied.pop((subject.kind, subject.namespace), None)
        known = self._get(subject)
        if reply is None or known is None or _version(known) == _version(reply):
            self._same[subject] = _Same(job.status, known, job.serving)
        self._queue_again(subject)

    def failed(self, job: Job, now: float, seconds: float) -> bool:
        """It was not written, for its own sake; whether that is news. Tried again after ``seconds``, or even later."""
        self._underway.discard(job.subject)
        times = self._failed.get(job.subject, (0.0, 0))[1]
        pause = max(seconds, min(RETRY_S * 2.0 ** min(times, 9), RETRY_MAX_S))
        self._failed[job.subject] = now + pause, times + 1
        return times == 0

    def denied(self, job: Job, now: float, seconds: float) -> bool:
        """No status of this kind may be written in this namespace; whether that is news."""
        self._underway.discard(job.subject)
        key = job.subject.kind, job.subject.namespace
        is_news = key not in self._denied
        self._denied[key] = now + seconds
        return is_news

    def put_back(self, job: Job) -> None:
        """It was not written, for no fault of its own. The next try is another one's, should that not be so."""
        self._underway.discard(job.subject)
        self._queue.setdefault(job.subject)

    def drop(self, job: Job) -> None:
        """It was not written and nothing will be, until something happens."""
        self._underway.discard(job.subject)
        self._queue.clear()

    def _queue_again(self, subject: Subject) -> None:
        """There may have been news of it while it was written."""
        same, found = self._same.get(subject), self._wanted(subject)
        if found is not None and (same is None or (same.status, same.serving) != found):
            self._queue.setdefault(subject)

    def _was_served(self, subject: Subject, part: str) -> bool:
        return is_served((self._get(subject) or {}).get("status"), part)

    def _wanted(self, subject: Subject) -> tuple[ObjectStatus, Verdict | None] | None:
        """The status of an object, and what is to be said of the pods: None as long as nobody has asked them."""
        status = self._statuses.get(subject)
        if status is None or self._published is None:
            return None
        status = settled(status, self._published)
        return status, self._serving(status, self._published.revision)

    def _serving(self, status: ObjectStatus, revision: int) -> Verdict | None:
        if not status.part:
            return NOT_SERVED
        floor = self._floors.get(status.subject)
        if floor is None or floor.part != status.part:
            return NOT_PUBLISHED
        if self._fleet is None:
            return None
        if floor.revision not in self._verdicts:
            self._verdicts[floor.revision] = verdict(self._fleet, floor.revision, revision)
        return self._verdicts[floor.revision]

    def _wait(self, subject: Subject, serving: Verdict | None, now: float) -> float:
        """Seconds that a status shall wait: for the pods, so that it is not written twice, or after a failure."""
        due = max(self._failed.get(subject, (-inf,))[0], self._denied.get((subject.kind, subject.namespace), -inf))
        floor = self._floors.get(subject)
        if floor is not None and (serving is None or serving.lagging):
            due = max(due, floor.at + self._hold_s)
        return due - now


def _is_meant(status: ObjectStatus, known: Object) -> bool:
    """Whether a status speaks of this very object.

    It does not of one that was edited since, or made anew: then the next pass has more to say than this one.
    """
    metadata = known["metadata"]
    if status.uid and metadata.get("uid", status.uid) != status.uid:
        return False
    return not 0 < status.generation < metadata.get("generation", 0)


def _version(obj: Object) -> object:
    return obj["metadata"].get("uid"), obj["metadata"].get("resourceVersion")


def stamp(wall: float) -> str:
    """A time for a condition."""
    return f"{datetime.fromtimestamp(wall, UTC):%Y-%m-%dT%H:%M:%SZ}"
