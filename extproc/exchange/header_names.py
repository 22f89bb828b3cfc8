"""Names of headers by what they are for: what anybody may see, and what lets somebody in."""

from collections.abc import Mapping
from typing import Final

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
#: Not for everybody's eyes, but not for keys either: they frame the message, or say to a vendor what is wanted. Were
#: one of them a key's, requests would lose its meaning.
_OF_THE_REQUEST: Final = frozenset(
    {"connection", "expect", "idempotency-key", "keep-alive", "te", "trailer", "upgrade"}
)
_OF_THE_REQUEST_PREFIXES: Final = ("accept-", "anthropic-", "content-", "openai-", "x-stainless-")
#: Where clients and upstreams put keys, whatever a configuration says.
CREDENTIALS: Final = frozenset({"authorization", "x-api-key", "api-key", "x-goog-api-key"})
#: What else lets somebody in, or says on whose account: OpenAI's organisation and project, Azure API Management, and
#: proxies before a vendor (LiteLLM, Portkey, Helicone, Cloudflare).
OF_AN_ACCOUNT: Final = (
    "apikey",
    "cf-aig-authorization",
    "helicone-auth",
    "ocp-apim-subscription-key",
    "openai-organization",
    "openai-project",
    "subscription-key",
    "x-access-token",
    "x-auth-token",
    "x-litellm-api-key",
    "x-litellm-key",
    "x-portkey-api-key",
    "x-portkey-virtual-key",
)


def not_public(headers: Mapping[str, object]) -> set[str]:
    """Those that not every upstream may see; the others never carry a key."""
    return {name for name in headers.keys() - _TO_ANYBODY if not name.startswith(_TO_ANYBODY_PREFIXES)}


def is_for_keys(name: str) -> bool:
    """Whether a key may stand in this header, which no request then has for anything else."""
    if name in _OF_THE_REQUEST or name.startswith(_OF_THE_REQUEST_PREFIXES):
        return False
    return bool(not_public({name: None}))
