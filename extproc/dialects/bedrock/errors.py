"""AWS error replies, and the exceptions that arrive inside a stream that began as a 200.

The status stays the vendor's. The error's name comes from the header, then from the body, in the forms that AWS
services use: ``ThrottlingException:http://internal.amazon.com/...``, ``com.amazon.coral.validate#ValidationException``
(botocore 1.44 ``parsers.BaseRestParser``).
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from extproc.conversation.errors import ApiError, Kind, UpstreamError
from extproc.dialects.vendor_words import maybe_key_fault, shortened

# Lower-case, because stream frames begin the same names with a small letter. Faults of the credential are the
# gateway's, not the caller's: permission, never "your API key is invalid".
_KINDS: Mapping[str, tuple[Kind, int]] = {
    "validationexception": (Kind.INVALID_REQUEST, 400),
    "servicequotaexceededexception": (Kind.INVALID_REQUEST, 400),
    "accessdeniedexception": (Kind.PERMISSION, 403),
    "unrecognizedclientexception": (Kind.PERMISSION, 403),
    "invalidsignatureexception": (Kind.PERMISSION, 403),
    "incompletesignatureexception": (Kind.PERMISSION, 403),
    "missingauthenticationtokenexception": (Kind.PERMISSION, 403),
    "expiredtokenexception": (Kind.PERMISSION, 403),
    "expiredtoken": (Kind.PERMISSION, 403),
    "invalidclienttokenid": (Kind.PERMISSION, 403),
    "invalidtokenexception": (Kind.PERMISSION, 403),
    "requestexpired": (Kind.PERMISSION, 403),
    "signaturedoesnotmatch": (Kind.PERMISSION, 403),
    "resourcenotfoundexception": (Kind.MODEL_NOT_FOUND, 404),
    "unknownoperationexception": (Kind.NOT_FOUND, 404),
    "modeltimeoutexception": (Kind.TIMEOUT, 408),
    "modelerrorexception": (Kind.SERVER, 424),
    "modelstreamerrorexception": (Kind.SERVER, 424),
    "throttlingexception": (Kind.RATE_LIMIT, 429),
    "modelnotreadyexception": (Kind.RATE_LIMIT, 429),
    "internalserverexception": (Kind.SERVER, 500),
    "serviceunavailableexception": (Kind.OVERLOADED, 503),
}
#: Faults of the credential and of what was signed with it. Their words quote the signed text, token and all, and would
#: have the caller look for a key of theirs, which they never had.
_OF_THE_CREDENTIAL = frozenset(
    {
        "unrecognizedclientexception",
        "invalidsignatureexception",
        "incompletesignatureexception",
        "missingauthenticationtokenexception",
        "expiredtokenexception",
        "expiredtoken",
        "invalidclienttokenid",
        "invalidtokenexception",
        "requestexpired",
        "signaturedoesnotmatch",
    }
)
_REFUSED = "the upstream did not accept the credential that it was given"
#: A name of the gateway's own role or resource.
ARN = re.compile(r"\barn:aws[\w-]*:\S+")
#: The account in an ARN, which says whose it is; the rest may be the model that the caller named.
ARN_ACCOUNT = re.compile(r"\b(arn:aws[\w-]{0,16}:[\w-]{0,32}:[\w-]{0,32}:)\d{12}\b")
#: Where it stands alone.
ACCOUNT = re.compile(r"\b\d{12}\b")
_KIND_BY_STATUS: Mapping[int, Kind] = {
    400: Kind.INVALID_REQUEST,
    401: Kind.AUTHENTICATION,
    403: Kind.PERMISSION,
    404: Kind.NOT_FOUND,
    408: Kind.TIMEOUT,
    413: Kind.TOO_LARGE,
    429: Kind.RATE_LIMIT,
    503: Kind.OVERLOADED,
    504: Kind.TIMEOUT,
}
# How a ValidationException says that the prompt does not fit; the wording differs by model family. The phrases are from
# live answers: "Input is too long for requested model", "prompt is too long: ... tokens > ... maximum", "Too many input
# tokens", "maximum context length", "exceed context limit".
_TOO_LONG = ("too long", "too many input tokens", "context length", "context limit", "context window")


def read_error(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """The error of a reply that is not 2xx; ``headers`` has lower-case names. Never raises."""
    known = _maybe_object(body)
    if known is None and "x-amzn-errortype" not in headers:
        return ApiError(status, _by_status(status), f"Bedrock answered {status} without an AWS error body")
    fields = known or {}
    name = _error_name(headers, fields)
    return _api_error(name, fields, status)


def read_exception(name: str, payload: bytes) -> ApiError:
    """An ``exception`` frame; the status is what the same error would have had as a reply."""
    return _api_error(name, _maybe_object(payload) or {}, None)


def read_error_frame(code: str, message: str) -> ApiError:
    """An ``error`` frame, which has no body."""
    if not message:
        return ApiError(500, Kind.SERVER, "Bedrock gave no message", native_type=code or None)
    return ApiError(500, Kind.SERVER, _told(message, Kind.SERVER), native_type=code or None, vendor=True)


def bad_answer(problem: str) -> UpstreamError:
    """Bedrock said 200, but ``problem``."""
    return UpstreamError(ApiError(502, Kind.SERVER, f"Bedrock answered 200, but {problem}"))


def _api_error(name: str | None, fields: dict[str, Any], status: int | None) -> ApiError:
    kind, usual = _KINDS.get((name or "").lower(), (None, 500))
    status = usual if status is None else status
    kind = kind or _by_status(status)
    if (name or "").lower() in _OF_THE_CREDENTIAL:
        return ApiError(status, kind, _REFUSED, native_type=name, credential=name)
    told = _maybe_text(fields, "message", "Message")
    message = told or f"Bedrock reported {name or 'an error'} and gave no message"
    if kind is Kind.INVALID_REQUEST and any(phrase in message.lower() for phrase in _TOO_LONG):
        kind = Kind.CONTEXT_LENGTH
    original = fields.get("originalStatusCode")
    if isinstance(original, int):
        words = _maybe_text(fields, "originalMessage")
        message += f" (the model answered {original}{f': {words}' if words else ''})"
        told = told or words
    fault = maybe_key_fault(told or "")
    return ApiError(status, kind, _told(message, kind), native_type=name, vendor=told is not None, credential=fault)


def _told(message: str, kind: Kind) -> str:
    """Without the gateway's own role and account, which are no business of the caller's."""
    message = shortened(message)
    if kind is Kind.PERMISSION:
        return ACCOUNT.sub("(an AWS account)", ARN.sub("(an AWS identity or resource)", message))
    return ARN_ACCOUNT.sub(r"\1(account)", message)


def _by_status(status: int) -> Kind:
    return _KIND_BY_STATUS.get(status, Kind.INVALID_REQUEST if 400 <= status < 500 else Kind.SERVER)


def _error_name(headers: Mapping[str, str], fields: dict[str, Any]) -> str | None:
    found = headers.get("x-amzn-errortype") or _maybe_text(fields, "code", "Code", "__type")
    return found.split(":", 1)[0].rsplit("#", 1)[-1].strip() or None if found else None


def _maybe_object(body: bytes) -> dict[str, Any] | None:
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return decoded if isinstance(decoded, dict) else None


def _maybe_text(fields: dict[str, Any], *names: str) -> str | None:
    return next((value for name in names if isinstance(value := fields.get(name), str) and value), None)
