"""Whole answers and error replies."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.conversation.errors import ApiError, Kind, UpstreamError
from extproc.conversation.request import Text, Thinking, ToolCall
from extproc.conversation.response import NO_USAGE, Response, Stop, Usage
from extproc.dialects.bedrock import DIALECT
from extproc.dialects.contract import UpstreamRequest

PLAIN = UpstreamRequest(b"")


def read(content: list[Any] | None = None, sent: UpstreamRequest = PLAIN, **members: Any) -> Response:
    answer = {
        "output": {"message": {"role": "assistant", "content": content or []}},
        "stopReason": "end_turn",
        **members,
    }
    return DIALECT.read_response(msgspec.json.encode(answer), {"x-amzn-requestid": "req-1"}, sent)


def test_every_block_that_has_a_neutral_form() -> None:
    """Blocks keep their order; the id is the request's, and the model is said only by a prompt router."""
    response = read(
        [
            {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}},
            {"reasoningContent": {"redactedContent": "AAEC/w=="}},
            {"text": "One"},
            {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"a": [1]}}},
            {"citationsContent": {"content": [{"text": "Two"}, {"text": "!"}], "citations": []}},
        ]
    )
    assert response.blocks == (
        Thinking("", "Hm.", "c2ln"),
        Thinking("", redacted="AAEC/w=="),
        Text("One"),
        ToolCall("", "t1", "f", '{"a":[1]}'),
        Text("Two!"),
    )
    assert (response.id, response.model, response.losses) == ("req-1", None, ())


@pytest.mark.parametrize(
    ("native", "stop"),
    [
        ("end_turn", Stop.END),
        ("tool_use", Stop.TOOL_CALLS),
        ("max_tokens", Stop.LENGTH),
        ("stop_sequence", Stop.STOP_SEQUENCE),
        ("guardrail_intervened", Stop.FILTERED),
        ("content_filtered", Stop.FILTERED),
        ("model_context_window_exceeded", Stop.CONTEXT_FULL),
        ("refusal", Stop.REFUSAL),
        ("pause_turn", Stop.PAUSED),
        ("something_new", Stop.UNKNOWN),
        (None, Stop.UNKNOWN),
    ],
)
def test_converse_nine_stop_reasons(native: str | None, stop: Stop) -> None:
    """Every stop reason has a neutral one, and one of the future is unknown."""
    response = read([{"text": "x"}], stopReason=native)
    assert (response.stop, response.native_stop) == (stop, native or "")


@pytest.mark.parametrize("native", ["malformed_model_output", "malformed_tool_use"])
def test_answers_that_the_model_broke(native: str) -> None:
    """They are the upstream's failure, and no answer."""
    with pytest.raises(UpstreamError) as failed:
        read([{"text": "x"}], stopReason=native)
    assert (failed.value.error.status, failed.value.error.kind) == (502, Kind.SERVER)
    assert native in failed.value.error.message


@pytest.mark.parametrize(
    ("usage", "neutral"),
    [
        (
            {"inputTokens": 10, "outputTokens": 5, "cacheReadInputTokens": 100, "cacheWriteInputTokens": 20},
            Usage(130, 5, 135, 100, 20),
        ),
        ({"inputTokens": 10, "outputTokens": 0, "totalTokens": 9999}, Usage(10, 0, 10)),
        ({"inputTokens": 10, "outputTokens": 5, "cacheReadInputTokens": 0}, Usage(10, 5, 15, 0)),
        ({"outputTokens": 5}, Usage(output_tokens=5)),
        ({}, NO_USAGE),
        (None, NO_USAGE),
    ],
)  # fmt: skip
def test_converse_usage_cache(usage: dict[str, int] | None, neutral: Usage) -> None:
    """The prompt is the sum of its parts, the total is ours, and what is not said is not zero."""
    assert read([{"text": "x"}], usage=usage).usage == neutral


def test_unknown_kinds_are_listed_by_path() -> None:
    """What has no neutral form is named, and the rest is read."""
    response = read([{"hologram": {}}, {"text": "x"}, {"image": {"format": "png"}}, {}])
    assert response.blocks == (Text("x"),)
    assert response.losses == tuple(
        f"output.message.content[{name}" for name in ("0].hologram", "2].image", "3].(empty)")
    )


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"output":{}}',
        b'{"output":null}',
        b"<html>",
        b"\xff",
        b'{"output":{"message":{"content":[{"text":1}]}}}',
        b'{"output":{"message":{"content":[{"toolUse":{"toolUseId":"a","name":"f","input":}}]}}}',
        b"[" * 100_000,
    ],
)
def test_answers_that_are_none(body: bytes) -> None:
    """A 200 of another shape is a 502 that says what is wrong, never an empty answer and never a crash."""
    with pytest.raises(UpstreamError) as failed:
        DIALECT.read_response(body, {}, PLAIN)
    assert failed.value.error.status == 502
    assert failed.value.error.message.startswith("Bedrock answered 200, but ")


@pytest.mark.parametrize(
    ("headers", "body", "name"),
    [
        ({"x-amzn-errortype": "ThrottlingException"}, {}, "ThrottlingException"),
        ({"x-amzn-errortype": "ThrottlingException:http://internal.amazon.com/x"}, {}, "ThrottlingException"),
        ({"x-amzn-errortype": "com.amazon.coral#ThrottlingException:x"}, {}, "ThrottlingException"),
        ({}, {"code": "ThrottlingException"}, "ThrottlingException"),
        ({}, {"Code": "ThrottlingException"}, "ThrottlingException"),
        ({}, {"__type": "com.amazon.coral.validate#ValidationException"}, "ValidationException"),
        ({"x-amzn-errortype": "A"}, {"code": "B", "__type": "C"}, "A"),
        ({}, {"code": 5, "__type": "C"}, "C"),
        ({}, {}, None),
    ],
)
@pytest.mark.parametrize("member", ["message", "Message"])
def test_converse_error_type_forms(
    headers: dict[str, str], body: dict[str, Any], name: str | None, member: str
) -> None:
    """The name comes from the header, else from the body, without its namespace and its tail."""
    error = DIALECT.read_error(429, headers, msgspec.json.encode({**body, member: "Slow down"}))
    assert (error.native_type, error.message, error.status) == (name, "Slow down", 429)


@pytest.mark.parametrize(
    ("status", "name", "kind"),
    [
        (400, "ValidationException", Kind.INVALID_REQUEST),
        (400, "ServiceQuotaExceededException", Kind.INVALID_REQUEST),
        (403, "AccessDeniedException", Kind.PERMISSION),
        (403, "UnrecognizedClientException", Kind.PERMISSION),
        (403, "InvalidSignatureException", Kind.PERMISSION),
        (403, "ExpiredTokenException", Kind.PERMISSION),
        (403, "MissingAuthenticationTokenException", Kind.PERMISSION),
        (404, "ResourceNotFoundException", Kind.MODEL_NOT_FOUND),
        (404, "UnknownOperationException", Kind.NOT_FOUND),
        (408, "ModelTimeoutException", Kind.TIMEOUT),
        (424, "ModelErrorException", Kind.SERVER),
        (424, "ModelStreamErrorException", Kind.SERVER),
        (429, "ThrottlingException", Kind.RATE_LIMIT),
        (429, "ModelNotReadyException", Kind.RATE_LIMIT),
        (500, "InternalServerException", Kind.SERVER),
        (503, "ServiceUnavailableException", Kind.OVERLOADED),
        (400, "NewException", Kind.INVALID_REQUEST),
        (409, "NewException", Kind.INVALID_REQUEST),
        (413, "NewException", Kind.TOO_LARGE),
        (429, "NewException", Kind.RATE_LIMIT),
        (503, "NewException", Kind.OVERLOADED),
        (599, "NewException", Kind.SERVER),
    ],
)
def test_error_kinds(status: int, name: str, kind: Kind) -> None:
    """Each error keeps its status; one of the future goes by it."""
    error = DIALECT.read_error(status, {"x-amzn-errortype": name}, b'{"message":"m"}')
    assert (error.status, error.kind) == (status, kind)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Input is too long for requested model.", Kind.CONTEXT_LENGTH),
        ("prompt is too long: 210000 tokens > 200000 maximum", Kind.CONTEXT_LENGTH),
        ("Too many input tokens", Kind.CONTEXT_LENGTH),
        ("input length and max_tokens exceed context limit", Kind.CONTEXT_LENGTH),
        ("The text field is blank", Kind.INVALID_REQUEST),
    ],
)
def test_prompts_that_do_not_fit(message: str, kind: Kind) -> None:
    """Clients tell them by their code, and Bedrock by words only."""
    body = msgspec.json.encode({"message": message})
    assert DIALECT.read_error(400, {"x-amzn-errortype": "ValidationException"}, body).kind is kind


def test_throttled_tokens_are_no_long_prompt() -> None:
    """The words alone do not decide."""
    body = b'{"message":"Too many input tokens, please wait"}'
    assert DIALECT.read_error(429, {"x-amzn-errortype": "ThrottlingException"}, body).kind is Kind.RATE_LIMIT


def test_the_models_own_status_is_told() -> None:
    """What a hosted model answered stands in the message, as the status is Bedrock's."""
    body = b'{"message":"Failed.","originalStatusCode":503,"originalMessage":"busy"}'
    error = DIALECT.read_error(424, {"x-amzn-errortype": "ModelErrorException"}, body)
    assert error.message == "Failed. (the model answered 503: busy)"


@pytest.mark.parametrize(
    ("body", "vendor"),
    [
        (b'{"message":"m"}', True),
        (b'{"originalStatusCode":503,"originalMessage":"busy"}', True),
        (b'{"originalStatusCode":503}', False),
        (b'{"message":""}', False),
        (b"<html>", False),
    ],
)
@pytest.mark.parametrize("headers", [{"x-amzn-errortype": "ValidationException"}, {}])
def test_whose_words_an_error_has(headers: dict[str, str], body: bytes, *, vendor: bool) -> None:
    """A message that Bedrock wrote is marked as such, as it must not be logged; ours is not."""
    assert DIALECT.read_error(400, headers, body).vendor is vendor


@pytest.mark.parametrize("count", [-1, 5.0, 1.5, 2**53, 10**400, "5", True, [5], {}])
def test_counts_that_cannot_be(count: object) -> None:
    """A count that cannot be one is not known; the answer and the other counts are read all the same."""
    usage = {"inputTokens": "COUNT", "outputTokens": 3, "cacheReadInputTokens": "COUNT"}
    answer = {"output": {"message": {"role": "assistant", "content": []}}, "stopReason": "end_turn", "usage": usage}
    body = json.dumps(answer).replace('"COUNT"', json.dumps(count)).encode()
    assert DIALECT.read_response(body, {}, PLAIN).usage == Usage(output_tokens=3)


def test_counts_whose_sum_cannot_be() -> None:
    """Two counts may each be possible, and their sum not."""
    assert read([{"text": "x"}], usage={"inputTokens": 2**53 - 1, "outputTokens": 1}).usage == Usage(2**53 - 1, 1)


def test_the_gateways_own_identity_is_not_told() -> None:
    """A refused credential names no role, account or resource of the operator's."""
    body = b'{"Message":"User: arn:aws:iam::123456789012:user/gw is not authorized"}'
    error = DIALECT.read_error(403, {"x-amzn-errortype": "AccessDeniedException"}, body)
    assert error.message == "User: (an AWS identity or resource) is not authorized"


@pytest.mark.parametrize(
    "name",
    ["InvalidSignatureException", "ExpiredTokenException", "UnrecognizedClientException", "SignatureDoesNotMatch"],
)
def test_a_fault_of_the_credential_is_told_in_our_words(name: str) -> None:
    """AWS quotes what was signed, token and all, and would have the caller look for a key that they never had."""
    body = b'{"message":"The Canonical String should have been \'POST\\nx-amz-security-token:SECRET\'"}'
    error = DIALECT.read_error(403, {"x-amzn-errortype": name}, body)
    expected = "the upstream did not accept the credential that it was given"
    assert error == ApiError(403, Kind.PERMISSION, expected, native_type=name, credential=name)


@pytest.mark.parametrize("name", ["ValidationException", "ResourceNotFoundException", "ThrottlingException"])
def test_an_account_is_not_told(name: str) -> None:
    """The name of the model stays, as the caller may have given it; whose account it is in does not."""
    arn = "arn:aws-us-gov:bedrock:us-east-1:123456789012:inference-profile/x"
    said = {"message": f"No {arn}.", "originalStatusCode": 400, "originalMessage": arn}
    error = DIALECT.read_error(400, {"x-amzn-errortype": name}, msgspec.json.encode(said))
    assert "123456789012" not in error.message
    assert error.message.count("arn:aws-us-gov:bedrock:us-east-1:(account):inference-profile/x") == 2


def test_an_account_without_an_arn_is_not_told() -> None:
    """Nor where the account's number stands alone."""
    body = b'{"message":"Account 123456789012 has no access to the model."}'
    error = DIALECT.read_error(403, {"x-amzn-errortype": "AccessDeniedException"}, body)
    assert error.message == "Account (an AWS account) has no access to the model."


@pytest.mark.parametrize(("status", "kind"), [(403, Kind.PERMISSION), (429, Kind.RATE_LIMIT), (502, Kind.SERVER)])
def test_a_reply_that_is_none_of_awss(status: int, kind: Kind) -> None:
    """A proxy's refusal is of the kind that its status says."""
    error = DIALECT.read_error(status, {}, b"<html>")
    assert error == ApiError(status, kind, f"Bedrock answered {status} without an AWS error body")


def test_arguments_that_are_not_utf8() -> None:
    """They are left as text by the decoder, and are found out all the same, as is what nobody reads."""
    for part in (b'{"toolUse":{"name":"f","input":{"a":"\xff"}}}', b'{"text":"a"},{"video":{"x":"\xff"}}'):
        body = b'{"output":{"message":{"content":[' + part + b"]}}}"
        with pytest.raises(UpstreamError, match="cannot be read"):
            DIALECT.read_response(body, {}, PLAIN)


def test_an_answer_of_which_nothing_is_left_is_none() -> None:
    """It names what there was; one that was filtered or cut may be empty."""
    image = [{"image": {"format": "png", "source": {"bytes": "AAAA"}}}]
    with pytest.raises(UpstreamError, match=r"holds nothing that can be passed on \(image\)"):
        read(image)
    assert read(image, stopReason="max_tokens").blocks == ()
    assert read([{"text": "a"}, *image]).losses == ("output.message.content[1].image",)


@given(
    status=st.integers(300, 599),
    body=st.binary(max_size=60) | st.text(max_size=40).map(str.encode),
    name=st.text(max_size=20) | st.none(),
)
def test_any_error_reply_is_an_error(status: int, body: bytes, name: str | None) -> None:
    """Whatever stands between us and Bedrock answers, it is an error with its status and a message."""
    error = DIALECT.read_error(status, {} if name is None else {"x-amzn-errortype": name}, body)
    assert error.status == status
    assert error.message
