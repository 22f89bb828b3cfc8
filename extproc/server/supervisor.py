"""The main process: starts the workers, respawns the dead, passes signals on, and serves the admin pages.

It never imports gRPC: workers are forked from a *forkserver*, a helper process that has imported everything and started
nothing, so a respawned worker listens within milliseconds and nothing is ever forked from a process with threads. Each
worker holds one end of a pipe. Its end of file is how both sides learn of the other's death, however that came about:
the supervisor respawns, a worker drains and exits. See docs/decisions/0002-worker-sockets.md.
"""

import logging
import multiprocessing
import os
import pkgutil
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from typing import Any, Final, Self

import msgspec

from extproc.server import logs
from extproc.server.address import AddressError
from extproc.server.admin import AdminServer, Overview, WorkerReport
from extproc.server.credentials.overview import updated
from extproc.server.listener import forsake, keep
from extproc.server.metrics import DIRECTORY_VARIABLE, forget_worker_gauges, keep_in_worker_files
from extproc.server.settings import Settings

_RUN_WORKER: Final = "extproc.server.worker:run_worker"
#: A worker that lives less than this is in a crash loop, seconds.
_SHORT_LIFE_S: Final = 1.0
#: Waits before the second, third, ... respawn in a row of short lives, seconds. The first is immediate.
_BACK_OFF_S: Final = (0.0, 0.25, 1.0, 2.5, 5.0)
#: What a worker may take beyond its grace and drain time until it is killed, seconds.
_EXIT_MARGIN_S: Final = 5.0
#: How long an ended worker's process may take to be reaped, seconds.
_REAP_S: Final = 2.0

_log = logging.getLogger(__name__)


def work(settings: Settings, index: int, control: Connection, kept: socket.socket | None = None) -> None:
    """The main function of a worker process: exits with ``run_worker``'s word."""
    # A Ctrl-C reaches the whole foreground group; the supervisor alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logs.configure(settings.log_level, settings.log_format)
    keep_in_worker_files(index)
    run_worker = pkgutil.resolve_name(_RUN_WORKER)
    try:
        code = run_worker(settings, index, control, kept)
    finally:
        # multiprocessing leaves by os._exit: nothing else would write the last access lines.
        logging.shutdown()
    sys.exit(code)


@dataclass(slots=True)
class _Worker:
    """One worker's place: its number and address stay, its process comes and goes."""

    index: int
    process: ForkServerProcess | None = None
    control: Connection | None = None
    #: Listens on the worker's address, also while no process accepts.
    kept: socket.socket | None = None
    started: float = 0.0
    starts: int = 0
    short_lives: int = 0
    start_at: float = 0.0
    listening: bool = False
    ever_listened: bool = False
    unkept: bool = False
    status: dict[str, Any] = field(default_factory=dict)
    #: By backend; never changed in place, as other threads read it.
    credentials: Mapping[str, Any] = field(default_factory=dict)

    def drop_socket(self) -> None:
        """Let nobody wait for a worker that will not accept soon."""
        if self.kept is not None:
            self.kept.close()
            self.kept = None

    def report(self) -> WorkerReport:
        """This moment, as a value that other threads may keep."""
        pid = None if self.process is None else self.process.pid
        return WorkerReport(self.index, pid, self.listening, self.starts, self.status, self.credentials)


class Supervisor:
    """Runs ``settings.workers`` workers until a signal ends it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._context = multiprocessing.get_context("forkserver")
        self._workers = tuple(_Worker(index) for index in range(settings.workers))
        self._overview = Overview(())
        self._metrics_directory = ""
        self._draining = False
        self._keeping = True
        self._deadline = float("inf")
        self._exit_code = 0

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT and all workers have drained; the process's exit code.

        0: ended as asked. 1: a worker could not start (its address is taken, say), the admin address is taken, or a
        second signal cut the drain short. What was wrong is logged.
        """
        with _Signals() as signals:
            return self._run(signals)

    def _run(self, signals: "_Signals") -> int:
        try:
            self._metrics_directory = tempfile.mkdtemp(prefix="extproc-")
        except OSError as error:
            _log.error("cannot make a temporary directory: %s; mount a writable /tmp or set TMPDIR", error)
            return 1
        try:
            return self._run_with_admin(signals)
        finally:
            self._kill_all()
            for worker in self._workers:
                forsake(self._settings.address(worker.index))
            shutil.rmtree(self._metrics_directory, ignore_errors=True)

    def _run_with_admin(self, signals: "_Signals") -> int:
        self._publish()
        try:
            admin = AdminServer(self._settings.admin, lambda: self._overview, self._metrics_directory)
        except OSError as error:
            _log.error("cannot listen on %s (--admin): %s", self._settings.admin, error.strerror or error)
            return 1
        try:
            self._supervise(signals)
        finally:
            admin.close()
        return self._exit_code

    def _supervise(self, signals: "_Signals") -> None:
        # Read when prometheus_client is imported, in the forkserver: so before that starts.
        os.environ[DIRECTORY_VARIABLE] = self._metrics_directory
        self._context.set_forkserver_preload([_RUN_WORKER.partition(":")[0]])
        while not self._draining or any(w.process for w in self._workers):
            self._start_due()
            self._publish()
            controls = {w.control: w for w in self._workers if w.control is not None}
            for ready in wait([signals.socket, *controls], self._patience()):
                if isinstance(ready, Connection):
                    self._hear(controls[ready])
                else:
                    self._heed(signals.received())
            if time.monotonic() > self._deadline:
                _log.error("workers did not end in time; killing them")
                self._deadline = float("inf")
                self._exit_code = 1
                self._kill_all()

    def _start_due(self) -> None:
        now = time.monotonic()
        for worker in self._workers:
            if worker.process is None and not self._draining and now >= worker.start_at:
                self._start(worker)

    def _start(self, worker: _Worker) -> None:
        worker.started = time.monotonic()
        worker.starts += 1
        try:
            if self._keeping and worker.kept is None:
                worker.kept = keep(self._settings.address(worker.index))
            self._fork(worker)
        except (AddressError, OSError, EOFError) as error:
            _log.error("worker %d: cannot start: %s", worker.index, error)
            self._after_failed_start(worker)

    def _fork(self, worker: _Worker) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=work,
            args=(self._settings, worker.index, theirs, worker.kept),
            name=f"extproc-worker-{worker.index}",
        )
        try:
            process.start()
        except (OSError, EOFError):
            ours.close()
            raise
        finally:
            theirs.close()
        worker.process, worker.control = process, ours

    def _after_failed_start(self, worker: _Worker) -> None:
        if worker.ever_listened:
            self._plan_respawn(worker)
        else:
            self._exit_code = 1
            self._drain()

    def _hear(self, worker: _Worker) -> None:
        """Read one message of a worker, or learn that it is gone."""
        assert worker.control is not None
        try:
            message = msgspec.json.decode(worker.control.recv_bytes(), type=dict[str, Any])
        except (EOFError, OSError):
            self._bury(worker)
            return
        match message.pop("kind", None):
            case "status":
                worker.status = message
            case "credentials":
                worker.credentials = updated(worker.credentials, message["changed"])
            case "listening":
                worker.listening = worker.ever_listened = True
            case "draining":
                worker.listening = False
                worker.drop_socket()
            case "unkept":
                self._keeping = False
                worker.drop_socket()
                worker.unkept = True
            case unknown:
                _log.error("worker %d: message of unknown kind %r", worker.index, unknown)

    def _bury(self, worker: _Worker) -> None:
        assert worker.process is not None
        process = worker.process
        code = _reap(process)
        self._forget(worker)
        if self._draining:
            _log.info("worker %d (pid %s) ended: %s", worker.index, process.pid, _cause(code))
        elif worker.unkept:
            worker.unkept = False
        elif not worker.ever_listened:
            _log.error(
                "worker %d could not start on %s: %s", worker.index, self._settings.address(worker.index), _cause(code)
            )
            self._after_failed_start(worker)
        else:
            self._plan_respawn(worker)
            delay = max(0.0, worker.start_at - time.monotonic())
            _log.warning(
                "worker %d (pid %s) died: %s; respawning in %.2f s", worker.index, process.pid, _cause(code), delay
            )

    def _forget(self, worker: _Worker) -> None:
        if worker.control is not None:
            worker.control.close()
        worker.process = worker.control = None
        worker.listening = False
        worker.status = {}
        worker.credentials = {}
        forget_worker_gauges(worker.index, self._metrics_directory)

    def _plan_respawn(self, worker: _Worker) -> None:
        now = time.monotonic()
        if now - worker.started >= _SHORT_LIFE_S:
            worker.short_lives = 0
        worker.start_at = now + _BACK_OFF_S[min(worker.short_lives, len(_BACK_OFF_S) - 1)]
        worker.short_lives += 1
        if worker.start_at > now:
            worker.drop_socket()

    def _heed(self, received: set[signal.Signals]) -> None:
        if not received:
            return
        if self._draining:
            _log.warning("a second signal: killing the workers")
            self._exit_code = 1
            self._kill_all()
            return
        _log.info("%s: draining the workers", " and ".join(sorted(s.name for s in received)))
        self._drain()

    def _drain(self) -> None:
        self._draining = True
        allowed = self._settings.shutdown_grace + self._settings.drain_timeout + _EXIT_MARGIN_S
        self._deadline = time.monotonic() + allowed
        self._publish()
        for worker in self._workers:
            worker.drop_socket()
            _send(worker, signal.SIGTERM)

    def _kill_all(self) -> None:
        for worker in self._workers:
            if worker.process is not None:
                _send(worker, signal.SIGKILL)
                _reap(worker.process)
                self._forget(worker)

    def _patience(self) -> float | None:
        """Seconds until something is to be done that nobody reports; None for ever."""
        if self._draining and not any(w.process for w in self._workers):
            return 0.0
        due = [w.start_at for w in self._workers if w.process is None and not self._draining]
        nearest = min([*due, self._deadline])
        return None if nearest == float("inf") else max(0.0, nearest - time.monotonic())

    def _publish(self) -> None:
        self._overview = Overview(tuple(w.report() for w in self._workers), self._draining)


def _send(worker: _Worker, number: signal.Signals) -> None:
    # Not Process.terminate: that does nothing once the forkserver, which knows the exit codes, has died.
    if worker.process is not None and worker.process.pid is not None:
        with suppress(ProcessLookupError):
            os.kill(worker.process.pid, number)


def _reap(process: ForkServerProcess) -> int | None:
    """The exit code; negative for a signal. A process that closed its pipe and stays is killed."""
    process.join(_REAP_S)
    if process.exitcode is None:
        process.kill()
        process.join(_REAP_S)
    return process.exitcode


def _cause(code: int | None) -> str:
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"


class _Signals:
    """SIGTERM and SIGINT as something to wait for, beside pipes: ``socket`` is readable when one has come."""

    _HEEDED: Final = (signal.SIGTERM, signal.SIGINT)

    def __enter__(self) -> Self:
        self.socket, self._write = socket.socketpair()
        self.socket.setblocking(False)
        self._write.setblocking(False)
        self._old_fd = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        # A handler must exist, or the signal would do its default work; the byte in the socket says which one came.
        self._old = {number: signal.signal(number, lambda *_: None) for number in self._HEEDED}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._old_fd)
        self.socket.close()
        self._write.close()

    def received(self) -> set[signal.Signals]:
        """The signals that came since the last call."""
        try:
            return {signal.Signals(byte) for byte in self.socket.recv(1024)} & set(self._HEEDED)
        except BlockingIOError:
            return set()
