"""The credentials of one worker: files of one directory and tokens of clouds, for the backends that are configured.

1. A lookup is a dict access: nothing is read, fetched or waited for in an exchange.
2. The directory is watched (see ``watching``), and only files that a configuration names are read. A content that is
   malformed leaves the last good one; a file that is deleted is gone.
3. Tokens are fetched ahead of need, each in a thread of its own: none waits for another. A token that an upstream
   refuses is fetched anew.
4. An exchange asks once, when it is routed, with the configuration of its first moment. Those of a backend that a newer
   configuration lacks or shows something else stay for as long as a client may take to send a body.
5. Each worker has a vault of its own: n workers fetch n tokens an hour where one would do, and hold n copies of
   botocore (35 MB) or google-auth (25 MB) where a backend needs it. For that, no worker depends on another, on the
   supervisor or on its pipe for a credential, the supervisor holds no secret, and a respawned worker needs nobody.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from extproc.config.auth import Auth
from extproc.credentials.held import Held, Missing
from extproc.server.credentials.account import Account, CredentialStatus, Outcome
from extproc.server.credentials.contents import MalformedError, read_callers
from extproc.server.credentials.pace import Pace
from extproc.server.credentials.sources import Source, maybe_source
from extproc.server.watching import DirectoryWatch, Reading, read_settled

#: How long what no configuration names any more is still answered for, seconds: Envoy's patience with a client that is
#: sending (300), its patience with a message of ours (10), and what either clock may be late by.
_RETIRED_S: Final = 330.0
#: How long a configuration may wait for the files that it is the first to name, seconds: they come by another volume
#: than the configuration, and what is served goes on meanwhile. The first configuration waits for none: nothing is
#: served, and a file that will never be there should not keep the other backends waiting.
_FILE_WAIT_S: Final = 2.0
#: And then for tokens that nobody has fetched yet, seconds: nobody should begin with errors, but neither should a
#: provider that hangs keep others waiting.
_TOKEN_WAIT_S: Final = 2.0
#: Changes are told together, seconds.
_GATHER_S: Final = 0.1
_UNKNOWN: Final = Missing("its credential is not loaded yet")
_NO_DIRECTORY: Final = Missing("this processor was started without a credentials directory")
_NOTHING_OWN: Final = Missing("it has no credential of the gateway's own")

_log = logging.getLogger(__name__)

#: By a backend's name; None for one that is no longer configured.
Changes = Mapping[str, CredentialStatus | None]


class Observer(Protocol):
    """Who is told what becomes of credentials, on the event loop. No secret is ever told."""

    def changed(self, changes: Changes) -> None:
        """The status of some backends' credentials."""

    def refreshed(self, backend: str, outcome: Outcome) -> None:
        """A backend's credential was read or fetched anew, or that failed."""


@dataclass(slots=True)
class _Entry:
    """A backend as one configuration has it. ``retired``: since when none has it so, monotonic seconds."""

    auth: Auth
    account: Account | None
    retired: float | None = None


class Vault:
    """Answers for ``directory``; None: files are missing, and only what needs none can be had."""

    def __init__(self, directory: str | None, observer: Observer, pace: Pace | None = None) -> None:
        self._directory = None if directory is None else Path(directory)
        self._observer = observer
        self._pace = pace or Pace()
        self._accounts: dict[Source, Account] = {}
        #: The current entry first.
        self._entries: dict[str, tuple[_Entry, ...]] = {}
        self._callers: dict[str, Mapping[str, str] | None] = {}
        self._retired_callers: dict[str, float] = {}
        self._readings: dict[Path, Reading] = {}
        self._reading = asyncio.Lock()
        self._followed = False
        #: Set whenever a file or a token has come, or has failed to.
        self._news = asyncio.Event()
        self._unread: list[tuple[Account, str | None]] = []
        self._changed: set[str] = set()
        self._told: dict[str, CredentialStatus] = {}
        self._telling: asyncio.TimerHandle | None = None
        self._sweeping: asyncio.TimerHandle | None = None

    def credential(self, backend: str, auth: Auth) -> Held:
        """What ``backend`` is shown now, as the configuration has it that says ``auth``."""
        for entry in self._entries.get(backend, ()):
            if entry.auth is auth or entry.auth == auth:
                return _NOTHING_OWN if entry.account is None else entry.account.held
        return _UNKNOWN

    def refused(self, backend: str, auth: Auth) -> None:
        """``backend`` did not take what it was shown: a token is fetched anew, at most once in ten seconds."""
        for entry in self._entries.get(backend, ()):
            if entry.account is not None and (entry.auth is auth or entry.auth == auth):
                entry.account.renew()
                return

    def callers(self, file: str) -> Mapping[str, str] | None:
        """Callers' ids by the SHA-256 of their keys in hex; None while ``file`` cannot be read."""
        return self._callers.get(file)

    async def watch(self) -> None:
        """Follow the directory for ever. Ends only by cancellation, and ends all fetching with it."""
        try:
            if self._directory is None:
                await asyncio.Event().wait()
                return
            watch = DirectoryWatch(self._directory, self._is_stale)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(watch.run())
                while True:
                    await watch.changed.wait()
                    watch.changed.clear()
                    await self._look(list(self._readings))
        finally:
            self._close()

    async def follow(self, auths: Mapping[str, Auth], callers: Iterable[str]) -> None:
        """Get ready for a configuration, before it is served: files are read, and tokens are on their way.

        One that names new files waits for them, and one that needs new tokens until it is known how each fetch ended,
        for two seconds each at most. What the configuration before it shows is shown all the while.
        """
        wanted = frozenset(callers)
        known, new_files = set(self._accounts.values()), wanted - self._callers.keys()
        now = time.monotonic()
        for backend in self._entries.keys() - auths.keys():
            self._set(backend, None, now)
        for backend, auth in auths.items():
            self._set(backend, auth, now)
        self._name_accounts()
        self._acquaint()
        self._retired_callers = {file: self._retired_callers.get(file, now) for file in self._callers.keys() - wanted}
        for file in wanted:
            self._callers.setdefault(file)
        await self._look([path for path in self._paths() if path not in self._readings])
        self._plan_sweep()
        new = set(self._accounts.values()) - known
        if self._followed and self._directory is not None:
            await self._until(
                lambda: not any(a.absent for a in new) and all(self._callers.get(f) is not None for f in new_files),
                _FILE_WAIT_S,
            )
        self._followed = True
        await self._until(lambda: not any(account.pending for account in new), _TOKEN_WAIT_S)

    async def _until(self, is_done: Callable[[], bool], limit_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while not is_done():
                    self._news.clear()
                    await self._news.wait()

    def _set(self, backend: str, auth: Auth | None, now: float) -> None:
        entries = self._entries.get(backend, ())
        retired = [replace(e, retired=now) if e.retired is None else e for e in entries if e.auth != auth]
        current = [] if auth is None else [_Entry(auth, self._account(auth))]
        self._entries[backend] = (*current, *retired)

    def _account(self, auth: Auth) -> Account | None:
        source = maybe_source(auth)
        if source is None:
            return None
        account = self._accounts.get(source)
        if account is None:
            account = self._accounts[source] = Account(source, self._on_attempt, self._pace)
            self._unread.append((account, source.file))
        return account

    def _acquaint(self) -> None:
        """Give new accounts what is known of their files already."""
        unread, self._unread = self._unread, []
        for account, file in unread:
            if file is None:
                continue
            if self._directory is None:
                account.refuse(_NO_DIRECTORY)
            elif (known := self._readings.get(self._path(file))) is not None:
                account.read(known.content)

    def _name_accounts(self) -> None:
        """Tell each account whose it is, and the observer of every backend that came or went."""
        named: dict[Source, set[str]] = {}
        for backend, (entry, *_) in self._entries.items():
            if entry.retired is None and entry.account is not None:
                named.setdefault(entry.account.source, set()).add(backend)
        for source, account in self._accounts.items():
            account.backends = frozenset(named.get(source, ()))
        self._tell_later(self._entries)

    def _path(self, file: str) -> Path:
        return (self._directory or Path()) / file

    def _paths(self) -> dict[Path, None]:
        """The files that are needed; none without a directory."""
        if self._directory is None:
            return {}
        files = [source.file for source in self._accounts if source.file is not None]
        return dict.fromkeys(map(self._path, [*files, *self._callers]))

    def _is_stale(self) -> bool:
        # In a thread: the list is made in one step.
        return any(reading.is_stale(path) for path, reading in list(self._readings.items()))

    async def _look(self, paths: list[Path]) -> None:
        """Read files, and use what has changed."""
        async with self._reading:
            if not paths:
                return
            found = await asyncio.to_thread(_read_stale, {path: self._readings.get(path) for path in paths})
            wanted = self._paths()
            for path, reading in found.items():
                if path in wanted:
                    known = self._readings.get(path)
                    self._readings[path] = reading
                    if known is None or not _is_same(known, reading):
                        self._use(path.name, reading.content)

    def _use(self, file: str, content: bytes | OSError) -> None:
        for source, account in list(self._accounts.items()):
            if source.file == file:
                account.read(content)
        if file in self._callers:
            self._callers[file] = self._maybe_callers(file, content)
        self._news.set()

    def _maybe_callers(self, file: str, content: bytes | OSError) -> Mapping[str, str] | None:
        if isinstance(content, FileNotFoundError):
            _log.warning("callers' file %s does not exist: nobody can be recognised by it", file)
            return None
        known = self._callers[file]
        kept = "nobody can be recognised by it" if known is None else "the last good one is used"
        if isinstance(content, OSError):
            _log.warning("callers' file %s cannot be read: %s; %s", file, content.strerror, kept)
            return known
        try:
            callers, doubles = read_callers(content)
        except MalformedError as error:
            _log.warning("callers' file %s is malformed: %s; %s", file, error, kept)
            return known
        for caller, first in doubles:
            _log.warning("callers' file %s: %r has the key of %r and counts as that", file, caller, first)
        return callers

    def _on_attempt(self, account: Account, outcome: Outcome | None) -> None:
        self._news.set()
        self._tell_later(account.backends)
        if outcome is not None:
            for backend in account.backends:
                self._observer.refreshed(backend, outcome)

    def _tell_later(self, backends: Iterable[str]) -> None:
        self._changed.update(backends)
        if self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(_GATHER_S, self._tell)

    def _tell(self) -> None:
        self._telling = None
        changed, self._changed = self._changed, set()
        now = {backend: self._maybe_status(backend) for backend in sorted(changed)}
        news = {backend: status for backend, status in now.items() if status != self._told.get(backend)}
        self._told = {backend: status for backend, status in (self._told | news).items() if status is not None}
        if news:
            self._observer.changed(news)

    def _maybe_status(self, backend: str) -> CredentialStatus | None:
        entry = next(iter(self._entries.get(backend, ())), None)
        return None if entry is None or entry.retired is not None or entry.account is None else entry.account.status

    def _plan_sweep(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
        self._sweeping = asyncio.get_running_loop().call_later(_RETIRED_S, self._sweep)

    def _sweep(self) -> None:
        """Forget what nobody can ask for any more."""
        old = time.monotonic() - _RETIRED_S
        for backend, entries in list(self._entries.items()):
            kept = tuple(entry for entry in entries if entry.retired is None or entry.retired > old)
            if kept:
                self._entries[backend] = kept
            else:
                del self._entries[backend]
        used = {e.account.source for entries in self._entries.values() for e in entries if e.account is not None}
        for source in self._accounts.keys() - used:
            self._accounts.pop(source).close()
        for file in [file for file, since in self._retired_callers.items() if since <= old]:
            del self._retired_callers[file], self._callers[file]
        wanted = self._paths()
        for path in [path for path in self._readings if path not in wanted]:
            del self._readings[path]

    def _close(self) -> None:
        for account in self._accounts.values():
            account.close()
        for timer in (self._telling, self._sweeping):
            if timer is not None:
                timer.cancel()


def _read_stale(known: Mapping[Path, Reading | None]) -> Mapping[Path, Reading]:
    return read_settled([path for path, reading in known.items() if reading is None or reading.is_stale(path)])


def _is_same(one: Reading, other: Reading) -> bool:
    if isinstance(one.content, OSError) and isinstance(other.content, OSError):
        return one.content.errno == other.content.errno
    return one.content == other.content
