"""The config lane's hands: brings the two ConfigMaps to what a translation says, and knows what they hold."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from controller.api.findings import Finding, Subject
from controller.api.reasons import Reason
from controller.operator.packing import Object, config_map, envoy_parts, maybe_revision, noted_revision, size_of
from controller.operator.plan import Plan, State, Write, plan, removal_due
from controller.operator.published import Published
from controller.operator.settings import Settings
from controller.translate import Translation


class ConfigMaps(Protocol):
    """The part of ``Cluster`` that is needed."""

    async def maybe_config_map(self, name: str) -> dict[str, Any] | None:
        """A ConfigMap of our own namespace."""

    async def apply_config_map(self, body: dict[str, Any]) -> dict[str, Any]:
        """Write one; ``Conflict`` when it has changed since."""


class Publisher:
    """One at a time: ``publish`` is called by one task only.

    ``served`` tells the revision that every processor serves at least, None when that is not known; ``clock`` is
    monotonic, in seconds.
    """

    def __init__(
        self,
        config_maps: ConfigMaps,
        settings: Settings,
        served: Callable[[], int | None],
        clock: Callable[[], float],
    ) -> None:
        self._config_maps = config_maps
        self._settings = settings
        self._served = served
        self._clock = clock
        self._state = State()
        self._parts: Mapping[Subject, str] = {}

    @property
    def names(self) -> tuple[str, str]:
        """The ConfigMaps that are written."""
        return self._settings.extproc_config_map, self._settings.envoy_config_map

    def removal_in(self) -> float | None:
        """Seconds until something may leave Envoy's map at the latest; None when nothing waits for that."""
        due = removal_due(self._state.ceased, self._settings)
        return None if due is None else max(0.0, due - self._clock())

    async def take_over(self) -> None:
        """Read what another leader, or this one before a restart, has left. Raises ``ClusterError``."""
        processor, envoy = [await self._config_maps.maybe_config_map(name) for name in self.names]
        self._parts = {}
        self._state = State(
            processor=processor,
            envoy=envoy,
            highest=max(maybe_revision(processor) or 0, noted_revision(processor), noted_revision(envoy)),
            base=envoy_parts(envoy),
        )

    async def refresh(self) -> None:
        """Read the ConfigMaps again, as after a conflict. Raises ``ClusterError``."""
        for name in self.names:
            self._saw(name, await self._config_maps.maybe_config_map(name))

    def saw(self, name: str, obj: Object | None) -> bool:
        """Take in what a watch says. Says whether a ConfigMap is not what it was left as."""
        known = self._held(name)
        if obj is not None and known is not None and _version(obj) <= _version(known):
            return False
        self._saw(name, obj)
        return obj != known

    async def publish(self, translation: Translation) -> Published:
        """Write where there is a difference, and only there. Raises ``ClusterError``; what was done then stays done."""
        planned = await asyncio.to_thread(plan, self._state, translation, self._settings, self._clock(), self._served())
        written: list[str] = []
        if planned.problem is None:
            written += await self._write(planned.envoy, planned)
            self._state = replace(self._state, base=planned.base, ceased=planned.ceased)
            written += await self._write(planned.processor, planned)
            self._state = replace(self._state, revision=planned.revision, content=planned.content)
            self._parts = {status.subject: status.part for status in translation.statuses}
        return Published(
            revision=maybe_revision(self._state.processor) or 0 if planned.problem else planned.revision,
            written=tuple(written),
            problem=planned.problem,
            translation=translation,
            parts=self._parts,
            sizes={write.name: size_of(write.values) for write in (planned.processor, planned.envoy)},
        )

    def refused(self, translation: Translation, why: str) -> Published:
        """What to say of a translation that the API server will not let us write."""
        subject = Subject("ConfigMap", self._settings.namespace, self._settings.extproc_config_map)
        message = f"the configuration could not be written: {why}"
        return Published(
            revision=maybe_revision(self._state.processor) or 0,
            written=(),
            problem=Finding(subject, "", message, Reason.NOT_PROGRAMMED),
            translation=translation,
            parts=self._parts,
        )

    async def _write(self, write: Write, planned: Plan) -> list[str]:
        if not write.needed:
            return []
        held = self._held(write.name)
        version = None if held is None else str(held["metadata"]["resourceVersion"])
        body = config_map(write.name, self._settings.namespace, write.values, planned.revision, version)
        self._saw(write.name, await self._config_maps.apply_config_map(body))
        return [write.name]

    def _held(self, name: str) -> Object | None:
        return self._state.processor if name == self._settings.extproc_config_map else self._state.envoy

    def _saw(self, name: str, obj: Object | None) -> None:
        # Another leader may have written meanwhile, and counted on.
        highest = max(self._state.highest, noted_revision(obj))
        if name == self._settings.extproc_config_map:
            self._state = replace(self._state, processor=obj, highest=highest)
        else:
            self._state = replace(self._state, envoy=obj, highest=highest)


def _version(obj: Object) -> int:
    return int(obj["metadata"]["resourceVersion"])
