"""Who goes first, and that nobody waits for ever."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from controller.operator.right_of_way import RightOfWay
from tests.support.waiting import eventually

_SHORT_S = 0.05


class Writers:
    """So many tasks that take one turn after another. ``most`` were under way at a time."""

    def __init__(self, alone_s: float) -> None:
        self.idle = asyncio.Event()
        self.idle.set()
        self.way = RightOfWay(self.idle, alone_s)
        self.turns = self.underway = self.most = 0

    async def write(self) -> None:
        """For ever."""
        while True:
            async with self.way.turn():
                self.underway += 1
                self.turns, self.most = self.turns + 1, max(self.most, self.underway)
                await asyncio.sleep(0.001)
                self.underway -= 1

    def have_gone_on(self, since: int) -> bool:
        """Whether there was a turn since there were so many."""
        return self.turns > since

    async def turns_in(self, seconds: float) -> int:
        """How many are begun meanwhile. Those that were under way before have ended by then."""
        await asyncio.sleep(0.01)
        before, self.most = self.turns, 0
        await asyncio.sleep(seconds)
        return self.turns - before


@asynccontextmanager
async def writers(count: int = 4, alone_s: float = 30.0) -> AsyncIterator[Writers]:
    """At work."""
    made = Writers(alone_s)
    tasks = [asyncio.create_task(made.write()) for _ in range(count)]
    try:
        await eventually(lambda: made.turns > count)
        yield made
        assert [task for task in tasks if task.done()] == []
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_nobody_is_in_the_way_of_a_change() -> None:
    """From the moment that it is there until it is done; then everybody goes on at once."""
    async with writers() as some:
        some.way.due()
        assert await some.turns_in(0.1) == 0
        some.way.done()
        assert await some.turns_in(0.1) > 4
        assert some.most == 4


async def test_nobody_is_in_the_way_of_a_write() -> None:
    """A ConfigMap that is written goes first, whatever is known of changes."""
    async with writers() as some:
        some.idle.clear()
        assert await some.turns_in(0.05) == 0
        some.way.due()
        some.way.done()
        assert await some.turns_in(0.05) == 0
        some.idle.set()
        assert await some.turns_in(0.1) > 4


async def test_changes_without_end_starve_nobody() -> None:
    """After a while there is one turn at a time, and no more before they end."""
    async with writers(alone_s=_SHORT_S) as some:
        some.way.due()
        turns = some.turns
        await eventually(lambda: some.turns > turns + 20)
        assert await some.turns_in(0.1) > 4
        assert some.most == 1
        some.way.done()
        assert await some.turns_in(0.1) > 4
        assert some.most == 4


async def test_pauses_too_short_for_a_turn_are_none() -> None:
    """Changes that follow each other so closely that nobody has a turn between them are one row."""
    async with writers(alone_s=_SHORT_S) as some:
        some.way.due()
        assert await some.turns_in(0) == 0
        turns = some.turns
        while some.turns < turns + 20:
            some.way.done()
            some.way.due()
            await asyncio.sleep(0.01)
        assert some.most == 1


async def test_a_change_after_a_calm_is_alone_again() -> None:
    """What held up whom before does not count, whether anybody waited or not."""
    async with writers(alone_s=0.6) as some:
        for _ in range(2):
            some.way.due()
            assert await some.turns_in(0.35) == 0
            turns = some.turns
            some.way.done()
            await eventually(partial(some.have_gone_on, turns))
        some.way.due()
        assert await some.turns_in(0) == 0
    nobody = RightOfWay(some.idle, 0.6)
    nobody.due()
    await asyncio.sleep(0.35)
    nobody.done()
    nobody.due()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.35), nobody.turn():
            pass
