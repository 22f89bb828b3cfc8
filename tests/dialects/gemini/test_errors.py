"""Google's errors: by whose fault they are, how long to wait, and nothing of the gateway's own."""

import json
from typing import Any

import pytest

from extproc.conversation.errors import ApiError, Kind
from extproc.dialects.gemini import DIALECT


def told(status: int, error: dict[str, Any] | None) -> ApiError:
    body = b"" if error is None else json.dumps({"error": error}).encode()
    return DIALECT.read_error(status, {}, body)


@pytest.mark.parametrize(
    ("status", "word", "kind"),
    [
        (400, "INVALID_ARGUMENT", Kind.INVALID_REQUEST),
        (400, "FAILED_PRECONDITION", Kind.INVALID_REQUEST),
        (400, "OUT_OF_RANGE", Kind.INVALID_REQUEST),
        (403, "PERMISSION_DENIED", Kind.PERMISSION),
        (404, "NOT_FOUND", Kind.MODEL_NOT_FOUND),
        (409, "ABORTED", Kind.INVALID_REQUEST),
        (409, "ALREADY_EXISTS", Kind.INVALID_REQUEST),
        (429, "RESOURCE_EXHAUSTED", Kind.RATE_LIMIT),
        (499, "CANCELLED", Kind.SERVER),
        (500, "INTERNAL", Kind.SERVER),
        (500, "UNKNOWN", Kind.SERVER),
        (503, "UNAVAILABLE", Kind.OVERLOADED),
        (504, "DEADLINE_EXCEEDED", Kind.TIMEOUT),
        (418, "SOMETHING_NEW", Kind.INVALID_REQUEST),
        (599, "SOMETHING_NEW", Kind.SERVER),
    ],
)
def test_statuses(status: int, word: str, kind: Kind) -> None:
    """Each word of Google's has its kind, the status stays, and the message is the vendor's."""
    error = told(status, {"code": status, "message": "Oh no.", "status": word})

    assert error == ApiError(status, kind, "Oh no.", native_type=word, vendor=True)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, Kind.INVALID_REQUEST), (404, Kind.MODEL_NOT_FOUND), (502, Kind.SERVER), (429, Kind.RATE_LIMIT)],
)
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'"a"', b'{"error":"x"}', b"\xff", b'{"error":[]}', b"[" * 5000]
)
def test_a_body_that_is_no_google_error(status: int, kind: Kind, body: bytes) -> None:
    """Whatever a proxy in between answers, the status says what it can, and the body is not repeated."""
    error = DIALECT.read_error(status, {}, body)

    assert (error.status, error.kind, error.vendor) == (status, kind, False)
    assert error.message == f"Gemini answered {status} without a Google error body"


def test_an_error_in_an_array() -> None:
    """A stream without server-sent events answers so."""
    error = DIALECT.read_error(429, {}, b'[{"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED"}}]')

    assert (error.kind, error.message) == (Kind.RATE_LIMIT, "m")


@pytest.mark.parametrize(
    ("delay", "seconds"), [("34s", 34), ("34.074824224s", 35), ("0s", 0), ("soon", None), (5, None)]
)
def test_retry_info(delay: Any, seconds: int | None) -> None:
    """The wait is in the body, in seconds, rounded up."""
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}, "x", {}]

    assert told(429, {"status": "RESOURCE_EXHAUSTED", "message": "m", "details": details}).retry_after == seconds


@pytest.mark.parametrize(
    ("status", "word", "reason"),
    [
        (400, "INVALID_ARGUMENT", "API_KEY_INVALID"),
        (400, "INVALID_ARGUMENT", "API_KEY_EXPIRED"),
        (401, "UNAUTHENTICATED", "ACCESS_TOKEN_EXPIRED"),
    ],
)
def test_a_bad_credential_is_not_the_callers_fault(status: int, word: str, reason: str) -> None:
    """Google may say INVALID_ARGUMENT, but it is the gateway's key or token, and the caller's body is in order."""
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}]
    error = told(status, {"status": word, "message": "API key not valid.", "details": details})

    expected = "the upstream did not accept the credential that it was given"
    assert error == ApiError(401, Kind.AUTHENTICATION, expected, native_type=word, credential=reason)


@pytest.mark.parametrize(
    "message",
    [
        "The input token count (1196265) exceeds the maximum number of tokens allowed (1048575).",
        "Unable to submit request because the input token count is 32769 but model only supports up to 32768.",
    ],
)
def test_a_prompt_that_does_not_fit(message: str) -> None:
    """Clients that shorten their history go by this kind."""
    assert told(400, {"status": "INVALID_ARGUMENT", "message": message}).kind is Kind.CONTEXT_LENGTH


@pytest.mark.parametrize(
    "message",
    [
        "Permission denied on resource '//aiplatform.googleapis.com/projects/secret-1/locations/us'.",
        "Publisher Model `projects/secret-1/locations/us/publishers/google/models/x` was not found.",
        "Generative Language API has not been used in project secret-1 before or it is disabled.",
        "Consumer 'api_key:secret-1' has been suspended.",
        "secret-1@p.iam.gserviceaccount.com does not have aiplatform.endpoints.predict access.",
    ],
)
def test_the_gateways_own_project_and_account_stay_its_own(message: str) -> None:
    """A caller learns what is wrong, and not the name of what it is wrong with."""
    error = told(403, {"status": "PERMISSION_DENIED", "message": message})

    assert "secret-1" not in error.message
    assert "(a Google Cloud identity or resource)" in error.message


def test_named_fields_are_told() -> None:
    """A general message gets the fields that its details name."""
    details = [{"fieldViolations": [{"field": "contents[0].parts"}, 3, {}]}, {"fieldViolations": 1}]
    error = told(400, {"status": "INVALID_ARGUMENT", "message": "Bad.", "details": details})

    assert error.message == "Bad. (in contents[0].parts)"


def test_an_error_without_words() -> None:
    """There is a message all the same, by its word."""
    assert told(500, {"status": "INTERNAL"}).message == "Gemini reported INTERNAL and gave no message"
    assert told(500, {}).message == "Gemini reported an error and gave no message"
