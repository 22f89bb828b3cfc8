"""OpenAI's error object: ``{"error": {"message", "type", "param", "code"}}``, as a body and inside a stream.

The words are those that OpenAI's API sends (error codes guide and openai-python 3.54 ``_exceptions.py``, read
2026-11-22). Inside a stream, openai-python raises ``APIError`` if and only if a data event parses to an object whose
``error`` is truthy, whatever the event's name: so an error event is the same object in a ``data:`` line.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from extproc.conversation.errors import ApiError, Kind
from extproc.wire import sse

#: Kind -> (``type``, ``code`` where the error brings none of its own).
WORDS: Final[Mapping[Kind, tuple[str, str | None]]] = {
    Kind.INVALID_REQUEST: ("invalid_request_error", None),
    Kind.AUTHENTICATION: ("invalid_request_error", "invalid_api_key"),
    Kind.PERMISSION: ("permission_error", None),
    Kind.BILLING: ("insufficient_quota", "insufficient_quota"),
    Kind.NOT_FOUND: ("invalid_request_error", None),
    Kind.MODEL_NOT_FOUND: ("invalid_request_error", "model_not_found"),
    Kind.CONTEXT_LENGTH: ("invalid_request_error", "context_length_exceeded"),
    Kind.TOO_LARGE: ("invalid_request_error", "request_too_large"),
    Kind.RATE_LIMIT: ("rate_limit_error", "rate_limit_exceeded"),
    Kind.OVERLOADED: ("service_unavailable_error", "server_is_overloaded"),
    Kind.TIMEOUT: ("server_error", "timeout"),
    Kind.SERVER: ("server_error", None),
}

#: What an upstream's own ``code`` says; asked first, as one ``type`` stands for many things.
_KIND_BY_CODE: Final[Mapping[str, tuple[Kind, int]]] = {
    "invalid_api_key": (Kind.AUTHENTICATION, 401),
    "insufficient_quota": (Kind.BILLING, 429),
    "model_not_found": (Kind.MODEL_NOT_FOUND, 404),
    "context_length_exceeded": (Kind.CONTEXT_LENGTH, 400),
    "rate_limit_exceeded": (Kind.RATE_LIMIT, 429),
    "server_is_overloaded": (Kind.OVERLOADED, 503),
    "slow_down": (Kind.OVERLOADED, 503),
    "timeout": (Kind.TIMEOUT, 504),
}
_KIND_BY_TYPE: Final[Mapping[str, tuple[Kind, int]]] = {
    "invalid_request_error": (Kind.INVALID_REQUEST, 400),
    "authentication_error": (Kind.AUTHENTICATION, 401),
    "permission_error": (Kind.PERMISSION, 403),
    "insufficient_quota": (Kind.BILLING, 429),
    "not_found_error": (Kind.NOT_FOUND, 404),
    "rate_limit_error": (Kind.RATE_LIMIT, 429),
    "tokens": (Kind.RATE_LIMIT, 429),
    "requests": (Kind.RATE_LIMIT, 429),
    "overloaded_error": (Kind.OVERLOADED, 503),
    "service_unavailable_error": (Kind.OVERLOADED, 503),
}
_SERVER: Final = (Kind.SERVER, 502)


def write_error(error: ApiError) -> bytes:
    """The body of an error reply. An error's own ``code`` wins over its kind's."""
    error_type, code = WORDS[error.kind]
    return msgspec.json.encode(
        {
            "error": {
                "message": error.message,
                "type": error_type,
                "param": error.param,
                "code": error.code if error.code is not None else code,
            }
        }
    )


def error_event(error: ApiError) -> bytes:
    """The same object as the last event of a stream: neither a finish chunk nor ``[DONE]`` may follow."""
    return sse.encode(write_error(error))


def read_stream_error(error: Any) -> ApiError:
    """An upstream's in-band ``error`` value, of whatever shape: kind and status are what its words say, else SERVER.

    ``status`` is what the same error would have had as a reply, since a stream that has begun has none to give.
    """
    known: dict[str, Any] = error if isinstance(error, dict) else {}
    message, code, native, param = (_maybe_text(known.get(name)) for name in ("message", "code", "type", "param"))
    kind, status = _KIND_BY_CODE.get(code or "") or _KIND_BY_TYPE.get(native or "") or _SERVER
    if message is None and isinstance(error, str):
        message = error or None
    return ApiError(
        status=status,
        kind=kind,
        message="the upstream reported an error inside its stream" if message is None else message,
        param=param,
        code=code,
        native_type=native,
        vendor=message is not None,
    )


def _maybe_text(value: Any) -> str | None:
    """``code`` is a number at some vendors."""
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None
