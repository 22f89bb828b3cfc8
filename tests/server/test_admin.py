"""The admin pages, asked over real connections."""

import json
import socket
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from controller.standalone.probes import free_port
from extproc.config.names import OLDEST_VERSION, VERSION
from extproc.server.admin import AdminServer, Overview, WorkerReport, config_page

GOOD = {
    "revision": 4,
    "hash": "h4",
    "version": 1,
    "loaded_at": 1_700_000_000.25,
    "error": None,
    "error_since": None,
    "rules": [{"source": "t/chat@1#rules[0]"}],
    "serving": True,
}
READY = WorkerReport(0, 100, listening=True, starts=1, status=GOOD)


class Pages:
    """A running admin server whose overview the test sets."""

    def __init__(self, folder: Path) -> None:
        self.overview = Overview((READY,))
        self.port = free_port()
        self._server = AdminServer(f"127.0.0.1:{self.port}", lambda: self.overview, str(folder))

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[HTTPResponse, bytes]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response, body

    def close(self) -> None:
        self._server.close()


@pytest.fixture
def pages(tmp_path: Path) -> Iterator[Pages]:
    """An admin server on a free port."""
    found = Pages(tmp_path)
    yield found
    found.close()


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/plain; charset=utf-8"),
        ("/healthz", "text/plain; charset=utf-8"),
        ("/readyz", "text/plain; charset=utf-8"),
        ("/readyz?verbose", "text/plain; charset=utf-8"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
        ("/config", "application/json"),
        ("/credentials", "application/json"),
    ],
)
def test_pages_answer_get_and_head(pages: Pages, path: str, content_type: str) -> None:
    """Each page has its type and length; HEAD tells the same without the body."""
    got, body = pages.ask(path)
    head, nothing = pages.ask(path, "HEAD")

    assert (got.status, head.status) == (200, 200)
    assert content_type == got.headers["content-type"] == head.headers["content-type"]
    assert int(got.headers["content-length"]) == len(body) > 0
    assert nothing == b""
    assert int(head.headers["content-length"]) > 0
    assert "Python" not in str(got.headers)


def test_index_lists_the_pages(pages: Pages) -> None:
    """Someone who knows only the port finds the rest."""
    assert pages.ask("/")[1].decode().split() == ["/", "/healthz", "/readyz", "/metrics", "/config", "/credentials"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_other_methods_are_not_allowed(pages: Pages, method: str) -> None:
    """405 and what is allowed, for any path."""
    response, _ = pages.ask("/config", method)

    assert (response.status, response.headers["allow"]) == (405, "GET, HEAD")


def test_unknown_path_and_method(pages: Pages) -> None:
    """404 and 501, as text."""
    missing, _ = pages.ask("/nope")
    strange, body = pages.ask("/", "BREW")

    assert (missing.status, strange.status) == (404, 501)
    assert strange.headers["content-type"] == "text/plain; charset=utf-8"
    assert b"<" not in body


@pytest.mark.parametrize(
    ("overview", "reasons"),
    [
        (Overview((READY, WorkerReport(1))), ["worker 1: not listening"]),
        (
            Overview((WorkerReport(0, 5, listening=True, status={"serving": False, "error": "no file"}),)),
            ["worker 0: no configuration: no file"],
        ),
        (Overview((WorkerReport(0, 5, listening=True),)), ["worker 0: no configuration: not loaded yet"]),
        (Overview((READY,), draining=True), ["draining: a signal to end was received"]),
    ],
)
def test_readiness_tells_its_obstacles(pages: Pages, overview: Overview, reasons: list[str]) -> None:
    """503 and one reason a line, while health stays good."""
    pages.overview = overview
    response, body = pages.ask("/readyz")

    assert (response.status, body.decode().splitlines()) == (503, reasons)
    assert pages.ask("/healthz")[0].status == 200


def test_config_page_is_one_answer_for_all_workers() -> None:
    """The oldest revision among those that serve, the error of the one that has it longest, and each worker's state."""
    newer = {**GOOD, "revision": 5, "hash": "h5", "error": "later", "error_since": 1_700_000_020.0}
    failing = {**GOOD, "error": "first", "error_since": 1_700_000_010.0}
    workers = (
        WorkerReport(0, 10, listening=True, status=newer),
        WorkerReport(1, 11, listening=True, status=failing),
        WorkerReport(2, 12, listening=True, status={"serving": False, "hash": "", "error": None}),
        WorkerReport(3),
    )

    page = json.loads(config_page(Overview(workers)))

    assert page == {
        "revision": 4,
        "hash": "h4",
        "version": 1,
        "accepts": [OLDEST_VERSION, VERSION],
        "loadedAt": "2023-11-14T22:13:20.250000Z",
        "lastError": {"message": "first", "since": "2023-11-14T22:13:30.000000Z"},
        "rules": [{"source": "t/chat@1#rules[0]"}],
        "workers": [
            {"index": 0, "pid": 10, "revision": 5, "hash": "h5", "ready": True},
            {"index": 1, "pid": 11, "revision": 4, "hash": "h4", "ready": True},
            {"index": 2, "pid": 12, "revision": None, "hash": None, "ready": False},
            {"index": 3, "pid": None, "revision": None, "hash": None, "ready": False},
        ],
    }


def test_config_page_before_the_first_configuration() -> None:
    """Nothing is served: null, and an empty list of rules."""
    page = json.loads(config_page(Overview((WorkerReport(0, 1),))))

    nothing: dict[str, Any] = {"revision": None, "hash": None, "version": None, "loadedAt": None, "lastError": None}
    assert nothing.items() <= page.items()
    assert page["rules"] == []


def test_equal_revisions_of_hand_written_files_are_told_apart_by_age() -> None:
    """Files without a revision all have 0; then what was loaded first is the oldest."""
    older = {**GOOD, "revision": 0, "hash": "older", "loaded_at": 1.0}
    newer = {**GOOD, "revision": 0, "hash": "newer", "loaded_at": 2.0}
    workers = (WorkerReport(0, 1, status=newer), WorkerReport(1, 2, status=older))

    assert json.loads(config_page(Overview(workers)))["hash"] == "older"


def test_metrics_of_the_supervisor(pages: Pages) -> None:
    """Starts and readiness of each worker, in the text format and, when asked for, as OpenMetrics."""
    pages.overview = Overview((READY, WorkerReport(1, starts=3)))
    text = pages.ask("/metrics")[1].decode()
    response, body = pages.ask("/metrics", accept="application/openmetrics-text; version=1.0.0")

    assert 'llmroute_worker_starts_total{worker="1"} 3.0' in text
    assert 'llmroute_worker_serving{worker="0"} 1.0' in text
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    assert b"# TYPE llmroute_worker_starts counter" in body
    assert body.endswith(b"# EOF\n")


def test_metrics_file_without_content_is_waited_for(pages: Pages, tmp_path: Path) -> None:
    """A worker that has just made a file and was killed before it gave it a size costs a 503 and no traceback."""
    (tmp_path / "counter_0.db").touch()

    assert pages.ask("/metrics")[0].status == 503
    (tmp_path / "counter_0.db").unlink()
    assert pages.ask("/metrics")[0].status == 200


def test_slow_clients_delay_nobody(pages: Pages) -> None:
    """With a hundred connections that say nothing, and as many that stop in mid-request, a page is there at once."""
    idle = [socket.create_connection(("127.0.0.1", pages.port)) for _ in range(200)]
    for connection in idle[::2]:
        connection.sendall(b"GET /config HTTP/1.1\r\nhos")
    started = time.monotonic()
    response, _ = pages.ask("/healthz")

    assert response.status == 200
    assert time.monotonic() - started < 2.0
    for connection in idle:
        connection.close()


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x00garbage\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"])
def test_garbage_is_refused_as_text(pages: Pages, garbage: bytes) -> None:
    """What is no HTTP gets a short answer or none, and the next client is served."""
    with socket.create_connection(("127.0.0.1", pages.port), timeout=10) as connection:
        connection.sendall(garbage)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(4096)

    assert b"<html" not in answer.lower()
    assert pages.ask("/healthz")[0].status == 200


def test_taken_address_is_an_error(pages: Pages, tmp_path: Path) -> None:
    """Two servers cannot share a port."""
    with pytest.raises(OSError, match="in use"):
        AdminServer(f"127.0.0.1:{pages.port}", lambda: pages.overview, str(tmp_path))


def test_ipv6(tmp_path: Path) -> None:
    """An address in brackets is listened on."""
    if not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists():
        pytest.skip("no IPv6 here")
    port = free_port()
    server = AdminServer(f"[::1]:{port}", lambda: Overview(()), str(tmp_path))
    connection = HTTPConnection("::1", port, timeout=10)
    connection.request("GET", "/healthz")

    assert connection.getresponse().status == 200
    connection.close()
    server.close()
