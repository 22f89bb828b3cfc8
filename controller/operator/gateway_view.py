"""What there is of the objects that we have made for Envoy Gateway: lists and watches by our label alone."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final

from controller.operator.cluster import Cluster, ClusterError
from controller.operator.gateway_plan import Key, key_of
from controller.operator.kinds import GATEWAY_KINDS, Kind
from controller.operator.lease import clock
from controller.operator.settings import Settings
from controller.translate.gateway_api.names import CONTROLLER_LABEL

_log = logging.getLogger(__name__)

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
#: Seconds between looks whether a kind has come, or a right.
_BLIND_S: Final = 5.0
#: A watch that lasts as long as this, in seconds, has worked.
_WORKED_S: Final = 5.0

#: A kind in a namespace; None: in all of them.
Place = tuple[Kind, str | None]


def our_label(settings: Settings) -> str:
    """The label selector of what this installation has made."""
    return f"{CONTROLLER_LABEL}={settings.namespace}"


class GatewayView:
    """``changed`` is called whenever something is not as it was. ``run`` does the work.

    Attributes:
        objects: as last seen, all kinds.
    """

    def __init__(self, cluster: Cluster, settings: Settings, changed: Callable[[], None]) -> None:
        self.objects: dict[Key, dict[str, Any]] = {}
        self._cluster = cluster
        self._settings = settings
        self._changed = changed
        self._listed: set[Place] = set()
        self._blind: dict[Place, str] = {}
        self._places: tuple[Place, ...] = ()
        self._look_again = asyncio.Event()

    def is_known(self, namespace: str) -> bool:
        """Whether all of our objects in a namespace have been seen, or cannot be. A new namespace is looked up."""
        if not self._places:
            return False
        wanted = [(kind, self._in(namespace)) for kind in GATEWAY_KINDS]
        if not set(wanted) <= set(self._places):
            self._look_again.set()
            return False
        return all(place in self._listed or place in self._blind for place in wanted)

    def maybe_blindness(self, namespace: str) -> str | None:
        """Why our objects in a namespace cannot be read; None when they can."""
        place = self._in(namespace)
        return next((why for kind in GATEWAY_KINDS if (why := self._blind.get((kind, place)))), None)

    def put(self, obj: dict[str, Any]) -> None:
        """Take note of an object as it is now, as an answer to a write says."""
        known = self.objects.get(key_of(obj))
        if known is None or _version(known) <= _version(obj):
            self.objects[key_of(obj)] = obj

    async def run(self) -> None:
        """Follow everything for ever; the namespaces of patterns are looked up again and again."""
        while True:
            self._look_again.clear()
            try:
                self._places = await self._all_places()
            except ClusterError as error:
                _log.warning("the namespaces of Envoy Gateway's objects cannot be listed: %s", error)
                await asyncio.sleep(_LONGEST_PAUSE_S)
                continue
            self._forget(self._places)
            self._changed()
            async with asyncio.TaskGroup() as tasks:
                following = [tasks.create_task(self._follow(*place)) for place in self._places]
                await self._until_places_differ()
                for task in following:
                    task.cancel()

    async def _until_places_differ(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._settings.resync_s):
                    await self._look_again.wait()
            except TimeoutError:
                pass
            self._look_again.clear()
            if not self._settings.scope.has_patterns:
                continue
            try:
                if set(await self._all_places()) != set(self._places):
                    return
            except ClusterError:
                continue

    async def _all_places(self) -> tuple[Place, ...]:
        namespaces = await self._namespaces()
        return tuple((kind, namespace) for kind in GATEWAY_KINDS for namespace in namespaces)

    async def _namespaces(self) -> Sequence[str | None]:
        scope = self._settings.scope
        if scope.is_cluster:
            return [None]
        if not scope.has_patterns:
            return scope.namespaces
        found = await self._cluster.namespaces()
        return [name for item in found.items if scope.covers(name := str(item["metadata"]["name"]))]

    def _in(self, namespace: str) -> str | None:
        return None if self._settings.scope.is_cluster else namespace

    def _forget(self, places: Sequence[Place]) -> None:
        self._listed &= set(places)
        self._blind = {place: why for place, why in self._blind.items() if place in places}
        kept = {(kind.name, namespace) for kind, namespace in places}
        self.objects = {
            key: obj for key, obj in self.objects.items() if (key[0], None) in kept or (key[0], key[1]) in kept
        }

    async def _follow(self, kind: Kind, namespace: str | None) -> None:
        pause_s, failing = _FIRST_PAUSE_S, ""
        while True:
            begun, at_least_s = clock(), 0.0
            try:
                if (why := await self._maybe_unreadable(kind, namespace)) is not None:
                    self._blinded(kind, namespace, why)
                    await asyncio.sleep(_BLIND_S)
                    continue
                await self._list_and_watch(kind, namespace)
                failing = ""
            except ClusterError as error:
                if failing != (failing := str(error)):
                    _log.warning("%s of ours cannot be followed: %s", kind, error)
                at_least_s = error.retry_after_s or 0.0
            if clock() - begun >= _WORKED_S:
                pause_s = _FIRST_PAUSE_S
            await asyncio.sleep(max(pause_s, at_least_s))
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _maybe_unreadable(self, kind: Kind, namespace: str | None) -> str | None:
        if not await self._cluster.serves(kind):
            return f"the cluster has no {kind}"
        for verb in ("list", "watch"):
            if not await self._cluster.may(verb, kind.group, kind.plural, namespace):
                where = "" if namespace is None else f" in namespace {namespace}"
                return f"the operator may not {verb} {kind}{where}"
        return None

    def _blinded(self, kind: Kind, namespace: str | None, why: str) -> None:
        place = kind, namespace
        self._listed.discard(place)
        if self._blind.get(place) != why:
            self._blind[place] = why
            _log.error("nothing can be written for Envoy Gateway: %s", why)
            self._replace(kind, namespace, {})

    async def _list_and_watch(self, kind: Kind, namespace: str | None) -> None:
        label = our_label(self._settings)
        found = await self._cluster.list(kind, namespace, label)
        self._listed.add((kind, namespace))
        self._blind.pop((kind, namespace), None)
        self._replace(kind, namespace, {key_of(obj): obj for obj in found.items})
        changes = self._cluster.changes(kind, namespace, label, found.resource_version)
        async with aclosing(changes) as events:
            async for event, obj in events:
                whole = {"apiVersion": kind.api_version, "kind": kind.name, **obj}
                if event == "DELETED":
                    self.objects.pop(key_of(whole), None)
                else:
                    self.put(whole)
                self._changed()

    def _replace(self, kind: Kind, namespace: str | None, found: Mapping[Key, dict[str, Any]]) -> None:
        """What a list says is all that there is. What we have written since is newer, and a watch tells of it."""
        others = {
            key: obj
            for key, obj in self.objects.items()
            if key[0] != kind.name or (namespace is not None and key[1] != namespace)
        }
        self.objects = {**others, **found}
        self._changed()


def _version(obj: Mapping[str, Any]) -> int:
    return int(obj["metadata"].get("resourceVersion", 0))
