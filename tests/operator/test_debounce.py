"""Many changes, one reaction."""

import asyncio

import pytest

from controller.operator.debounce import Debounce, Settling


@pytest.mark.parametrize(
    ("pokes", "now", "due"),
    [
        ([], 5.0, None),
        ([1.0], 1.0, 0.5),
        ([1.0], 1.4, 0.1),
        ([1.0], 9.0, 0.0),
        ([1.0, 1.4], 1.4, 0.5),
        ([1.0, 1.4, 1.8, 2.2, 2.6, 2.9], 2.9, 0.1),
        ([1.0, 1.4, 1.8, 2.2, 2.6, 3.0], 3.0, 0.0),
    ],
    ids=["nothing", "one", "later", "over", "a second one waits", "at most", "the end of patience"],
)
def test_when_a_change_is_due(pokes: list[float], now: float, due: float | None) -> None:
    """So long after the last change, at most so long after the first."""
    settling = Settling(0.5, 2.0)
    for moment in pokes:
        settling.poke(moment)

    assert settling.due_in(now) == (None if due is None else pytest.approx(due))


def test_a_new_row_begins_after_a_reaction() -> None:
    """What was reacted to does not shorten the patience with what comes next."""
    settling = Settling(0.5, 2.0)
    settling.poke(1.0)
    settling.take()

    assert settling.due_in(9.0) is None
    settling.poke(9.0)
    assert settling.due_in(9.0) == pytest.approx(0.5)


async def test_a_burst_is_one_reaction() -> None:
    """However many changes come while it waits, it returns once for them."""
    debounce, reactions = Debounce(0.02, 0.2), 0

    async def react() -> None:
        nonlocal reactions
        while True:
            await debounce.wait()
            reactions += 1

    reacting = asyncio.create_task(react())
    for _ in range(5):
        debounce.poke()
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.15)
    reacting.cancel()

    assert reactions == 1


async def test_a_change_during_a_reaction_is_not_lost() -> None:
    """It makes the next wait return."""
    debounce = Debounce(0.001, 0.01)
    debounce.poke()
    await debounce.wait()
    debounce.poke()

    async with asyncio.timeout(5):
        await debounce.wait()
