"""From what is known to a translation, once for as long as nothing of it changes."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

from controller.api.findings import Subject
from controller.operator.failures import NotLeading
from controller.operator.lookout import Lookout
from controller.operator.settings import Settings
from controller.operator.snapshots import Objects, Reader
from controller.operator.store import Store
from controller.translate import Memory, Snapshot, Translation, translate
from controller.translate.credentials import needed_secrets
from controller.translate.secrets import Place
from extproc.config.names import VERSION

#: Seconds that the first pass of a term waits for Secrets to be read, and any other one for those that are new. What
#: was not read by then is said to be unknown, and the others go on.
_FIRST_PATIENCE_S, _PATIENCE_S = 10.0, 1.0


@dataclass(frozen=True, slots=True)
class Compiled:
    """A translation, and what it was made of.

    Attributes:
        seen: the state of the store, its content's and its statuses' number.
        unsure: the objects of whose Secrets the API server has not told.
    """

    translation: Translation
    seen: tuple[int, int]
    unsure: frozenset[Subject]


class Compiler:
    """One at a time: ``compiled`` is called by one task only. In threads, so that the event loop goes on meanwhile."""

    def __init__(self, store: Store, lookout: Lookout, settings: Settings) -> None:
        self._store = store
        self._lookout = lookout
        self._reader = Reader(settings.translate, settings.scope)
        self._memory, self._version = Memory(), VERSION
        self._snapshot: Snapshot | None = None
        self._read_from: tuple[int, Mapping[str, str], int] | None = None
        self._translation: Translation | None = None
        self._secrets = 0
        self._unsure: tuple[Snapshot, frozenset[Place], frozenset[Subject]] | None = None
        self._is_first = True
        self._term = 0

    def lead(self) -> None:
        """A term begins."""
        self._is_first = True

    def follow(self) -> None:
        """A term has ended, and with it the need to know anybody's Secrets."""
        self._term += 1
        self._snapshot = self._translation = self._unsure = None
        self._lookout.want(())

    async def compiled(self, unread: Mapping[str, str], config_version: int) -> Compiled:
        """What the store means now. ``unread``: as in ``Snapshot``; ``config_version``: what processors can read.

        Raises ``NotLeading`` when the term ends meanwhile.
        """
        seen, term = (self._store.content, self._store.status), self._term
        source = seen[0], unread, config_version
        if self._snapshot is None or self._read_from != source:
            objects = Objects.of(self._store, unread)
            self._snapshot = await asyncio.to_thread(self._reader.snapshot, objects, config_version)
            self._read_from, self._translation = source, None
        snapshot = self._snapshot
        self._lookout.want(needed_secrets(snapshot))
        await self._lookout.asked(_FIRST_PATIENCE_S if self._is_first else _PATIENCE_S)
        if term != self._term:
            # All that was known of Secrets is forgotten: without it they would seem to be gone.
            raise NotLeading("the lead was lost while Secrets were read")
        self._is_first = False
        # At the moment of the store: what is told while it is translated is not in the translation.
        doubted = self._lookout.doubted
        if self._translation is None or self._secrets != self._lookout.version:
            self._secrets, secrets = self._lookout.version, self._lookout.store()
            whole = replace(snapshot, secrets=secrets)
            self._translation = await asyncio.to_thread(self._translated, whole, config_version)
        return Compiled(self._translation, seen, self._unsure_of(snapshot, doubted))

    def _unsure_of(self, snapshot: Snapshot, doubted: frozenset[Place]) -> frozenset[Subject]:
        if self._unsure is None or self._unsure[0] is not snapshot or self._unsure[1] != doubted:
            self._unsure = snapshot, doubted, unsure_of(snapshot, doubted)
        return self._unsure[2]

    def _translated(self, snapshot: Snapshot, config_version: int) -> Translation:
        if config_version != self._version:
            self._version, self._memory = config_version, Memory()
        return translate(snapshot, self._memory)


def unsure_of(snapshot: Snapshot, doubted: frozenset[Place]) -> frozenset[Subject]:
    """The objects that need one of these Secrets or ConfigMaps."""
    if not doubted:
        return frozenset()
    alone = [(read.subject, replace(snapshot, routes=(), backends=(read,))) for read in snapshot.backends]
    alone += [(read.subject, replace(snapshot, routes=(read,), backends=())) for read in snapshot.routes]
    return frozenset(subject for subject, part in alone if needed_secrets(part) & doubted)
