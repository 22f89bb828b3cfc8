"""Files that change under us: when to look again, and how to read one that somebody may be writing.

1. The *directory* is watched: a ConfigMap or Secret volume changes by a swap of its ``..data`` link, and a watch on a
   file would see only the first one. Any event means: read again.
2. A poll finds what the watch cannot (a directory that comes and goes, a link to another directory, a kernel out of
   watches), and two writes within a tick of the kernel's clock.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from watchfiles import awatch

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

Stamp = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True, repr=False)
class Reading:
    """One look at a file: its content or why there is none, the stamp it had, None without a file.

    ``young``: the stamp cannot be trusted yet to tell this content from the next.
    """

    content: bytes | OSError
    stamp: Stamp | None = None
    young: bool = False

    def is_stale(self, path: Path) -> bool:
        """Whether ``path`` deserves another look."""
        return self.young or maybe_stamp(path) != self.stamp


class DirectoryWatch:
    """Sets ``changed`` whenever something in ``directory`` may have changed.

    ``is_stale`` is asked each second, in a thread, about changes that no event told of.
    """

    def __init__(self, directory: Path, is_stale: Callable[[], bool]) -> None:
        self.changed = asyncio.Event()
        self._directory = directory
        self._is_stale = is_stale
        self._rewatch = asyncio.Event()

    async def run(self) -> None:
        """Watch for ever. Ends only by cancellation."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._notice_events())
            tasks.create_task(self._notice_by_polling())

    async def _notice_events(self) -> None:
        reported = False
        while True:
            self._rewatch.clear()
            try:
                await self._notice_until_rewatch()
            except (OSError, RuntimeError) as error:
                if not reported:
                    _log.warning("cannot watch %s (%s); it is polled each %g s", self._directory, error, _POLL_S)
                reported = True
                await asyncio.sleep(_POLL_S)
            else:
                reported = False
            # Whatever happened while nobody watched.
            self.changed.set()

    async def _notice_until_rewatch(self) -> None:
        events = awatch(
            self._directory,
            watch_filter=None,
            recursive=False,
            step=_STEP_MS,
            debounce=_BURST_MS,
            stop_event=self._rewatch,
        )
        async for _ in events:
            self.changed.set()

    async def _notice_by_polling(self) -> None:
        directory = _maybe_identity(self._directory)
        while True:
            await asyncio.sleep(_POLL_S)
            if await asyncio.to_thread(self._is_stale):
                self.changed.set()
            now = _maybe_identity(self._directory)
            if now != directory:
                directory = now
                self._rewatch.set()


def read_settled(paths: Collection[Path]) -> Mapping[Path, Reading]:
    """Each file's content once nobody seems to be writing it. Slow (up to 0.2 s, for all together): for a thread.

    A stamp is taken before the read: a later write makes another one, so nothing is missed.
    """
    read = {path: _read(path) for path in paths}
    for _ in range(_SETTLE_TRIES - 1):
        young = [path for path, reading in read.items() if reading.young]
        if not young:
            break
        time.sleep(_SETTLE_S)
        moved = [path for path in young if maybe_stamp(path) != read[path].stamp]
        if not moved:
            break
        read.update((path, _read(path)) for path in moved)
    return read


def _read(path: Path) -> Reading:
    stamp = maybe_stamp(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        return Reading(error)
    return Reading(content, stamp, stamp is not None and abs(time.time() - stamp[-1] / 1e9) < _YOUNG_S)


def maybe_stamp(path: Path) -> Stamp | None:
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
