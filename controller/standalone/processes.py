"""Supervision of child processes: started on a leash, restarted with back-off, stopped in order."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from controller.standalone import leash
from controller.standalone.faults import Fault
from controller.standalone.options import Report


class ChildFailed(Fault):
    """A child is gone for good. ``exit_code`` is what a shell would show for it, never 0."""

    def __init__(self, name: str, end: int | OSError, when: str) -> None:
        super().__init__(f"{name} {describe(end)} {when}")
        returncode = 1 if isinstance(end, OSError) else end
        self.exit_code = 128 - returncode if returncode < 0 else max(returncode, 1)


@dataclass(frozen=True, slots=True)
class Program:
    """What to run. ``environment`` goes on top of ours; ``stdout`` and ``stderr`` are descriptors, None: ours."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    stdout: int | None = None
    stderr: int | None = None


@dataclass(frozen=True, slots=True)
class Patience:
    """When a child is restarted and when it is given up.

    The pause before a restart doubles from ``first_s`` to ``longest_s``; a child that lived ``settled_s`` starts over
    with the first. ``deaths`` in a row without settling are the end.
    """

    first_s: float = 0.1
    longest_s: float = 5.0
    settled_s: float = 10.0
    deaths: int = 10


class Child:
    """One supervised process.

    Until ``trust`` is called its death is final: a program that never worked will not work the next time. After that it
    is restarted. ``failed`` holds the ``ChildFailed`` once it is given up.
    """

    def __init__(self, program: Program, report: Report, patience: Patience | None = None) -> None:
        self.program = program
        self.starts = 0
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._report = report
        self._patience = patience or Patience()
        self._trusted = False
        self._process: asyncio.subprocess.Process | None = None
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process id; None while nothing runs."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self) -> None:
        """Start the program and watch over it from now on. Raises ``OSError`` when it cannot be run at all."""
        await self._spawn()
        self._supervisor = asyncio.create_task(self._supervise())

    def trust(self) -> None:
        """It has worked: from now on it is restarted when it dies."""
        self._trusted = True

    async def stop(self, grace_s: float) -> None:
        """End it: SIGTERM, ``grace_s`` seconds of time, then SIGKILL for it and all it started."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._supervisor
        process = self._process
        if process is not None and process.returncode is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), grace_s)
            _end_group(process.pid)
            await process.wait()
        if self.failed.done() and not self.failed.cancelled():
            self.failed.exception()  # seen, in case nobody has looked yet
        self.failed.cancel()

    async def _spawn(self) -> None:
        # A session of its own: Ctrl-C in the terminal is for us alone, who know the order to stop things in.
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(Path(leash.__file__)), str(os.getpid()), *self.program.command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=self.program.stdout,
            stderr=self.program.stderr,
            env={**os.environ, **self.program.environment},
            start_new_session=True,
        )
        self.starts += 1

    async def _supervise(self) -> None:
        deaths = 0
        unstartable: OSError | None = None
        while self._process is not None:
            started = time.monotonic()
            end = unstartable or await self._process.wait()
            if unstartable is None:
                _end_group(self._process.pid)
            lived_s = time.monotonic() - started
            deaths = 1 if lived_s >= self._patience.settled_s else deaths + 1
            if not self._trusted or deaths >= self._patience.deaths:
                when = f"{deaths} times in a row" if self._trusted else "before it was ready"
                self.failed.set_exception(ChildFailed(self.program.name, end, when))
                return
            pause_s = min(self._patience.first_s * 2 ** (deaths - 1), self._patience.longest_s)
            self._report(f"{self.program.name} {describe(end)}; starting it again in {pause_s:g} s")
            await asyncio.sleep(pause_s)
            unstartable = await self._maybe_unstartable()

    async def _maybe_unstartable(self) -> OSError | None:
        """Start it again, or say why that does not work: no memory, no more processes, no file descriptors."""
        try:
            await self._spawn()
        except OSError as error:
            return error
        return None


def describe(returncode: int | OSError) -> str:
    """How a process ended, in words."""
    if isinstance(returncode, OSError):
        return f"could not be started ({returncode.strerror or returncode})"
    if returncode >= 0:
        return f"exited with code {returncode}"
    try:
        return f"was killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"was killed by signal {-returncode}"


def _end_group(pid: int) -> None:
    """Kill what a dead child left behind: its workers would keep sockets that its successor needs."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


async def first_failure(children: Sequence[Child]) -> None:
    """Waits until one of the children is given up and raises its ``ChildFailed``."""
    done, _ = await asyncio.wait([child.failed for child in children], return_when=asyncio.FIRST_COMPLETED)
    for future in done:
        future.result()
