"""One HTTP request to a token endpoint: blocking, never redirected, limited in time and size.

``HTTPS_PROXY`` and ``NO_PROXY`` are heeded. Plain http goes to metadata services and to this machine alone, and a proxy
knows neither: it is never used for it. The machine's certificate authorities count, or those of ``SSL_CERT_FILE``.
"""

import time
from base64 import b64encode
from collections.abc import Mapping
from contextlib import closing
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
    """Send one request, whatever its answer's status. Raises ``FetchError``."""
    parts = urlsplit(url)
    ends = time.monotonic() + limit_s
    try:
        with closing(_connection(parts, limit_s)) as connection:
            target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
            connection.request(method, target, body, dict(headers or {}))
            # Closed by itself: it takes the socket over when it is the connection's last.
            with connection.getresponse() as response:
                found = {name.lower(): value for name, value in response.getheaders()}
                return Answer(response.status, found, _body(response, ends))
    except TimeoutError:
        raise FetchError(UNREACHABLE, f"no answer in {limit_s:g} s") from None
    except (OSError, HTTPException, ValueError) as error:
        raise FetchError(UNREACHABLE, type(error).__name__) from None


def _body(response: HTTPResponse, ends: float) -> bytes:
    pieces = []
    size = 0
    while piece := response.read1(_PIECE):
        size += len(piece)
        if size > _MAX_BODY:
            raise FetchError(UNUSABLE, f"more than {_MAX_BODY} bytes")
        if time.monotonic() > ends:
            raise TimeoutError
        pieces.append(piece)
    if response.length:
        raise IncompleteRead(b"", response.length)
    return b"".join(pieces)


def _connection(parts: SplitResult, limit_s: float) -> HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme != "https":
        return HTTPConnection(host, parts.port, timeout=limit_s)
    proxies = getproxies()
    tls = create_default_context()
    if "https" not in proxies or proxy_bypass(parts.netloc):
        return HTTPSConnection(host, parts.port, timeout=limit_s, context=tls)
    proxy = urlsplit(proxies["https"] if "://" in proxies["https"] else f"http://{proxies['https']}")
    connection = HTTPSConnection(proxy.hostname or "", proxy.port or 80, timeout=limit_s, context=tls)
    connection.set_tunnel(host, parts.port, _proxy_headers(proxy))
    return connection


def _proxy_headers(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    shown = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()
    return {"Proxy-Authorization": f"Basic {b64encode(shown).decode()}"}
