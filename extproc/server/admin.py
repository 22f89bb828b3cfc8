"""The admin pages: health, readiness, metrics, configuration and credentials of all workers, over plain HTTP.

Nothing here holds a secret, but nothing authenticates either: bind it where only the cluster or the machine reaches it.
Each connection has a thread and five seconds of patience, so a slow client delays nobody.
"""

import logging
import socketserver
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from extproc.config.names import OLDEST_VERSION, VERSION
from extproc.server.credentials.overview import credential_gauges, credentials_page
from extproc.server.metrics import collected
from extproc.server.settings import host_port

_JSON: Final = "application/json"
_TEXT: Final = "text/plain; charset=utf-8"
_PATIENCE_S: Final = 5.0
#: How often the server looks whether it shall end, seconds.
_END_NOTICED_S: Final = 0.1

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """What the supervisor knows of one worker. ``status``: the fields of ``reload.ConfigStatus``, empty at first."""

    index: int
    pid: int | None = None
    listening: bool = False
    starts: int = 0
    status: Mapping[str, Any] = field(default_factory=dict)
    #: The fields of ``account.CredentialStatus`` by backend.
    credentials: Mapping[str, Any] = field(default_factory=dict)

    @property
    def serving(self) -> bool:
        """Takes traffic: it listens and has a configuration."""
        return self.listening and bool(self.status.get("serving"))


@dataclass(frozen=True, slots=True)
class Overview:
    """All workers at one moment."""

    workers: tuple[WorkerReport, ...]
    draining: bool = False

    def obstacles(self) -> list[str]:
        """Why this process is not ready; empty when every worker listens with a configuration."""
        found = ["draining: a signal to end was received"] if self.draining else []
        for worker in self.workers:
            if not worker.listening:
                found.append(f"worker {worker.index}: not listening")
            elif not worker.serving:
                found.append(
                    f"worker {worker.index}: no configuration: {worker.status.get('error') or 'not loaded yet'}"
                )
        return found


@dataclass(frozen=True, slots=True)
class _Page:
    status: int
    content_type: str
    body: bytes


class AdminServer:
    """Serves the pages from threads of its own, from the moment it is made until ``close``.

    ``overview`` is called for every page, from any thread. ``metrics_directory`` is where the workers' counters lie.
    Raises ``OSError`` when the address cannot be bound.
    """

    def __init__(self, address: str, overview: Callable[[], Overview], metrics_directory: str) -> None:
        registry = collected(metrics_directory)
        registry.register(_FleetCollector(overview))
        self._pages: dict[str, Callable[[str], _Page]] = {
            "/": lambda _: _Page(200, _TEXT, "\n".join([*self._pages, ""]).encode()),
            "/healthz": lambda _: _Page(200, _TEXT, b"ok\n"),
            "/readyz": lambda _: _readiness(overview()),
            "/metrics": lambda accept: _metrics(registry, accept),
            "/config": lambda _: _Page(200, _JSON, msgspec.json.format(config_page(overview()))),
            "/credentials": lambda _: _Page(200, _JSON, msgspec.json.format(_credentials_page(overview()))),
        }
        self._server = _Server(address, self._pages)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_END_NOTICED_S,), name="admin", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening; a page that is being sent may stay unfinished."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def config_page(overview: Overview) -> bytes:
    """The answer for all workers as one JSON object: what the worker with the oldest configuration serves.

    Workers without a configuration take no traffic, so they do not count, except in ``workers``.
    """
    serving = [w for w in overview.workers if w.status.get("serving")]
    oldest = min(serving, key=lambda w: (w.status["revision"], w.status["loaded_at"])).status if serving else {}
    failing = [w.status for w in overview.workers if w.status.get("error")]
    error = min(failing, key=lambda status: float(status["error_since"])) if failing else None
    return msgspec.json.encode(
        {
            "revision": oldest.get("revision"),
            "hash": oldest.get("hash"),
            "version": oldest.get("version"),
            "accepts": [OLDEST_VERSION, VERSION],
            "loadedAt": _rfc3339(oldest["loaded_at"]) if oldest else None,
            "lastError": error and {"message": error["error"], "since": _rfc3339(error["error_since"])},
            "workers": [
                {
                    "index": w.index,
                    "pid": w.pid,
                    "revision": w.status.get("revision") if w.status.get("serving") else None,
                    "hash": w.status.get("hash") or None,
                    "ready": w.serving,
                }
                for w in overview.workers
            ],
            "rules": oldest.get("rules", []),
        }
    )


def _credentials_page(overview: Overview) -> bytes:
    return credentials_page(worker.credentials for worker in overview.workers)


def _readiness(overview: Overview) -> _Page:
    obstacles = overview.obstacles()
    if obstacles:
        return _Page(503, _TEXT, "\n".join([*obstacles, ""]).encode())
    return _Page(200, _TEXT, b"ok\n")


def _metrics(registry: CollectorRegistry, accept: str) -> _Page:
    encode, content_type = choose_encoder(accept)
    for _ in range(3):
        try:
            return _Page(200, content_type, encode(registry))
        except struct.error:
            # A worker has just made a file and not yet given it its size: the window is microseconds.
            time.sleep(0.05)
    return _Page(503, _TEXT, b"a worker's metrics file is empty; try again\n")


def _rfc3339(unix_seconds: float) -> str:
    return f"{datetime.fromtimestamp(unix_seconds, UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


class _FleetCollector(Collector):
    """What only the supervisor can count."""

    def __init__(self, overview: Callable[[], Overview]) -> None:
        self._overview = overview

    def collect(self) -> Iterator[Metric]:
        workers = self._overview().workers
        starts = CounterMetricFamily(
            "llmroute_worker_starts", "How often each worker was started; more than once: it died.", labels=["worker"]
        )
        serving = GaugeMetricFamily("llmroute_worker_serving", "1 while the worker takes traffic.", labels=["worker"])
        for worker in workers:
            starts.add_metric([str(worker.index)], worker.starts)
            serving.add_metric([str(worker.index)], worker.serving)
        yield starts
        yield serving
        yield from credential_gauges(worker.credentials for worker in workers)


class _Server(ThreadingHTTPServer):
    request_queue_size = 128

    def __init__(self, address: str, pages: Mapping[str, Callable[[str], _Page]]) -> None:
        host, port = host_port(address)
        self.address_family = AF_INET6 if host.startswith("[") else AF_INET
        self.pages = pages
        super().__init__((host.strip("[]"), port), _Handler)

    def server_bind(self) -> None:
        # Not HTTPServer's: that asks DNS for our own name, which can take seconds in a cluster.
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, *_: Any, **__: Any) -> None:
        if isinstance(sys.exception(), OSError):
            _log.debug("a client of the admin pages left early", exc_info=True)
        else:
            _log.exception("a bug in the admin pages")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _PATIENCE_S
    #: One write for head and body: two would wait for each other (Nagle and delayed ACK, 40 ms).
    wbufsize = 1 << 16
    error_content_type = _TEXT
    error_message_format = "%(code)d %(message)s\n"
    server: _Server

    def answer(self) -> None:
        page = self.server.pages.get(urlsplit(self.path).path)
        if page is None:
            self._send(_Page(404, _TEXT, b"not found; / lists the pages\n"))
        else:
            self._send(page(self.headers.get("accept", "")))

    def refuse(self) -> None:
        self._send(_Page(405, _TEXT, b"only GET and HEAD\n"), ("allow", "GET, HEAD"))

    def _send(self, page: _Page, *headers: tuple[str, str]) -> None:
        self.send_response(page.status)
        for name, value in (
            ("content-type", page.content_type),
            ("content-length", str(len(page.body))),
            ("cache-control", "no-store"),
            ("connection", "close"),
            *headers,
        ):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page.body)

    def version_string(self) -> str:
        return "llmroute"

    def log_message(self, *args: Any, **_: Any) -> None:
        _log.debug(*args)


for _method in ("GET", "HEAD"):
    setattr(_Handler, f"do_{_method}", _Handler.answer)
for _method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"):
    setattr(_Handler, f"do_{_method}", _Handler.refuse)
