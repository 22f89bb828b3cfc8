"""From objects to the snapshot that is compiled, each object read once for as long as it does not change."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from controller.api.reading import subject_of
from controller.operator.kinds import GATEWAY_BACKENDS, LLM_BACKENDS, LLM_ROUTES, REFERENCE_GRANTS, SERVICES, Kind
from controller.operator.settings import Scope
from controller.operator.store import Object, Store, content_key
from controller.translate import ReadBackend, ReadRoute, Settings, Snapshot, read_backend, read_route
from controller.translate.grants import read_grants
from extproc.config.names import VERSION

Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class Objects:
    """What a snapshot is made of, taken out of the store at one moment. Those that are being deleted are left out."""

    routes: Sequence[Object]
    backends: Sequence[Object]
    targets: Sequence[Object]
    grants: Sequence[Object]
    services: Sequence[Object]
    unread: Mapping[str, str]

    @classmethod
    def of(cls, store: Store, unread: Mapping[str, str]) -> "Objects":
        """All that there is now; ``unread``: as in ``Snapshot``."""

        def present(kind: Kind) -> list[Object]:
            # What cannot be read any more is not told by chance, by whatever a watch said last.
            if kind.name in unread:
                return []
            return [
                obj
                for obj in store.objects(kind)
                if obj["metadata"].get("deletionTimestamp") is None
                and (not kind.optional or f"{kind.name}/{obj['metadata'].get('namespace')}" not in unread)
            ]

        return cls(
            routes=present(LLM_ROUTES),
            backends=present(LLM_BACKENDS),
            targets=present(GATEWAY_BACKENDS),
            grants=present(REFERENCE_GRANTS),
            services=present(SERVICES),
            unread=unread,
        )


class Reader:
    """Makes snapshots; keeps what it read for the next one. Not for two threads at once."""

    def __init__(self, settings: Settings, scope: Scope) -> None:
        self._settings = settings
        self._scope = scope
        self._routes = _Kept[ReadRoute](read_route)
        self._backends = _Kept[ReadBackend](read_backend)

    def snapshot(self, objects: Objects, config_version: int = VERSION) -> Snapshot:
        """The same as ``Snapshot.of`` for the same objects, compiled for processors that read ``config_version``."""
        backends = self._backends.read(objects.backends)
        return Snapshot(
            routes=self._routes.read(objects.routes),
            backends=backends,
            targets=_by_place(objects.targets),
            grants=frozenset(grant for obj in objects.grants for grant in read_grants(obj)),
            services={} if SERVICES.name in objects.unread else self._services(backends, objects),
            settings=replace(self._settings, config_version=config_version),
            unread=objects.unread,
        )

    def _services(self, backends: Sequence[ReadBackend], objects: Objects) -> dict[str, dict[str, Object]]:
        """By namespace, for those that backends lead to. What is outside of our scope is not known."""
        refs = [(read.subject.namespace, read.spec.backend_ref) for read in backends if read.spec is not None]
        led_to = {ref.namespace or own for own, ref in refs if ref is not None and ref.kind == "Service"}
        known: dict[str, dict[str, Object]] = {
            name: {} for name in led_to if self._scope.covers(name) and f"{SERVICES.name}/{name}" not in objects.unread
        }
        for obj in objects.services:
            subject = subject_of(obj)
            if subject.namespace in known:
                known[subject.namespace][subject.name] = obj
        return known


def _by_place(objects: Sequence[Object]) -> dict[tuple[str, str], Object]:
    return {(subject.namespace, subject.name): obj for obj in objects for subject in (subject_of(obj),)}


class _Kept(Generic[Read]):
    """Readings by what they were read from."""

    def __init__(self, read: Callable[[Mapping[str, Any]], Read]) -> None:
        self._read = read
        self._kept: dict[tuple[Any, ...], Read] = {}

    def read(self, objects: Sequence[Object]) -> tuple[Read, ...]:
        now: dict[tuple[Any, ...], Read] = {}
        for obj in objects:
            key = content_key(obj)
            found = self._kept.get(key)
            now[key] = self._read(obj) if found is None else found
        self._kept = now
        return tuple(now.values())
