"""Which headers cross the gateway: a client's towards an upstream, and an upstream's towards a client.

A client's headers are meant for the gateway. Where bytes pass to the vendor whose API the client speaks, the rest of
them may be meant for that vendor, and only what plainly is not is held back. A vendor that the client never chose gets
what is on a list. The same goes for answers, whose headers name the operator's accounts and set cookies for a host that
the client never spoke to.
"""

from collections.abc import Iterable
from typing import Final

from extproc.exchange.header_names import not_public
from extproc.exchange.messages import Headers
from extproc.exchange.targets import Target

#: A version and betas of Anthropic's go to whoever hosts its API; each such platform says what becomes of them.
_TO_HOSTS: Final = frozenset({"anthropic-beta", "anthropic-version"})
_TO_NO_VENDOR: Final = frozenset({"cookie", "proxy-authorization"})
_TO_NO_VENDOR_PREFIXES: Final = ("x-amz-", "x-amzn-", "x-goog-", "x-llmroute-")

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
    """The client's headers that do not go on, less those that carry keys (``Gateway.withheld_headers``)."""
    if not is_foreign(target):
        return [name for name in headers if name in _TO_NO_VENDOR or name.startswith(_TO_NO_VENDOR_PREFIXES)]
    private = not_public(headers)
    return private - _TO_HOSTS if target.same_dialect else private


def unanswered(headers: Headers, target: Target) -> Iterable[str]:
    """The headers of an upstream's answer that the client does not get."""
    if not is_foreign(target):
        return [name for name in _TO_NO_CLIENT if name in headers]
    return unlisted(headers)


def unlisted(headers: Headers) -> Iterable[str]:
    """The headers of an answer that are on no list of what any client may get."""
    return [name for name in headers if name not in _TO_CLIENTS and not name.startswith(_TO_CLIENTS_PREFIXES)]
