"""One pass after another, and what makes one happen."""

import asyncio
import itertools
from contextlib import AsyncExitStack
from typing import Any

import pytest

from controller.api.reasons import Reason
from controller.operator.failures import Busy, ClusterError, Conflict, Denied, Gone, NotLeading, Unreachable
from controller.operator.kinds import LLM_ROUTES
from controller.operator.right_of_way import RightOfWay
from controller.translate import Translation, translate
from tests.support.api_objects import route, rule
from tests.support.config_lane_stand import PROCESSOR, Stand, quiet, running
from tests.support.config_maps import ConfigMaps
from tests.support.readable_cluster import numbered
from tests.support.waiting import eventually


async def test_the_leader_writes() -> None:
    """At once when it becomes the leader, and after every change."""
    async with running() as stand:
        await eventually(stand.holds('"value":"a"'))
        stand.edit("b", 3)
        await eventually(stand.holds('"value":"b"'))

        assert [published.revision for published in stand.offered] == [1, 2]
        assert all(published.problem is None for published in stand.offered)


async def test_a_standby_writes_nothing() -> None:
    """It knows everything, and takes over where the other one stopped."""
    async with running(leading=False) as stand:
        stand.edit("b", 3)
        await quiet()
        assert (stand.config_maps.applied, stand.offered) == ([], [])
        stand.lane.lead()
        await eventually(stand.holds('"value":"b"'))


async def test_nothing_is_written_before_everything_is_known() -> None:
    """A partial read never becomes a partial configuration."""
    stand = Stand()
    working = asyncio.create_task(stand.lane.run())
    stand.lane.lead()
    stand.edit("b", 3)
    await quiet()
    assert stand.config_maps.applied == []

    await stand.census.take()
    stand.lane.poke()
    await eventually(stand.holds('"value":"b"'))
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)


async def test_a_burst_is_few_writes() -> None:
    """A hundred edits in a row are not a hundred writes."""
    async with running() as stand:
        await eventually(stand.holds('"value":"a"'))
        before = len(stand.config_maps.applied)
        for i in range(100):
            stand.edit(f"m{i}", 3 + i)
        await eventually(stand.holds('"value":"m99"'))

        assert len(stand.config_maps.applied) - before <= 2


async def test_a_poke_without_news_writes_and_offers_nothing() -> None:
    """The statuses of a pass that came to the same are not looked at again."""
    async with running() as stand:
        await eventually(stand.holds('"value":"a"'))
        before = list(stand.config_maps.applied)
        for _ in range(3):
            stand.lane.poke()
            await asyncio.sleep(0.03)

        assert (stand.config_maps.applied, len(stand.offered)) == (before, 1)


async def test_a_status_that_somebody_changed_is_looked_at() -> None:
    """Nothing is written to the ConfigMaps, but the statuses are compared again."""
    async with running() as stand:
        await eventually(lambda: bool(stand.offered))
        edited = numbered(route(rule("a", "openai")), 2)
        edited["metadata"]["resourceVersion"] = "9"
        stand.store.put(LLM_ROUTES, edited)
        stand.lane.poke()

        await eventually(lambda: len(stand.offered) == 2)
        assert stand.offered[1].written == ()


@pytest.mark.parametrize("fault", [Unreachable("away"), Conflict("409"), NotLeading("not now")])
async def test_what_fails_is_tried_again(fault: ClusterError) -> None:
    """Soon, by itself or when this replica leads again; nothing is offered that is not so."""
    async with running(leading=False) as stand:
        stand.config_maps.faults.append(fault)
        stand.lane.lead()
        if isinstance(fault, NotLeading):
            await quiet()
            assert stand.offered == []
            stand.lane.lead()
        await eventually(stand.holds('"value":"a"'))

        assert [published.problem for published in stand.offered] == [None]


async def test_what_may_not_be_written_is_said() -> None:
    """The statuses tell it, and once it may be written they tell that."""
    async with running(leading=False) as stand:
        stand.config_maps.faults.append(Denied("403 cannot patch"))
        stand.lane.lead()
        await eventually(stand.holds('"value":"a"'))

        first, second = stand.offered
        assert "could not be written: 403 cannot patch" in str(first.problem)
        assert first.parts == {}
        assert second.problem is None


async def test_a_config_map_that_somebody_edits_is_put_back() -> None:
    """As soon as the watch tells."""
    async with running() as stand:
        await eventually(stand.holds('"value":"a"'))
        edited = stand.config_maps.put(PROCESSOR, {"data": {"config.yaml": "junk"}})
        assert stand.publisher.saw(PROCESSOR, edited)
        stand.lane.poke()

        await eventually(stand.holds('"value":"a"'))


@pytest.mark.parametrize("fault", [Unreachable("500 no"), Gone("404 namespaces gw not found"), Busy("429 later")])
async def test_what_stays_unwritten_is_said_after_a_while(monkeypatch: pytest.MonkeyPatch, fault: ClusterError) -> None:
    """A server that fails once is no news; one that goes on failing is, and so is the end of it."""
    monkeypatch.setattr("controller.operator.config_lane._PATIENCE_S", 0.3)
    monkeypatch.setattr("controller.operator.config_lane._LONGEST_PAUSE_S", 0.1)
    async with running(leading=False) as stand:
        stand.config_maps.faults += [fault] * 8
        stand.lane.lead()
        await asyncio.sleep(0.1)
        assert stand.offered == []
        await eventually(stand.holds('"value":"a"'))

        problems = [published.problem for published in stand.offered]
        assert len(problems) > 1
        assert problems[-1] is None
        assert {problem.reason for problem in problems if problem} == {Reason.CONFIG_NOT_WRITTEN}
        assert str(fault) in str(problems[0])


async def test_a_write_that_was_taken_after_all_is_told() -> None:
    """The answer is lost and the statuses say that nothing was written; the next pass finds that it was."""

    class Lossy(ConfigMaps):
        lost = True

        async def apply_config_map(self, body: dict[str, Any]) -> dict[str, Any]:
            answer = await super().apply_config_map(body)
            if self.lost and body["metadata"]["name"] == PROCESSOR:
                self.lost = False
                raise Denied("403 said a proxy")
            return answer

    async with running(leading=False, config_maps=Lossy()) as stand:
        stand.lane.lead()
        await eventually(lambda: len(stand.offered) == 1)
        stand.publisher.saw(PROCESSOR, stand.config_maps.held[PROCESSOR])
        stand.lane.poke()

        await eventually(lambda: len(stand.offered) == 2)
        assert [published.problem is None for published in stand.offered] == [False, True]


async def test_config_maps_that_may_not_be_read_are_said() -> None:
    """As those that may not be written, and in the same words every time."""
    numbers = itertools.count(1)

    class Hidden(ConfigMaps):
        async def maybe_config_map(self, name: str) -> dict[str, Any] | None:
            raise Denied(f"403 request {next(numbers)} cannot get {name}")

    async with running(leading=False, config_maps=Hidden()) as stand:
        stand.lane.lead()
        await eventually(lambda: len(stand.offered) == 2)

        assert "403 request 1 cannot get" in str(stand.offered[0].problem)
        assert stand.offered[1].problem == stand.offered[0].problem


async def test_slow_lists_are_no_reason_to_start_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server takes its time for them, whichever process asks; a pass that hangs in itself is another matter."""
    monkeypatch.setattr("controller.operator.config_lane._STUCK_S", 0.0)
    async with running(leading=False) as stand:
        stand.server.delay_s = 0.05
        stand.lane.lead()
        for _ in range(5):
            await asyncio.sleep(0.03)
            assert stand.lane.maybe_stuck() is None
        stand.config_maps.delay_s = 0.3
        await eventually(lambda: stand.lane.maybe_stuck() is not None)
        stand.config_maps.delay_s = stand.server.delay_s = 0.0
        await eventually(stand.holds('"value":"a"'))


async def test_statuses_give_way_to_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the change on; while it compiles none is written, and as many as there are once it is done."""
    turns: list[int] = []
    async with running() as stand:
        await eventually(stand.holds('"value":"a"'))
        await quiet()
        loop, compiled = asyncio.get_running_loop(), translate

        def watched(*given: Any) -> Translation:
            turns.append(asyncio.run_coroutine_threadsafe(turns_at_once(stand.lane.way), loop).result())
            return compiled(*given)

        monkeypatch.setattr("controller.operator.compiling.translate", watched)
        stand.edit("b", 3)
        turns.append(await turns_at_once(stand.lane.way))
        await eventually(stand.holds('"value":"b"'))
        await quiet()
        turns.append(await turns_at_once(stand.lane.way))

    assert turns == [0, 0, 3]


async def test_what_is_no_news_for_a_pass_holds_up_nobody() -> None:
    """A standby takes no pass, and neither does a leader that does not know everything yet."""
    async with running(leading=False) as stand:
        stand.edit("b", 3)
        await quiet()
        assert await turns_at_once(stand.lane.way) == 3


async def turns_at_once(way: RightOfWay, asked: int = 3) -> int:
    """How many of so many status writes may be on their way now."""
    async with AsyncExitStack() as stack:
        for count in range(asked):
            try:
                async with asyncio.timeout(0.005):
                    await stack.enter_async_context(way.turn())
            except TimeoutError:
                return count
    return asked
