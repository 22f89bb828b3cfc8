"""Error bodies and events, and reading an upstream's in-band error."""

import json
from typing import Any

import httpx2
import openai
import pytest

from extproc.conversation.errors import ApiError, Kind
from extproc.dialects.openai import DIALECT
from extproc.dialects.openai.errors import read_stream_error

WORDS: dict[Kind, tuple[str, str | None]] = {
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


@pytest.mark.parametrize("kind", Kind)
def test_words_of_each_kind(kind: Kind) -> None:
    """Every kind has its type and code in the error object."""
    error_type, code = WORDS[kind]

    assert json.loads(DIALECT.write_error(ApiError(400, kind, "text", param="a.b"))) == {
        "error": {"message": "text", "type": error_type, "param": "a.b", "code": code}
    }


def test_own_code_wins() -> None:
    """An error that brings a code keeps it."""
    written = json.loads(DIALECT.write_error(ApiError(400, Kind.INVALID_REQUEST, "x", code="unsupported_value")))

    assert written["error"]["code"] == "unsupported_value"


@pytest.mark.parametrize("message", ['quote " and \\ back', "line\nend\r\n", "\u2028 \x00 é 😀", "data: x\n\ndata: y"])
def test_any_message_is_escaped(message: str) -> None:
    """Whatever a message holds, the body is JSON and the event one block of one data line."""
    error = ApiError(500, Kind.SERVER, message)
    event = DIALECT.error_event(error)

    assert json.loads(DIALECT.write_error(error))["error"]["message"] == message
    assert event == b"data: " + DIALECT.write_error(error) + b"\n\n"
    assert event.count(b"\n") == 2


@pytest.mark.parametrize(
    ("status", "kind", "raised"),
    [
        (400, Kind.INVALID_REQUEST, openai.BadRequestError),
        (401, Kind.AUTHENTICATION, openai.AuthenticationError),
        (403, Kind.PERMISSION, openai.PermissionDeniedError),
        (404, Kind.MODEL_NOT_FOUND, openai.NotFoundError),
        (429, Kind.RATE_LIMIT, openai.RateLimitError),
        (503, Kind.OVERLOADED, openai.InternalServerError),
    ],
)
def test_the_sdk_raises_its_class(status: int, kind: Kind, raised: type[openai.APIStatusError]) -> None:
    """openai-python raises the class of the status and shows type, code and param."""
    reply = DIALECT.write_error(ApiError(status, kind, "what went wrong", param="messages[0].content"))
    transport = httpx2.MockTransport(lambda _: httpx2.Response(status, content=reply))
    client = openai.OpenAI(
        api_key="none", base_url="http://gateway/v1", max_retries=0, http_client=httpx2.Client(transport=transport)
    )

    with pytest.raises(raised) as caught:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])

    assert (caught.value.type, caught.value.code, caught.value.param) == (*WORDS[kind], "messages[0].content")
    assert "what went wrong" in caught.value.message


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            {"message": "slow", "type": "tokens", "code": "rate_limit_exceeded", "param": None},
            ApiError(429, Kind.RATE_LIMIT, "slow", code="rate_limit_exceeded", native_type="tokens", vendor=True),
        ),
        (
            {"message": "x", "type": "invalid_request_error", "param": "p"},
            ApiError(400, Kind.INVALID_REQUEST, "x", param="p", native_type="invalid_request_error", vendor=True),
        ),
        (
            {"message": "x", "type": "invalid_request_error", "code": "context_length_exceeded"},
            ApiError(
                400,
                Kind.CONTEXT_LENGTH,
                "x",
                code="context_length_exceeded",
                native_type="invalid_request_error",
                vendor=True,
            ),
        ),
        (
            {"type": "overloaded_error", "message": "busy"},
            ApiError(503, Kind.OVERLOADED, "busy", native_type="overloaded_error", vendor=True),
        ),
        ({"message": "x", "code": 500}, ApiError(502, Kind.SERVER, "x", code="500", vendor=True)),
        ({"message": "x", "code": True}, ApiError(502, Kind.SERVER, "x", vendor=True)),
        ("plain text", ApiError(502, Kind.SERVER, "plain text", vendor=True)),
        ({}, ApiError(502, Kind.SERVER, "the upstream reported an error inside its stream")),
        ({"message": 5, "type": []}, ApiError(502, Kind.SERVER, "5", vendor=True)),
        (["odd"], ApiError(502, Kind.SERVER, "the upstream reported an error inside its stream")),
    ],
)
def test_in_band_errors(error: Any, expected: ApiError) -> None:
    """An upstream's in-band error of any shape gives a kind and a status, and never an exception."""
    assert expected == read_stream_error(error)


@pytest.mark.parametrize(
    ("error", "vendor"),
    [({"message": "m"}, True), ("m", True), ({"message": ""}, False), ("", False), ({"code": "x"}, False), (7, False)],
)
def test_whose_words_an_in_band_error_has(error: Any, *, vendor: bool) -> None:
    """A message that the upstream wrote is marked as such, as it must not be logged; ours is not."""
    assert read_stream_error(error).vendor is vendor
