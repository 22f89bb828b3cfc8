"""What the exchange is told and what it answers: one action for every event, as ext_proc demands.

Header names are lower-case; repeated headers are joined with a comma. Values are text decoded as latin-1, so that every
byte survives the way in and out.
"""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct, field

Headers = Mapping[str, str]


class RequestHeaders(Struct, frozen=True, gc=False):
    """The request begins; ``end`` when no body follows.

    ``tokens``: what Envoy found of the client's token, by the keys ``names.verified_token`` and ``names.failed_token``;
    only of what was verified are there claims. No client can put anything in here.
    """

    headers: Headers
    end: bool
    tokens: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Without values: a header may hold a key."""
        return f"RequestHeaders({[*self.headers]}, end={self.end})"


class RequestBody(Struct, frozen=True, gc=False):
    """The request's body, or a part of it."""

    body: bytes
    end: bool


class RequestTrailers(Struct, frozen=True, gc=False):
    """The request's trailers: also an end."""


class ResponseHeaders(Struct, frozen=True, gc=False):
    """The response begins, the upstream's or one of Envoy's own.

    ``attributes``: ``response.code_details`` (``via_upstream`` for a real upstream), ``request.path``,
    ``xds.route_name``.
    """

    headers: Headers
    end: bool
    attributes: Mapping[str, str] = field(default_factory=dict)


class ResponseBody(Struct, frozen=True, gc=False):
    """The response's body, or a part of it."""

    body: bytes
    end: bool


class ResponseTrailers(Struct, frozen=True, gc=False):
    """The response's trailers: also an end."""


Event = RequestHeaders | RequestBody | RequestTrailers | ResponseHeaders | ResponseBody | ResponseTrailers


class BodyMode(StrEnum):
    """How Envoy shall send the response's body; only heeded in the reply to ``ResponseHeaders``."""

    BUFFERED = "buffered"
    STREAMED = "streamed"


class Proceed(Struct, gc=False):
    """Go on with the message, changed as said.

    ``body`` None leaves the body as it is and ``b""`` empties it. ``set_headers`` overwrites or adds. ``body_mode``
    also asks for trailers, because an HTTP/2 upstream that sends them never marks the end of its body. ``secret``: the
    headers hold a credential, so nobody may keep a copy.
    """

    set_headers: tuple[tuple[str, str], ...] = ()
    remove_headers: tuple[str, ...] = ()
    body: bytes | None = None
    clear_route_cache: bool = False
    body_mode: BodyMode | None = None
    metadata: Mapping[str, str | int] | None = None
    secret: bool = False

    def __repr__(self) -> str:
        """Without values: a header may hold a key, and a body what somebody wrote."""
        names = [name for name, _ in self.set_headers]
        return (
            f"Proceed(sets={names}, removes={[*self.remove_headers]}, body={self.body is not None}, {self.body_mode})"
        )


class Reply(Struct, gc=False):
    """Answer the client at once. Only legal while the response headers have not left.

    ``details`` becomes Envoy's ``%RESPONSE_CODE_DETAILS%``.
    """

    status: int
    body: bytes
    details: str
    headers: tuple[tuple[str, str], ...] = ()
    metadata: Mapping[str, str | int] | None = None


Action = Proceed | Reply

#: Nothing to change. Shared, so that the server can answer it with bytes made once; never edit it.
PASS = Proceed()
