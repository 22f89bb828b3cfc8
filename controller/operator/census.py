"""What there is to read, and reading all of it: the complete lists that the store is set right by."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Protocol

from controller.operator.cluster import ClusterError, Denied, Gone, Listing
from controller.operator.kinds import KINDS, Kind
from controller.operator.settings import Scope
from controller.operator.store import Store

_log = logging.getLogger(__name__)


class KindState(StrEnum):
    """Whether a kind can be read; UNKNOWN until the API server was asked."""

    UNKNOWN = "unknown"
    WATCHED = "watched"
    ABSENT = "absent"
    DENIED = "denied"


_BLINDNESS = {
    KindState.ABSENT: "the cluster has no {}",
    KindState.DENIED: "the operator may not list and watch {}",
}


class Readable(Protocol):
    """The part of ``Cluster`` that is needed. Every method raises ``ClusterError``."""

    async def serves(self, kind: Kind) -> bool:
        """Whether the server has the kind."""

    async def is_ready(self) -> bool:
        """Whether the server knows all that it serves."""

    async def may(self, verb: str, group: str, resource: str, namespace: str | None) -> bool:
        """Whether RBAC lets us."""

    async def namespaces(self) -> Sequence[str]:
        """The names of all namespaces."""

    async def list(self, kind: Kind, namespace: str | None) -> Listing:
        """All objects, of one namespace or of all."""


class Census:
    """Looks which kinds there are and lists them into the store. ``told`` hears of every kind's state."""

    def __init__(self, cluster: Readable, store: Store, scope: Scope, told: Callable[[Kind, KindState], None]) -> None:
        self._cluster = cluster
        self._store = store
        self._scope = scope
        self._told = told
        self._states = dict.fromkeys(KINDS, KindState.UNKNOWN)
        self._taking = asyncio.Lock()

    @property
    def watched(self) -> tuple[Kind, ...]:
        """The kinds that can be read."""
        return tuple(kind for kind, state in self._states.items() if state is KindState.WATCHED)

    @property
    def unread(self) -> dict[str, str]:
        """The kinds, by what an object calls itself, that cannot be read, and why."""
        return {
            kind.name: _BLINDNESS[state].format(kind)
            for kind, state in self._states.items()
            if state in _BLINDNESS and not self._store.objects(kind)
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
        ``ClusterError`` is raised.
        """
        failures: list[ClusterError] = []
        async with self._taking:
            namespaces = await self._namespaces()
            for kind in KINDS:
                try:
                    await self._take(kind, namespaces)
                except ClusterError as error:
                    failures.append(error)
        if failures:
            raise failures[0]

    async def _take(self, kind: Kind, namespaces: Sequence[str | None]) -> None:
        state = await self._state_of(kind, namespaces)
        self._set(kind, await self._listed(kind, namespaces) if state is KindState.WATCHED else state)

    async def _namespaces(self) -> Sequence[str | None]:
        if self._scope.is_cluster:
            return [None]
        if not self._scope.has_patterns:
            return self._scope.namespaces
        return [name for name in await self._cluster.namespaces() if self._scope.covers(name)]

    async def _state_of(self, kind: Kind, namespaces: Iterable[str | None]) -> KindState:
        if not await self._cluster.serves(kind):
            return await self._absent(kind)
        if not kind.optional:
            # What is needed is tried in any case, and goes on being tried.
            return KindState.WATCHED
        for namespace in namespaces:
            for verb in ("list", "watch"):
                if not await self._cluster.may(verb, kind.group, kind.plural, namespace):
                    return KindState.DENIED
        return KindState.WATCHED

    async def _absent(self, kind: Kind) -> KindState:
        """What is not served is not there, and neither are its objects; unless the server is just starting."""
        if not await self._cluster.is_ready():
            raise Gone(f"the API server does not serve {kind} yet")
        if self._states[kind] is KindState.WATCHED:
            self._store.forget(kind)
        return KindState.ABSENT

    async def _listed(self, kind: Kind, namespaces: Iterable[str | None]) -> KindState:
        try:
            listings = [await self._cluster.list(kind, namespace) for namespace in namespaces]
        except Denied:
            if not kind.optional and self._store.is_complete([kind]):
                # A right that was taken away: what is known goes on being served.
                raise
            return KindState.DENIED
        whole = _joined(listings)
        self._store.resync(kind, whole.items, whole.resource_version)
        return KindState.WATCHED

    def _set(self, kind: Kind, state: KindState) -> None:
        if self._states[kind] is not state:
            level = logging.INFO if state is KindState.WATCHED or kind.optional else logging.ERROR
            _log.log(level, "%s: %s", kind, state)
            self._states[kind] = state
        self._told(kind, state)


def _joined(listings: Sequence[Listing]) -> Listing:
    """Lists of several namespaces as one, as old as the oldest of them."""
    return Listing(
        tuple(item for listing in listings for item in listing.items),
        min((listing.resource_version for listing in listings), default=0),
    )
