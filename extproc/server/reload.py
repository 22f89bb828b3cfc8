"""The configuration file, followed: the newest good content is served, and what is wrong with the file is said.

1. The *directory* is watched: a ConfigMap volume changes by a swap of its ``..data`` link, and a watch on the file
   would see only the first one. Any event means: read again. A stat poll finds what the watch cannot (a directory that
   comes and goes, a link to another directory, a kernel out of watches).
2. What was read is compared by content hash with what is *served*, so a change there and back ends where it began.
3. Loads run one after another, each reading the file anew: an old load can never overwrite a newer one.
4. A file that cannot be served leaves the last good configuration in place. It is reported once per content, and tried
   again when it changes.
"""

import asyncio
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import msgspec
from watchfiles import awatch

from extproc.config.errors import ConfigError
from extproc.config.loader import content_hash, load
from extproc.exchange.gateway import Gateway

#: How often the watcher looks at what the kernel gathered, and how long it gathers a burst of events, milliseconds.
#: Every look wakes a thread: 10 would save 70 ms of latency and cost 0.4 % of a core for ever; 50 costs 0.16 %.
_STEP_MS: Final = 50
_BURST_MS: Final = 100
#: The safety net's rhythm, seconds.
_POLL_S: Final = 1.0
#: A write that is going on changes the file within this time, seconds; at most so many times we wait for its end.
_SETTLE_S: Final = 0.02
_SETTLE_TRIES: Final = 10
#: Two writes within a tick of the kernel's clock can leave equal stamps, so a file that was this young when it was read
#: is read again, seconds.
_YOUNG_S: Final = 2.0

_log = logging.getLogger(__name__)

_Signature = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class ConfigStatus:
    """What is served and what is wrong. Times are Unix seconds; before the first load ``hash`` is "", ``revision`` 0.

    ``error`` speaks of the file as it is now, while ``revision``, ``hash``, ``version``, ``loaded_at``, ``rules`` and
    ``models`` (the names the configuration itself contains) speak of what is served. ``error_since``: since when no
    content of the file could be served.
    """

    revision: int = 0
    hash: str = ""
    version: int = 0
    loaded_at: float | None = None
    error: str | None = None
    error_since: float | None = None
    rules: msgspec.Raw = field(default_factory=lambda: msgspec.Raw(b"[]"))
    models: frozenset[str] = frozenset()
    serving: bool = False


def status_message(status: ConfigStatus) -> bytes:
    """What a worker tells its supervisor: ``{"kind": "status", ...}`` with the fields of ``ConfigStatus``."""
    fields = {name: getattr(status, name) for name in ConfigStatus.__dataclass_fields__ if name != "models"}
    return msgspec.json.encode({"kind": "status", **fields})


def compile_config(data: bytes, path_prefix: str | None) -> Gateway:
    """The gateway that a file's content describes; slow for many rules. Raises ``ConfigError`` with every finding."""
    config = load(data)
    if path_prefix is not None:
        config = config.model_copy(update={"path_prefix": path_prefix})
    return Gateway.compile(config)


def print_findings(path: str, path_prefix: str | None) -> int:
    """Say on stdout what is wrong with a file, one finding a line, or that nothing is; the exit code, 1 or 0."""
    try:
        gateway = compile_config(Path(path).read_bytes(), path_prefix)
    except OSError as error:
        lines = [f"cannot read: {error.strerror}"]
    except ConfigError as error:
        lines = [" ".join(str(finding).splitlines()) for finding in error.findings]
    else:
        sys.stdout.write(f"{path}: ok: revision {gateway.config.revision}, {gateway.rule_count} rules\n")
        return 0
    sys.stdout.writelines(f"{path}: {line}\n" for line in lines)
    return 1


class ConfigState:
    """The configuration of one worker: ``gateway`` is what new exchanges use, None before the first good load.

    ``on_status`` is called on the event loop after every load, good or bad, that changed ``status``.
    """

    def __init__(self, path: str, on_status: Callable[[ConfigStatus], None], path_prefix: str | None = None) -> None:
        self.gateway: Gateway | None = None
        self.status = ConfigStatus()
        self._path = Path(path)
        self._on_status = on_status
        self._path_prefix = path_prefix
        self._read_at: _Signature | None = None
        self._young = False
        self._refused = ""
        self._changed = asyncio.Event()
        self._rewatch = asyncio.Event()

    async def watch(self) -> None:
        """Load the file, then follow it for ever. Ends only by cancellation."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._notice_events())
            tasks.create_task(self._notice_by_polling())
            while True:
                self._changed.clear()
                await self._refresh()
                await self._changed.wait()

    async def _notice_events(self) -> None:
        reported = False
        while True:
            self._rewatch.clear()
            try:
                await self._notice_until_rewatch()
            except (OSError, RuntimeError) as error:
                if not reported:
                    _log.warning("cannot watch %s (%s); it is polled each %g s", self._path.parent, error, _POLL_S)
                reported = True
                await asyncio.sleep(_POLL_S)
            else:
                reported = False
            # Whatever happened while nobody watched.
            self._changed.set()

    async def _notice_until_rewatch(self) -> None:
        events = awatch(
            self._path.parent,
            watch_filter=None,
            recursive=False,
            step=_STEP_MS,
            debounce=_BURST_MS,
            stop_event=self._rewatch,
        )
        async for _ in events:
            self._changed.set()

    async def _notice_by_polling(self) -> None:
        directory = _maybe_identity(self._path.parent)
        while True:
            await asyncio.sleep(_POLL_S)
            if self._young or _maybe_signature(self._path) != self._read_at:
                self._changed.set()
            now = _maybe_identity(self._path.parent)
            if now != directory:
                directory = now
                self._rewatch.set()

    async def _refresh(self) -> None:
        try:
            data, self._read_at, self._young = await asyncio.to_thread(_read_settled, self._path)
        except OSError as error:
            self._read_at, self._young = None, False
            self._refuse(f"cannot read {self._path}: {error.strerror}", key=f"errno {error.errno}")
            return
        digest = content_hash(data)
        if digest == self.status.hash and self.gateway is not None:
            self._refused = ""
            if self.status.error is not None:
                _log.info("%s holds what is served again (revision %d)", self._path, self.status.revision)
                self._publish(replace(self.status, error=None, error_since=None))
        elif digest != self._refused:
            await self._load(data, digest)

    async def _load(self, data: bytes, digest: str) -> None:
        # The outcome is looked at without ``except``, so that even a bug of ours leaves the last good config in place.
        compiling = asyncio.ensure_future(asyncio.to_thread(compile_config, data, self._path_prefix))
        await asyncio.wait({compiling})
        fault = compiling.exception()
        if fault is None:
            self._serve(compiling.result(), digest)
        elif isinstance(fault, ConfigError):
            self._refuse(str(fault), key=digest)
        else:
            _log.error("a bug of the loader", exc_info=fault)
            self._refuse(f"internal error: {type(fault).__name__}", key=digest)

    def _serve(self, gateway: Gateway, digest: str) -> None:
        config = gateway.config
        self._refused = ""
        self.gateway = gateway
        _log.info("serving revision %d of %s: %d rules, %s", config.revision, self._path, gateway.rule_count, digest)
        self._publish(
            ConfigStatus(
                revision=config.revision,
                hash=digest,
                version=config.version,
                loaded_at=time.time(),
                rules=msgspec.Raw(gateway.rules),
                models=gateway.models,
                serving=True,
            )
        )

    def _refuse(self, reason: str, key: str) -> None:
        if key == self._refused:
            return
        self._refused = key
        kept = f"still serving revision {self.status.revision}" if self.status.serving else "nothing is served yet"
        _log.error("%s is refused (%s): %s", self._path, kept, reason)
        since = time.time() if self.status.error_since is None else self.status.error_since
        self._publish(replace(self.status, error=reason, error_since=since))

    def _publish(self, status: ConfigStatus) -> None:
        self.status = status
        self._on_status(status)


def _read_settled(path: Path) -> tuple[bytes, _Signature | None, bool]:
    """The content once nobody seems to be writing it, the stamp it had, and whether that stamp is too young to trust.

    The stamp is taken before the read: a later write makes another one, so nothing is missed.
    """
    tries = 0
    while True:
        tries += 1
        stamp = _maybe_signature(path)
        data = path.read_bytes()
        young = stamp is not None and abs(time.time() - stamp[-1] / 1e9) < _YOUNG_S
        if not young or tries == _SETTLE_TRIES:
            return data, stamp, young
        time.sleep(_SETTLE_S)
        if _maybe_signature(path) == stamp:
            return data, stamp, young


def _maybe_signature(path: Path) -> _Signature | None:
    """What changes when the file does; None while there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _maybe_identity(directory: Path) -> tuple[int, int] | None:
    try:
        found = directory.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
