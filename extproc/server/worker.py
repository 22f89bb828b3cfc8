"""One worker process: its address, its configuration, its gRPC server, and its orderly end.

1. The address is bound before the first configuration is read, but nothing is accepted before that is done: what
   connects meanwhile waits in the kernel's queue instead of being refused.
2. SIGTERM, or the supervisor's death: NOT_SERVING at once, so that Envoy turns away while everything still works; after
   ``shutdown_grace`` the listener closes; streams in flight may take ``drain_timeout``. A second SIGTERM ends at once.
"""

import asyncio
import gc
import logging
import os
import signal
import socket
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Final

import grpc
import msgspec
import uvloop

from extproc.exchange.gateway import Gateway
from extproc.server.address import AddressError, claim, share
from extproc.server.books import Books
from extproc.server.credentials.reports import CredentialReports
from extproc.server.credentials.vault import Vault
from extproc.server.health import Health, add_reflection
from extproc.server.listener import AdoptionError, adopt, answers
from extproc.server.logs import AccessLog
from extproc.server.metrics import Metrics
from extproc.server.reload import ConfigState, ConfigStatus, status_message
from extproc.server.servicer import EDGES, Processor, handler
from extproc.server.settings import Settings

#: Envoy buffers up to 50 MiB of a body (the documented listener limit); gRPC's own limit would be 4 MiB.
_MAX_MESSAGE_BYTES: Final = 64 << 20
#: Of the gRPC server.
SERVER_OPTIONS: Final = (
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    # A port that is taken is an error. Shared, one worker would get every stream.
    ("grpc.so_reuseport", 0),
    # Envoy does not ping unless told to; if it is, however often, that is no reason to close its connection.
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    # Notice an Envoy whose machine vanished, so that its streams do not stay open for hours.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)
#: gRPC leaves a handful of objects in cycles behind each exchange: those of a thousand exchanges, collected together,
#: take about a millisecond. The default looks seven times as often.
_GC_THRESHOLDS: Final = (5_000, 20, 50)

_log = logging.getLogger(__name__)


def run_worker(settings: Settings, index: int, control: Connection, kept: socket.socket | None = None) -> int:
    """Run worker ``index`` until it is told to end, or ``control`` reaches its end; the exit code.

    ``kept`` is a socket of the supervisor's that listens on the worker's address; without it the worker binds itself.

    0: ended as asked, everything drained or its time was up. 1: its address cannot be bound; the reason is logged.
    ``control`` is told, as JSON objects, of every change of the configuration's status and of the credentials', and of
    ``listening``, ``draining``, and ``unkept``: ``kept`` cannot be used, now or ever.
    """
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_Worker(settings, index, control, kept).run())
    except AddressError as error:
        _log.error("%s", error)
        return 1
    except AdoptionError as error:
        _log.warning("%s; without kept sockets a crashed worker's address is refused until it is back", error)
        control.send_bytes(msgspec.json.encode({"kind": "unkept"}))
        return 1
    return 0


class _Reports:
    """Tells the supervisor, in order, from a thread of its own: a pipe that is full must not stop the event loop."""

    def __init__(self, control: Connection) -> None:
        self._control = control
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reports")

    def send(self, message: bytes) -> None:
        self._thread.submit(self._send, message)

    def kind(self, kind: str) -> None:
        self.send(msgspec.json.encode({"kind": kind}))

    def close(self) -> None:
        self._thread.shutdown()

    def _send(self, message: bytes) -> None:
        # A supervisor that is gone is noticed by reading.
        with suppress(OSError):
            self._control.send_bytes(message)


class _Worker:
    def __init__(self, settings: Settings, index: int, control: Connection, kept: socket.socket | None) -> None:
        self._settings = settings
        self._address = settings.address(index)
        self._control = control
        self._kept = kept
        self._reports = _Reports(control)
        self._metrics = Metrics()
        self._books = Books(self._metrics, AccessLog())
        self._vault = Vault(settings.credentials, CredentialReports(self._reports.send, self._metrics))
        self._config = ConfigState(settings.config_path, self._on_status, settings.path_prefix, self._prepare)
        edges = msgspec.structs.replace(
            EDGES, credential=self._vault.credential, callers=self._vault.callers, refused=self._vault.refused
        )
        self._processor = Processor(self._config, self._books, edges)
        self._health = Health()
        self._first_load = asyncio.Event()
        self._ending = asyncio.Event()
        self._hurried = asyncio.Event()

    async def run(self) -> None:
        try:
            server = self._bind()
            self._heed_signals()
            watching = asyncio.create_task(self._watch())
            try:
                await self._serve(server, watching)
            finally:
                watching.cancel()
                with suppress(asyncio.CancelledError):
                    await watching
        finally:
            self._reports.close()

    async def _watch(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._vault.watch())
            tasks.create_task(self._config.watch())

    async def _prepare(self, gateway: Gateway) -> None:
        await self._vault.follow(gateway.auths, gateway.callers)

    def _bind(self) -> grpc.aio.Server:
        server = grpc.aio.server(options=SERVER_OPTIONS)
        server.add_generic_rpc_handlers((handler(self._processor), self._health.handler()))
        add_reflection(server)
        if self._kept is not None:
            adopt(self._kept, server.add_insecure_port)
            return server
        claim(self._address)
        try:
            server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise AddressError(f"cannot listen on {self._address}: {error}") from None
        share(self._address)
        return server

    def _heed_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._end)
        # The supervisor never speaks: something to read is the end of the file, so of the supervisor.
        loop.add_reader(self._control.fileno(), self._on_control)
        # libuv makes what it watches non-blocking; reports of ten thousand rules are longer than the pipe's buffer.
        os.set_blocking(self._control.fileno(), True)

    def _on_control(self) -> None:
        asyncio.get_running_loop().remove_reader(self._control.fileno())
        _log.warning("the supervisor is gone; draining")
        self._end()

    def _end(self) -> None:
        if self._ending.is_set():
            self._hurried.set()
        self._ending.set()

    async def _serve(self, server: grpc.aio.Server, watching: "asyncio.Task[None]") -> None:
        await _first_of(self._first_load.wait(), self._ending.wait(), watching)
        # After the imports and the first configuration, which are here to stay: never look at them again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)
        await server.start()
        if self._kept is not None:
            await answers(self._kept.getsockname())
            self._kept.close()
        self._reports.kind("listening")
        _log.info("listening on %s", self._address)
        try:
            await _first_of(self._ending.wait(), watching)
        finally:
            await self._drain(server)
        if watching.done():
            watching.result()

    async def _drain(self, server: grpc.aio.Server) -> None:
        self._health.set_serving(serving=False)
        self._processor.drain()
        self._reports.kind("draining")
        _log.info(
            "draining %s: closing in %g s, then waiting up to %g s for open streams",
            self._address,
            self._settings.shutdown_grace,
            self._settings.drain_timeout,
        )
        await _first_of(self._hurried.wait(), asyncio.sleep(self._settings.shutdown_grace))
        self._health.close()
        stopping = asyncio.create_task(server.stop(self._settings.drain_timeout))
        await _first_of(self._hurried.wait(), stopping)
        await server.stop(None)
        await stopping
        self._books.settle()

    def _on_status(self, status: ConfigStatus) -> None:
        self._first_load.set()
        self._metrics.config(status)
        self._reports.send(status_message(status))
        self._health.set_serving(serving=status.serving and not self._ending.is_set())


async def _first_of(*waits: Awaitable[object]) -> None:
    """Return when one of them is done. The coroutines among the others are cancelled, the tasks go on."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task, wait in zip(tasks, waits, strict=True):
            if task is not wait:
                task.cancel()
