"""The answers the gateway gives itself, and the small print of headers and metadata."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Final

from extproc.conversation.errors import ApiError, Kind
from extproc.conversation.response import Usage
from extproc.dialects.contract import ClientDialect, Listed
from extproc.exchange.attempt import Answer
from extproc.exchange.endpoints import Found
from extproc.exchange.messages import Headers
from extproc.exchange.passthrough import kind_of
from extproc.routing.index import Model

JSON = (("content-type", "application/json"),)

_PLAIN_PATH = re.compile(r"[A-Za-z0-9_.:#\[\]-]{1,96}")


def models_body(client: ClientDialect, models: Sequence[Model], found: Found, query: str) -> bytes | None:
    """The models in the client's form, or one of them; None when the wanted one is not there.

    Raises ``ClientError`` for a query that asks for no page.
    """
    return client.write_models([Listed(m.id, m.created, m.owned_by) for m in models], found.model_id, query)


def no_such_model(model: str) -> ApiError:
    """404 in the words OpenAI's own API uses for it."""
    message = (
        f"The model {model[:200]!r} does not exist here or you may not use it; GET /v1/models lists what is served"
    )
    return ApiError(404, Kind.MODEL_NOT_FOUND, message, param="model", code="model_not_found")


def own_reply(status: int, details: str, backend: str) -> ApiError:
    """Envoy answered instead of an upstream; ``details`` is its ``response.code_details``.

    Without a ``backend`` nothing had been chosen yet, so no upstream is to blame.
    """
    if status == 408:
        return ApiError(408, Kind.TIMEOUT, f"the request did not arrive in time ({details})")
    if details == "request_payload_too_large":
        return ApiError(413, Kind.TOO_LARGE, "the request body is larger than this gateway takes")
    if not backend:
        return ApiError(status, kind_of(status), f"the proxy answered {status} ({details})")
    for words, shown, text in _OF_A_BACKEND:
        if any(word in details for word in words):
            told = shown or status
            return ApiError(told, kind_of(told), text.format(backend=repr(backend), details=details))
    return ApiError(status, kind_of(status), f"the proxy answered {status} for backend {backend!r} ({details})")


#: Words in Envoy's details, the status to answer (None: Envoy's own), and what to say.
_OF_A_BACKEND: tuple[tuple[tuple[str, ...], int | None, str], ...] = (
    (
        ("route_not_found", "cluster_not_found", "direct_response"),
        503,
        "backend {backend} is not known to the proxy yet; try again",
    ),
    (("response_payload_too_large",), 502, "the answer of backend {backend} is larger than this gateway takes"),
    (("timeout",), 504, "backend {backend} did not answer in time ({details})"),
    (
        ("no_healthy_upstream", "upstream_reset", "remote_reset", "connection_termination"),
        None,
        "backend {backend} gave no answer ({details})",
    ),
)


def retry_headers(error: ApiError) -> tuple[tuple[str, str], ...]:
    """``retry-after`` for what a moment's patience cures; of what it does not, that, and what is asked for."""
    if error.status in _DOOR:
        return (*_DOOR[error.status], NO_RETRY)
    return (("retry-after", "1"),) if error.status == 503 else ()


def upstream_id(headers: Headers) -> str:
    """The vendor's own id of an answer, by which its support finds it; empty when it names none."""
    for name in ("x-amzn-requestid", "request-id", "x-request-id"):
        if (found := headers.get(name)) is not None:
            return found
    return ""


#: Tells the SDKs of both vendors not to try again: somebody has, or it would not help.
NO_RETRY: Final = ("x-should-retry", "false")

#: What goes with the statuses of somebody who is not let in (RFC 9110, 11.6.1).
_DOOR: Final = {401: (("www-authenticate", "Bearer"),), 403: ()}

#: The longest wait, in seconds, that a client is asked for. anthropic-python sleeps for as long as it is told, be it
#: a month; openai-python gives up above this (2.12 and 3.54 ``_base_client.py``, 2026-11-22).
MAX_PATIENCE_S: Final = 120


#: How an upstream's waits are told on: the headers to set, and the names of those that say nothing.
Patience = tuple[tuple[tuple[str, str], ...], tuple[str, ...]]

AS_TOLD: Final[Patience] = ((), ())


def patience(headers: Headers, wall: Callable[[], float]) -> Patience:
    """What must change so that no upstream sends a client to sleep; ``wall`` is the time in Unix seconds.

    What is no time is left out: SDKs compute with it (``float("nan")`` is a number to Python).
    """
    shorter, unread = [], []
    for name, unit in _WAITS:
        if (told := headers.get(name)) is None:
            continue
        wait = _maybe_wait(told, wall, dated=unit == 1)
        if wait is None:
            unread.append(name)
        elif wait > MAX_PATIENCE_S * unit:
            shorter.append((name, str(MAX_PATIENCE_S * unit)))
    return tuple(shorter), tuple(unread)


#: How many of each header's unit are a second.
_WAITS: Final = (("retry-after", 1), ("retry-after-ms", 1000))


def _maybe_wait(value: str, wall: Callable[[], float], *, dated: bool) -> float | None:
    if _NUMBER.fullmatch(value.strip()):
        return float(value)
    if dated:
        with suppress(ValueError, OverflowError):
            return parsedate_to_datetime(value).timestamp() - wall()
    return None


_NUMBER: Final = re.compile(r"\d{1,300}(?:\.\d{1,300})?", re.ASCII)


#: Envoy's response flag URX: it has tried as often as it may (``UpstreamRetryLimitExceeded``, bit 15).
_RETRIES_USED_UP: Final = 1 << 15


def was_retried(flags: str) -> bool:
    """Whether Envoy itself tried again and gave up; ``flags`` is the number ``response.flags``."""
    return flags.isdecimal() and bool(int(flags) & _RETRIES_USED_UP)


def without_retry(headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """The headers of an error that nobody is to try again: to say when would be to say the contrary."""
    left = (pair for pair in headers if pair[0] not in {"retry-after", "retry-after-ms", NO_RETRY[0]})
    return (*left, NO_RETRY)


def shown(error: ApiError, client: str) -> ApiError:
    """The error with the status that ``client``'s API has for it.

    An account of the operator's that is out of money is no business of the client's card (402), but a limit (429); and
    what is overloaded is 529 at Anthropic and 503 everywhere else.
    """
    status = error.status
    if error.kind is Kind.BILLING:
        status = 429
    elif error.kind is Kind.OVERLOADED and status in {503, 529}:
        status = 529 if client == "anthropic" else 503
    return error if status == error.status else replace(error, status=status)


def advice(error: ApiError) -> tuple[tuple[str, str], ...]:
    """Headers that say whether and when another try may help, where the error itself knows."""
    if _is_hopeless(error):
        return (NO_RETRY,)
    if error.retry_after is not None:
        return (("retry-after", str(min(error.retry_after, MAX_PATIENCE_S))),)
    return ()


def _is_hopeless(error: ApiError) -> bool:
    """Whether it stays as it is until the operator pays, or renews a credential."""
    return error.kind is Kind.BILLING or error.code == "upstream_auth"


_KEPT: Final = frozenset({"retry-after", "retry-after-ms", "x-should-retry", "www-authenticate"})
_LIMITS: Final = ("x-ratelimit-", "anthropic-ratelimit-")


def kept_headers(headers: Headers) -> tuple[tuple[str, str], ...]:
    """What a caller still needs of a reply whose body is rewritten: when to come back, and how to identify itself."""
    return tuple((name, value) for name, value in headers.items() if name in _KEPT or name.startswith(_LIMITS))


def logged(error: ApiError) -> str:
    """What may stand in a log: our own words, but neither the client's nor the vendor's, which may quote a body."""
    if error.vendor:
        return f"{error.kind.value}{f' ({safe_path(error.native_type)})' if error.native_type else ''}"
    if error.param is not None:
        return f"{error.code or error.kind.value}: {safe_path(error.param)}"
    return error.message


def safe_path(path: str) -> str:
    """A JSON path or a type name as it may be logged; anything that is not plainly one may be the client's text."""
    return path if _PLAIN_PATH.fullmatch(path) else "(withheld)"


def details_of(error: ApiError) -> str:
    """The response code details of a refused request, for Envoy's access log."""
    return f"llmroute_{error.code or error.kind.value}"


def replaced(answer: Answer) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Headers to set and remove when a buffered body is replaced.

    Always the length, so that nothing is ever chunked.
    """
    headers = [("content-length", str(len(answer.body or b"")))]
    if answer.status is not None:
        headers.append((":status", str(answer.status)))
    if answer.content_type is not None:
        headers.append(("content-type", answer.content_type))
    error = answer.error
    if error is None:
        return tuple(headers), ("content-encoding",)
    hopeless = ("retry-after", "retry-after-ms") if _is_hopeless(error) else ()
    return (*headers, *advice(error)), tuple(dict.fromkeys(("content-encoding", *hopeless, *answer.unsaid)))


def usage_metadata(usage: Usage) -> Mapping[str, str | int] | None:
    """The known token counts under their metadata keys; None when none is known."""
    total = usage.total_tokens
    if total is None and usage.input_tokens is not None and usage.output_tokens is not None:
        total = usage.input_tokens + usage.output_tokens
    counts = (
        ("input_tokens", usage.input_tokens),
        ("output_tokens", usage.output_tokens),
        ("total_tokens", total),
        ("cached_input_tokens", usage.cached_input_tokens),
        ("reasoning_tokens", usage.reasoning_tokens),
    )
    return {key: value for key, value in counts if value is not None} or None
