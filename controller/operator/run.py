"""The operator put together."""

import asyncio
import gc
import logging
import resource
import signal
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any

from controller.operator import health
from controller.operator.census import Census, KindState
from controller.operator.cluster import Cluster
from controller.operator.compiling import Compiler
from controller.operator.config_lane import ConfigLane
from controller.operator.events import Events
from controller.operator.feed import Feed
from controller.operator.fleet import Replica
from controller.operator.gateway_lane import GatewayLane, Remains
from controller.operator.kinds import Kind
from controller.operator.lease import AlwaysLeading, Leadership, clock
from controller.operator.lookout import Lookout
from controller.operator.metrics import Metrics
from controller.operator.pods import CREDENTIALS_ANNOTATION, ENVOY_ANNOTATION, ENVOY_SECRETS_ANNOTATION, Announcer
from controller.operator.published import Published
from controller.operator.publisher import Publisher
from controller.operator.serving import Serving
from controller.operator.settings import Settings
from controller.operator.statuses import StatusLane
from controller.operator.store import Store

_log = logging.getLogger(__name__)

#: A pass makes many small objects, nearly all without cycles: with Python's own numbers the collector takes more
#: than half of its time at 5,000 resources.
_GC_THRESHOLDS = (100_000, 20, 50)


class Operator:
    """All parts, wired. ``run`` is called once."""

    def __init__(self, settings: Settings, cluster: Cluster) -> None:
        self._settings = settings
        self.metrics = metrics = Metrics()
        self._leadership: Leadership | AlwaysLeading = (
            Leadership(cluster, settings.lease_name, settings.identity) if settings.leader_election else AlwaysLeading()
        )
        cluster.fence = self._leadership.may_write
        store = Store()
        self._census = Census(cluster, store, settings.scope, self._kind_is)
        self._events = Events(cluster, settings.identity, metrics.failed)
        self._serving = Serving(
            cluster,
            settings.extproc_selector,
            settings.extproc_admin_port,
            metrics,
            self._fleet_is,
            self._poke,
        )
        selectors = (settings.extproc_selector, settings.envoy_selector)
        self._announcer = Announcer(cluster, selectors, metrics)
        self._publisher = Publisher(
            cluster, settings, self._serving.revision_floor, clock, lambda: self._serving.config_version
        )
        self._lookout = Lookout(cluster, metrics, self._poke)
        compiler = Compiler(store, self._lookout, settings)
        self._config = ConfigLane(compiler, self._census, self._publisher, settings, metrics, self._published)
        self._feed = Feed(cluster, store, self._census, settings, self._config.poke)
        self._statuses = StatusLane(self._feed, cluster, self._events, metrics, self._config.way)
        self._gateway = GatewayLane(
            cluster, settings, self._serving.revision_floor, metrics, self._statuses.offer, self._config.way
        )
        self._remains = Remains(cluster, settings)
        self._config.ahead = self._gateway.ahead
        self._stop = asyncio.Event()

    def alive(self) -> str | None:
        """None, or why this process has to be started anew. A part that dies takes the process with it."""
        return self._config.maybe_stuck()

    def ready(self) -> str | None:
        """None once every resource is known, before that what is missing."""
        return self._census.maybe_obstacle()

    async def run(self) -> None:
        """Work until SIGTERM or SIGINT, then let go of the Lease. What ends a part for good is raised."""
        self._take_signals()
        secrets = self._publisher.secrets
        readers = _started(
            {
                "lists": self._feed.list_again_and_again(),
                "watches": self._feed.watch(self._take_signals),
                "lease": self._leadership.run(self._lead, self._follow),
                **{name: self._feed.follow(name, self._publisher.saw) for name in self._publisher.names},
                **{f"Secret {name}": self._feed.follow_secret(name, secrets.saw) for name in secrets.names},
                "named objects": self._lookout.run(),
                **({} if self._settings.bundled else {"gateway objects": self._gateway.view.run()}),
            }
        )
        writers = _started(
            {
                "config lane": self._config.run(),
                "status lane": self._statuses.run(),
                "events": self._events.run(),
                "announcer": self._announcer.run(),
                "serving": self._serving.run(self._leadership.may_write),
                "gateway lane": self._remains.run() if self._settings.bundled else self._gateway.run(),
            }
        )
        stopping = asyncio.create_task(self._stop.wait())
        try:
            done, _ = await asyncio.wait([*readers, *writers, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            await _ended(writers)
            await self._leadership.release()
            await _ended(readers)
        for task in done - {stopping}:
            _log.error("%s ended", task.get_name())
            task.result()

    def _take_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)

    def _kind_is(self, kind: Kind, state: KindState, denied: Collection[str]) -> None:
        self.metrics.denied_namespaces(str(kind), len(denied))
        if kind.optional:
            self.metrics.optional_kind(str(kind), str(state))

    def _poke(self) -> None:
        self._config.poke()

    def _lead(self) -> None:
        self._statuses.lead()
        self._gateway.lead()
        self._remains.lead()
        self._config.lead()

    def _follow(self) -> None:
        self._config.follow()
        self._serving.follow()
        self._gateway.follow()
        self._statuses.follow()

    def _published(self, published: Published) -> None:
        self._serving.expect(published.revision)
        if self._settings.bundled:
            self._statuses.offer(published)
        else:
            self._gateway.published(published)
        if published.written:
            credentials, envoy_secrets = self._publisher.secrets.versions
            versions = {
                ENVOY_ANNOTATION: self._publisher.envoy_version,
                CREDENTIALS_ANNOTATION: credentials,
                ENVOY_SECRETS_ANNOTATION: envoy_secrets,
            }
            self._announcer.offer(published.revision, versions)

    def _fleet_is(self, fleet: Sequence[Replica]) -> None:
        self._statuses.observed(fleet)
        if self._publisher.removal_in() is not None:
            self._config.poke()


async def operate(settings: Settings, listening: Callable[[int], None]) -> None:
    """Run the operator until SIGTERM or SIGINT. ``listening`` is told the port of the pages.

    Raises ``ClusterError`` when there is no telling how to reach the cluster, and ``OSError`` when nobody can listen.
    """
    gc.set_threshold(*_GC_THRESHOLDS)
    # A dump would have every Secret in it that backends name.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    cluster = await Cluster.connect(settings.kubeconfig, settings.context, settings.namespace)
    cluster.owner = settings.owner
    try:
        operator = Operator(settings, cluster)
        if settings.http_port is None:
            await operator.run()
            return
        pages = health.serve(settings.http_address, settings.http_port, operator, operator.metrics.registry)
        async with pages as port:
            listening(port)
            await operator.run()
    finally:
        await cluster.close()


def _started(parts: dict[str, Coroutine[Any, Any, None]]) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(part, name=name) for name, part in parts.items()]


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
