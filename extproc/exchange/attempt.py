"""One try at one backend: what goes out, and how its answer comes back.

The exchange (the router role) picks a backend and holds the client; an attempt knows one backend and holds no state
of the routing, so that a later role can make several of them for one request.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

from extproc.conversation.errors import ApiError, Loss
from extproc.conversation.response import NO_USAGE, Usage
from extproc.exchange.messages import Headers

#: Decoded size at which a compressed body is refused; the same 64 MiB that bound a gRPC message.
MAX_DECODED_BYTES = 64 * 1024 * 1024


class Outgoing(Struct):
    """The request for the upstream. ``body`` None leaves the client's bytes."""

    path: str
    body: bytes | None = None
    remove_headers: tuple[str, ...] = ()
    losses: tuple[Loss, ...] = ()
    set_headers: tuple[tuple[str, str], ...] = ()


class Answer(Struct):
    """What a whole response body becomes. ``body`` None leaves the upstream's bytes.

    ``lost``: paths of the upstream's answer that the client's dialect cannot hold. ``note``: what the log says of an
    error, where that is not what the client is told. ``unsaid``: headers that the client does not get after all.
    """

    status: int | None = None
    body: bytes | None = None
    content_type: str | None = None
    usage: Usage = NO_USAGE
    model: str | None = None
    error: ApiError | None = None
    lost: tuple[str, ...] = ()
    note: str = ""
    unsaid: tuple[str, ...] = ()


class Flow(Protocol):
    """A streamed response: bytes in, the client's bytes out."""

    @property
    def usage(self) -> Usage:
        """What is known so far."""

    @property
    def fault(self) -> ApiError | None:
        """Why the stream broke off, once it has."""

    @property
    def ended(self) -> bool:
        """Whether the client has all of the answer, though the bytes go on."""

    def feed(self, chunk: bytes) -> bytes:
        """The client's bytes; the same object when nothing changed."""

    def finish(self) -> bytes:
        """What is still owed to the client at the end."""


class Handling(Struct):
    """How the response is to be treated.

    ``whole`` when buffered, ``flow`` when streamed, neither when it just passes. ``lost`` grows while it flows: the
    paths of the upstream's stream that could not be told.
    """

    set_headers: tuple[tuple[str, str], ...] = ()
    remove_headers: tuple[str, ...] = ()
    whole: Callable[[bytes], Answer] | None = None
    flow: Flow | None = None
    lost: Sequence[str] = ()


class Attempt(Protocol):
    """One backend's side of the exchange."""

    def request(self, body: bytes) -> Outgoing:
        """The upstream request; raises ``ClientError`` or ``Refusal``."""

    def response(self, status: int, headers: Headers, *, end: bool) -> Handling:
        """How to treat the answer that begins with these headers; raises ``UpstreamError`` when it is none."""


def media_type(headers: Headers) -> str:
    """The lower-case media type without parameters, ``""`` when there is none."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def is_json(kind: str) -> bool:
    """Whether a media type is JSON."""
    return kind == "application/json" or kind.endswith("+json")
