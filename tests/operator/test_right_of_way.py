"""Who goes first, and that nobody waits for ever."""

import asyncio
import selectors
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from controller.operator.debounce import Debounce
from controller.operator.right_of_way import RightOfWay
from tests.support.tasks import doing
from tests.support.waiting import eventually

_ALONE_S = 0.05


class Writers:
    """So many tasks that take one turn after another, each for ``turn_s``.

    The way's time is ``at`` and stands still; it looks at it again and again. ``turns`` are counted by task; ``most``
    were under way at a time.
    """

    def __init__(self, count: int = 4, turn_s: float = 0.001) -> None:
        self.idle = asyncio.Event()
        self.idle.set()
        self.at = 1000.0
        self.way = RightOfWay(self.idle, _ALONE_S, now=lambda: self.at)
        self.by_task = [0] * count
        self.underway = self.most = 0
        self._turn_s = turn_s

    @property
    def turns(self) -> int:
        return sum(self.by_task)

    async def write(self, number: int) -> None:
        """For ever."""
        while True:
            async with self.way.turn():
                self.underway += 1
                self.by_task[number] += 1
                self.most = max(self.most, self.underway)
                await asyncio.sleep(self._turn_s)
                self.underway -= 1

    async def turns_in(self, seconds: float) -> int:
        """How many are begun meanwhile. Those that were under way before have ended by then."""
        await eventually(lambda: self.underway <= 1)
        await asyncio.sleep(0.01)
        before, self.most = self.turns, 0
        await asyncio.sleep(seconds)
        return self.turns - before

    async def go_on(self, most: int) -> None:
        """Returns after some more turns, of which so many were under way at a time."""
        self.most, until = 0, self.turns + 20
        await eventually(lambda: self.turns >= until and self.most >= most)
        assert self.most == most


@asynccontextmanager
async def writers() -> AsyncIterator[Writers]:
    """Four at work."""
    made = Writers()
    async with doing(*(made.write(number) for number in range(4))):
        await eventually(lambda: made.turns > 4)
        yield made


async def test_nobody_is_in_the_way_of_a_change() -> None:
    """From the moment that it is there until it is done; then everybody goes on at once."""
    async with writers() as some:
        some.way.due()
        assert await some.turns_in(0.1) == 0
        some.way.done()
        await some.go_on(most=4)


async def test_nobody_is_in_the_way_of_a_write() -> None:
    """A ConfigMap that is written goes first, whatever is known of changes and for how long."""
    async with writers() as some:
        some.idle.clear()
        assert await some.turns_in(0.05) == 0
        some.way.due()
        some.at += 10
        assert await some.turns_in(0.05) == 0
        some.way.done()
        assert await some.turns_in(0.05) == 0
        some.idle.set()
        await some.go_on(most=4)


async def test_others_than_changes_may_go_first() -> None:
    """As what is written for Envoy Gateway: until it is over, and for no longer than a row of changes would."""
    async with writers() as some:
        with some.way.ahead():
            some.way.due()
            some.way.done()
            assert await some.turns_in(0.1) == 0
            some.at += 10
            await some.go_on(most=1)
        await some.go_on(most=4)


async def test_changes_without_end_starve_nobody() -> None:
    """After a while there is one turn at a time, in the order of asking, and no more before they end."""
    async with writers() as some:
        some.way.due()
        assert await some.turns_in(0.1) == 0
        before = list(some.by_task)
        some.at += 10
        await some.go_on(most=1)
        had = [now - then for now, then in zip(some.by_task, before, strict=True)]
        assert max(had) - min(had) <= 1
        some.way.done()
        await some.go_on(most=4)


async def test_pauses_that_are_too_short_do_not_end_a_row() -> None:
    """However many there are, and whoever has had a turn in one of them."""
    async with writers() as some:
        some.way.due()
        for _ in range(3):
            some.at += 0.02
            some.way.done()
            await some.go_on(most=4)
            some.at += 0.09
            await some.go_on(most=4)  # or those under way would be taken for hanging
            some.way.due()
        await eventually(lambda: some.underway <= 1)
        await some.go_on(most=1)


async def test_a_change_after_a_calm_is_alone_again() -> None:
    """What held up whom before does not count, whether anybody waited or not."""
    async with writers() as some:
        for _ in range(2):
            some.way.due()
            assert await some.turns_in(0.1) == 0
            some.at += 10
            await some.go_on(most=1)
            some.way.done()
            some.at += 0.11
        some.way.due()
        assert await some.turns_in(0.1) == 0


async def test_a_turn_that_hangs_keeps_nobody_for_long() -> None:
    """It is one turn at a time of those that do not."""
    async with writers() as some, some.way.turn():
        some.way.due()
        await eventually(lambda: some.underway == 0)
        some.at += 10
        await some.go_on(most=1)


async def test_a_glance_takes_no_turn() -> None:
    """It waits for a change to be alone, but neither for who has a turn nor for who waits for one."""
    some = Writers(count=3, turn_s=30)
    async with doing(*(some.write(number) for number in range(3))):
        some.way.due()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await some.way.glance()
        some.at += 10
        await eventually(lambda: some.turns == 1)
        async with asyncio.timeout(1):
            await some.way.glance()


async def test_a_moment_between_two_writes_is_no_room() -> None:
    """Secrets are written, and then ConfigMaps: whom the end of the first wakes runs when the second has begun."""
    async with writers() as some:
        some.idle.clear()
        await eventually(lambda: some.underway == 0)
        glance = asyncio.create_task(some.way.glance())
        before = some.turns
        for _ in range(3):
            some.idle.set()
            some.idle.clear()
            await asyncio.sleep(0.01)
        assert (some.turns, glance.done()) == (before, False)
        some.idle.set()
        await glance
        await some.go_on(most=4)


class _Leaping(selectors.SelectSelector):
    """Waits for nothing: the time until the next timer is over at once."""

    at = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.at += timeout or 0.0
        return super().select(0)


class LeapingLoop(asyncio.SelectorEventLoop):
    """Its time passes only while everybody sleeps, so that whatever runs in it does the same each time."""

    def __init__(self) -> None:
        self._leaping = _Leaping()
        super().__init__(self._leaping)

    def time(self) -> float:
        """Seconds."""
        return self._leaping.at


async def turns_by_pass(passes: int, pass_s: float) -> list[int]:
    """How many there are from the end of a pass to the end of the next one, while changes come every 90 ms."""
    idle, enough, turns, ends = asyncio.Event(), asyncio.Event(), 0, [0]
    idle.set()
    way, debounce = RightOfWay(idle, now=asyncio.get_running_loop().time), Debounce(0.1, 1.0)

    async def change() -> None:
        while True:
            way.due()
            debounce.poke()
            await asyncio.sleep(0.09)

    async def lane() -> None:
        while True:
            if not debounce.is_poked:
                way.done()
            await debounce.wait()
            await asyncio.sleep(pass_s)
            ends.append(turns)
            if len(ends) > passes:
                enough.set()

    async def write() -> None:
        nonlocal turns
        while True:
            async with way.turn():
                turns += 1
                await asyncio.sleep(0.01)

    async with doing(change(), lane(), *(write() for _ in range(8))):
        await enough.wait()
    return [end - begin for begin, end in pairwise(ends)]


@pytest.mark.parametrize("pass_s", [0.07, 0.1])
def test_a_steady_stream_of_changes_starves_nobody(pass_s: float) -> None:
    """Closer than they settle, so that each row is written at its latest: many turns between two of those passes.

    Whether the next change comes after the end of a pass or before it.
    """
    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        turns = runner.run(turns_by_pass(6, pass_s))
    assert min(turns) > 50, turns
