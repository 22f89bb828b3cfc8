"""What a client is told when an upstream does not take the credential that is the gateway's own.

It is nothing that the client has done or can mend, so it is neither 401 nor 403, by which SDKs understand that the
caller's key is wrong; and what the upstream says of the key is for the log.
"""

from collections.abc import Callable
from typing import Final

from extproc.conversation.errors import ApiError, Kind
from extproc.credentials.showing import Shown, without
from extproc.dialects.contract import ClientDialect
from extproc.exchange.attempt import MAX_DECODED_BYTES, Answer, Handling
from extproc.exchange.failures import read_error
from extproc.exchange.forwarding import unlisted
from extproc.exchange.gateway import Target
from extproc.exchange.messages import Headers
from extproc.wire.encoding import decode_all
from extproc.wire.errors import WireError

STATUSES: Final = frozenset({401, 403})
#: How much of the upstream's words a log gets.
_MAX_WORDS: Final = 200
#: What is said to whoever is to prove who it is, or to come back later: the client is neither.
_FOR_THE_GATEWAY: Final = ("www-authenticate", "retry-after", "retry-after-ms")


def refusal(backend: str) -> ApiError:
    """The error for the client: 502, which nobody need try again (see ``replies.advice``)."""
    message = f"backend {backend!r} refused the gateway's own credential; whoever runs this gateway must renew it"
    return ApiError(502, Kind.SERVER, message, code="upstream_auth")


def refused(
    client: ClientDialect, target: Target, shown: Shown, backend: str, status: int, headers: Headers
) -> Handling:
    """How to treat a 401 or 403 that has a body; the log gets its words, less what they repeat of the credential."""

    def told(body: bytes) -> Answer:
        try:
            plain = decode_all(body, headers.get("content-encoding", ""), MAX_DECODED_BYTES)
        except WireError:
            plain = b""
        words = read_error(target, status, headers, plain).message
        return _answer(client, backend, noted(status, without(shown.secrets, words)))

    removed = dict.fromkeys((*unlisted(headers), *[name for name in _FOR_THE_GATEWAY if name in headers]))
    return Handling(remove_headers=tuple(removed), whole=told)


def watched(
    client: ClientDialect, shown: Shown, backend: str, whole: Callable[[bytes], Answer]
) -> Callable[[bytes], Answer]:
    """``whole``, less answers that speak of the key under another status: Google's Gemini API says 400."""

    def told(body: bytes) -> Answer:
        answer = whole(body)
        error = answer.error
        if error is None or error.kind not in {Kind.AUTHENTICATION, Kind.PERMISSION}:
            return answer
        return _answer(client, backend, noted(error.status, without(shown.secrets, error.message)))

    return told


def noted(status: int, words: str = "") -> str:
    """For the log: the upstream's status, and its words on one line, cut."""
    told = " ".join(words.split())[:_MAX_WORDS]
    return f"the upstream refused the gateway's credential: {status} {told}".rstrip()


def _answer(client: ClientDialect, backend: str, note: str) -> Answer:
    error = refusal(backend)
    return Answer(error.status, client.write_error(error), "application/json", error=error, note=note)
