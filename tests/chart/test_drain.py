"""How the chart's Envoy leaves: the container beside it keeps it until its requests are done."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from controller.drain import Envoy, Requests
from controller.standalone.probes import free_port
from e2e.support.helm import Helm
from tests.support.chart import ChartEnvoy, chart_gateway
from tests.support.upstream_replies import Reply
from tests.support.upstreams import running_upstream
from tests.support.waiting import until

pytestmark = pytest.mark.envoy

_ROOT = Path(__file__).parents[2]
_PARTS = (b"one", b"two", b"three")


def test_sigterm_alone_cuts_what_is_under_way(helm: Helm, tmp_path: Path) -> None:
    """Envoy ends at once: the reason for the container beside it."""
    with running_upstream(_slow(3)) as upstream, chart_gateway(helm, tmp_path, upstream.port) as envoy:
        stream = Asking(envoy.ports.http, "/")
        until(lambda: upstream.received)

        envoy.process.send_signal(signal.SIGTERM)

        assert stream.answer() is None


def test_a_drain_waits_for_what_is_under_way(helm: Helm, tmp_path: Path) -> None:
    """Nothing fails: the stream ends by itself, and newcomers are served and told to come back elsewhere."""
    with running_upstream(_slow(3)) as upstream, chart_gateway(helm, tmp_path, upstream.port) as envoy:
        stream = Asking(envoy.ports.http, "/")
        until(lambda: upstream.received)
        upstream.answer(Reply(parts=(b"quick",)))
        with _drain(envoy, "--min=0.5", "--max=20") as (drain, hook):
            began = time.monotonic()
            drain.send_signal(signal.SIGTERM)
            until(lambda: not envoy.is_ready(), "it is still ready")
            status, headers, body = envoy.ask(envoy.ports.http, "/")

            assert (status, body, headers.get("connection")) == (200, b"quick", "close")
            assert stream.answer() == (200, b"".join(_PARTS))
            assert hook.answer() == (200, b"")
            assert 0.5 < time.monotonic() - began < 10
            assert drain.wait(10) == 0


def test_a_request_is_seen_while_and_after_it_is_under_way(helm: Helm, tmp_path: Path) -> None:
    """Envoy counts both, so that a short one that is under way at no look is not missed; what asks for them is none."""
    with running_upstream(_slow(30)) as upstream, chart_gateway(helm, tmp_path, upstream.port) as envoy:
        admin = Envoy("127.0.0.1", envoy.ports.admin)
        assert admin.requests() == admin.requests() == Requests(0, 0)
        Asking(envoy.ports.http, "/")
        until(lambda: upstream.received)
        upstream.answer(Reply(parts=(b"quick",)))
        assert envoy.ask(envoy.ports.http, "/")[0] == 200

        until(lambda: admin.requests() == Requests(1, 2), "it counts otherwise")


def test_without_the_signal_the_answer_comes_soon() -> None:
    """As when Envoy alone is started anew: the page tells nobody to leave."""
    port = free_port()
    drain = _started(f"--envoy=127.0.0.1:{free_port()}", f"--listen=127.0.0.1:{port}", "--signal=0.2")
    try:
        until(lambda: _is_open(port), "it does not listen")
        assert Asking(port, "/drained").answer() == (200, b"")
        assert drain.poll() is None
    finally:
        drain.kill()
        drain.communicate(timeout=10)


def test_a_drain_without_envoy_ends() -> None:
    """An Envoy that is gone already is not waited for."""
    port = free_port()
    drain = _started(f"--envoy=127.0.0.1:{free_port()}", f"--listen=127.0.0.1:{port}")
    until(lambda: _is_open(port), "it does not listen")
    drain.terminate()

    assert "Envoy is gone" in _said(drain)
    assert drain.returncode == 0


def test_the_page_is_there_on_both_families() -> None:
    """With ``::``, as the chart says for clusters with IPv6."""
    port = free_port()
    drain = _started(f"--envoy=127.0.0.1:{free_port()}", f"--listen=[::]:{port}")
    until(lambda: _is_open(port), "it does not listen")
    drain.terminate()

    assert drain.wait(10) == 0
    _said(drain)


class Asking:
    """A request that takes its time, on a thread of its own."""

    def __init__(self, port: int, path: str) -> None:
        self._got: tuple[int, bytes] | None = None
        self._asked = port, path
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def answer(self) -> tuple[int, bytes] | None:
        """Status and body; None when it was cut off."""
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self._got

    def _ask(self) -> None:
        port, path = self._asked
        connection = HTTPConnection("127.0.0.1", port, timeout=25)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            self._got = response.status, response.read()
        except (OSError, HTTPException):
            return
        finally:
            connection.close()


def _slow(seconds: float) -> Reply:
    return Reply(parts=_PARTS, framing="chunked", delay_s=seconds / len(_PARTS))


@contextmanager
def _drain(envoy: ChartEnvoy, *limits: str) -> Iterator[tuple[subprocess.Popen[bytes], Asking]]:
    """The container beside Envoy, and the preStop hook that waits for it."""
    port = free_port()
    places = (f"--envoy=127.0.0.1:{envoy.ports.admin}", f"--listen=127.0.0.1:{port}")
    process = _started(*places, *limits)
    try:
        until(lambda: _is_open(port), "it does not listen")
        yield process, Asking(port, "/drained")
    finally:
        process.kill()
        process.communicate(timeout=10)


def _started(*arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "controller.drain", *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, cwd=_ROOT)


def _is_open(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 404
    except OSError:
        return False
    finally:
        connection.close()


def _said(process: subprocess.Popen[bytes]) -> str:
    return process.communicate(timeout=10)[1].decode()
