"""Which headers cross the gateway: a client's towards an upstream, and an upstream's towards a client.

A client's headers are meant for the gateway. Where bytes pass to the vendor whose API the client speaks, the rest of
them may be meant for that vendor, and only what plainly is not is held back. A vendor that the client never chose gets
what is on a list. The same goes for answers, whose headers name the operator's accounts and set cookies for a host that
the client never spoke to.
"""

from collections.abc import Iterable
from typing import Final

from extproc.exchange.gateway import Target
from extproc.exchange.messages import Headers

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
#: A version and betas of Anthropic's go to whoever hosts its API; each such platform says what becomes of them.
_TO_HOSTS: Final = frozenset({"anthropic-beta", "anthropic-version"})
_TO_NO_VENDOR: Final = frozenset({"cookie"})
_TO_NO_VENDOR_PREFIXES: Final = ("x-amz-", "x-amzn-", "x-goog-", "x-llmroute-")

_BEARER: Final = "bearer "
_AUTHORIZATION: Final = "authorization"
#: Where clients put their key, by the order in which it is looked for; the upstream's own header goes before them.
_KEYS: Final = (_AUTHORIZATION, "x-api-key", "api-key")
_CREDENTIALS: Final = frozenset({*_KEYS, "x-goog-api-key"})

#: In no answer: they name the operator's accounts, or bind the client to the upstream's host.
_TO_NO_CLIENT: Final = frozenset(
    {"anthropic-organization-id", "openai-organization", "openai-project", "set-cookie", "set-cookie2"}
)
_TO_CLIENTS: Final = frozenset(
    {
        "content-encoding",
        "content-length",
        "content-type",
        "date",
        "request-id",
        "retry-after",
        "retry-after-ms",
        "server",
        "server-timing",
        "trailer",
        "transfer-encoding",
        "www-authenticate",
        "x-request-id",
        "x-should-retry",
    }
)
_TO_CLIENTS_PREFIXES: Final = (":", "anthropic-ratelimit-", "x-envoy-", "x-llmroute-", "x-ratelimit-")


def is_foreign(target: Target) -> bool:
    """Whether the upstream is another vendor's than the one whose API the client speaks."""
    return target.platform.hosted or not target.same_dialect


def withheld(headers: Headers, target: Target) -> Iterable[str]:
    """The client's headers that do not go on, less the credentials (see ``credential``)."""
    if not is_foreign(target):
        return [name for name in headers if name in _TO_NO_VENDOR or name.startswith(_TO_NO_VENDOR_PREFIXES)]
    hosts = _TO_HOSTS if target.same_dialect else ()
    return [
        name
        for name in headers
        if name not in _TO_ANYBODY and not name.startswith(_TO_ANYBODY_PREFIXES) and name not in hosts
    ]


def credential(headers: Headers, target: Target) -> tuple[str, str] | None:
    """The one header that carries the client's key on, in the form that the upstream takes; None when there is none.

    The header that the upstream looks for wins, then ``authorization``, which is left as it is where the upstream takes
    a bearer token too.
    """
    form = target.platform.key_header
    if headers.get(form):
        return form, headers[form]
    for name in _KEYS:
        if not (value := headers.get(name, "").strip()):
            continue
        if name != _AUTHORIZATION:
            return form, f"Bearer {value}" if form == _AUTHORIZATION else value
        if target.platform.takes_bearer:
            return name, headers[name]
        if value[: len(_BEARER)].lower() == _BEARER and (token := value[len(_BEARER) :].strip()):
            return form, token
    return None


def other_credentials(headers: Headers, kept: tuple[str, str] | None) -> Iterable[str]:
    """The headers with a key other than the one that goes on."""
    name = None if kept is None else kept[0]
    return [found for found in _CREDENTIALS if found in headers and found != name]


def unanswered(headers: Headers, target: Target) -> Iterable[str]:
    """The headers of an upstream's answer that the client does not get."""
    if not is_foreign(target):
        return [name for name in _TO_NO_CLIENT if name in headers]
    return [name for name in headers if name not in _TO_CLIENTS and not name.startswith(_TO_CLIENTS_PREFIXES)]
