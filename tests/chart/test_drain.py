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

from controller.drain import Drain, Envoy, Limits, Requests
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


def test_a_drain_takes_its_least_time(helm: Helm, tmp_path: Path) -> None:
    """An idle Envoy stays for as long as load balancers may take to notice."""
    with (
        running_upstream() as upstream,
        chart_gateway(helm, tmp_path, upstream.port) as envoy,
        _drain(envoy, "--min=1.5", "--max=20") as (drain, hook),
    ):
        began = time.monotonic()
        drain.send_signal(signal.SIGTERM)

        assert hook.answer() == (200, b"")
        assert 1.5 <= time.monotonic() - began < 6


def test_a_drain_ends_at_its_limit(helm: Helm, tmp_path: Path) -> None:
    """A request that does not end keeps nobody for ever."""
    with running_upstream(_slow(60)) as upstream, chart_gateway(helm, tmp_path, upstream.port) as envoy:
        Asking(envoy.ports.http, "/")
        until(lambda: upstream.received)
        with _drain(envoy, "--min=0", "--max=1.5") as (drain, hook):
            began = time.monotonic()
            drain.send_signal(signal.SIGTERM)

            assert hook.answer() == (200, b"")
            assert 1.5 <= time.monotonic() - began < 6
            assert "1 requests under way" in _said(drain)


def test_a_drain_waits_for_the_last_to_come(helm: Helm, tmp_path: Path) -> None:
    """As long as somebody sends requests, who has not noticed, Envoy stays; none of them is under way at any look."""
    with (
        running_upstream() as upstream,
        chart_gateway(helm, tmp_path, upstream.port) as envoy,
        _drain(envoy, "--min=0", "--max=30") as (drain, hook),
    ):
        drain.send_signal(signal.SIGTERM)
        began = time.monotonic()
        while time.monotonic() - began < 4:
            assert envoy.ask(envoy.ports.http, "/")[0] == 200
            time.sleep(0.2)
        last = time.monotonic()

        assert hook.answer() == (200, b"")
        assert 0.5 < time.monotonic() - last < 6


def test_whoever_asks_for_the_page_changes_nothing(helm: Helm, tmp_path: Path) -> None:
    """Without the signal, as when Envoy alone is started anew, the answer comes soon and Envoy is as it was."""
    with (
        running_upstream() as upstream,
        chart_gateway(helm, tmp_path, upstream.port) as envoy,
        _drain(envoy, "--signal=1") as (_, hook),
    ):
        assert hook.answer() == (200, b"")
        assert envoy.is_ready()


def test_a_signal_may_be_late(helm: Helm, tmp_path: Path) -> None:
    """On a busy node a hook comes seconds before the signal: it waits for it, else what is under way would be cut."""
    with (
        running_upstream() as upstream,
        chart_gateway(helm, tmp_path, upstream.port) as envoy,
        _drain(envoy, "--min=0") as (drain, hook),
    ):
        began = time.monotonic()
        time.sleep(4)
        drain.send_signal(signal.SIGTERM)

        assert hook.answer() == (200, b"")
        assert time.monotonic() - began >= 4


def test_a_drain_without_envoy_ends() -> None:
    """An Envoy that is gone already is not waited for."""
    port = free_port()
    drain = _started(f"--envoy=127.0.0.1:{free_port()}", f"--listen=127.0.0.1:{port}")
    until(lambda: _is_open(port), "it does not listen")
    drain.terminate()

    assert "Envoy is gone" in _said(drain)
    assert drain.returncode == 0


def test_an_envoy_that_is_slow_is_not_given_up() -> None:
    """An admin interface that does not answer in time says nothing of the requests: it is asked again."""
    asked: list[str] = []

    class Slow(Envoy):
        def leave(self) -> None:
            asked.append("leave")
            if len(asked) < 3:
                raise TimeoutError

        def requests(self) -> Requests:
            return Requests(active=0, total=0)

    drain = Drain(Slow("127.0.0.1", 1), Limits(0, 20))

    assert drain.carry_out().startswith("0 requests")
    assert asked == ["leave"] * 3


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
