"""The config lane's hands: brings ConfigMaps and Secrets to what a translation says, and knows what they hold."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, Protocol

from controller.api.findings import Finding, Subject
from controller.api.reasons import Reason
from controller.operator.ceasing import removal_due
from controller.operator.failures import ClusterError, Denied, Rejected
from controller.operator.file_secret import Secrets
from controller.operator.packing import (
    PROCESSOR_KEY,
    Object,
    config_map,
    envoy_parts,
    is_ours,
    maybe_revision,
    maybe_version,
    noted_revision,
    recovered,
    size_of,
)
from controller.operator.plan import Plan, State, Write, plan, wanted_parts
from controller.operator.published import Published
from controller.operator.secret_plan import Moment
from controller.operator.secret_volumes import Filed, SecretVolumes
from controller.operator.settings import Settings
from controller.translate import Translation
from extproc.config.names import VERSION

#: Of the server's words, in every status: an admission webhook may have any number of them.
_QUOTED = 300
#: Refusals that are told apart; the rest are failures of one kind, and follow each other in any order.
_REFUSALS = (Denied, Rejected)


class Objects(Secrets, Protocol):
    """The part of ``Cluster`` that is needed."""

    async def maybe_config_map(self, name: str) -> dict[str, Any] | None:
        """A ConfigMap of our own namespace."""

    async def apply_config_map(self, body: dict[str, Any]) -> dict[str, Any]:
        """Write one; ``Conflict`` when it has changed since."""


class Publisher:
    """One at a time: ``publish`` is called by one task only.

    ``served`` tells the revision that every processor serves at least, None when that is not known; ``clock`` is
    monotonic, in seconds. ``readable``: the newest version of the configuration that all processors read, None while
    they have not said.
    """

    def __init__(
        self,
        objects: Objects,
        settings: Settings,
        served: Callable[[], int | None],
        clock: Callable[[], float],
        readable: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._objects = objects
        self.secrets = SecretVolumes(objects, settings)
        self._settings = settings
        self._served = served
        self._clock = clock
        self._readable = readable
        self._state = State()
        #: None: what this process has not written itself, it has to find out.
        self._parts: Mapping[Subject, str] | None = None
        self._held_version: int | None = None
        self._refusal: tuple[type[ClusterError], str] | None = None
        #: Set while nothing is on its way to the ConfigMaps: for whatever can wait until then.
        self.idle = asyncio.Event()
        self.idle.set()

    @property
    def names(self) -> tuple[str, ...]:
        """The ConfigMaps that are written."""
        envoy = (self._settings.envoy_config_map,) if self._settings.bundled else ()
        return self._settings.extproc_config_map, *envoy

    @property
    def envoy_version(self) -> str:
        """The ``resourceVersion`` of Envoy's ConfigMap; empty while there is none."""
        return "" if self._state.envoy is None else str(self._state.envoy["metadata"]["resourceVersion"])

    @property
    def config_version(self) -> int:
        """The version in which the processor's configuration is to be written: one that all processors read.

        While they have not said what they read, it is the one that is there.
        """
        return self._readable() or self._held_version or VERSION

    def removal_in(self) -> float | None:
        """Seconds until something may leave Envoy's map, or a Secret, at the latest; None: nothing waits for that."""
        dues = removal_due(self._state.ceased, self._settings), self.secrets.removal_due()
        due = min((due for due in dues if due is not None), default=None)
        return None if due is None else max(0.0, due - self._clock())

    async def take_over(self) -> None:
        """Read what another leader, or this one before a restart, has left. Raises ``ClusterError``."""
        # What is known from another term is nothing to go by, but for what a watch has told since.
        self._parts = None
        self._state = State(self._state.processor, self._state.envoy, self._state.highest)
        found = [await self._objects.maybe_config_map(name) for name in self.names]
        processor, envoy = found[0], found[1] if self._settings.bundled else None
        self._refusal = None
        self._held_version = maybe_version(processor)
        self._state = State(
            processor=processor,
            envoy=envoy,
            highest=max(maybe_revision(processor) or 0, noted_revision(processor), noted_revision(envoy)),
            base=envoy_parts(envoy),
        )
        await self.secrets.take_over()

    async def refresh(self) -> None:
        """Read everything again, as after a conflict. Raises ``ClusterError``."""
        await self.secrets.refresh()
        for name in self.names:
            self._saw(name, await self._objects.maybe_config_map(name))

    def saw(self, name: str, obj: Object | None) -> bool:
        """Take in what a watch says. Says whether a ConfigMap is not what it was left as."""
        known = self._held(name)
        if obj is not None and known is not None and _version(obj) <= _version(known):
            return False
        self._saw(name, obj)
        return obj != known

    async def publish(self, translation: Translation, unsure: Collection[Subject] = ()) -> Published:
        """Write where there is a difference, and only there. Raises ``ClusterError``; what was done then stays done.

        ``unsure``: the objects of whose Secrets the API server has not told. Ours are written first, also those of a
        configuration that does not fit: what is in force goes on needing them.
        """
        now_s, served = self._clock(), self._served()
        planned = await asyncio.to_thread(plan, self._state, translation, self._settings, now_s, served)
        moment = Moment(planned.revision, self._state.revision, served, now_s)
        filed = await self._file(translation, moment, unsure)
        written = list(filed.written)
        if planned.problem is None:
            written += await self._carry_out(planned)
            self._parts = {status.subject: status.part for status in translation.statuses}
        self._refusal = None
        return Published(
            revision=maybe_revision(self._state.processor) or 0 if planned.problem else planned.revision,
            written=tuple(written),
            problem=planned.problem,
            translation=translation,
            parts=self._in_force(translation),
            sizes={write.name: size_of(write.values) for write in (planned.processor, planned.envoy)},
            unheld=filed.unheld,
            secret_sizes=filed.sizes,
        )

    def refused(self, translation: Translation, why: ClusterError) -> Published:
        """What to say of a translation that the API server will not let us write.

        The words are those of the first refusal of a row of one kind, as there may be a number or a time in them.
        """
        kind = next((kind for kind in _REFUSALS if isinstance(why, kind)), ClusterError)
        if self._refusal is None or self._refusal[0] is not kind:
            words = str(why)
            self._refusal = kind, words if len(words) <= _QUOTED else f"{words[:_QUOTED]}..."
        subject = Subject("ConfigMap", self._settings.namespace, self._settings.extproc_config_map)
        message = f"the configuration could not be written: {self._refusal[1]}"
        return Published(
            revision=maybe_revision(self._state.processor) or 0,
            written=(),
            problem=Finding(subject, "", message, Reason.CONFIG_NOT_WRITTEN),
            translation=translation,
            parts=self._in_force(translation),
        )

    def _in_force(self, translation: Translation) -> Mapping[Subject, str]:
        """The parts that the ConfigMaps hold; of those that another process wrote, only what is wanted now is known.

        What somebody has edited, and what cannot be put back because of a problem, holds nothing that is known.
        """
        processor = self._state.processor
        envoy = self._state.envoy if self._settings.bundled else processor
        if self._parts is None:
            return recovered(processor, envoy, wanted_parts(translation))
        return self._parts if is_ours(processor) and is_ours(envoy) else {}

    async def _file(self, translation: Translation, moment: Moment, unsure: Collection[Subject]) -> Filed:
        self.idle.clear()
        try:
            return await self.secrets.publish(translation, moment, unsure)
        finally:
            self.idle.set()

    async def _carry_out(self, planned: Plan) -> list[str]:
        self.idle.clear()
        try:
            written = await self._write(planned.envoy, planned)
            self._state = replace(self._state, base=planned.base, ceased=planned.ceased)
            written += await self._write(planned.processor, planned)
            data = planned.processor.values[PROCESSOR_KEY]
            self._state = replace(self._state, revision=planned.revision, content=planned.content, data=data)
        finally:
            self.idle.set()
        return written

    async def _write(self, write: Write, planned: Plan) -> list[str]:
        if not write.needed:
            return []
        held = self._held(write.name)
        version = None if held is None else str(held["metadata"]["resourceVersion"])
        body = config_map(write.name, self._settings.namespace, write.values, planned.revision, version, write.marks)
        self._saw(write.name, await self._objects.apply_config_map(body))
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
