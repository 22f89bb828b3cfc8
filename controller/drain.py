"""Keeps an Envoy that is to end until its requests are done: ``python -m controller.drain``, a container beside it.

Envoy ends at once on SIGTERM, and its image has nothing in it that could ask it to do better. Kubernetes tells all
containers of a pod at the same moment. So this one, on its own SIGTERM, makes Envoy say to its clients and its load
balancers that it is leaving, while a preStop hook of Envoy waits for ``GET /drained``. The answer, and with it SIGTERM
for Envoy, comes when nothing is under way and nothing new has come for a while. The page changes nothing, so it does
not matter who asks for it. Somebody who never notices, as a health check of the pod's own address, keeps it only from
being quiet: after another while, a moment with nothing under way is enough.
"""

import argparse
import json
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_ASK_S = 5.0
_POLL_S = 0.5
#: Without a new request, until Envoy may end.
_QUIET_S = 1.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_ACTIVE, _TOTAL = "downstream_rq_active", "downstream_rq_total"
_STATS = f"/stats?filter=^http%5C.llmroute%5C.({_ACTIVE}|{_TOTAL})$&format=json"


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds.

    Attributes:
        least_s: that a leaving Envoy takes requests at least, for load balancers to notice.
        most_s: and at most.
        notice_s: after the least time, that newcomers alone may keep it from ending.
        signal_s: by which the signal may be later than the hook, on a busy node. Without a signal it is Envoy alone
            that is started anew, and waits in vain for so long.
    """

    least_s: float
    most_s: float
    notice_s: float = 120.0
    signal_s: float = 15.0


@dataclass(frozen=True, slots=True)
class Requests:
    """How many are under way, and how many there have been in all."""

    active: int
    total: int


class Envoy:
    """Its admin interface. Every method raises ``OSError`` or ``HTTPException`` when it does not answer."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port

    def leave(self) -> None:
        """From now on it is not ready, and every answer asks its client to come back on another connection."""
        self._ask("POST", "/healthcheck/fail")

    def requests(self) -> Requests:
        """Those of clients."""
        found = json.loads(self._ask("GET", _STATS)).get("stats", ())
        counts = {str(stat["name"]).rpartition(".")[2]: int(stat["value"]) for stat in found if "value" in stat}
        return Requests(counts.get(_ACTIVE, 0), counts.get(_TOTAL, 0))

    def _ask(self, method: str, path: str) -> bytes:
        connection = HTTPConnection(self._host, self._port, timeout=_ASK_S)
        try:
            connection.request(method, path)
            return connection.getresponse().read()
        finally:
            connection.close()


@dataclass(frozen=True, slots=True)
class Clock:
    """How time goes by, in seconds."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class Drain:
    """One Envoy's way out."""

    def __init__(self, envoy: Envoy, limits: Limits, clock: Clock | None = None) -> None:
        self._envoy = envoy
        self._limits = limits
        self._clock = clock or Clock()
        self.told = threading.Event()
        self._done = threading.Event()

    def wait(self) -> None:
        """Returns when Envoy may end; soon, when nobody has told this process to leave."""
        if self.told.wait(self._limits.signal_s):
            self._done.wait(self._limits.most_s)

    def carry_out(self) -> str:
        """After the signal: have Envoy leave, and say how that went. Takes at most the limit.

        It may end when nothing is under way and nothing new has come for a while: a load balancer that is slower to
        notice than the least time still sends requests here. Who has not noticed then is taken for one that never will.
        """
        limits = self._limits
        began = quiet_since = self._clock.now()
        asked, left, total = False, 0, -1
        try:
            while (gone := (now := self._clock.now()) - began) < limits.most_s:
                try:
                    if not asked:
                        self._envoy.leave()
                        asked = True
                    found = self._envoy.requests()
                    left, came, total = found.active, found.total != total, found.total
                except ConnectionRefusedError:
                    return "Envoy is gone"
                except (OSError, HTTPException, ValueError):
                    # A busy machine: an Envoy that is slow to answer has requests to finish.
                    left, came = max(left, 1), True
                if left or came:
                    quiet_since = now
                is_quiet = now - quiet_since >= _QUIET_S or gone >= limits.least_s + limits.notice_s
                if not left and is_quiet and gone >= limits.least_s:
                    break
                self._clock.sleep(_POLL_S)
        finally:
            self._done.set()
        return f"{left} requests under way after {self._clock.now() - began:.1f} s"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM, then drain. Returns the exit code."""
    given = _parser().parse_args(arguments)
    limits = Limits(given.min, max(given.min, given.max), given.notice, given.signal)
    drain = Drain(Envoy(*given.envoy), limits)
    # Blocked before there are threads, and waited for: a handler that sets an event can deadlock with who waits for it.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    with _server(given.listen, _page_of(drain)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        signal.sigwait(_SIGNALS)
        drain.told.set()
        sys.stderr.write(f"{drain.carry_out()}\n")
        # The answer is on its way to who waits for it.
        time.sleep(_POLL_S)
        server.shutdown()
    return 0


def _server(place: tuple[str, int], page: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET

    return Server(place, page)


def _page_of(drain: Drain) -> type[BaseHTTPRequestHandler]:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path == "/drained"
            if known:
                drain.wait()
            self.send_response(200 if known else 404)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing: it is asked once."""

    return Page


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m controller.drain", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--envoy", metavar="HOST:PORT", type=_place, default=("127.0.0.1", 9901), help="Envoy's admin interface")
    add("--listen", metavar="ADDRESS:PORT", type=_place, default=("127.0.0.1", 9903), help="where /drained is")
    add("--min", metavar="SECONDS", type=float, default=10.0, help="how long Envoy goes on taking requests at least")
    add("--max", metavar="SECONDS", type=float, default=300.0, help="how long requests under way may take")
    add("--notice", metavar="SECONDS", type=float, default=120.0, help="how long after --min newcomers may keep it")
    add("--signal", metavar="SECONDS", type=float, default=15.0, help="how much later than the hook SIGTERM may come")
    return parser


def _place(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


if __name__ == "__main__":
    sys.exit(main())
