"""A real ``python -m extproc``: supervisor, workers, admin pages."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from controller.standalone.probes import free_port
from tests.support.waiting import is_alive, until

ROOT = Path(__file__).parents[2]
CONFIG = """
revision: 4
rules:
- source: t/chat@1#rules[0]
  headers: [{name: x-ai-eg-model, value: gpt}]
  backends: [{name: openai, outputSchema: {schema: OpenAI}}]
"""


class Supervised:
    """One processor on free ports, its files in ``folder``; its drain is short."""

    def __init__(
        self, folder: Path, *flags: str, config: str | None = CONFIG, listen: str = "", **environment: str
    ) -> None:
        self.folder = folder
        self.config = folder / "config.yaml"
        # Short: the forkserver's own socket lives below it, and a socket's path holds 107 bytes.
        self.temporary = Path(tempfile.mkdtemp(prefix="extproc-test-"))
        if config is not None:
            self.config.write_text(config)
        self.admin = free_port()
        self.listen = listen or f"unix://{folder}/w"
        self._log = (folder / "log").open("wb")
        arguments = ["--config", str(self.config), "--listen", self.listen, "--admin", f"127.0.0.1:{self.admin}"]
        defaults = ["--shutdown-grace", "0", "--drain-timeout", "2", "--log-format", "text"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "extproc", *arguments, *defaults, *flags],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(self.temporary), **environment},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def ask(self, path: str) -> tuple[int, str]:
        """Status and body of an admin page."""
        connection = HTTPConnection("127.0.0.1", self.admin, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def ready(self) -> bool:
        """Whether ``/readyz`` says so."""
        try:
            return self.ask("/readyz")[0] == 200
        except OSError:
            return False

    def wait_ready(self) -> None:
        """Wait for readiness; raises what was logged when the process ends instead."""
        until(lambda: self.ready() or self.process.poll() is not None, "not ready")
        assert self.process.poll() is None, self.log()

    def workers(self) -> list[dict[str, Any]]:
        """The ``workers`` of ``/config``."""
        found: list[dict[str, Any]] = json.loads(self.ask("/config")[1])["workers"]
        return found

    def pids(self) -> list[int]:
        """The workers' processes."""
        return [worker["pid"] for worker in self.workers() if worker["pid"]]

    def replaced(self, index: int, pid: int) -> None:
        """Wait until worker ``index`` is ready in another process than ``pid``."""
        until(lambda: (w := self.workers()[index])["ready"] and w["pid"] != pid, f"worker {index} was not replaced")

    def metric(self, name: str) -> float:
        """A sample of ``/metrics``; ``name`` with its labels as they are written there."""
        for line in self.ask("/metrics")[1].splitlines():
            if line.startswith(f"{name} "):
                return float(line.rpartition(" ")[2])
        raise KeyError(name)

    def log(self) -> str:
        """What it has printed."""
        return (self.folder / "log").read_text()

    def end(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(15)

    def close(self) -> None:
        """Leave nothing behind, whatever the test did."""
        if self.process.poll() is None:
            pids = self.pids() if self.ready() else []
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            for pid in pids:
                _kill(pid)
        self._log.close()
        shutil.rmtree(self.temporary, ignore_errors=True)


@contextmanager
def supervised(
    folder: Path, *flags: str, config: str | None = CONFIG, listen: str = "", **environment: str
) -> Iterator[Supervised]:
    """A processor that is started, not yet ready, and ended with the context."""
    found = Supervised(folder, *flags, config=config, listen=listen, **environment)
    try:
        yield found
    finally:
        found.close()


def _kill(pid: int) -> None:
    deadline = time.monotonic() + 5
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    if is_alive(pid):
        os.kill(pid, signal.SIGKILL)
