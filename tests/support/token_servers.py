"""Token endpoints of the clouds on this machine: real HTTP servers whose answers a test sets."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

#: No test waits that long; a server that hangs does.
_HANG_S = 30.0


@dataclass(frozen=True)
class Asked:
    """A request as it came. Names of headers are lower-case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode()))


@dataclass(frozen=True)
class Answer:
    """What to say; ``None`` as status: nothing, for as long as the server lives."""

    status: int | None = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


HANG = Answer(None)


def told(members: Any, status: int = 200) -> Answer:
    """JSON."""
    return Answer(status, json.dumps(members).encode(), {"content-type": "application/json"})


def token(value: str, expires_in: float | str = 3600) -> Answer:
    """A good answer of OAuth 2.0."""
    return told({"access_token": value, "expires_in": expires_in, "token_type": "Bearer"})


def rfc3339(unix_seconds: float) -> str:
    """As AWS and Google write times."""
    return f"{datetime.fromtimestamp(unix_seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def sts_keys(key_id: str, secret: str, session: str, expires_at: float) -> Answer:
    """What AWS STS answers to AssumeRoleWithWebIdentity.

    https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html (2026-11)
    """
    body = f"""<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{key_id}</AccessKeyId>
<SecretAccessKey>{secret}</SecretAccessKey><SessionToken>{session}</SessionToken>
<Expiration>{rfc3339(expires_at)}</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>"""
    return Answer(200, body.encode(), {"content-type": "text/xml"})


def sts_refusal(code: str, text: str, status: int = 403) -> Answer:
    """What AWS STS answers when it will not."""
    body = f"""<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<Error><Type>Sender</Type><Code>{code}</Code><Message>{text}</Message></Error></ErrorResponse>"""
    return Answer(status, body.encode(), {"content-type": "text/xml"})


class TokenServer:
    """Answers what ``answer`` says, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answer: Callable[[Asked], Answer] = lambda _: Answer(404)
        #: Called before each byte of a body that never ends, when it is set.
        self.trickle: Callable[[], object] | None = None
        self.closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.owner = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def speak_tls(self, context: ssl.SSLContext) -> None:
        """From now on; handshakes are made by the threads of the connections."""
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = self.url.replace("http:", "https:")

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    owner: TokenServer

    def handle_error(self, *_: Any) -> None:
        """A client that does not trust this server, or left."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    wbufsize = 1 << 16

    def answer(self) -> None:
        owner = self.server.owner
        length = int(self.headers.get("content-length", 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.command, self.path, headers, self.rfile.read(length))
        owner.asked.append(asked)
        if owner.trickle is not None:
            self._trickle(owner)
            return
        answer = owner.answer(asked)
        if answer.status is None:
            owner.closing.wait(_HANG_S)
            return
        self.send_response(answer.status)
        for name, value in {"content-length": str(len(answer.body)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    def _trickle(self, owner: TokenServer) -> None:
        assert owner.trickle is not None
        self.send_response(200)
        self.end_headers()
        with suppress(OSError):
            while not owner.closing.is_set():
                self.wfile.write(b"x")
                self.wfile.flush()
                owner.trickle()

    def log_message(self, *_: Any, **__: Any) -> None:
        pass


for _method in ("GET", "POST", "PUT", "CONNECT"):
    setattr(_Handler, f"do_{_method}", _Handler.answer)


@contextmanager
def token_server() -> Iterator[TokenServer]:
    """One that is gone afterwards."""
    server = TokenServer()
    try:
        yield server
    finally:
        server.close()
