"""Google's error replies, which look the same inside a stream.

``{"error": {"code", "message", "status", "details": [{"@type": ...}]}}``, or an array of one such where a stream
without SSE was asked for. Facts: https://cloud.google.com/apis/design/errors and google-genai 3.4 ``errors``, read
2026-11-22.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from extproc.conversation.errors import ApiError, Kind, UpstreamError
from extproc.dialects.vendor_words import shortened

#: ``google.rpc.Code`` words, with the HTTP status that each has as a reply.
_KINDS: Final[Mapping[str, tuple[Kind, int]]] = {
    "INVALID_ARGUMENT": (Kind.INVALID_REQUEST, 400),
    "FAILED_PRECONDITION": (Kind.INVALID_REQUEST, 400),
    "OUT_OF_RANGE": (Kind.INVALID_REQUEST, 400),
    "UNAUTHENTICATED": (Kind.AUTHENTICATION, 401),
    "PERMISSION_DENIED": (Kind.PERMISSION, 403),
    "NOT_FOUND": (Kind.MODEL_NOT_FOUND, 404),
    "ABORTED": (Kind.INVALID_REQUEST, 409),
    "ALREADY_EXISTS": (Kind.INVALID_REQUEST, 409),
    "RESOURCE_EXHAUSTED": (Kind.RATE_LIMIT, 429),
    "CANCELLED": (Kind.SERVER, 499),
    "INTERNAL": (Kind.SERVER, 500),
    "UNKNOWN": (Kind.SERVER, 500),
    "DATA_LOSS": (Kind.SERVER, 500),
    "UNIMPLEMENTED": (Kind.INVALID_REQUEST, 501),
    "UNAVAILABLE": (Kind.OVERLOADED, 503),
    "DEADLINE_EXCEEDED": (Kind.TIMEOUT, 504),
}
_KIND_BY_STATUS: Final[Mapping[int, Kind]] = {
    400: Kind.INVALID_REQUEST,
    401: Kind.AUTHENTICATION,
    403: Kind.PERMISSION,
    404: Kind.MODEL_NOT_FOUND,
    408: Kind.TIMEOUT,
    413: Kind.TOO_LARGE,
    429: Kind.RATE_LIMIT,
    503: Kind.OVERLOADED,
    504: Kind.TIMEOUT,
}
# "The input token count (1196265) exceeds the maximum number of tokens allowed (1048575)."; on Vertex AI "the input
# token count is 32769 but model only supports up to 32768".
_TOO_LONG: Final = ("input token count", "exceeds the maximum number of tokens", "input context is too long")
#: The gateway's own project, account and key, which are no business of the caller's. Each run of letters is read from
#: its beginning only, and once: a message may be one run from end to end.
OWN_NAMES: Final = re.compile(
    r"//[\w.-]+\.googleapis\.com/[\w.@:/-]+|\bprojects?[/ ](?:number )?[\w:.-]+(?:/[\w.@/-]+)?"
    r"|(?<![\w.-])[\w.-]++@[\w.-]+\.gserviceaccount\.com|\bapi_key:[\w-]+|\bAIza[\w-]{20,}",
)
#: Reasons of ``google.rpc.ErrorInfo`` that speak of the key, though the status says INVALID_ARGUMENT.
_KEY_REASONS: Final = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED"})
#: Reasons of ``google.rpc.ErrorInfo`` that speak of the credential, whatever the status (googleapis
#: ``google/api/error_reason.proto``, 2026-11-23).
_OF_THE_CREDENTIAL: Final = frozenset(
    {
        *_KEY_REASONS,
        "ACCESS_TOKEN_EXPIRED",
        "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
        "ACCESS_TOKEN_TYPE_UNSUPPORTED",
        "ACCOUNT_STATE_INVALID",
        "API_KEY_ANDROID_APP_BLOCKED",
        "API_KEY_HTTP_REFERRER_BLOCKED",
        "API_KEY_IOS_APP_BLOCKED",
        "API_KEY_IP_ADDRESS_BLOCKED",
        "API_KEY_SERVICE_BLOCKED",
        "CONSUMER_INVALID",
        "CONSUMER_SUSPENDED",
        "CREDENTIALS_MISSING",
    }
)
_REFUSED: Final = "the upstream did not accept the credential that it was given"
_SECONDS: Final = re.compile(r"(\d{1,6})(\.\d+)?s")


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """The error of a reply that is not 2xx. Never raises."""
    del headers
    fields = _maybe_error(body)
    if fields is None:
        kind = _by_status(status)
        return ApiError(status, kind, f"Gemini answered {status} without a Google error body")
    return _api_error(fields, status)


def read_fault(error: Any) -> ApiError:
    """The member ``error`` of a piece of a stream that began as a 200; the status is what it would have had."""
    return _api_error(error if isinstance(error, dict) else {}, None)


def bad_answer(problem: str) -> UpstreamError:
    """Gemini said 200, but ``problem``."""
    return UpstreamError(ApiError(502, Kind.SERVER, f"Gemini answered 200, but {problem}"))


def _api_error(fields: dict[str, Any], status: int | None) -> ApiError:
    native = _maybe_text(fields.get("status"))
    kind, usual = _KINDS.get(native or "", (None, None))
    code = fields.get("code")
    if status is None:
        status = code if type(code) is int and 400 <= code <= 599 else usual or 500
    kind = kind or _by_status(status)
    details = fields.get("details")
    told = [detail for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []
    reason = next((found for detail in told if (found := _maybe_text(detail.get("reason")))), None)
    delays = [seconds for detail in told if (seconds := _maybe_seconds(detail.get("retryDelay"))) is not None]
    retry = delays[0] if delays else None
    fault = reason if reason in _OF_THE_CREDENTIAL else None
    if kind is Kind.AUTHENTICATION or reason in _KEY_REASONS:
        # Google's own words would have the caller look for a key of theirs, which they never had.
        word = fault or "UNAUTHENTICATED"
        return ApiError(401, Kind.AUTHENTICATION, _REFUSED, native_type=native, credential=word)
    message = _maybe_text(fields.get("message"))
    if message is None:
        nothing = f"Gemini reported {native or 'an error'} and gave no message"
        return ApiError(status, kind, nothing, native_type=native, retry_after=retry)
    if kind is Kind.INVALID_REQUEST and any(phrase in message.lower() for phrase in _TOO_LONG):
        kind = Kind.CONTEXT_LENGTH
    message = OWN_NAMES.sub("(a Google Cloud identity or resource)", shortened(message + _violations(told)))
    return ApiError(status, kind, message, native_type=native, vendor=True, retry_after=retry, credential=fault)


def _violations(details: list[dict[str, Any]]) -> str:
    """The fields that ``google.rpc.BadRequest`` names, where the message itself stays general."""
    named = [
        field
        for detail in details
        if isinstance(violations := detail.get("fieldViolations"), list)
        for violation in violations
        if isinstance(violation, dict) and (field := _maybe_text(violation.get("field")))
    ]
    return f" (in {', '.join(named)})" if named else ""


def _by_status(status: int) -> Kind:
    return _KIND_BY_STATUS.get(status, Kind.INVALID_REQUEST if 400 <= status < 499 else Kind.SERVER)


def _maybe_error(body: bytes) -> dict[str, Any] | None:
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if isinstance(decoded, list) and decoded:
        decoded = decoded[0]
    error = decoded.get("error") if isinstance(decoded, dict) else None
    return error if isinstance(error, dict) else None


def _maybe_text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _maybe_seconds(value: Any) -> int | None:
    """``34s`` and ``34.07s``, rounded up."""
    found = _SECONDS.fullmatch(value) if isinstance(value, str) else None
    return None if found is None else int(found[1]) + (found[2] is not None)
