"""A real worker process and its supervisor's end of the pipe."""

import json
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from extproc.server.settings import Settings
from extproc.server.supervisor import work

#: Starting Python with all imports takes a second on a busy machine; hitting this means a hang.
LIMIT_S = 30


class WorkerProcess:
    """A worker that runs, as its supervisor sees it."""

    def __init__(self, settings: Settings) -> None:
        context = multiprocessing.get_context("spawn")
        self.address = settings.address(0)
        self.control: Connection
        self.control, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=work, args=(settings, 0, theirs))
        self.process.start()
        theirs.close()

    def hear(self, kind: str) -> dict[str, Any]:
        """The next message of this kind; others before it are skipped."""
        while self.control.poll(LIMIT_S):
            message: dict[str, Any] = json.loads(self.control.recv_bytes())
            if message["kind"] == kind:
                return message
        raise TimeoutError(f"no message of kind {kind!r}")

    def terminate(self) -> None:
        """Send SIGTERM."""
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGTERM)

    def exit_code(self) -> int | None:
        """How it ended."""
        self.process.join(LIMIT_S)
        return self.process.exitcode


@contextmanager
def running(settings: Settings) -> Iterator[WorkerProcess]:
    """A worker that is gone afterwards. ``PROMETHEUS_MULTIPROC_DIR`` must name a directory."""
    worker = WorkerProcess(settings)
    try:
        yield worker
    finally:
        worker.process.kill()
        worker.process.join(LIMIT_S)
        worker.process.close()
        worker.control.close()
