"""What is said of an exchange when it is over: the access log line and the metrics are made of this alone."""

from typing import Literal

from msgspec import Struct

from extproc.conversation.response import NO_USAGE, Usage

Outcome = Literal["ok", "client_error", "upstream_error", "gateway_error", "internal_error", "disconnected"]


class Record(Struct, gc=False):
    """One exchange. Times are seconds of the injected monotonic clock; None when that point was never reached.

    ``caller``: the id of an API key, or a token's subject, cut and escaped, behind the route's namespace and a slash;
    empty where nobody asks who calls.
    ``outcome`` ``disconnected``: the stream ended before the answer did; whether client or upstream left is known to
    Envoy alone (its response flags). ``dropped`` names the request fields that did not reach the upstream, the first of
    them; ``dropped_more`` counts the others. ``lost`` names what of the upstream's answer the client could not be told.
    ``error`` holds our own words only, never the client's or the vendor's.
    """

    request_id: str = ""
    method: str = ""
    operation: str = ""
    model: str = ""
    upstream_model: str = ""
    route: str = ""
    backend: str = ""
    provider: str = ""
    client_dialect: str = ""
    caller: str = ""
    status: int = 0
    stream: bool = False
    outcome: Outcome = "disconnected"
    error: str = ""
    usage: Usage = NO_USAGE
    dropped: tuple[str, ...] = ()
    dropped_more: int = 0
    lost: tuple[str, ...] = ()
    upstream_request_id: str = ""
    started: float = 0.0
    routed: float | None = None
    responded: float | None = None
    first_body: float | None = None
    ended: float | None = None
