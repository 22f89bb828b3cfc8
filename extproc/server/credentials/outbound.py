"""One HTTP request to a token endpoint: blocking, never redirected, limited in time and size.

``HTTPS_PROXY`` and ``NO_PROXY`` are heeded. Plain http goes to metadata services and to this machine alone, and a proxy
knows neither: it is never used for it. The machine's certificate authorities count, or those of ``SSL_CERT_FILE``.
"""

import socket
import threading
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from ssl import create_default_context
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from extproc.server.credentials.provider import FetchError

#: Seconds for one request in all, and for each wait in it.
LIMIT_S: Final = 10.0
_MAX_BODY: Final = 1 << 20
_PIECE: Final = 1 << 16
UNREACHABLE: Final = "its token endpoint cannot be reached"
UNUSABLE: Final = "its token endpoint gives no usable answer"


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """What came back. Names of headers are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def ask(
    url: str,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    limit_s: float = LIMIT_S,
) -> Answer:
    """Send one request, whatever its answer's status. Raises ``FetchError``.

    ``limit_s`` bounds all that a server can draw out; a name that is being resolved has the resolver's own patience.
    """
    parts = urlsplit(url)
    ends = time.monotonic() + limit_s
    late = FetchError(UNREACHABLE, f"no answer in {limit_s:g} s")
    try:
        with closing(_connection(parts, limit_s)) as connection, _cut(connection, ends):
            answer = _asked(connection, parts, method, body, dict(headers or {}))
    except TimeoutError:
        raise late from None
    except (OSError, HTTPException, ValueError) as error:
        raise (late if time.monotonic() >= ends else FetchError(UNREACHABLE, type(error).__name__)) from None
    # A body that was cut may look whole.
    if time.monotonic() >= ends:
        raise late
    return answer


def _asked(
    connection: "_Connection", parts: SplitResult, method: str, body: bytes | None, headers: Mapping[str, str]
) -> Answer:
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    connection.request(method, target, body, headers)
    # Closed by itself: it takes the socket over when it is the connection's last.
    with connection.getresponse() as response:
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, _body(response))


class _Connection(HTTPConnection):
    """One that another thread can cut, whatever it is waiting for."""

    _cuttable: socket.socket | None = None

    def connect(self) -> None:
        """Before there is TLS, whose handshake takes the socket away."""
        super().connect()
        self._cuttable = self.sock.dup()

    def cut(self) -> None:
        """End it for both sides: who reads or writes is told so at once."""
        found = self._cuttable or self.sock
        if found is not None:
            with suppress(OSError):
                found.shutdown(socket.SHUT_RDWR)

    def spare(self) -> None:
        """Nobody will cut it any more."""
        if self._cuttable is not None:
            self._cuttable.close()


class _TlsConnection(HTTPSConnection, _Connection):
    """The same over TLS: ``_Connection.connect`` is what HTTPSConnection begins with."""


@contextmanager
def _cut(connection: _Connection, ends: float) -> Iterator[None]:
    """Cut ``connection`` at ``ends``: limits of single reads last for ever where a byte comes now and then."""
    timer = threading.Timer(max(0.0, ends - time.monotonic()), connection.cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        connection.spare()


def _body(response: HTTPResponse) -> bytes:
    pieces = []
    size = 0
    while piece := response.read1(_PIECE):
        size += len(piece)
        if size > _MAX_BODY:
            raise FetchError(UNUSABLE, f"more than {_MAX_BODY} bytes")
        pieces.append(piece)
    if response.length:
        raise IncompleteRead(b"", response.length)
    return b"".join(pieces)


def _connection(parts: SplitResult, limit_s: float) -> _Connection:
    host = parts.hostname or ""
    if parts.scheme != "https":
        return _Connection(host, parts.port, timeout=limit_s)
    proxies = getproxies()
    tls = create_default_context()
    if "https" not in proxies or proxy_bypass(parts.netloc):
        return _TlsConnection(host, parts.port, timeout=limit_s, context=tls)
    proxy = urlsplit(proxies["https"] if "://" in proxies["https"] else f"http://{proxies['https']}")
    connection = _TlsConnection(proxy.hostname or "", proxy.port or 80, timeout=limit_s, context=tls)
    connection.set_tunnel(host, parts.port, _proxy_headers(proxy))
    return connection


def _proxy_headers(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    shown = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()
    return {"Proxy-Authorization": f"Basic {b64encode(shown).decode()}"}
