"""One pass after another, and what makes one happen."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from controller.operator.census import Census
from controller.operator.config_lane import ConfigLane
from controller.operator.failures import ClusterError, Conflict, Denied, NotLeading, Unreachable
from controller.operator.kinds import LLM_BACKENDS, LLM_ROUTES
from controller.operator.metrics import Metrics
from controller.operator.published import Published
from controller.operator.publisher import Publisher
from controller.operator.settings import Scope, Settings
from controller.operator.store import Store
from tests.support.api_objects import backend, route, rule
from tests.support.config_maps import ConfigMaps
from tests.support.readable_cluster import ReadableCluster, numbered
from tests.support.waiting import eventually

SETTINGS = Settings(namespace="gw", identity="op-0", settle_s=0.01, settle_max_s=0.05)
PROCESSOR, ENVOY = SETTINGS.extproc_config_map, SETTINGS.envoy_config_map


class Stand:
    """A lane with its surroundings; ``offered`` is what it came to."""

    def __init__(self) -> None:
        self.server, self.store, self.config_maps = ReadableCluster(), Store(), ConfigMaps()
        self.server.objects[LLM_BACKENDS] = [numbered(backend(), 1)]
        self.server.objects[LLM_ROUTES] = [numbered(route(rule("a", "openai")), 2)]
        self.census = Census(self.server, self.store, Scope(), lambda *_: None)
        self.publisher = Publisher(self.config_maps, SETTINGS, lambda: None, asyncio.get_running_loop().time)
        self.offered: list[Published] = []
        self.lane = ConfigLane(self.store, self.census, self.publisher, SETTINGS, Metrics(), self.offered.append)

    def edit(self, model: str, version: int) -> None:
        """Somebody applies another route."""
        self.store.put(LLM_ROUTES, numbered(route(rule(model, "openai")), version))
        self.lane.poke()

    def holds(self, text: str) -> Callable[[], bool]:
        """Whether the processor's map says this."""
        return lambda: text in str(self.config_maps.held.get(PROCESSOR, {}).get("data", ""))


@asynccontextmanager
async def running(*, leading: bool = True) -> AsyncIterator[Stand]:
    """A lane at work, everything listed."""
    stand = Stand()
    await stand.census.take()
    working = asyncio.create_task(stand.lane.run())
    if leading:
        stand.lane.lead()
    try:
        yield stand
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def quiet() -> None:
    """Long enough for what would happen to have happened."""
    await asyncio.sleep(0.2)


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
