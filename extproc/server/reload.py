"""The configuration file, followed: the newest good content is served, and what is wrong with the file is said.

1. Any event in the file's directory means: read again (see ``watching``).
2. What was read is compared by content hash with what is *served*, so a change there and back ends where it began.
3. Loads run one after another, each reading the file anew: an old load can never overwrite a newer one.
4. A file that cannot be served leaves the last good configuration in place. It is reported once per content, and tried
   again when it changes.
"""

import asyncio
import logging
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from extproc.config.errors import ConfigError
from extproc.config.loader import content_hash, load
from extproc.exchange.gateway import Gateway
from extproc.server.watching import DirectoryWatch, Reading, read_settled

_log = logging.getLogger(__name__)


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

    ``on_status`` is called on the event loop after every load, good or bad, that changed ``status``. ``prepare`` is
    awaited with every gateway before it is served.
    """

    def __init__(
        self,
        path: str,
        on_status: Callable[[ConfigStatus], None],
        path_prefix: str | None = None,
        prepare: Callable[[Gateway], Awaitable[None]] | None = None,
    ) -> None:
        self.gateway: Gateway | None = None
        self.status = ConfigStatus()
        self._path = Path(path)
        self._on_status = on_status
        self._path_prefix = path_prefix
        self._prepare = prepare
        self._read = Reading(b"")
        self._refused = ""
        self._watch = DirectoryWatch(self._path.parent, lambda: self._read.is_stale(self._path))

    async def watch(self) -> None:
        """Load the file, then follow it for ever. Ends only by cancellation."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch.run())
            while True:
                self._watch.changed.clear()
                await self._refresh()
                await self._watch.changed.wait()

    async def _refresh(self) -> None:
        reading = (await asyncio.to_thread(read_settled, (self._path,)))[self._path]
        data, self._read = reading.content, replace(reading, content=b"")
        if isinstance(data, OSError):
            self._refuse(f"cannot read {self._path}: {data.strerror}", key=f"errno {data.errno}")
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
            gateway = compiling.result()
            if self._prepare is not None:
                await self._prepare(gateway)
            self._serve(gateway, digest)
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
