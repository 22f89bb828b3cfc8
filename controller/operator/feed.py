"""What fills the store: watches for speed, complete lists for truth, and an eye on what we write."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

from controller.api.findings import Subject
from controller.operator.census import Census, Watches
from controller.operator.cluster import Cluster, ClusterError
from controller.operator.kinds import Kind
from controller.operator.lease import clock
from controller.operator.settings import Settings
from controller.operator.store import Change, Object, Store
from controller.operator.watch import Sight, WatchEnded, watch

_log = logging.getLogger(__name__)

#: Seconds between looks for a kind that is needed and not there.
_MISSING_S = 5.0
#: Seconds between the sign that something may have been missed and the list that sets it right: signs come in swarms.
_COLLECT_S = 1.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
#: A watch that lasts as long as this, in seconds, has worked; one that ends sooner is begun anew after longer pauses.
_WORKED_S = 5.0


class Feed:
    """``changed`` is called whenever there may be something to compile or to write."""

    def __init__(
        self, cluster: Cluster, store: Store, census: Census, settings: Settings, changed: Callable[[], None]
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._census = census
        self._settings = settings
        self._changed = changed
        self._doubted = asyncio.Event()
        self._kinds = asyncio.Event()
        self._watching: Watches = ()

    async def list_again_and_again(self) -> None:
        """Complete lists: at once, every ``resync_s``, and when a watch or the server was interrupted."""
        pause_s, failing = _FIRST_PAUSE_S, ""
        while True:
            self._doubted.clear()
            try:
                await self._census.take()
            except ClusterError as error:
                if failing != (failing := str(error)):
                    _log.warning("not everything could be listed: %s", error)
                wait_s = max(pause_s, error.retry_after_s or 0.0)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            else:
                pause_s, failing = _FIRST_PAUSE_S, ""
                wait_s = self._settings.resync_s if self._census.maybe_obstacle() is None else _MISSING_S
            if self._census.watches != self._watching:
                self._kinds.set()
            self._changed()
            await self._rest(wait_s)

    async def watch(self, started: Callable[[], None]) -> None:
        """Events of all kinds that can be read, for ever."""
        while True:
            self._kinds.clear()
            self._watching = self._census.watches
            if self._watching:
                sight, login = Sight(self._is_news, self._seen), self._cluster.credentials
                watches = [watch(kinds, scope, login, sight, started) for scope, kinds in self._watching]
                await self._until_over([asyncio.create_task(each) for each in watches])
                # What was deleted between two watches, nobody tells.
                self._doubted.set()
            else:
                await self._kinds.wait()

    async def follow(self, name: str, saw: Callable[[str, Object | None], bool]) -> None:
        """Tell ``saw`` of every state of a ConfigMap, for ever; when it says that this is news, so it is."""
        await self._follow(f"ConfigMap {name}", lambda: self._cluster.follow_config_map(name), partial(saw, name))

    async def follow_secret(self, name: str, saw: Callable[[str, Object | None], bool]) -> None:
        """The same for a Secret of our own."""
        await self._follow(f"Secret {name}", lambda: self._cluster.follow_secret(name), partial(saw, name))

    async def _follow(
        self,
        what: str,
        states_of: Callable[[], AsyncGenerator[dict[str, Any] | None, None]],
        saw: Callable[[Object | None], bool],
    ) -> None:
        pause_s, failing = _FIRST_PAUSE_S, ""
        while True:
            begun, at_least_s = clock(), 0.0
            try:
                async with aclosing(states_of()) as states:
                    async for state in states:
                        if failing:
                            # The server was away, and with it all other watches.
                            self._doubted.set()
                        failing = ""
                        if saw(state):
                            self._changed()
            except ClusterError as error:
                if failing != (failing := str(error)):
                    _log.warning("%s cannot be watched: %s", what, error)
                at_least_s = error.retry_after_s or 0.0
            if clock() - begun >= _WORKED_S:
                pause_s = _FIRST_PAUSE_S
            await asyncio.sleep(max(pause_s, at_least_s))
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def get(self, subject: Subject) -> Object | None:
        """An object as last seen."""
        return self._store.get(subject)

    def answered(self, kind: Kind, obj: Object) -> None:
        """Take note of an object as the answer to a write of our own has it.

        It may be the first to tell of somebody's change, and then the watch has no news of it any more.
        """
        self._told(self._store.answered(kind, obj))

    def _is_news(self, kind: Kind, obj: Object, event: str | None) -> bool:
        return event != "MODIFIED" or not self._store.has(kind, obj)

    def _seen(self, kind: Kind, obj: Object, event: str | None) -> None:
        if event is None:
            # Part of a list that the watch began with: there was a time without one.
            self._doubted.set()
        self._told(self._store.put(kind, obj, deleted=event == "DELETED"))

    def _told(self, change: Change) -> None:
        if change is Change.CONTENT:
            self._changed()

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._doubted.wait()
                await asyncio.sleep(_COLLECT_S)
        except TimeoutError:
            pass

    async def _until_over(self, watches: Sequence[asyncio.Task[None]]) -> None:
        changing = asyncio.create_task(self._kinds.wait())
        try:
            await asyncio.wait({*watches, changing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            over = [each for each in watches if each.done()]
            for task in (*watches, changing):
                task.cancel()
            await asyncio.gather(*watches, changing, return_exceptions=True)
        for each in over:
            try:
                each.result()
            except WatchEnded as end:
                _log.warning("watching anew: %s", end)
        if over:
            await asyncio.sleep(_COLLECT_S)
