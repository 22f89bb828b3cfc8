"""A program of the tests' own: its output in a file, its memory and time from /proc, its end certain."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from controller.standalone import leash
from tests.support.waiting import until

_END_S = 30


class Process:
    """Started at once; ``close`` it. Ends with the tests, however these end."""

    def __init__(
        self, name: str, command: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._log = folder / f"{name}.log"
        self._command = [sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *map(str, command)]
        self._environment = {**os.environ, **(environment or {})}
        self.start()

    def start(self) -> None:
        """Start it, also once more after it has ended; the log goes on."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        """All it has printed."""
        return self._log.read_text(errors="replace")

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs. Negative: the signal that ended it."""
        return self._process.poll()

    @property
    def peak_bytes(self) -> int:
        """The most memory that it has held so far."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))

    @property
    def cpu_s(self) -> float:
        """Processor time so far, in seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def send(self, number: signal.Signals) -> None:
        """A signal, without waiting for what it does."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self._process.kill()
        self._process.wait(_END_S)

    def terminate(self) -> int:
        """SIGTERM; the exit code."""
        self._process.terminate()
        return self._process.wait(_END_S)

    def demand_running(self) -> None:
        """Fails with the end of what it printed when it has ended."""
        assert self.code is None, f"{self.name} ended with {self.code}:\n{self.log[-4000:]}"

    def until_said(self, words: str, limit_s: float = 30.0) -> None:
        """Returns when these words are in its output, which must happen while it runs."""
        until(lambda: words in self.log or self.code is not None, f"{self.name} did not say {words!r}", limit_s)
        assert words in self.log, f"{self.name} ended with {self.code}:\n{self.log[-4000:]}"

    def close(self) -> None:
        """Leave nothing behind, whatever the test did."""
        if self.code is None:
            self._process.send_signal(signal.SIGCONT)  # a stopped one hears nothing
            self._process.terminate()
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self.kill()
