"""A config lane with all that it works between, acted or real."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from controller.operator.census import Census
from controller.operator.compiling import Compiler
from controller.operator.config_lane import ConfigLane
from controller.operator.kinds import LLM_BACKENDS, LLM_ROUTES
from controller.operator.lookout import Lookout
from controller.operator.metrics import Metrics
from controller.operator.published import Published
from controller.operator.publisher import Publisher
from controller.operator.settings import Scope, Settings
from controller.operator.store import Store
from tests.support.api_objects import backend, route, rule
from tests.support.config_maps import ConfigMaps
from tests.support.named_source import NamedSource
from tests.support.readable_cluster import ReadableCluster, numbered

SETTINGS = Settings(namespace="gw", identity="op-0", settle_s=0.01, settle_max_s=0.05)
PROCESSOR, ENVOY = SETTINGS.extproc_config_map, SETTINGS.envoy_config_map


class Stand:
    """A lane with its surroundings; ``offered`` is what it came to."""

    def __init__(self, config_maps: ConfigMaps | None = None) -> None:
        self.server, self.store, self.config_maps = ReadableCluster(), Store(), config_maps or ConfigMaps()
        self.server.objects[LLM_BACKENDS] = [numbered(backend(), 1)]
        self.server.objects[LLM_ROUTES] = [numbered(route(rule("a", "openai")), 2)]
        self.census = Census(self.server, self.store, Scope(), lambda *_: None)
        self.publisher = Publisher(self.config_maps, SETTINGS, lambda: None, asyncio.get_running_loop().time)
        self.offered: list[Published] = []
        self.secrets = NamedSource()
        self.lookout = Lookout(self.secrets, Metrics(), self.poke)
        compiler = Compiler(self.store, self.lookout, SETTINGS)
        self.lane = ConfigLane(compiler, self.census, self.publisher, SETTINGS, Metrics(), self.offered.append)

    def poke(self) -> None:
        """There is news."""
        self.lane.poke()

    def edit(self, model: str, version: int) -> None:
        """Somebody applies another route."""
        self.store.put(LLM_ROUTES, numbered(route(rule(model, "openai")), version))
        self.lane.poke()

    def holds(self, text: str) -> Callable[[], bool]:
        """Whether the processor's map says this."""
        return lambda: text in str(self.config_maps.held.get(PROCESSOR, {}).get("data", ""))


@asynccontextmanager
async def running(*, leading: bool = True, config_maps: ConfigMaps | None = None) -> AsyncIterator[Stand]:
    """A lane at work, everything listed."""
    stand = Stand(config_maps)
    await stand.census.take()
    working = [asyncio.create_task(part) for part in (stand.lane.run(), stand.lookout.run())]
    if leading:
        stand.lane.lead()
    try:
        yield stand
    finally:
        for part in working:
            part.cancel()
        await asyncio.gather(*working, return_exceptions=True)


async def quiet() -> None:
    """Long enough for what would happen to have happened."""
    await asyncio.sleep(0.2)
