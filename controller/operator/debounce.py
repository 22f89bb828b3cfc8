"""Many changes, one reaction: when nothing has changed for a moment, or when that moment does not come."""

import asyncio
from dataclasses import dataclass


@dataclass(slots=True)
class Settling:
    """The arithmetic; ``now`` is in seconds of any clock that nobody sets.

    A change is due ``settle_s`` after the last one of a row, and at most ``settle_max_s`` after the first.
    """

    settle_s: float
    settle_max_s: float
    _first: float | None = None
    _last: float = 0.0

    def poke(self, now: float) -> None:
        """Something has changed."""
        self._first = now if self._first is None else self._first
        self._last = now

    def due_in(self, now: float) -> float | None:
        """Seconds until it is time to react, 0 when it is; None when nothing has changed."""
        if self._first is None:
            return None
        return max(0.0, min(self._last + self.settle_s, self._first + self.settle_max_s) - now)

    def take(self) -> None:
        """What has changed so far is being reacted to."""
        self._first = None


class Debounce:
    """The same for tasks of one event loop."""

    def __init__(self, settle_s: float, settle_max_s: float) -> None:
        self._settling = Settling(settle_s, settle_max_s)
        self._poked = asyncio.Event()

    def poke(self) -> None:
        """Something has changed. Never waits."""
        self._settling.poke(asyncio.get_running_loop().time())
        self._poked.set()

    @property
    def is_poked(self) -> bool:
        """Whether something has changed that ``wait`` has not told of."""
        return self._poked.is_set()

    async def wait(self) -> None:
        """Returns when it is time to react to the changes since it returned last."""
        await self._poked.wait()
        due_s = self._due_s()
        while due_s:
            await asyncio.sleep(due_s)
            due_s = self._due_s()
        self._settling.take()
        self._poked.clear()

    def _due_s(self) -> float | None:
        return self._settling.due_in(asyncio.get_running_loop().time())
