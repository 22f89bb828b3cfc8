"""The gateway lane: brings Envoy Gateway's objects to what a translation says, beside the config lane, never before it.

What is new is written as soon as it is known, at the same time as the processor's ConfigMap; what is no longer wanted
goes once every processor is known to do without, or long after.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, Final, Protocol

from controller.api.findings import Subject
from controller.api.reasons import Reason
from controller.operator.ceasing import Ceased, removal_due
from controller.operator.cluster import Cluster, ClusterError, Conflict, NotLeading
from controller.operator.debounce import Debounce
from controller.operator.gateway_plan import Key, Moment, RuleKey, Settled, key_of, owner_of, work
from controller.operator.gateway_verdicts import not_programmed, verdicts
from controller.operator.gateway_view import GatewayView, our_label
from controller.operator.kinds import GATEWAY_KINDS, Kind
from controller.operator.lease import clock
from controller.operator.published import Published
from controller.operator.right_of_way import RightOfWay
from controller.operator.settings import Settings
from controller.translate import Condition, Translation
from controller.translate.gateway_api import GatewayObjects

_log = logging.getLogger(__name__)

_KINDS: Final[Mapping[str, Kind]] = {kind.name: kind for kind in GATEWAY_KINDS}
#: Seconds until a write that failed, or did not last, is tried again; doubled each time.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
#: Seconds that a new leader waits for the lists of what there is before it says what is missing.
_PATIENCE_S: Final = 10.0
#: Changes that are looked at together, seconds.
_SETTLE_S, _SETTLE_MAX_S = 0.05, 0.5


class Counts(Protocol):
    """Who counts what the lane does."""

    def wrote(self, lane: str, count: int) -> None:
        """So many writes succeeded."""

    def failed(self, lane: str, why: str) -> None:
        """A write failed."""


class GatewayLane:
    """``served`` tells the revision that every processor serves at least.

    ``told`` gets what was published last, whenever that is another one, or Envoy Gateway says something else of it.

    ``way``: statuses wait for its writes, which bring traffic, as they do for those of the config lane.

    ``view.run`` is the caller's to start, beside ``run``.
    """

    def __init__(
        self,
        cluster: Cluster,
        settings: Settings,
        served: Callable[[], int | None],
        metrics: Counts,
        told: Callable[[Published], None],
        way: RightOfWay,
    ) -> None:
        self._way = way
        self._cluster = cluster
        self._settings = settings
        self._served = served
        self._metrics = metrics
        self._told = told
        self._debounce = Debounce(_SETTLE_S, _SETTLE_MAX_S)
        self.view = GatewayView(cluster, settings, self._debounce.poke)
        self._leading = False
        self._wanted: GatewayObjects | None = None
        self._published: Published | None = None
        self._settled: dict[Key, Settled] = {}
        self._ceased: Mapping[RuleKey, Ceased] = {}
        #: Objects whose last write failed or did not last: until when nobody tries, how long the next pause is, why.
        self._pauses: dict[Key, tuple[float, float]] = {}
        self._problems: dict[Key, tuple[Subject | None, Condition]] = {}
        self._said: tuple[Published, Mapping[Subject, Condition]] | None = None
        self._led_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def lead(self) -> None:
        """From now on this replica writes, once it knows what is published."""
        self._leading, self._published, self._wanted = True, None, None
        self._said, self._led_at = None, clock()
        self._settled, self._pauses, self._problems, self._ceased = {}, {}, {}, {}
        self._debounce.poke()

    def follow(self) -> None:
        """From now on another replica does."""
        self._leading = False

    def ahead(self, translation: Translation) -> None:
        """What will be published next: Envoy Gateway takes its time, so it may have it first."""
        if self._published is not None:
            self._wanted = translation.gateway
            self._pauses.clear()
            self._debounce.poke()

    def published(self, published: Published) -> None:
        """What is published now."""
        if published.translation.gateway is not self._wanted:
            self._pauses.clear()
        self._published, self._wanted = published, published.translation.gateway
        self._debounce.poke()

    def _is_sure(self, wanted: GatewayObjects) -> bool:
        """Whether what there is has been seen, so that nothing is said by guess; after a while it has to do."""
        if clock() - self._led_at > _PATIENCE_S:
            return True
        return all(self.view.is_known(each.subject.namespace) for each in wanted.attachments)

    async def _verdicts(self, wanted: GatewayObjects) -> dict[Subject, Condition]:
        """What stands between the objects and their being served; nothing of those that are."""
        told = await asyncio.to_thread(verdicts, wanted, dict(self.view.objects), dict(self._settled))
        for subject, condition in self._problems.values():
            if subject is not None:
                told[subject] = condition
        for each in wanted.attachments:
            if (why := self.view.maybe_blindness(each.subject.namespace)) is not None:
                told[each.subject] = not_programmed(Reason.GATEWAY_UNAVAILABLE, why)
        return told

    async def run(self) -> None:
        """Work for ever. Ends only by cancellation; what fails is tried again."""
        while True:
            await self._debounce.wait()
            if self._leading:
                # Before the writes, of which there may be many, and after them.
                await self._tell()
                try:
                    await self._pass()
                except NotLeading:
                    _log.info("a pass for Envoy Gateway was given up, because this replica no longer leads")
                await self._tell()

    async def _pass(self) -> None:
        wanted, published = self._wanted, self._published
        # A configuration that could not be written leaves the processors where they are, and so Envoy Gateway.
        if wanted is None or published is None or published.problem is not None:
            self._again(wanted or GatewayObjects())
            return
        namespaces = {each.subject.namespace for each in wanted.attachments}
        known = {name for name in namespaces if self.view.is_known(name) and self.view.maybe_blindness(name) is None}
        is_new = published.translation.gateway is not wanted
        moment = Moment(published.revision + is_new, self._served(), clock())
        found = await asyncio.to_thread(
            work, wanted, dict(self.view.objects), dict(self._settled), self._ceased, moment, self._settings
        )
        self._ceased = found.ceased
        behind = set[str]()
        with self._way.ahead() if found.writes else nullcontext():
            for body in found.writes:
                namespace = body["metadata"]["namespace"]
                if namespace not in known or not await self._write(body):
                    behind.add(namespace)
        # What is still referred to by something that could not be written stays.
        await self._delete([obj for obj in found.deletions if key_of(obj)[1] not in behind])
        self._forget(wanted)
        self._again(wanted)

    async def _write(self, body: dict[str, Any]) -> bool:
        key = key_of(body)
        until, _ = self._pauses.get(key, (0.0, _FIRST_PAUSE_S))
        if clock() < until:
            return False
        live = self.view.objects.get(key)
        try:
            made = await self._cluster.apply_object(_KINDS[key[0]], body, force=live is not None)
        except NotLeading:
            raise
        except ClusterError as error:
            self._fail(key, body, error)
            return False
        self._problems.pop(key, None)
        self._metrics.wrote("gateway", 1)
        before = self._settled.get(key)
        self._settled[key] = Settled(body["spec"], str(made["metadata"].get("uid", "")), made.get("spec"))
        self.view.put(made)
        if before is not None and before.wanted == body["spec"]:
            # It was put back. Whoever edits it again and again shall not keep us busy.
            self._pause(key)
        else:
            self._pauses.pop(key, None)
        return True

    async def _delete(self, objects: Sequence[dict[str, Any]]) -> None:
        for obj in objects:
            key = key_of(obj)
            if clock() < self._pauses.get(key, (0.0, 0.0))[0]:
                continue
            try:
                await self._cluster.delete_object(_KINDS[key[0]], obj)
            except NotLeading:
                raise
            except ClusterError as error:
                self._fail(key, None, error)
                continue
            self._problems.pop(key, None)
            self._metrics.wrote("gateway", 1)
            self.view.objects.pop(key, None)

    def _fail(self, key: Key, body: dict[str, Any] | None, error: ClusterError) -> None:
        self._metrics.failed("gateway", type(error).__name__)
        what = f"{key[0]} {key[1]}/{key[2]}"
        if key not in self._problems:
            _log.warning("%s is not %s: %s", what, "deleted" if body is None else "written", error)
        words = "there is one of somebody else" if isinstance(error, Conflict) else str(error)
        owner = None if body is None else owner_of(body)
        condition = not_programmed(Reason.GATEWAY_NOT_WRITTEN, f"{what} could not be written: {words}")
        # The words of the first of a row, as there may be a number or a time in them.
        self._problems.setdefault(key, (owner, condition))
        self._pause(key, error.retry_after_s or 0.0)

    def _pause(self, key: Key, at_least_s: float = 0.0) -> None:
        _, pause_s = self._pauses.get(key, (0.0, _FIRST_PAUSE_S))
        self._pauses[key] = clock() + max(pause_s, at_least_s), min(pause_s * 2, _LONGEST_PAUSE_S)

    def _forget(self, wanted: GatewayObjects) -> None:
        """What is neither wanted nor there has no memory."""
        names = self.view.objects.keys() | {key_of(each) for each in wanted.documents}
        for memory in (self._settled, self._pauses, self._problems):
            for key in memory.keys() - names:
                del memory[key]

    def _again(self, wanted: GatewayObjects) -> None:
        """Look again when a pause is over, or something may go."""
        due = [until for until, _ in self._pauses.values() if until > clock()]
        if (removal := removal_due(self._ceased, self._settings)) is not None:
            # Before that nobody tells when the last processor has let go of it.
            due.append(min(removal, clock() + 1.0))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._is_sure(wanted):
            due.append(self._led_at + _PATIENCE_S + 0.1)
        if due:
            self._timer = asyncio.get_running_loop().call_later(max(0.05, min(due) - clock()), self._debounce.poke)

    async def _tell(self) -> None:
        published = self._published
        if published is None or not self._leading or not self._is_sure(published.translation.gateway):
            return
        said = await self._verdicts(published.translation.gateway)
        if self._said is not None and self._said[0] is published and self._said[1] == said:
            return
        # Meanwhile there may be another one, which will have its turn.
        if published is self._published and self._leading:
            self._said = published, said
            self._told(replace(published, gateways=said))


class Remains:
    """What was made in Envoy Gateway mode, for an installation whose own Envoy serves: deleted by each new leader."""

    def __init__(self, cluster: Cluster, settings: Settings) -> None:
        self._cluster = cluster
        self._settings = settings
        self._leads = asyncio.Event()

    def lead(self) -> None:
        """From now on this replica writes."""
        self._leads.set()

    async def run(self) -> None:
        """Work for ever. Ends only by cancellation."""
        while True:
            await self._leads.wait()
            self._leads.clear()
            try:
                count = await clear_away(self._cluster, self._settings)
            except ClusterError as error:
                _log.warning("what was made for Envoy Gateway may be left: %s", error)
                continue
            if count:
                _log.info("deleted %d objects that were made for Envoy Gateway", count)


async def clear_away(cluster: Cluster, settings: Settings) -> int:
    """Delete what was made in Envoy Gateway mode, as far as we may; how many objects that were.

    For an installation whose own Envoy serves. Without the right to list and delete a kind nothing is done about it.
    Raises ``ClusterError``.
    """
    count = 0
    for kind in reversed(GATEWAY_KINDS):
        if not await cluster.serves(kind):
            continue
        for namespace in settings.scope.namespaces if not settings.scope.has_patterns else ():
            count += await _clear(cluster, kind, namespace, settings)
        if settings.scope.is_cluster or settings.scope.has_patterns:
            count += await _clear(cluster, kind, None, settings)
    return count


async def _clear(cluster: Cluster, kind: Kind, namespace: str | None, settings: Settings) -> int:
    for verb in ("list", "delete"):
        if not await cluster.may(verb, kind.group, kind.plural, namespace):
            return 0
    found = await cluster.list(kind, namespace, our_label(settings))
    ours = [obj for obj in found.items if owner_of(obj) is not None and settings.scope.covers(key_of(obj)[1])]
    for obj in ours:
        await cluster.delete_object(kind, obj)
    return len(ours)
