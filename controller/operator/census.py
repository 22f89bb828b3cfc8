"""What there is to read, and reading all of it: the complete lists that the store is set right by."""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from controller.operator.cluster import ClusterError, Denied, Gone, Listing
from controller.operator.kinds import KINDS, Kind
from controller.operator.lease import clock
from controller.operator.settings import Scope
from controller.operator.store import Store

_log = logging.getLogger(__name__)

#: Seconds that a kind which is not needed may fail to be listed, while the others can be, before it is done without.
_PATIENCE_S = 30.0
#: Seconds that refusals to read a kind have to go on before what is known of it is forgotten.
_KEPT_S = 60.0
_NOBODY: frozenset[str] = frozenset()


class KindState(StrEnum):
    """Whether a kind can be read; UNKNOWN until the API server was asked. FAILING: it was never answered."""

    UNKNOWN = "unknown"
    WATCHED = "watched"
    ABSENT = "absent"
    DENIED = "denied"
    FAILING = "failing"


_BLINDNESS = {
    KindState.ABSENT: "the cluster has no {}",
    KindState.DENIED: "the operator may not list and watch {}",
    KindState.FAILING: "the API server fails to list {}",
}

#: Which kinds are to be watched where.
Watches = tuple[tuple[Scope, tuple[Kind, ...]], ...]

#: Hears of a kind's state and in which namespaces, apart from the others, it may not be read.
Told = Callable[[Kind, KindState, Collection[str]], None]


@dataclass(frozen=True, slots=True)
class _Places:
    """Where to look: every namespace (None), or some, and the version at which those were all that there are."""

    namespaces: Sequence[str | None]
    resource_version: int | None = None


class Readable(Protocol):
    """The part of ``Cluster`` that is needed. Every method raises ``ClusterError``."""

    async def serves(self, kind: Kind) -> bool:
        """Whether the server has the kind."""

    async def is_ready(self) -> bool:
        """Whether the server knows all that it serves."""

    async def may(self, verb: str, group: str, resource: str, namespace: str | None) -> bool:
        """Whether RBAC lets us."""

    async def namespaces(self) -> Listing:
        """All namespaces."""

    async def list(self, kind: Kind, namespace: str | None) -> Listing:
        """All objects, of one namespace or of all."""


class Census:
    """Looks which kinds there are and lists them into the store. ``told`` hears of every kind at every look.

    A namespace that may not be read takes no other one with it. Of a kind that is needed its last objects stay. Of the
    others they stay for a minute, as who decides on rights may be away for a moment; what they would tell is then not
    known, after a restart as before it.
    """

    def __init__(self, cluster: Readable, store: Store, scope: Scope, told: Told) -> None:
        self._cluster = cluster
        self._store = store
        self._scope = scope
        self._told = told
        self._states = dict.fromkeys(KINDS, KindState.UNKNOWN)
        self._denied = dict.fromkeys(KINDS, _NOBODY)
        self._failing_since: dict[Kind, float] = {}
        self._denied_since: dict[tuple[Kind, str | None], float] = {}
        self._taking = asyncio.Lock()

    @property
    def watched(self) -> tuple[Kind, ...]:
        """The kinds that can be read."""
        return tuple(kind for kind, state in self._states.items() if state is KindState.WATCHED)

    @property
    def watches(self) -> Watches:
        """The kinds that can be read, those together that can be read in the same namespaces."""
        groups: dict[frozenset[str], list[Kind]] = {}
        for kind in self.watched:
            groups.setdefault(self._denied[kind], []).append(kind)
        return tuple((self._scope.without(denied), tuple(kinds)) for denied, kinds in groups.items())

    @property
    def unread(self) -> dict[str, str]:
        """What cannot be read, and why: kinds, by what an object calls itself, and ``KIND/NAMESPACE`` of the others."""
        places = {
            f"{kind.name}/{namespace}": f"{_BLINDNESS[KindState.DENIED].format(kind)} in namespace {namespace}"
            for kind in self.watched
            if kind.optional
            for namespace in self._denied[kind]
        }
        return places | {
            kind.name: _BLINDNESS[state].format(kind) for kind, state in self._states.items() if state in _BLINDNESS
        }

    def maybe_obstacle(self) -> str | None:
        """None when everything has been read once, else what is missing."""
        for kind, state in self._states.items():
            match state:
                case KindState.UNKNOWN:
                    return f"not asked yet whether there are {kind}"
                case KindState.ABSENT if not kind.optional:
                    return f"the cluster has no {kind}: install the custom resource definitions"
                case KindState.DENIED if not kind.optional and not self._store.is_complete([kind]):
                    return f"RBAC does not let us list {kind}"
                case KindState.WATCHED if not self._store.is_complete([kind]):
                    return f"{kind} have not been listed yet"
                case _:
                    continue
        return None

    async def take(self) -> None:
        """Ask what can be read and list all of it.

        A kind whose list fails keeps what the store has of it; the others are listed all the same, and then the first
        ``ClusterError`` is raised; not, after a while, that of a kind that is not needed.
        """
        failures: dict[Kind, ClusterError] = {}
        async with self._taking:
            places = await self._places()
            for kind in KINDS:
                try:
                    await self._take(kind, places)
                except ClusterError as error:
                    failures[kind] = error
            self._lose_patience(failures)
        if failures:
            raise next(iter(failures.values()))

    def _lose_patience(self, failures: dict[Kind, ClusterError]) -> None:
        """Take out of the failures what has failed for long while all that is needed could be read."""
        if any(not kind.optional for kind in failures):
            # The server, or the way to it.
            self._failing_since.clear()
            return
        now = clock()
        self._failing_since = {kind: self._failing_since.get(kind, now) for kind in failures}
        for kind, since in self._failing_since.items():
            if now - since >= _PATIENCE_S and not isinstance(failures[kind], Denied):
                failure = failures.pop(kind)
                if not self._store.is_complete([kind]):
                    self._set(kind, KindState.FAILING, why=str(failure))

    async def _take(self, kind: Kind, places: _Places) -> None:
        if await self._cluster.serves(kind):
            await self._list(kind, places)
        else:
            self._set(kind, await self._absent(kind))

    async def _places(self) -> _Places:
        if self._scope.is_cluster:
            return _Places([None])
        if not self._scope.has_patterns:
            return _Places(self._scope.namespaces)
        found = await self._cluster.namespaces()
        names = [item["metadata"]["name"] for item in found.items]
        return _Places([name for name in names if self._scope.covers(name)], found.resource_version)

    async def _may_read(self, kind: Kind, namespace: str | None) -> bool:
        """What is needed is tried in any case, and goes on being tried."""
        if kind.optional:
            for verb in ("list", "watch"):
                if not await self._cluster.may(verb, kind.group, kind.plural, namespace):
                    return False
        return True

    async def _absent(self, kind: Kind) -> KindState:
        """What is not served is not there, and neither are its objects; unless the server is just starting."""
        if not await self._cluster.is_ready():
            raise Gone(f"the API server does not serve {kind} yet")
        if self._states[kind] is KindState.WATCHED:
            self._store.forget(kind)
        return KindState.ABSENT

    async def _list(self, kind: Kind, places: _Places) -> None:
        listings: list[Listing] = []
        denials: dict[str | None, Denied | None] = {}
        for namespace in places.namespaces:
            try:
                if await self._may_read(kind, namespace):
                    listings.append(await self._cluster.list(kind, namespace))
                else:
                    denials[namespace] = None
            except Denied as error:
                denials[namespace] = error
        kept = self._kept(kind, denials)
        if denials and not listings:
            if kept:
                raise Denied(f"{_BLINDNESS[KindState.DENIED].format(kind)}; what is known is used for {_KEPT_S:.0f} s")
            self._deny(kind, next(iter(denials.values())))
            return
        denied = frozenset(name for name in denials if name is not None)
        unseen = kept if kind.optional else denied
        whole = _joined(listings, places.resource_version)
        self._store.resync(kind, whole.items, whole.resource_version, frozenset(name for name in unseen if name))
        self._set(kind, KindState.WATCHED, frozenset(name for name in denied if name not in kept))
        if kept:
            where = ", ".join(sorted(str(name) for name in kept))
            raise Denied(f"{_BLINDNESS[KindState.DENIED].format(kind)} in {where}; what is known of it is used for now")

    def _kept(self, kind: Kind, denials: Collection[str | None]) -> frozenset[str | None]:
        """Where an optional kind could be read until a moment ago."""
        before = self._denied_since
        self._denied_since = {
            (each, name): since for (each, name), since in before.items() if each is not kind or name in denials
        }
        if not kind.optional or self._states[kind] is not KindState.WATCHED:
            return frozenset()
        now = clock()
        since = {name: before.get((kind, name), now) for name in denials if name not in self._denied[kind]}
        self._denied_since |= {(kind, name): at for name, at in since.items()}
        return frozenset(name for name, at in since.items() if now - at < _KEPT_S)

    def _deny(self, kind: Kind, error: Denied | None) -> None:
        """Nowhere may it be read."""
        if kind.optional:
            self._store.forget(kind)
        elif error is not None and self._store.is_complete([kind]):
            # A right that was taken away: what is known goes on being served.
            raise error
        self._set(kind, KindState.DENIED)

    def _set(self, kind: Kind, state: KindState, denied: frozenset[str] = _NOBODY, why: str = "") -> None:
        if self._states[kind] is not state:
            level = logging.INFO if state is KindState.WATCHED or kind.optional else logging.ERROR
            _log.log(level, "%s: %s%s", kind, state, f": {why}" if why else "")
        if self._denied[kind] != denied:
            level = logging.WARNING if denied else logging.INFO
            _log.log(level, "%s may not be read in: %s", kind, ", ".join(sorted(denied)) or "no namespace any more")
        self._states[kind], self._denied[kind] = state, denied
        self._told(kind, state, denied)


def _joined(listings: Sequence[Listing], resource_version: int | None) -> Listing:
    """Lists of several namespaces as one, as old as the oldest of them and as the list of the namespaces."""
    versions = [listing.resource_version for listing in listings]
    versions += [] if resource_version is None else [resource_version]
    return Listing(tuple(item for listing in listings for item in listing.items), min(versions, default=0))
