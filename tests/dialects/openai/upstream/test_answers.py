"""Whole answers and error replies of servers that speak this API."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.conversation.errors import Kind, UpstreamError
from extproc.conversation.request import Text, Thinking, ToolCall
from extproc.conversation.response import Candidate, Response, Stop, TokenLogprob, Usage
from extproc.dialects.contract import UpstreamRequest
from extproc.dialects.openai import DIALECT

NAMES = UpstreamRequest(b"", tool_names={"short": "a long name"})


def answer(*choices: dict[str, Any], **members: Any) -> bytes:
    """An answer of these choices."""
    return json.dumps({"id": "chatcmpl-1", "model": "real", "choices": list(choices), **members}).encode()


def choice(finish: str | None = "stop", index: int = 0, **message: Any) -> dict[str, Any]:
    """One choice of an answer."""
    return {"index": index, "message": {"role": "assistant", **message}, "finish_reason": finish}


def read(body: bytes) -> Response:
    """The answer, read."""
    return DIALECT.read_response(body, {}, NAMES)


def call(name: str = "f", arguments: Any = "{}", **members: Any) -> dict[str, Any]:
    """One call of an answer."""
    return {"id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}, **members}


def test_text() -> None:
    """A text with everything that stands around it."""
    body = answer(choice(content="hi"), usage={"prompt_tokens": 3, "completion_tokens": 4}, service_tier="flex")

    assert read(body) == Response((Text("hi"),), Stop.END, "stop", Usage(3, 4), "chatcmpl-1", "real", "flex")


@pytest.mark.parametrize(
    ("message", "blocks"),
    [
        ({"content": None}, ()),
        ({"content": ""}, ()),
        ({"content": "a", "reasoning_content": "hm"}, (Thinking("", "hm"), Text("a"))),
        ({"content": "a", "reasoning": "hm"}, (Thinking("", "hm"), Text("a"))),
        ({"content": "a", "reasoning": "hm", "reasoning_content": "hm"}, (Thinking("", "hm"), Text("a"))),
        (
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                    {"type": "text", "text": "a"},
                ]
            },
            (Thinking("", "hm"), Text("a")),
        ),
        ({"content": "a", "tool_calls": [call("short")]}, (Text("a"), ToolCall("", "c1", "a long name", "{}"))),
        ({"tool_calls": [call(arguments="")]}, (ToolCall("", "c1", "f", "{}"),)),
        ({"tool_calls": [call(arguments={"a": 1})]}, (ToolCall("", "c1", "f", '{"a":1}'),)),
        ({"tool_calls": [call(arguments='{"n": 1.0}')]}, (ToolCall("", "c1", "f", '{"n": 1.0}'),)),
        (
            {"tool_calls": [{"id": "c1", "type": "custom", "custom": {"name": "f", "input": "x"}}]},
            (ToolCall("", "c1", "f", "x", kind="custom"),),
        ),
    ],
)
def test_blocks(message: dict[str, Any], blocks: tuple[Any, ...]) -> None:
    """Reasoning, text and calls in the forms that servers have for them."""
    assert read(answer(choice(**message))).blocks == blocks


def test_calls_without_ids() -> None:
    """A call without an id gets one, another than its neighbour's, and the same whenever the answer is read."""
    body = answer(choice(function_call={"name": "f", "arguments": "{}"}, tool_calls=[call(id=None), call(id="")]))
    calls = [block for block in read(body).blocks if isinstance(block, ToolCall)]

    assert len({made.id for made in calls}) == 3
    assert read(body).blocks == tuple(calls)


@pytest.mark.parametrize(
    ("finish", "message", "stop"),
    [
        ("stop", {}, Stop.END),
        ("length", {}, Stop.LENGTH),
        ("content_filter", {}, Stop.FILTERED),
        ("tool_calls", {"tool_calls": [call()]}, Stop.TOOL_CALLS),
        ("function_call", {"function_call": {"name": "f", "arguments": "{}"}}, Stop.TOOL_CALLS),
        ("stop", {"tool_calls": [call()]}, Stop.TOOL_CALLS),
        ("odd", {"tool_calls": [call()]}, Stop.TOOL_CALLS),
        ("length", {"tool_calls": [call()]}, Stop.LENGTH),
        ("content_filter", {"tool_calls": [call()]}, Stop.FILTERED),
        ("stop", {"refusal": "no"}, Stop.REFUSAL),
        ("odd", {}, Stop.UNKNOWN),
        ("model_length", {}, Stop.CONTEXT_FULL),
    ],
)
def test_stop_reason_table(finish: str, message: dict[str, Any], stop: Stop) -> None:
    """Calls and refusals decide, unless the answer is cut or filtered; the server's own word is kept."""
    read_back = read(answer(choice(finish, content="a", **message)))

    assert (read_back.stop, read_back.native_stop) == (stop, finish)


def test_a_refusal_explains_itself() -> None:
    """A refusal is a text of its kind, and the explanation of the stop."""
    refused = read(answer(choice(content=None, refusal="no")))

    assert refused.blocks == (Text("no", kind="refusal"),)
    assert refused.explanation == "no"


def test_the_stop_sequence_of_vllm() -> None:
    """The sequence that was met is told; the id of a token is none."""
    met = read(answer({**choice(content="a"), "stop_reason": "END"}))
    token = read(answer({**choice(content="a"), "stop_reason": 128001}))

    assert (met.stop, met.stop_sequence) == (Stop.STOP_SEQUENCE, "END")
    assert (token.stop, token.stop_sequence) == (Stop.END, None)


def test_several_candidates() -> None:
    """Other choices are candidates, in order, each with its own stop and probabilities."""
    logprobs = {
        "content": [{"token": "a", "bytes": [97], "logprob": -1.5, "top_logprobs": [{"token": "b", "logprob": -2}]}]
    }
    second = {**choice("length", 1, content="b"), "logprobs": logprobs}
    found = read(answer(second, choice(content="a")))
    entry = TokenLogprob("a", -1.5, (97,), (TokenLogprob("b", -2.0),))

    assert found.blocks == (Text("a"),)
    assert found.others == (Candidate(1, (Text("b"),), Stop.LENGTH, "length", logprobs=(entry,)),)


def test_what_has_no_form_is_listed() -> None:
    """Annotations and audio are listed by their path; filter results go on under their own name."""
    filtered = {"hate": {"filtered": False}}
    one = {**choice(content="a", annotations=[{}], audio={"id": "x"}), "content_filter_results": filtered}
    found = read(answer(one, prompt_filter_results=[1]))

    assert found.losses == ("choices[0].message.annotations", "choices[0].message.audio")
    assert found.vendor == {"prompt_filter_results": [1], "content_filter_results": filtered}


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {
                "prompt_tokens": 60,
                "completion_tokens": 9,
                "total_tokens": 69,
                "prompt_tokens_details": {
                    "cached_tokens": 30,
                    "cache_write_tokens": 20,
                    "audio_tokens": 2,
                    "text_tokens": 58,
                },
                "completion_tokens_details": {"reasoning_tokens": 4},
            },
            Usage(60, 9, 69, 30, 20, 4, None, {"text": 58, "audio": 2}),
        ),
        ({"prompt_tokens": 5, "prompt_cache_hit_tokens": 3}, Usage(5, cached_input_tokens=3)),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"cache_creation_tokens": 3}}, Usage(5, cache_write_tokens=3)),
        ({"prompt_tokens": -1, "completion_tokens": 1.5}, Usage()),
        (None, Usage()),
    ],
)
def test_usage_arithmetic(usage: Any, expected: Usage) -> None:
    """Every count that is one, in the words of each server; nothing is added up."""
    assert read(answer(choice(content="a"), usage=usage)).usage == expected


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 502, "cannot be read"),
        (b"<html>", 502, "cannot be read"),
        (b"[]", 502, "cannot be read"),
        (b'{"choices":[]}', 502, "no choices"),
        (b'{"choices":[{"index":0}]}', 502, "no choices"),
        (answer(choice(tool_calls=[call(arguments="[]")])), 502, "'f'"),
        (answer(choice(tool_calls=[call(arguments='{"a":')])), 502, "'f'"),
        (answer(choice(tool_calls=[call("")])), 502, "names no tool"),
        (answer(choice("abort", content="a")), 502, "abort"),
        (b'{"error":{"message":"slow down","code":"rate_limit_exceeded"}}', 429, "slow down"),
        (b'{"error":"out of memory"}', 502, "out of memory"),
    ],
)
def test_answers_that_are_none(body: bytes, status: int, words: str) -> None:
    """What is no answer is an upstream error, never a half-empty answer."""
    with pytest.raises(UpstreamError) as caught:
        read(body)

    assert caught.value.error.status == status
    assert words in caught.value.error.message


def error(status: int, body: Any) -> tuple[Kind, str | None, str]:
    """Kind, code and message of an error reply."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    found = DIALECT.read_error(status, {}, raw)
    assert found.status == status
    return found.kind, found.code, found.message


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (
            400,
            {"error": {"message": "m", "code": "context_length_exceeded"}},
            (Kind.CONTEXT_LENGTH, "context_length_exceeded", "m"),
        ),
        (
            400,
            {"object": "error", "message": "This model's maximum context length is 8", "code": 400},
            (Kind.CONTEXT_LENGTH, None, "This model's maximum context length is 8"),
        ),
        (
            400,
            {"error": {"message": "m", "type": "exceed_context_size_error", "code": 400}},
            (Kind.CONTEXT_LENGTH, None, "m"),
        ),
        (
            400,
            {"error": {"message": "m", "type": None, "code": "content_filter"}},
            (Kind.INVALID_REQUEST, "content_filter", "m"),
        ),
        (400, {"detail": "m"}, (Kind.INVALID_REQUEST, None, "m")),
        (
            422,
            {"detail": [{"loc": ["body"]}]},
            (Kind.INVALID_REQUEST, None, "the upstream answered 422 without an error that can be read"),
        ),
        (
            401,
            {"error": {"message": "key sk-1 is wrong", "code": "invalid_api_key"}},
            (Kind.AUTHENTICATION, None, "the upstream did not accept the credential that it was given"),
        ),
        (
            401,
            {"statusCode": 401, "message": "m"},
            (Kind.AUTHENTICATION, None, "the upstream did not accept the credential that it was given"),
        ),
        (402, {"error": "m"}, (Kind.BILLING, None, "m")),
        (403, {"error": {"message": "m"}}, (Kind.PERMISSION, None, "m")),
        (
            404,
            {"error": {"message": "m", "code": "DeploymentNotFound"}},
            (Kind.MODEL_NOT_FOUND, "DeploymentNotFound", "m"),
        ),
        (404, {"error": {"message": "m", "code": "model_not_found"}}, (Kind.MODEL_NOT_FOUND, "model_not_found", "m")),
        (404, {"statusCode": 404, "message": "Resource not found"}, (Kind.NOT_FOUND, None, "Resource not found")),
        (413, b"", (Kind.TOO_LARGE, None, "the upstream answered 413 without an error that can be read")),
        (429, {"error": {"message": "m", "type": "tokens"}}, (Kind.RATE_LIMIT, None, "m")),
        (429, {"error": {"message": "m", "code": "insufficient_quota"}}, (Kind.BILLING, "insufficient_quota", "m")),
        (429, {"error": {"message": "m", "code": "429"}}, (Kind.RATE_LIMIT, None, "m")),
        (500, {"error": {"message": "m", "type": "server_error"}}, (Kind.SERVER, None, "m")),
        (503, {"error": {"message": "m", "code": "slow_down"}}, (Kind.OVERLOADED, "slow_down", "m")),
        (
            504,
            b"upstream timed out",
            (Kind.TIMEOUT, None, "the upstream answered 504 without an error that can be read"),
        ),
    ],
)
def test_errors(status: int, body: Any, expected: tuple[Kind, str | None, str]) -> None:
    """Kind by the server's words where they say more than the status, in each shape that an error has."""
    assert error(status, body) == expected


@given(st.integers(400, 599), st.binary(max_size=20))
def test_any_error_can_be_read(status: int, body: bytes) -> None:
    """Whatever the body, there is an error to tell."""
    assert error(status, body)[2]
