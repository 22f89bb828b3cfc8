"""Reads the Secrets and ConfigMaps that resources name: each by itself, by name, for as long as one names it.

No list of Secrets is ever asked for. So the right to ``get`` and ``watch`` certain names is enough, and nobody else's
Secret passes through this process.
"""

import asyncio
import logging
import zlib
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, Final, Protocol

from controller.operator.failures import ClusterError, Denied
from controller.operator.kinds import CONFIG_MAPS, SECRETS, Kind
from controller.operator.lease import clock
from controller.operator.named_objects import KEPT_S, NamedObjects, Standing
from controller.operator.shares import Shares, shares
from controller.translate.secrets import Place, SecretStore

#: Watches at a time; each is a connection. What is above that is asked for again and again.
WATCHES: Final = 200
#: Seconds until the watches are shared out anew when something came or went.
_REGROUP_S: Final = 1.0
#: A watch ends after so many seconds, not all of them at once, and with the next one comes a complete read.
_LONGEST_WATCH_S, _SPREAD_S = 60, 15
#: Questions on their way at a time, and of those about one namespace.
_AT_A_TIME: Final = 16
_OF_ONE_NAMESPACE: Final = 8
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
#: A watch that lasted as long as this, in seconds, has worked.
_WORKED_S: Final = 5.0

_KINDS: Final[Mapping[str, Kind]] = {kind.name: kind for kind in (SECRETS, CONFIG_MAPS)}

_log = logging.getLogger(__name__)

Object = dict[str, Any]


class Source(Protocol):
    """The part of ``Cluster`` that is needed. Raises ``ClusterError``."""

    async def maybe_object(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """One object, None when there is none."""

    def watching(
        self, kind: Kind, namespace: str, name: str, limit_s: int = ...
    ) -> AbstractAsyncContextManager[AsyncIterator[Object | None]]:
        """Its states from now on."""


class Counts(Protocol):
    """Who counts what is read."""

    def named_objects(self, counts: Mapping[str, int], polled: int) -> None:
        """How many there are of each standing, and how many of all are not watched."""


class Lookout:
    """``run`` does the reading; ``changed`` hears whenever something is known that was not before."""

    def __init__(self, source: Source, metrics: Counts, changed: Callable[[], None]) -> None:
        self._source = source
        self._metrics = metrics
        self._changed = changed
        self._named = NamedObjects()
        self._tasks: dict[Place, asyncio.Task[None]] = {}
        self._news = asyncio.Event()
        self._answered = asyncio.Event()
        self._asking = asyncio.Semaphore(_AT_A_TIME)
        self._asking_in: dict[str, asyncio.Semaphore] = {}
        self._shares = Shares()
        self._regrouping: asyncio.TimerHandle | None = None
        self._watched = set[Place]()
        self._polled = set[Place]()
        self._failing = set[Place]()
        self._denied = set[Place]()
        #: What was waited for once, and did not come.
        self._late = set[Place]()

    @property
    def version(self) -> int:
        """Changes with everything that ``store`` says."""
        return self._named.version

    @property
    def is_sure(self) -> bool:
        """Whether the API server has answered about all that is wanted, for better or worse."""
        return not self._named.unasked

    @property
    def doubted(self) -> frozenset[Place]:
        """Of what the API server has told nothing, or has refused to for a short time only."""
        return self._named.doubted

    def store(self) -> SecretStore:
        """What is known now."""
        return self._named.store()

    def want(self, places: Collection[Place]) -> None:
        """Read these and forget all others. Never waits."""
        if set(places) == set(self._named.wanted):
            return
        self._named.want(places)
        self._late &= set(places)
        self._news.set()
        self._answered.set()
        self._told()

    async def asked(self, limit_s: float) -> bool:
        """Returns when all that is wanted was asked for once, or after ``limit_s`` seconds; whether it was.

        What is late once is not waited for again.
        """
        try:
            async with asyncio.timeout(limit_s):
                while self._named.unasked - self._late:
                    self._answered.clear()
                    await self._answered.wait()
        except TimeoutError:
            self._late |= self._named.unasked
        return self.is_sure

    async def run(self) -> None:
        """Read for ever. Ends only by cancellation; what fails is tried again, and keeps what was known."""
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    wanted = set(self._named.wanted)
                    self._share(wanted)
                    # Who holds a watch that is another's now begins anew, without.
                    for place in self._tasks.keys() - (wanted - (self._watched - self._shares.watched)):
                        self._tasks.pop(place).cancel()
                    for place in sorted(wanted - self._tasks.keys()):
                        self._tasks[place] = group.create_task(self._follow(place), name=f"{place[0]} {place[1]}")
                    await self._news.wait()
                    self._news.clear()
        finally:
            self._tasks.clear()
            self.want(())
            if self._regrouping is not None:
                self._regrouping.cancel()

    def _share(self, wanted: set[Place]) -> None:
        if self._regrouping is not None:
            self._regrouping.cancel()
            self._regrouping = None
        self._shares = shares(wanted, self._named.missing, WATCHES)
        namespaces = {namespace for _, namespace, _ in wanted}
        self._asking_in = {
            name: self._asking_in.get(name) or asyncio.Semaphore(_OF_ONE_NAMESPACE) for name in namespaces
        }

    def _share_soon(self) -> None:
        if self._regrouping is None:
            self._regrouping = asyncio.get_running_loop().call_later(_REGROUP_S, self._news.set)

    async def _follow(self, place: Place) -> None:
        pause_s = _FIRST_PAUSE_S
        try:
            while True:
                begun, wait_s = clock(), 0.0
                try:
                    wait_s = await self._look(place)
                except Denied as error:
                    wait_s = self._shares.poll_s(place)
                    self._tell_denial(place, error)
                    if self._named.denied(place, clock()):
                        self._is_news(place)
                    self._told()
                except ClusterError as error:
                    self._tell_failure(place, error)
                    wait_s = error.retry_after_s or 0.0
                if clock() - begun >= _WORKED_S:
                    pause_s = _FIRST_PAUSE_S
                await asyncio.sleep(max(pause_s, wait_s))
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
        finally:
            self._polled.discard(place)
            self._failing.discard(place)
            self._denied.discard(place)

    async def _look(self, place: Place) -> float:
        """Tell all there is to tell until a watch is over; after how many seconds to look again."""
        kind, namespace, name = _KINDS[place[0]], place[1], place[2]
        is_free = place in self._shares.watched and len(self._watched) < WATCHES
        if is_free:
            self._watched.add(place)
        try:
            async with AsyncExitStack() as stack:
                states = None
                async with self._asking_in[namespace], self._asking:
                    if is_free:
                        watching = self._source.watching(kind, namespace, name, _limit_s(name))
                        states = await _maybe_entered(stack, watching)
                    self._saw(place, await self._source.maybe_object(kind, namespace, name))
                (self._polled.add if states is None else self._polled.discard)(place)
                self._told()
                if states is None:
                    return self._shares.poll_s(place)
                async for state in states:
                    self._saw(place, state)
        finally:
            if is_free:
                self._watched.discard(place)
        return 0.0

    def _saw(self, place: Place, state: Object | None) -> None:
        self._failing.discard(place)
        self._denied.discard(place)
        if self._named.saw(place, None if state is None else {**state, "kind": place[0]}):
            if (state is None) != (place in self._shares.missing):
                self._share_soon()
            self._is_news(place)

    def _is_news(self, place: Place) -> None:
        _log.debug("%s %s/%s has changed", *place)
        self._answered.set()
        self._told()
        self._changed()

    def _tell_failure(self, place: Place, error: ClusterError) -> None:
        # The server fails for all of them, and once is enough to say so.
        if not self._failing:
            _log.warning("%s %s/%s cannot be read: %s", *place, error)
        self._failing.add(place)

    def _tell_denial(self, place: Place, error: Denied) -> None:
        if not self._denied:
            message = "%s %s/%s may not be read; what is known of it is used for %.0f s: %s"
            _log.warning(message, *place, KEPT_S, error)
        self._denied.add(place)

    def _told(self) -> None:
        counts = self._named.counts()
        self._metrics.named_objects({standing: counts[standing] for standing in Standing}, len(self._polled))


async def _maybe_entered(
    stack: AsyncExitStack, watching: AbstractAsyncContextManager[AsyncIterator[Object | None]]
) -> AsyncIterator[Object | None] | None:
    """The watch; None without the right to it, which is worth no more than a little speed."""
    try:
        return await stack.enter_async_context(watching)
    except Denied:
        return None


def _limit_s(name: str) -> int:
    return _LONGEST_WATCH_S - zlib.crc32(name.encode()) % _SPREAD_S
