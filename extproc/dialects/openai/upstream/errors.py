"""Error replies of servers that speak this API.

The shapes: OpenAI's ``{"error": {...}}``, also with a string in it (Ollama); Azure's ``{"statusCode", "message"}``;
vLLM's flat ``{"object": "error", "message", "type", "code"}``; FastAPI's ``{"detail": ...}``.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from extproc.conversation.errors import ApiError, Kind
from extproc.dialects.openai.errors import read_stream_error
from extproc.dialects.vendor_words import maybe_key_fault

_KIND_BY_STATUS: Final[Mapping[int, Kind]] = {
    400: Kind.INVALID_REQUEST,
    401: Kind.AUTHENTICATION,
    402: Kind.BILLING,
    403: Kind.PERMISSION,
    404: Kind.NOT_FOUND,
    408: Kind.TIMEOUT,
    413: Kind.TOO_LARGE,
    429: Kind.RATE_LIMIT,
    503: Kind.OVERLOADED,
    504: Kind.TIMEOUT,
}
#: Kinds that the vendor's words may say more exactly than the status does.
_BY_WORDS: Final = frozenset(
    {Kind.CONTEXT_LENGTH, Kind.MODEL_NOT_FOUND, Kind.BILLING, Kind.OVERLOADED, Kind.RATE_LIMIT, Kind.TIMEOUT}
)
_MODEL_CODES: Final = frozenset({"model_not_found", "DeploymentNotFound"})
#: How servers say that the prompt does not fit: OpenAI's and vLLM's words, and llama.cpp's type.
_TOO_LONG: Final = ("maximum context length", "context length is", "exceed_context_size", "context window")
#: Codes and types of the key itself, not of what was asked with it: OpenAI's, LiteLLM's (``auth_error``) and those of
#: servers that answer with Anthropic's types.
_OF_THE_CREDENTIAL: Final = frozenset(
    {
        "account_deactivated",
        "auth_error",
        "authentication_error",
        "expired_key",
        "invalid_api_key",
        "invalid_authentication",
        "invalid_organization",
        "ip_not_authorized",
        "mismatched_organization",
        "mismatched_project",
        "missing_scope",
    }
)
_REFUSED: Final = "the upstream did not accept the credential that it was given"


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """The error of a reply that is not 2xx. Never raises.

    The message of a 401 is not passed on: it may show a part of the key.
    """
    del headers
    value = _maybe_value(body)
    told = read_stream_error(_error_in(value))
    kind, fault = _kind(status, told), _maybe_credential_fault(told)
    if kind is Kind.AUTHENTICATION:
        return ApiError(status, kind, _REFUSED, native_type=told.native_type, credential=fault)
    message = told.message if told.vendor else f"the upstream answered {status} without an error that can be read"
    code, native = _maybe_code(told.code), told.native_type
    return ApiError(status, kind, message, told.param, code, native, vendor=told.vendor, credential=fault)


def _maybe_credential_fault(told: ApiError) -> str | None:
    for word in (told.code, told.native_type):
        if word in _OF_THE_CREDENTIAL:
            return word
    return maybe_key_fault(told.message) if told.vendor else None


def _kind(status: int, told: ApiError) -> Kind:
    if told.code in _MODEL_CODES:
        return Kind.MODEL_NOT_FOUND
    usual = _KIND_BY_STATUS.get(status, Kind.INVALID_REQUEST if 400 <= status < 500 else Kind.SERVER)
    if usual is Kind.INVALID_REQUEST:
        words = f"{told.message} {told.native_type}".lower()
        if any(phrase in words for phrase in _TOO_LONG):
            return Kind.CONTEXT_LENGTH
    return told.kind if told.kind in _BY_WORDS and usual is not Kind.AUTHENTICATION else usual


def _maybe_code(code: str | None) -> str | None:
    """A code that only repeats an HTTP status says nothing."""
    return None if code is not None and code.isdigit() else code


def _error_in(value: Any) -> Any:
    if not isinstance(value, dict):
        return None
    if value.get("error"):
        return value["error"]
    detail = value.get("detail")
    return detail if isinstance(detail, str) else value


def _maybe_value(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
