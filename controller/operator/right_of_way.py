"""Who goes first: traffic is worth more than what is said about it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from math import inf
from typing import Final

#: How long a row of changes holds up everything else, seconds: a single one has long arrived by then.
_ALONE_S: Final = 1.0


class RightOfWay:
    """The config lane's. ``turn`` is entered by whoever writes statuses, by as many tasks as there shall be at most.

    From a change to the end of the pass that takes it in, no turn is given, so that the event loop, the processors
    and the API server are free for that pass. Changes that never end starve nobody: after ``alone_s`` seconds of them
    one turn is given at a time. While ``idle`` is not set, because ConfigMaps or Secrets are being written, none is.
    """

    def __init__(self, idle: asyncio.Event, alone_s: float = _ALONE_S) -> None:
        self._idle = idle
        self._alone_s = alone_s
        self._is_due = False
        #: When the row of changes began during which nobody who waits had a turn, but for one at a time.
        self._since: float | None = None
        self._waiting = 0
        self._taken = 0
        self._moved = asyncio.Event()

    def due(self) -> None:
        """There is a change."""
        self._is_due = True
        if self._since is None:
            self._since = asyncio.get_running_loop().time()

    def done(self) -> None:
        """All changes so far were taken in, or will not be."""
        self._is_due = False
        if not self._waiting:
            self._since = None
        self._moved.set()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """One write. Waits until there is room for it."""
        self._waiting += 1
        try:
            await self._room()
        finally:
            self._waiting -= 1
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
            self._moved.set()

    async def _room(self) -> None:
        await self._idle.wait()
        while wait_s := self._wait_s():
            self._moved.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(None if wait_s == inf else wait_s):
                    await self._moved.wait()
            await self._idle.wait()
        if not self._is_due:
            self._since = None

    def _wait_s(self) -> float:
        """Seconds until there is room, if nothing happens before; 0: there is."""
        if not self._is_due or self._since is None:
            return 0.0
        if self._taken:
            return inf
        return max(0.0, self._since + self._alone_s - asyncio.get_running_loop().time())
