"""What to write, and in which order. Pure: the state of the ConfigMaps and a translation in, writes out.

Envoy's volume and the processor's are refreshed at times of their own. So Envoy's map is written first, with all that
is new and all that a processor may still use, then the processor's; and what has ceased leaves Envoy's map once every
processor is known to do without, or long after.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.api.findings import Finding, Subject
from controller.api.reasons import Reason
from controller.operator.ceasing import Ceased, ceased_now, stays
from controller.operator.packing import (
    PROCESSOR_KEY,
    Object,
    Values,
    envoy_values,
    is_current,
    marks_of,
    maybe_revision,
    size_of,
    values_of,
)
from controller.operator.published import BUDGET_BYTES
from controller.operator.settings import Settings
from controller.translate import EnvoyConfig, Translation
from controller.translate.envoy.overlay import Part, overlaid, parts_of
from extproc.config.loader import dump, pack
from extproc.config.schema import Config


@dataclass(frozen=True, slots=True)
class State:
    """What is known of the two ConfigMaps.

    Attributes:
        processor, envoy: as the API server has them; None: there is none.
        highest: the highest revision that was ever seen.
        revision, content: the processor's configuration and its revision, as we wrote or recognised it; ``data`` is
            what the map has of the two.
        base: the parts that Envoy rightfully has, whatever somebody else made of the map.
        ceased: those of them that are no longer wanted.
    """

    processor: Object | None = None
    envoy: Object | None = None
    highest: int = 0
    revision: int = 0
    content: bytes = b""
    data: bytes = b""
    base: Mapping[Part, dict[str, Any]] = field(default_factory=dict)
    ceased: Mapping[Part, Ceased] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Write:
    """The values of one ConfigMap, and what is noted on it; ``needed`` False: it has them already."""

    name: str
    values: Values
    needed: bool
    marks: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do: Envoy's map, then the processor's. With a ``problem`` nothing is to be written.

    Attributes:
        revision: what the processor's map holds then.
        content, base, ceased: of the state that follows.
    """

    envoy: Write
    processor: Write
    revision: int
    content: bytes
    base: Mapping[Part, dict[str, Any]]
    ceased: Mapping[Part, Ceased]
    problem: Finding | None = None


def plan(state: State, translation: Translation, settings: Settings, now_s: float, served: int | None) -> Plan:
    """What to write. ``served``: the revision that every processor serves at least; None when that is not known."""
    content = dump(translation.config)
    revision, data = _processor_data(state, translation.config, content)
    processor = {PROCESSOR_KEY: data}
    wanted = parts_of(translation.envoy.rds, translation.envoy.cds, translation.envoy.ecds)
    ceased = ceased_now(state.base.keys() - wanted.keys(), state.ceased, revision, now_s, served)
    ceased = {part: left for part, left in ceased.items() if stays(left, settings, now_s)}
    alone = envoy_values(translation.envoy) if settings.bundled else {}
    marks = marks_of(wanted_parts(translation))
    problem = _over_budget(settings, processor, alone)
    envoy = alone
    if ceased:
        new = translation.envoy
        envoy = envoy_values(EnvoyConfig(*overlaid(new.rds, new.cds, new.ecds, state.base, ceased)))
        if size_of(envoy) > BUDGET_BYTES:
            # What is wanted goes before what lingers: requests to the latter get a 503 until the processor knows.
            envoy, ceased = alone, {}
    return Plan(
        envoy=Write(settings.envoy_config_map, envoy, settings.bundled and not is_current(state.envoy, envoy)),
        processor=Write(
            settings.extproc_config_map, processor, not is_current(state.processor, processor, marks), marks
        ),
        revision=revision,
        content=content,
        base=wanted | {part: state.base[part] for part in ceased},
        ceased=ceased,
        problem=problem,
    )


def wanted_parts(translation: Translation) -> dict[Subject, str]:
    """The digest of each object's part, of those that have one."""
    return {status.subject: status.part for status in translation.statuses if status.part}


def _processor_data(state: State, config: Config, content: bytes) -> tuple[int, bytes]:
    """The revision and the bytes of the processor's map: those that it has, where they say the same."""
    held = values_of(state.processor).get(PROCESSOR_KEY)
    if held is not None and held == state.data:
        # Nobody has touched it, so there is no need to read what it says.
        if content == state.content:
            return state.revision, held
        revision = max(state.highest, state.revision) + 1
        return revision, _packed(config, revision)
    found = maybe_revision(state.processor)
    if found is not None and (data := _packed(config, found)) == held:
        return found, data
    revision = max(state.highest, state.revision, found or 0) + 1
    return revision, _packed(config, revision)


def _packed(config: Config, revision: int) -> bytes:
    return pack(dump(config.model_copy(update={"revision": revision})))


def _over_budget(settings: Settings, processor: Values, envoy: Values) -> Finding | None:
    for name, values in ((settings.extproc_config_map, processor), (settings.envoy_config_map, envoy)):
        if (size := size_of(values)) > BUDGET_BYTES:
            message = (
                f"the configuration takes {size:,} bytes, {size - BUDGET_BYTES:,} more than the {BUDGET_BYTES:,} that "
                "a ConfigMap may hold; what it held before stays in force. Remove routes or backends, or serve some "
                "namespaces by an installation of their own"
            )
            return Finding(Subject("ConfigMap", settings.namespace, name), "", message, Reason.CONFIG_TOO_LARGE)
    return None
