"""The status lane: makes every object's ``.status`` say what is true, beside the config lane and never in its way."""

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from controller.api.findings import Subject
from controller.operator.backlog import RETRY_MAX_S, RETRY_S, Backlog, Job, stamp
from controller.operator.conditions import Transition, maybe_update, replacement, transitions
from controller.operator.failures import ClusterError, Conflict, Denied, Faulty, NotLeading, Rejected
from controller.operator.fleet import Replica
from controller.operator.kinds import LLM_BACKENDS, LLM_ROUTES, Kind
from controller.operator.lease import clock
from controller.operator.published import Published
from controller.operator.right_of_way import RightOfWay

#: Writes on their way at a time. More do not get faster: each costs the event loop over 1 ms, and the API server more.
_CONCURRENCY: Final = 8
#: How long an object whose new part is on its way to the pods waits for them, seconds: then one write says it all.
_HOLD_S: Final = 2.0
#: Server errors in a row that are no longer a matter of single objects.
_IN_A_ROW: Final = 20
#: Refused statuses that the log names in one round; all are counted.
_NAMED: Final = 5
#: Objects that are examined before other tasks have a turn.
_SLICE: Final = 100

_KINDS: Final[Mapping[str, Kind]] = {kind.name: kind for kind in (LLM_ROUTES, LLM_BACKENDS)}

_log = logging.getLogger(__name__)

Object = dict[str, Any]


class Objects(Protocol):
    """What is known of the objects."""

    def get(self, subject: Subject) -> Mapping[str, Any] | None:
        """An object as last seen."""

    def answered(self, kind: Kind, obj: Object) -> object:
        """Take note of an object as it was when a write of ours was answered."""


class Writer(Protocol):
    """The API server, as far as statuses go. Raises ``ClusterError``."""

    async def apply_status(
        self, kind: Kind, namespace: str, name: str, status: Mapping[str, Any], *, uid: str = ""
    ) -> Object | None:
        """The object with its new status; None when there is no such object, ``Conflict`` when it has another uid."""

    async def replace_status(self, kind: Kind, obj: Object) -> Object | None:
        """The same for the whole status as ``obj`` has it; ``Conflict`` when the object has changed since."""


class Hears(Protocol):
    """Who is told when a status gets bad, or good again."""

    def transition(self, obj: Object, transition: Transition) -> None:
        """``obj`` is as it was written."""


class Counts(Protocol):
    """Who counts what the lane does."""

    def wrote(self, lane: str, count: int) -> None:
        """So many writes succeeded."""

    def failed(self, lane: str, why: str) -> None:
        """A write failed."""

    def objects(self, counts: Mapping[tuple[str, str, str], int]) -> None:
        """How many objects there are by kind, condition and its status."""


@dataclass(slots=True)
class _Round:
    """Writes until nothing is left, or something is wrong with more than single objects.

    Attributes:
        stopped: no more of them, for ``pause_s``.
        row: server errors since the last success.
        named: failures that were logged.
        failed: something is to be tried again.
    """

    stopped: bool = False
    pause_s: float = 0.0
    row: int = 0
    named: int = 0
    failed: bool = False


class StatusLane:
    """Writes the statuses of the newest ``Published``; ``run`` does the work.

    ``way`` says when: a status waits for what must not wait for it.
    ``hold_s``: how long a new part may take to reach the pods before the status says that it has not.
    """

    def __init__(
        self,
        objects: Objects,
        writer: Writer,
        events: Hears,
        metrics: Counts,
        way: RightOfWay,
        *,
        hold_s: float = _HOLD_S,
    ) -> None:
        self._way = way
        self._objects = objects
        self._writer = writer
        self._events = events
        self._metrics = metrics
        self._hold_s = hold_s
        self._backlog = Backlog(objects.get, hold_s)
        self._leading = True
        self._wake = asyncio.Event()
        self._work = asyncio.Event()
        self._news = asyncio.Event()
        self._stops = 0
        #: Until when the API server asked to be left alone.
        self._quiet_until = 0.0
        self._may_replace = True

    def lead(self) -> None:
        """From now on this replica writes. Until its first pass nobody knows what is true."""
        self._leading = True

    def follow(self) -> None:
        """From now on another replica does, and what this one knows grows old."""
        self._leading = False
        self._backlog = Backlog(self._objects.get, self._hold_s)
        self._wake.set()

    def offer(self, published: Published) -> None:
        """Take over from what was offered before, whether that is written or not."""
        if self._leading:
            self._backlog.offer(published, clock())
            self._wake.set()
            self._news.set()

    def observed(self, fleet: Sequence[Replica]) -> None:
        """What the ready extproc pods serve now."""
        if self._leading:
            self._backlog.observed(fleet)
            self._wake.set()
            self._news.set()

    async def run(self) -> None:
        """Write for ever. Ends only by cancellation; what fails is tried again."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._examine_all())
            tasks.create_task(self._write_all())

    async def _examine_all(self) -> None:
        """Look through all objects whenever there is news, or time has made a difference."""
        pause = math.inf
        while True:
            await _until(self._wake, pause)
            self._wake.clear()
            pause = await self._examine(self._backlog)

    async def _examine(self, backlog: Backlog) -> float:
        """Seconds until it is worth doing again. What comes meanwhile is no reason to begin anew: it may never end."""
        pause, counts = math.inf, Counter[tuple[str, str, str]]()
        subjects = backlog.subjects
        for begin in range(0, len(subjects), _SLICE):
            await asyncio.sleep(0)
            await self._way.glance()
            if backlog is not self._backlog:
                return math.inf
            pause = min(
                pause, *(backlog.examine(subject, clock(), counts) for subject in subjects[begin : begin + _SLICE])
            )
            if backlog:
                self._work.set()
        if backlog.has_begun:
            self._metrics.objects(counts)
        return pause

    async def _write_all(self) -> None:
        """Write whatever is queued, whenever there is something."""
        while True:
            await self._work.wait()
            self._work.clear()
            if (quiet_s := self._quiet_until - clock()) > 0:
                await asyncio.sleep(quiet_s)
            self._news.clear()
            backlog, go = self._backlog, _Round()
            async with asyncio.TaskGroup() as tasks:
                for _ in range(_CONCURRENCY):
                    tasks.create_task(self._worker(backlog, go))
            if go.failed:
                self._wake.set()
            if go.stopped and go.failed:
                self._stops += 1
                await _until(self._news, max(go.pause_s, min(RETRY_S * 2.0 ** min(self._stops - 1, 9), RETRY_MAX_S)))
                self._work.set()

    async def _worker(self, backlog: Backlog, go: _Round) -> None:
        taken = 0
        while self._goes_on(backlog, go):
            async with self._way.turn():
                # It may have been a while until then.
                job = backlog.take(clock(), time.time()) if self._goes_on(backlog, go) else None
                if job is not None:
                    await self._write(job, backlog, go)
            taken += 1
            if taken % _SLICE == 0:
                await asyncio.sleep(0)

    def _goes_on(self, backlog: Backlog, go: _Round) -> bool:
        return bool(backlog) and not go.stopped and backlog is self._backlog

    async def _write(self, job: Job, backlog: Backlog, go: _Round) -> None:
        kind, subject = _KINDS[job.subject.kind], job.subject
        try:
            obj = await self._writer.apply_status(kind, subject.namespace, subject.name, job.document, uid=job.uid)
            if obj is not None:
                obj = await self._without_strangers(kind, obj, job)
        except NotLeading:
            go.stopped = True
            backlog.drop(job)
        except ClusterError as error:
            self._fail(job, error, backlog, go)
        else:
            go.row = self._stops = 0
            if obj is not None:
                self._objects.answered(kind, obj)
                self._metrics.wrote("status", 1)
                for transition in transitions(job.known.get("status"), job.document):
                    self._events.transition(obj, transition)
            backlog.done(job, obj)

    async def _without_strangers(self, kind: Kind, obj: Object, job: Job) -> Object | None:
        """The object once it has of our conditions and columns only those that we wrote.

        An apply takes over what others have set, but leaves what they have added: for that the status is replaced. If
        it comes back even so, it is left: whoever adds it would go on for ever.
        """
        if (
            not self._may_replace
            or maybe_update(obj.get("status"), job.status, job.serving, stamp(time.time())) is None
        ):
            return obj
        try:
            return await self._writer.replace_status(
                kind, {**obj, "status": replacement(obj.get("status"), job.document)}
            )
        except (Denied, Rejected) as error:
            self._may_replace = not isinstance(error, Denied)
            self._metrics.failed("status", type(error).__name__)
            _log.warning("what others have added to the status of %s stays: %s", job.subject, error)
            return obj

    def _fail(self, job: Job, error: ClusterError, backlog: Backlog, go: _Round) -> None:
        """Whether the others are worth a try depends on what it is."""
        self._metrics.failed("status", type(error).__name__)
        go.failed = True
        asked_s = error.retry_after_s or 0.0
        self._quiet_until = max(self._quiet_until, clock() + asked_s)
        match error:
            case Denied():
                if backlog.denied(job, clock(), max(asked_s, RETRY_MAX_S)):
                    where = f"{_KINDS[job.subject.kind]} in {job.subject.namespace}"
                    _log.error("the statuses of %s may not be written: %s", where, error)
            case Rejected() | Conflict() | Faulty() if not asked_s:
                go.row += isinstance(error, Faulty)
                go.stopped = go.stopped or go.row >= _IN_A_ROW
                is_news = backlog.failed(job, clock(), RETRY_MAX_S if isinstance(error, Rejected) else 0.0)
                # A conflict is an object that was deleted, or deleted and made anew: the watch tells.
                if is_news and go.named < _NAMED and not isinstance(error, Conflict):
                    go.named += 1
                    _log.error("the status of %s is not written: %s; it will be tried again", job.subject, error)
            case _:
                if not go.stopped and not self._stops:
                    _log.warning("the status of %s was not written: %s; it will be tried again", job.subject, error)
                go.stopped, go.pause_s = True, max(go.pause_s, asked_s)
                backlog.put_back(job)


async def _until(event: asyncio.Event, seconds: float) -> None:
    """Wait for the event, but no longer than this."""
    try:
        async with asyncio.timeout(None if seconds == math.inf else seconds):
            await event.wait()
    except TimeoutError:
        pass
