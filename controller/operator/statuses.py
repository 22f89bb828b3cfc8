"""The status lane: makes every object's ``.status`` say what is true, beside the config lane and never in its way."""

import asyncio
import logging
import math
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from controller.api.findings import Subject
from controller.operator.conditions import (
    Transition,
    is_served,
    maybe_update,
    settled,
    transitions,
)
from controller.operator.failures import ClusterError, Denied, NotLeading, Rejected
from controller.operator.fleet import NOT_PUBLISHED, NOT_SERVED, Floors, Replica, Verdict, verdict
from controller.operator.kinds import LLM_BACKENDS, LLM_ROUTES, Kind
from controller.operator.lease import clock
from controller.operator.published import Published
from controller.translate.statuses import ObjectStatus

#: Writes on their way at a time. More do not get faster: each costs the event loop 2 ms.
_CONCURRENCY: Final = 8
#: How long an object whose new part is on its way to the pods waits for them, seconds: then one write says it all.
_HOLD_S: Final = 1.0
#: After a failure, seconds; doubled each time up to the last.
_RETRY_S: Final = 1.0
_RETRY_MAX_S: Final = 30.0
#: Refused statuses that the log names in one round; all are counted.
_NAMED: Final = 5
#: Objects that are compared before other tasks have a turn.
_SLICE: Final = 100

_KINDS: Final[Mapping[str, Kind]] = {kind.name: kind for kind in (LLM_ROUTES, LLM_BACKENDS)}

_log = logging.getLogger(__name__)

Object = dict[str, Any]


class Objects(Protocol):
    """What is known of the objects."""

    def get(self, subject: Subject) -> Mapping[str, Any] | None:
        """An object as last seen."""

    def put(self, kind: Kind, obj: Object) -> object:
        """Take note of an object as it is now."""


class Writer(Protocol):
    """The API server, as far as statuses go. Raises ``ClusterError``."""

    async def apply_status(self, kind: Kind, namespace: str, name: str, status: Mapping[str, Any]) -> Object | None:
        """The object with its new status; None when there is no such object."""


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
    """One go at all that differs.

    ``denied``: kinds that may not be written; ``rejected``: objects whose status the server does not take; ``retry_s``:
    when to try again what failed.
    """

    published: Published
    fleet: tuple[Replica, ...] | None
    todo: deque[ObjectStatus] = field(default_factory=deque)
    verdicts: dict[int, Verdict] = field(default_factory=dict)
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    denied: set[str] = field(default_factory=set)
    rejected: int = 0
    retry_s: float | None = None


class StatusLane:
    """Writes the statuses of the newest ``Published``; ``run`` does the work.

    ``idle`` is not set while something goes on that must not wait for statuses; no write is begun then.
    ``hold_s``: how long a new part may take to reach the pods before the status says that it has not.
    """

    def __init__(
        self,
        objects: Objects,
        writer: Writer,
        events: Hears,
        metrics: Counts,
        *,
        idle: asyncio.Event | None = None,
        hold_s: float = _HOLD_S,
    ) -> None:
        self._idle = idle
        self._objects = objects
        self._writer = writer
        self._events = events
        self._metrics = metrics
        self._hold_s = hold_s
        self._floors = Floors()
        self._published: Published | None = None
        self._fleet: tuple[Replica, ...] | None = None
        self._wake = asyncio.Event()
        self._failures = 0
        #: Until when the API server asked to be left alone.
        self._quiet_until = 0.0

    def offer(self, published: Published) -> None:
        """Take over from what was offered before, whether that is written or not."""
        self._published = published
        self._floors.publish(published.parts, published.revision, clock(), self._was_served)
        self._wake.set()

    def observed(self, fleet: Sequence[Replica]) -> None:
        """What the ready extproc pods serve now."""
        self._fleet = tuple(fleet)
        self._wake.set()

    async def run(self) -> None:
        """Write for ever. Ends only by cancellation; what fails is tried again."""
        pause = math.inf
        while True:
            try:
                async with asyncio.timeout(None if pause == math.inf else pause):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            pause = math.inf if self._published is None else await self._go(_Round(self._published, self._fleet))

    def _was_served(self, subject: Subject, part: str) -> bool:
        return is_served((self._objects.get(subject) or {}).get("status"), part)

    def _is_over(self, go: _Round) -> bool:
        return self._published is not go.published or self._fleet is not go.fleet

    async def _go(self, go: _Round) -> float:
        """Write what differs; seconds until the next round, if nothing happens before."""
        pause = await self._compare(go)
        quiet = self._quiet_until - clock()
        if quiet > 0:
            return min(pause, quiet)
        if go.todo and not self._is_over(go):
            async with asyncio.TaskGroup() as tasks:
                for _ in range(min(_CONCURRENCY, len(go.todo))):
                    tasks.create_task(self._work(go))
        if go.retry_s is not None:
            self._failures += 1
            return min(pause, max(go.retry_s, min(_RETRY_S * 2.0 ** min(self._failures - 1, 9), _RETRY_MAX_S)))
        if not self._is_over(go):
            self._failures = 0
        return pause

    async def _compare(self, go: _Round) -> float:
        """Collect what differs; seconds until the first that is held back has waited long enough."""
        pause = math.inf
        for count, status in enumerate(go.published.translation.statuses, 1):
            if count % _SLICE == 0:
                await asyncio.sleep(0)
                if self._is_over(go):
                    return pause
            whole = settled(status, go.published)
            for condition in whole.conditions:
                go.counts[status.subject.kind, str(condition.type), condition.status] += 1
            serving = self._serving(whole, go)
            go.counts[status.subject.kind, "Serving", "Unknown" if serving is None else serving.status] += 1
            held = self._held_for(status.subject, serving)
            if held > 0:
                pause = min(pause, held)
            elif self._maybe_update(whole, go) is not None:
                go.todo.append(whole)
        self._metrics.objects(go.counts)
        return pause

    def _serving(self, status: ObjectStatus, go: _Round) -> Verdict | None:
        """None: nobody has asked the pods yet."""
        if not status.part:
            return NOT_SERVED
        floor = self._floors.get(status.subject)
        if floor is None or floor.part != status.part:
            return NOT_PUBLISHED
        if go.fleet is None:
            return None
        if floor.revision not in go.verdicts:
            go.verdicts[floor.revision] = verdict(go.fleet, floor.revision, go.published.revision)
        return go.verdicts[floor.revision]

    def _held_for(self, subject: Subject, serving: Verdict | None) -> float:
        """Seconds that a status shall wait for the pods, so that it is not written twice."""
        floor = self._floors.get(subject)
        if floor is None or (serving is not None and not serving.lagging):
            return 0.0
        return floor.at + self._hold_s - clock()

    def _maybe_update(self, status: ObjectStatus, go: _Round) -> Mapping[str, Any] | None:
        obj = self._objects.get(status.subject)
        if obj is None or 0 < status.generation < obj["metadata"].get("generation", 0):
            # Gone, or edited since, and then the next pass has more to say than this one.
            return None
        now = f"{datetime.fromtimestamp(time.time(), UTC):%Y-%m-%dT%H:%M:%SZ}"
        return maybe_update(obj.get("status"), status, self._serving(status, go), now)

    async def _work(self, go: _Round) -> None:
        while go.todo and not self._is_over(go):
            if self._idle is not None and not self._idle.is_set():
                await self._idle.wait()
                continue
            status = go.todo.popleft()
            # Once more, as the object may have changed while others were written.
            document = None if status.subject.kind in go.denied else self._maybe_update(status, go)
            if document is not None:
                await self._write(status.subject, document, go)

    async def _write(self, subject: Subject, document: Mapping[str, Any], go: _Round) -> None:
        kind = _KINDS[subject.kind]
        before = (self._objects.get(subject) or {}).get("status")
        try:
            obj = await self._writer.apply_status(kind, subject.namespace, subject.name, document)
        except NotLeading:
            go.todo.clear()
        except ClusterError as error:
            self._fail(subject, error, go)
        else:
            if obj is None:
                return
            self._objects.put(kind, obj)
            self._metrics.wrote("status", 1)
            for transition in transitions(before, document):
                self._events.transition(obj, transition)

    def _fail(self, subject: Subject, error: ClusterError, go: _Round) -> None:
        """Whether the others are worth a try depends on what it is."""
        self._metrics.failed("status", type(error).__name__)
        go.retry_s = max(go.retry_s or 0.0, error.retry_after_s or 0.0)
        self._quiet_until = max(self._quiet_until, clock() + (error.retry_after_s or 0.0))
        match error:
            case Denied():
                first = subject.kind not in go.denied
                go.denied.add(subject.kind)
                go.retry_s = max(go.retry_s, _RETRY_MAX_S)
                if first and not self._failures:
                    _log.error("the statuses of %s may not be written: %s", _KINDS[subject.kind], error)
            case Rejected():
                go.retry_s = max(go.retry_s, _RETRY_MAX_S)
                go.rejected += 1
                if not self._failures and go.rejected <= _NAMED:
                    _log.error("the status of %s is refused: %s", subject, error)
            case _:
                go.todo.clear()
                if not self._failures:
                    _log.warning("the status of %s was not written: %s; it will be tried again", subject, error)
