"""Names of headers by what they are for: what anybody may see, and what lets somebody in."""

from collections.abc import Iterable, Mapping
from typing import Final

from extproc.config.auth import ApiKeyAuth, Auth, PassthroughAuth

#: Everywhere: by itself none of it tells an upstream who the client is beyond what the request must say. Framing
#: (``content-encoding``, ``transfer-encoding``) is here because to remove it is to break the body.
_TO_ANYBODY: Final = frozenset(
    {
        "accept",
        "accept-language",
        "b3",
        "baggage",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "traceparent",
        "tracestate",
        "transfer-encoding",
        "user-agent",
        "x-request-id",
    }
)
#: ``x-envoy-`` is Envoy's own: it clears them of what clients send, and lets no processor touch them.
_TO_ANYBODY_PREFIXES: Final = (":", "x-b3-", "x-envoy-", "x-forwarded-")
#: Where clients and upstreams put keys; what else a configuration names is added to them.
CREDENTIALS: Final = frozenset({"authorization", "x-api-key", "api-key", "x-goog-api-key"})


def not_public(headers: Mapping[str, object]) -> set[str]:
    """Those that not every upstream may see; the others never carry a key."""
    return {name for name in headers.keys() - _TO_ANYBODY if not name.startswith(_TO_ANYBODY_PREFIXES)}


def is_public(name: str) -> bool:
    """Whether every upstream may see this header of a client's."""
    return not not_public({name: None})


def credential_headers(auths: Iterable[Auth]) -> frozenset[str]:
    """Every header in which somebody might show a key, the configured ones included."""
    kinds = (auth.kind for auth in auths)
    named = {kind.header for kind in kinds if isinstance(kind, ApiKeyAuth | PassthroughAuth)}
    return CREDENTIALS.union(name for name in named if name is not None and not is_public(name))
