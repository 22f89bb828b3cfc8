"""The answers the gateway gives itself, and the small print of headers and metadata."""

import re
from collections.abc import Mapping, Sequence

import msgspec

from extproc.conversation.errors import ApiError, Kind
from extproc.conversation.response import Usage
from extproc.exchange.attempt import Answer
from extproc.exchange.messages import Headers
from extproc.exchange.passthrough import kind_of
from extproc.routing.index import Model

JSON = (("content-type", "application/json"),)

_PLAIN_PATH = re.compile(r"[A-Za-z0-9_.:#\[\]-]{1,96}")


def models_body(models: Sequence[Model], wanted: str | None) -> bytes | None:
    """The model list in OpenAI's form, or one model of it; None when the wanted one is not there."""
    shown = [
        {"id": m.id, "object": "model", "created": m.created, "owned_by": m.owned_by}
        for m in models
        if wanted is None or m.id == wanted
    ]
    if wanted is None:
        return msgspec.json.encode({"object": "list", "data": shown})
    return msgspec.json.encode(shown[0]) if shown else None


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
    (("route_not_found", "cluster_not_found"), 503, "backend {backend} is not known to the proxy yet; try again"),
    (("response_payload_too_large",), 502, "the answer of backend {backend} is larger than this gateway takes"),
    (("timeout",), 504, "backend {backend} did not answer in time ({details})"),
    (
        ("no_healthy_upstream", "upstream_reset", "remote_reset", "connection_termination"),
        None,
        "backend {backend} gave no answer ({details})",
    ),
)


def retry_headers(error: ApiError) -> tuple[tuple[str, str], ...]:
    """``retry-after`` for what a moment's patience cures."""
    return (("retry-after", "1"),) if error.status == 503 else ()


def kept_headers(headers: Headers) -> tuple[tuple[str, str], ...]:
    """What a caller still needs of a reply whose body is rewritten: when to come back, and how to identify itself."""
    return tuple(
        (name, value)
        for name, value in headers.items()
        if name in {"retry-after", "www-authenticate"} or name.startswith("x-ratelimit-")
    )


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
    return tuple(headers), ("content-encoding",)


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
