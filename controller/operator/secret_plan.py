"""Which files a Secret of ours shall hold. Pure: what it holds and what a translation wants in, the files out.

A pod may serve an older configuration than the newest for as long as its volumes are behind. So a file that no
configuration names any more stays until every processor is known to do without, or long after. One that is named and
not there any more, as its Secret was deleted, goes at once: whoever deletes a key wants it out of use.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from controller.api.findings import Subject
from controller.operator.ceasing import Ceased, ceased_now, stays
from controller.operator.published import BUDGET_BYTES
from controller.operator.secret_packing import HeldSecret, size_of
from controller.operator.settings import Settings
from controller.translate.secrets import SecretFiles
from extproc.config.auth import NoAuth
from extproc.config.schema import Config


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a translation comes to.

    Attributes:
        files: what is to be there.
        named: what the configuration speaks of, whether there is such a file or not.
        doubted: files of whose making the API server has not told; none of them is taken away for not being there.
    """

    files: SecretFiles
    named: AbstractSet[str]
    doubted: AbstractSet[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Moment:
    """When a plan is made.

    Attributes:
        revision: of the configuration that wants this.
        written: the revision that the processor's ConfigMap is known to hold; 0: nobody has looked yet.
        served: what every processor serves at least; None when nobody knows.
        now_s: of a monotonic clock, in seconds.
    """

    revision: int
    written: int
    served: int | None
    now_s: float


@dataclass(frozen=True, slots=True)
class SecretState:
    """What is known of the Secret. ``base``: the files that it rightfully has, whatever somebody else made of them."""

    held: HeldSecret | None = None
    base: SecretFiles = field(default_factory=SecretFiles)
    ceased: Mapping[str, Ceased] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SecretPlan:
    """What to write; ``needed`` False: it is so already. ``left_out``: what is wanted and does not fit."""

    files: SecretFiles
    needed: bool
    ceased: Mapping[str, Ceased]
    left_out: frozenset[str]


def plan_secret(state: SecretState, wanted: Wanted, settings: Settings, moment: Moment) -> SecretPlan:
    """What the Secret shall hold."""
    chosen = _fitting(wanted.files, state.base)
    unwanted = state.base.keys() - wanted.files.keys()
    doubtful = unwanted & wanted.named & wanted.doubted
    ceased = ceased_now(unwanted - wanted.named, state.ceased, moment.revision, moment.now_s, moment.served)
    ceased = {
        name: left
        for name, left in ceased.items()
        if moment.written < left.revision or stays(left, settings, moment.now_s)
    }
    lingering = {name: state.base[name] for name in (*ceased, *doubtful)}
    if size_of(chosen) + size_of(lingering) > BUDGET_BYTES:
        # What is wanted goes before what lingers.
        lingering, ceased = {}, {}
    files = SecretFiles(chosen | lingering)
    left_out = frozenset(name for name, value in wanted.files.items() if chosen.get(name) != value)
    return SecretPlan(files, not _is_current(state.held, files), ceased, left_out)


def owners_of(config: Config) -> dict[str, Subject]:
    """Every file that the configuration speaks of, whether there is one or not, and the object that it is for."""
    owners: dict[str, Subject] = {}
    for backend in config.backends:
        kind = None if backend.auth is None else backend.auth.kind
        if kind is not None and not isinstance(kind, NoAuth) and kind.file is not None:
            owners[kind.file] = _subject("LLMBackend", backend.name)
    for rule in config.rules:
        keys = None if rule.client_auth is None else rule.client_auth.api_keys
        if keys is not None:
            owners[keys.file] = _subject("LLMRoute", (rule.source or "").partition("@")[0])
    return owners


def _subject(kind: str, place: str) -> Subject:
    namespace, _, name = place.partition("/")
    return Subject(kind, namespace, name)


def _fitting(wanted: Mapping[str, bytes], base: Mapping[str, bytes]) -> dict[str, bytes]:
    """What fits, and first of all what is there already: a file without room keeps what it has, or does not come."""
    chosen = {name: base[name] for name in wanted if name in base}
    size = size_of(chosen)
    for name in sorted(wanted, key=lambda each: (each not in base, each)):
        before = {name: chosen[name]} if name in chosen else {}
        after = size - size_of(before) + size_of({name: wanted[name]})
        if after <= BUDGET_BYTES:
            chosen[name], size = wanted[name], after
    return chosen


def _is_current(held: HeldSecret | None, files: SecretFiles) -> bool:
    return held is not None and dict(held.files) == dict(files)
