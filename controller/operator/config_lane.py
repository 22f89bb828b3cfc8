"""The config lane: one pass after another from what is known to what the ConfigMaps hold."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from controller.api.findings import Finding, Subject
from controller.operator.census import Census
from controller.operator.cluster import ClusterError, Conflict, Denied, NotLeading, Rejected
from controller.operator.compiling import Compiled, Compiler
from controller.operator.debounce import Debounce
from controller.operator.metrics import Metrics
from controller.operator.published import Published
from controller.operator.publisher import Publisher
from controller.operator.right_of_way import RightOfWay
from controller.operator.settings import Settings
from controller.translate import Translation

_log = logging.getLogger(__name__)

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
#: A pass takes well under a second; one that takes this long will not end any more.
_STUCK_S = 120.0
#: Seconds until a Secret is tried again that the API server does not let us write. It costs what is in it and no more.
_REFUSED_S = 10.0
#: Seconds that the API server may fail to take a ConfigMap before the statuses say so.
_PATIENCE_S = 10.0


class ConfigLane:
    """``offer`` gets the outcome of every pass that came to something new."""

    def __init__(
        self,
        compiler: Compiler,
        census: Census,
        publisher: Publisher,
        settings: Settings,
        metrics: Metrics,
        offer: Callable[[Published], None],
    ) -> None:
        self._compiler = compiler
        self._census = census
        self._publisher = publisher
        self._metrics = metrics
        self._offer = offer
        #: Hears of every translation before it is written.
        self.ahead: Callable[[Translation], None] = _nobody
        self._debounce = Debounce(settings.settle_s, settings.settle_max_s)
        #: For whatever can wait while changes are on their way to the ConfigMaps.
        self.way = RightOfWay(publisher.idle)
        self._leading = False
        self._looked_around = False
        self._taken_over = False
        self._translation: Translation | None = None
        self._told_at: tuple[int, int] | None = None
        self._begun: float | None = None
        self._failing = ""
        self._failing_since: float | None = None
        self._refused: Finding | None = None
        self._unheld: Mapping[Subject, Finding] = {}
        self._timer: asyncio.TimerHandle | None = None

    def poke(self) -> None:
        """There may be something to do. Never waits."""
        self.way.due()
        self._debounce.poke()

    def lead(self) -> None:
        """From now on this replica is the one that writes."""
        self._leading, self._looked_around, self._taken_over = True, False, False
        self._told_at, self._failing_since = None, None
        self._compiler.lead()
        self._metrics.leading(leading=True)
        self.poke()

    def follow(self) -> None:
        """From now on another replica is."""
        self._leading = False
        self._translation = None
        self._compiler.follow()
        self._metrics.leading(leading=False)

    def maybe_stuck(self) -> str | None:
        """None, or that a pass does not come to its end."""
        if self._begun is None or (took := time.monotonic() - self._begun) < _STUCK_S:
            return None
        return f"a pass has been going on for {took:.0f} s"

    async def run(self) -> None:
        """Work for ever. Ends only by cancellation; what fails is tried again."""
        pause_s = _FIRST_PAUSE_S
        while True:
            if not self._debounce.is_poked:
                self.way.done()
            await self._debounce.wait()
            if not self._leading or self._census.maybe_obstacle() is not None:
                continue
            try:
                await self._pass()
            except NotLeading:
                _log.info("a pass was given up, because this replica no longer leads")
            except ClusterError as error:
                self._tell_failure(error)
                self._again_in(max(pause_s, error.retry_after_s or 0.0))
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            else:
                pause_s, self._failing = _FIRST_PAUSE_S, ""
            finally:
                self._begun = None

    async def _pass(self) -> None:
        if not self._looked_around:
            await self._look_around()
        # Only from here on: how long the lists take is up to the server, and a new process would not be quicker.
        begun = self._begun = time.monotonic()
        compiled = await self._compiled()
        if not self._taken_over:
            async with self._refusals_told(compiled.translation):
                await self._publisher.take_over()
            self._taken_over = True
            # What was found there may have told which version of the configuration is read.
            compiled = await self._compiled()
        self.ahead(compiled.translation)
        async with self._refusals_told(compiled.translation):
            published = await self._publisher.publish(compiled.translation, compiled.unsure)
        self._tell(published, compiled.seen, time.monotonic() - begun)
        dues = self._publisher.removal_in(), _REFUSED_S if self._publisher.secrets.is_refused else None
        if (due_s := min((due for due in dues if due is not None), default=None)) is not None:
            self._again_in(due_s)

    @asynccontextmanager
    async def _refusals_told(self, translation: Translation) -> AsyncIterator[None]:
        try:
            yield
        except NotLeading:
            raise
        except Conflict:
            await self._publisher.refresh()
            raise
        except ClusterError as error:
            now = time.monotonic()
            self._failing_since = self._failing_since or now
            # A server that is away for a moment is no news; one that refuses is, and one that stays away.
            if isinstance(error, Denied | Rejected) or now - self._failing_since >= _PATIENCE_S:
                self._offer(self._publisher.refused(translation, error))
                # Whatever comes next is to be told, also when it turns out that the write was taken.
                self._told_at = None
            raise
        self._failing_since = None

    async def _look_around(self) -> None:
        try:
            await self._census.take()
        except Denied as error:
            # A right that was taken away. Everything was listed once and is watched, so that is gone on from.
            _log.warning("leading without a complete list: %s", error)
        self._looked_around = True

    async def _compiled(self) -> Compiled:
        compiled = await self._compiler.compiled(self._census.unread, self._publisher.config_version)
        if compiled.translation is not self._translation:
            self._translation, self._told_at = compiled.translation, None
        return compiled

    def _tell(self, published: Published, seen: tuple[int, int], seconds: float) -> None:
        self._metrics.pass_done(seconds, _result(published))
        self._metrics.config(published.sizes, published.revision)
        self._metrics.secrets(published.secret_sizes)
        self._metrics.wrote("config", len(published.written))
        if published.written:
            names = ", ".join(published.written)
            _log.info("revision %d: wrote %s in %.0f ms", published.revision, names, seconds * 1000)
        if published.problem is not None and published.problem != self._refused:
            _log.error("the configuration is not written: %s", published.problem)
        self._refused = published.problem
        if published.written or seen != self._told_at or published.unheld != self._unheld:
            self._told_at, self._unheld = seen, published.unheld
            self._offer(published)

    def _tell_failure(self, error: ClusterError) -> None:
        self._metrics.failed("config", type(error).__name__)
        if self._begun is not None:
            self._metrics.pass_done(time.monotonic() - self._begun, "failed")
        if str(error) != self._failing and not isinstance(error, Conflict):
            _log.warning("a pass failed and is tried again: %s", error)
        self._failing = str(error)

    def _again_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.poke)


def _nobody(translation: Translation) -> None:
    """Hears of nothing."""
    del translation


def _result(published: Published) -> str:
    if published.problem is not None:
        return "refused"
    return "written" if published.written else "unchanged"
