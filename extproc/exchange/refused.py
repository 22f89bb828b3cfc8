"""What a client is told when an upstream does not take the credential that is the gateway's own.

It is nothing that the client has done or can mend, so it is neither 401 nor 403, by which SDKs understand that the
caller's key is wrong; and the upstream's words, which may quote the key or the prompt, are for nobody. A 403 for
another reason (moderation, a model that the account may not use) is an error as any other.
"""

from collections.abc import Callable, Iterator
from typing import Final

import msgspec
from msgspec import Struct

from extproc.config.auth import Auth
from extproc.conversation.errors import ApiError, Kind
from extproc.credentials.showing import Shown
from extproc.dialects.contract import ClientDialect
from extproc.exchange.attempt import MAX_DECODED_BYTES, Answer, Handling
from extproc.exchange.edges import Edges
from extproc.exchange.failures import read_error
from extproc.exchange.forwarding import unlisted
from extproc.exchange.messages import Headers
from extproc.exchange.targets import Target
from extproc.wire.encoding import decode_all
from extproc.wire.errors import WireError

#: The one status that says nothing else.
UNAUTHORIZED: Final = 401
#: A shorter key is no secret, and what any answer may hold by chance.
_SHORTEST_SECRET: Final = 8
#: What is said to whoever is to prove who it is, or to come back later: the client is neither.
_FOR_THE_GATEWAY: Final = ("www-authenticate", "retry-after", "retry-after-ms")


def refusal(backend: str) -> ApiError:
    """The error for the client: 502, which nobody need try again (see ``replies.advice``)."""
    message = (
        f"backend {backend!r} refused the gateway's own credential; "
        "whoever runs this gateway must renew it, or its rights"
    )
    return ApiError(502, Kind.SERVER, message, code="upstream_auth")


def noted(status: int, word: str = "") -> str:
    """For the log: the upstream's status, and by which known word it spoke of the credential."""
    return f"the upstream refused the gateway's credential: {status} {word}".rstrip()


class Guard(Struct, frozen=True):
    """One credential of the gateway's own, shown to one backend, and what that may say of it."""

    client: ClientDialect
    target: Target
    shown: Shown
    backend: str
    auth: Auth
    edges: Edges

    def refused(self) -> ApiError:
        """The error for the client; who keeps the credential is told that it was not taken."""
        self.edges.refused(self.backend, self.auth)
        return refusal(self.backend)

    def unauthorized(self, status: int, headers: Headers) -> Handling:
        """How to treat a 401 that has a body."""

        def told(body: bytes) -> Answer:
            error = read_error(self.target, status, headers, _plain(body, headers))
            return self._answer(status, error.credential, headers)

        return Handling(remove_headers=_unsaid(headers), whole=told)

    def watched(self, status: int, headers: Headers, whole: Callable[[bytes], Answer]) -> Callable[[bytes], Answer]:
        """``whole`` for any other error, less answers that speak of the credential, or repeat it.

        Google's Gemini API and xAI say of a bad key that the request is (400), and xAI says which key.
        """

        def told(body: bytes) -> Answer:
            plain = _plain(body, headers)
            word = read_error(self.target, status, headers, plain).credential
            if word is None and not self._repeated(plain):
                return whole(body)
            return self._answer(status, word, headers)

        return told

    def _answer(self, status: int, word: str | None, headers: Headers) -> Answer:
        error, note = self.refused(), noted(status, word or "")
        body = self.client.write_error(error)
        return Answer(error.status, body, "application/json", error=error, note=note, unsaid=_unsaid(headers))

    def _repeated(self, plain: bytes) -> bool:
        secrets = [secret for secret in self.shown.secrets if len(secret) >= _SHORTEST_SECRET]
        return any(secret in text for text in _texts(plain) for secret in secrets)


def _plain(body: bytes, headers: Headers) -> bytes:
    try:
        return decode_all(body, headers.get("content-encoding", ""), MAX_DECODED_BYTES)
    except WireError:
        return b""


def _texts(plain: bytes) -> Iterator[str]:
    """A body as it is, and with what JSON escapes written out: some servers escape ``/`` and ``+``."""
    yield plain.decode("utf-8", "replace")
    if b"\\" in plain:
        try:
            yield msgspec.json.encode(msgspec.json.decode(plain)).decode()
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return


def _unsaid(headers: Headers) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*unlisted(headers), *[name for name in _FOR_THE_GATEWAY if name in headers])))
