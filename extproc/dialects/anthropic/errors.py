"""Anthropic's error object: ``{"type": "error", "error": {"type", "message"}}``, as a body and inside a stream.

Words: anthropic-python 2.12 ``types/shared/error_type`` and platform.claude.com/docs/en/api/errors, read 2026-11-22.
Inside a stream, anthropic-python raises for an event that is *named* ``error``, and skips events without a name.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from extproc.conversation.errors import ApiError, Kind, UpstreamError
from extproc.wire import sse

_TYPES: Final[Mapping[Kind, str]] = {
    Kind.INVALID_REQUEST: "invalid_request_error",
    Kind.AUTHENTICATION: "authentication_error",
    Kind.PERMISSION: "permission_error",
    Kind.BILLING: "billing_error",
    Kind.NOT_FOUND: "not_found_error",
    Kind.MODEL_NOT_FOUND: "not_found_error",
    Kind.CONTEXT_LENGTH: "invalid_request_error",
    Kind.TOO_LARGE: "request_too_large",
    Kind.RATE_LIMIT: "rate_limit_error",
    Kind.OVERLOADED: "overloaded_error",
    Kind.TIMEOUT: "timeout_error",
    Kind.SERVER: "api_error",
}
_TYPES_BY_STATUS: Final[Mapping[tuple[int, Kind], str]] = {(429, Kind.BILLING): "rate_limit_error"}
#: The vendor's word -> its kind, and the status that it has as a reply.
_KINDS: Final[Mapping[str, tuple[Kind, int]]] = {
    "invalid_request_error": (Kind.INVALID_REQUEST, 400),
    "authentication_error": (Kind.AUTHENTICATION, 401),
    "billing_error": (Kind.BILLING, 402),
    "permission_error": (Kind.PERMISSION, 403),
    "not_found_error": (Kind.NOT_FOUND, 404),
    "conflict_error": (Kind.INVALID_REQUEST, 409),
    "request_too_large": (Kind.TOO_LARGE, 413),
    "rate_limit_error": (Kind.RATE_LIMIT, 429),
    "api_error": (Kind.SERVER, 500),
    "timeout_error": (Kind.TIMEOUT, 504),
    "overloaded_error": (Kind.OVERLOADED, 529),
}
_KIND_BY_STATUS: Final[Mapping[int, Kind]] = {
    401: Kind.AUTHENTICATION,
    402: Kind.BILLING,
    403: Kind.PERMISSION,
    404: Kind.NOT_FOUND,
    408: Kind.TIMEOUT,
    413: Kind.TOO_LARGE,
    429: Kind.RATE_LIMIT,
    503: Kind.OVERLOADED,
    504: Kind.TIMEOUT,
    529: Kind.OVERLOADED,
}
#: Refusals of the gateway's own credential: the vendor's words may show a part of it, or name the account.
_WITHHELD: Final[Mapping[Kind, str]] = {
    Kind.AUTHENTICATION: "the Anthropic API did not accept the credential that it was given",
    Kind.PERMISSION: "the Anthropic API does not allow this to the credential that it was given",
}
#: Types that speak of the key ("Your API key does not have permission to use the specified resource").
_OF_THE_CREDENTIAL: Final = frozenset({"authentication_error", "permission_error"})
#: What a prompt that does not fit is called; tools react to the beginning of the message (unconfirmed).
_TOO_LONG: Final = "prompt is too long"


def write_error(error: ApiError) -> bytes:
    """The body of an error reply. Its type goes with the status where the status is told as another than the kind's.

    A vendor's account without money is shown as 429 to clients of the gateway (see ``exchange.replies.shown``).
    """
    word = _TYPES_BY_STATUS.get((error.status, error.kind)) or _TYPES[error.kind]
    if error.status == 409:
        word = "conflict_error"
    message = error.message
    if error.kind is Kind.CONTEXT_LENGTH and not message.startswith(_TOO_LONG):
        message = f"{_TOO_LONG}: {message}"
    return msgspec.json.encode({"type": "error", "error": {"type": word, "message": message}})


def error_event(error: ApiError) -> bytes:
    """The same object as the last event of a stream: neither ``message_delta`` nor ``message_stop`` may follow."""
    return sse.encode(write_error(error), b"error")


def read_error(status: int, body: bytes) -> ApiError:
    """The error of a reply that is not 2xx; never raises. Neither 401 nor 403 passes the vendor's message on."""
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        decoded = None
    error = decoded.get("error") if isinstance(decoded, dict) else None
    if not isinstance(error, dict):
        return ApiError(status, _kind_of(status), f"the Anthropic API answered {status} without an error body")
    return read_error_object(error, status)


def read_error_object(error: Any, status: int | None = None) -> ApiError:
    """An ``error`` object of whatever shape; without ``status`` (in a stream) the one that its word has as a reply."""
    known: dict[str, Any] = error if isinstance(error, dict) else {}
    native, told = (_maybe_text(known.get(name)) for name in ("type", "message"))
    kind, usual = _KINDS.get(native or "", (None, 502))
    status = usual if status is None else status
    kind = kind or _kind_of(status)
    if told is None and isinstance(error, str):
        told = error or None
    if kind is Kind.INVALID_REQUEST and told is not None and _TOO_LONG in told.lower():
        kind = Kind.CONTEXT_LENGTH
    if kind is Kind.NOT_FOUND and told is not None and told.startswith("model:"):
        kind = Kind.MODEL_NOT_FOUND
    withheld = _WITHHELD.get(kind) or _WITHHELD.get(_kind_of(status))
    if withheld is not None:
        fault = native if native in _OF_THE_CREDENTIAL else None
        return ApiError(status, kind, withheld, native_type=native, credential=fault)
    message = told or f"the Anthropic API reported {native or 'an error'} and gave no message"
    return ApiError(status, kind, message, native_type=native, vendor=told is not None)


def bad_answer(problem: str) -> UpstreamError:
    """The upstream said 200, but ``problem``."""
    return UpstreamError(ApiError(502, Kind.SERVER, f"the Anthropic API answered 200, but {problem}"))


def _kind_of(status: int) -> Kind:
    return _KIND_BY_STATUS.get(status, Kind.INVALID_REQUEST if 400 <= status < 500 else Kind.SERVER)


def _maybe_text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
