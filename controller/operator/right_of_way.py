"""Who goes first: traffic is worth more than what is said about it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from math import inf
from typing import Final

#: How long a row of changes holds up everything else, seconds: a single change has arrived by then, and it is well
#: below the longest time after which a row is written, or one would follow the other with hardly a turn between them.
_ALONE_S: Final = 0.4
#: Changes are one row unless there is none for this long, seconds: the settling time.
_CALM_S: Final = 0.1


class RightOfWay:
    """The config lane's. ``turn`` is entered by whoever writes statuses, by as many tasks as there shall be at most.

    From a change to the end of the pass that takes it in, no turn is given, so that the event loop, the processors
    and the API server are free for that pass. Changes that never end starve nobody: after ``alone_s`` seconds of them
    one turn is given at a time, and a turn that hangs keeps the next one for no longer than that. Turns are given in
    the order in which they are asked for. While ``idle`` is not set, because ConfigMaps or Secrets are being written,
    there are none.

    ``now``: seconds of any clock that nobody sets.
    """

    def __init__(
        self, idle: asyncio.Event, alone_s: float = _ALONE_S, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._idle = idle
        self._alone_s = alone_s
        self._now = now
        self._is_due = False
        #: Others than the config lane who go first at the moment.
        self._ahead = 0
        #: When the row of changes began, and since when there is none, if there is none.
        self._since, self._calm_since = -inf, -inf
        #: First come, first served. Who has it waits for room, and all others for it.
        self._door = asyncio.Lock()
        #: When the turns that are not over began.
        self._taken: list[float] = []
        self._moved = asyncio.Event()

    def due(self) -> None:
        """There is a change."""
        self._press()
        self._is_due = True

    def done(self) -> None:
        """All changes so far were taken in, or will not be."""
        was_due, self._is_due = self._is_due, False
        if was_due:
            self._relax()

    @contextmanager
    def ahead(self) -> Iterator[None]:
        """Something else is under way that goes first, as a change does, and is part of the same row."""
        self._press()
        self._ahead += 1
        try:
            yield
        finally:
            self._ahead -= 1
            self._relax()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """One write. Waits until there is room for it."""
        async with self._door:
            await self._room(is_write=True)
            begun = self._now()
            self._taken.append(begun)
        try:
            yield
        finally:
            self._taken.remove(begun)
            self._moved.set()

    async def glance(self) -> None:
        """Returns when there is room for what asks nobody, costs a moment of the event loop, and takes no turn."""
        await self._room(is_write=False)

    @property
    def _is_pressed(self) -> bool:
        return self._is_due or self._ahead > 0

    def _press(self) -> None:
        if not self._is_pressed and self._now() - self._calm_since >= _CALM_S:
            self._since = self._now()

    def _relax(self) -> None:
        if not self._is_pressed:
            self._calm_since = self._now()
        self._moved.set()

    async def _room(self, *, is_write: bool) -> None:
        await self._quiet()
        while wait_s := self._wait_s(is_write=is_write):
            self._moved.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._moved.wait()
            await self._quiet()

    async def _quiet(self) -> None:
        # Whom an event wakes runs later: the next write may be under way by then.
        while not self._idle.is_set():
            await self._idle.wait()

    def _wait_s(self, *, is_write: bool) -> float:
        """Seconds until there is room, if nothing happens before; 0: there is."""
        if not self._is_pressed:
            return 0.0
        last = max(self._taken, default=-inf) if is_write else -inf
        return max(0.0, max(self._since, last) + self._alone_s - self._now())
