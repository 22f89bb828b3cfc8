"""Whole answers, checked by the SDK's own strict models."""

import itertools
import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletion

from extproc.conversation.errors import UpstreamError
from extproc.conversation.request import Citation, Text, Thinking, ToolCall
from extproc.conversation.response import NO_USAGE, Candidate, Response, Stop, TokenLogprob, Usage
from extproc.dialects.openai import DIALECT
from tests.support.openai_chat import IDENTITY, USER, body, read

Block = Text | Thinking | ToolCall
LEGACY = read(functions=[{"name": "f"}])


def write(*blocks: Block, stop: Stop = Stop.END, usage: Usage = NO_USAGE, **more: Any) -> dict[str, Any]:
    """The written answer, after the SDK's model has accepted it without any conversion."""
    written = DIALECT.write_response(Response(blocks, stop, "native", usage, **more), read(), IDENTITY)
    ChatCompletion.model_validate_json(written, strict=True)
    answer: dict[str, Any] = json.loads(written)
    return answer


def test_smallest_answer() -> None:
    """A text alone: everything that OpenAI requires and nothing that is not known."""
    assert write(Text("hello")) == {
        "id": "chatcmpl-abc123",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "client-model",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hello", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
    }


@pytest.mark.parametrize(
    ("upstream", "expected"),
    [
        ("req-1", "chatcmpl-req-1"),
        ("chatcmpl-req-1", "chatcmpl-req-1"),
        (None, "chatcmpl-abc123"),
        ("", "chatcmpl-abc123"),
    ],
)
def test_ids(upstream: str | None, expected: str) -> None:
    """The upstream's id is kept behind OpenAI's prefix, which never comes twice."""
    assert expected == write(Text("x"), id=upstream)["id"]


def test_the_upstream_names_the_model() -> None:
    """The model that answered is told when the upstream names it."""
    assert write(Text("x"), model="real")["model"] == "real"


@pytest.mark.parametrize(
    ("blocks", "content", "refusal"),
    [
        ((), None, None),
        ((Text("a"), Text(""), Text("b")), "ab", None),
        ((Text(""),), "", None),
        ((Text("no", kind="refusal"),), None, "no"),
        ((Text("a"), Text("no", kind="refusal"), Text("b")), "ab", "no"),
        ((Text("a"), ToolCall("", "c", "f", "{}"), Text("b")), "ab", None),
    ],
)
def test_content(blocks: tuple[Block, ...], content: str | None, refusal: str | None) -> None:
    """Texts are joined as they are, refusals apart; content is null when there is no text at all."""
    message = write(*blocks)["choices"][0]["message"]

    assert (content, refusal) == (message["content"], message["refusal"])


def test_calls() -> None:
    """Calls come in order, with the verbatim text of their arguments."""
    message = write(
        Text("wait"), ToolCall("", "c1", "f", '{ "n" : 1.0 }'), ToolCall("", "c2", "g", "{}"), stop=Stop.TOOL_CALLS
    )["choices"][0]["message"]

    assert message["tool_calls"] == [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{ "n" : 1.0 }'}},
        {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]
    assert "function_call" not in message


def test_thinking() -> None:
    """Reasoning shows as one string and comes along as blocks that can be sent back."""
    message = write(
        Thinking("", text="a", signature="s"), Thinking("", redacted="cmVk"), Thinking("", text="b"), Text("x")
    )["choices"][0]["message"]

    assert message["reasoning_content"] == "ab"
    details = message["reasoning_details"]
    assert details[-1].pop("id").startswith("llmr1.rrrt1.")
    assert details == [
        {"index": 0, "type": "reasoning.text", "text": "a", "signature": "s", "format": "unknown"},
        {"index": 1, "type": "reasoning.encrypted", "data": "cmVk", "format": "unknown"},
        {"index": 2, "type": "reasoning.text", "text": "b", "format": "unknown"},
    ]


def test_thinking_without_text() -> None:
    """A block with a signature alone must be sent back, and shows nothing."""
    message = write(Thinking("", signature="s"), Text("x"))["choices"][0]["message"]

    assert "reasoning_content" not in message
    [detail] = message["reasoning_details"]
    assert (detail["text"], detail["signature"]) == ("", "s")


def test_thinking_comes_back_equal() -> None:
    """What is written as the carrier reads back as the same blocks when the message is echoed."""
    blocks = (Thinking("", text="a", signature="s"), Thinking("", redacted="cmVk"), Thinking("", signature="t"))
    message = write(*blocks, Text("x"))["choices"][0]["message"]
    read_back = DIALECT.read_request(body(messages=[USER, message, USER])).turns[1].blocks

    assert [(b.text, b.signature, b.redacted) for b in read_back if isinstance(b, Thinking)] == [
        (b.text, b.signature, b.redacted) for b in blocks
    ]


FINISH = {
    Stop.END: "stop",
    Stop.STOP_SEQUENCE: "stop",
    Stop.LENGTH: "length",
    Stop.CONTEXT_FULL: "length",
    Stop.TOOL_CALLS: "stop",
    Stop.REFUSAL: "content_filter",
    Stop.PAUSED: "length",
    Stop.FILTERED: "content_filter",
    Stop.UNKNOWN: "stop",
}


@pytest.mark.parametrize(("stop", "with_call"), list(itertools.product(FINISH, [False, True])))
def test_finish_reasons(stop: Stop, *, with_call: bool) -> None:
    """The presence of calls decides, unless the answer was cut or filtered."""
    blocks: tuple[Block, ...] = (ToolCall("", "c", "f", "{}"),) if with_call else (Text("x"),)
    expected = "tool_calls" if with_call and FINISH[stop] == "stop" else FINISH[stop]

    assert expected == write(*blocks, stop=stop)["choices"][0]["finish_reason"]


def test_a_malformed_answer_is_none() -> None:
    """An answer that the model broke off itself is an upstream error."""
    with pytest.raises(UpstreamError, match="malformed") as caught:
        write(Text("x"), stop=Stop.MALFORMED)

    assert caught.value.error.status == 502


def test_deprecated_functions_get_a_function_call() -> None:
    """A client that sends functions gets its one call in the form it knows."""
    calls = (ToolCall("", "c1", "f", '{"a":1}'), ToolCall("", "c2", "f", "{}"))
    written = DIALECT.write_response(Response(calls, Stop.TOOL_CALLS, "tool_use", NO_USAGE), LEGACY, IDENTITY)
    [choice] = ChatCompletion.model_validate_json(written, strict=True).choices

    assert choice.finish_reason == "function_call"
    assert choice.message.tool_calls is None
    assert choice.message.function_call is not None
    assert (choice.message.function_call.name, choice.message.function_call.arguments) == ("f", '{"a":1}')


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (NO_USAGE, None),
        (Usage(3, 4), {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}),
        (Usage(0, 0, 0), {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}),
        (Usage(3, 4, 99), {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}),
        (Usage(total_tokens=9), {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 9}),
        (Usage(input_tokens=3), {"prompt_tokens": 3, "completion_tokens": 0, "total_tokens": 3}),
        (
            Usage(3, 4, cached_input_tokens=0),
            {
                "prompt_tokens": 3,
                "completion_tokens": 4,
                "total_tokens": 7,
                "prompt_tokens_details": {"cached_tokens": 0},
            },
        ),
        (
            Usage(10, 4, 14, 3, 5, 2),
            {
                "prompt_tokens": 10,
                "completion_tokens": 4,
                "total_tokens": 14,
                "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 5},
                "completion_tokens_details": {"reasoning_tokens": 2},
            },
        ),
    ],
)
def test_usage(usage: Usage, expected: dict[str, Any] | None) -> None:
    """The three counts are numbers, details stand only where they are known, and no usage is none."""
    assert expected == write(Text("x"), usage=usage).get("usage")


@pytest.mark.parametrize(("tier", "shown"), [("priority", True), ("reserved", False), (None, False)])
def test_service_tiers(tier: str | None, *, shown: bool) -> None:
    """A tier is told if OpenAI's clients know the word: another one would fail their validation."""
    assert shown == (write(Text("x"), service_tier=tier).get("service_tier") == tier and tier is not None)


@pytest.mark.parametrize("text", ['"\\\n\r\t\x00\x7f', "\u2028\u2029\u0085", "é😀\N{OBJECT REPLACEMENT CHARACTER}"])
def test_any_text_survives(text: str) -> None:
    """Every character of an answer arrives as it was."""
    message = write(Text(text), ToolCall("", text, text, json.dumps({"x": text})))["choices"][0]["message"]

    assert (message["content"], message["tool_calls"][0]["id"]) == (text, text)
    assert json.loads(message["tool_calls"][0]["function"]["arguments"]) == {"x": text}


def test_several_candidates() -> None:
    """Each candidate is a choice with its own index, stop and probabilities; usage is of all of them."""
    entry = TokenLogprob("a", -1.5, (97,), (TokenLogprob("b", -2.0),))
    second = Candidate(1, (Text("b"),), Stop.LENGTH, "length", logprobs=(entry,))
    first, other = write(Text("a"), usage=Usage(1, 2), others=(second,))["choices"]

    assert (first["index"], first["message"]["content"], first["logprobs"]) == (0, "a", None)
    assert (other["index"], other["message"]["content"], other["finish_reason"]) == (1, "b", "length")
    assert other["logprobs"]["content"] == [
        {"token": "a", "bytes": [97], "logprob": -1.5, "top_logprobs": [{"token": "b", "bytes": None, "logprob": -2.0}]}
    ]


def test_citations() -> None:
    """Sources on the web are annotations with the place of their text in the whole; others have no form."""
    web = Citation("web", title="T", url="https://h")
    blocks = (
        Text("a\u00e9"),
        Text("bc", citations=(web, Citation("page", "x", document=0))),
        Text("d", citations=(web,)),
    )
    annotations = write(*blocks)["choices"][0]["message"]["annotations"]

    places = [(a["url_citation"]["start_index"], a["url_citation"]["end_index"]) for a in annotations]
    assert places == [(2, 4), (4, 5)]


@pytest.mark.parametrize("stop", [Stop.REFUSAL, Stop.FILTERED])
@pytest.mark.parametrize("explanation", ["because", None])
def test_refusals(stop: Stop, explanation: str | None) -> None:
    """A refusal is a filtered answer that says why, where anybody knows."""
    [choice] = write(Text("a"), stop=stop, explanation=explanation)["choices"]

    assert (choice["finish_reason"], choice["message"]["refusal"]) == ("content_filter", explanation)


def test_vendor_members() -> None:
    """The maker's own members stand on the message, and never in the place of the API's own."""
    message = write(Text("a"), vendor={"safety_ratings": [1], "content": "forged"})["choices"][0]["message"]

    assert (message["safety_ratings"], message["content"]) == ([1], "a")


CUSTOM = read(tools=[{"type": "custom", "custom": {"name": "c"}}])


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (ToolCall("", "c1", "c", '{"input":"a\\n"}'), "a\n"),
        (ToolCall("", "c1", "c", '{"other":1}'), '{"other":1}'),
        (ToolCall("", "c1", "c", "plain", kind="custom"), "plain"),
    ],
)
def test_custom_calls(call: ToolCall, text: str) -> None:
    """A tool that the client declared to take a text is called with it, whatever the upstream made of the tool."""
    written = DIALECT.write_response(Response((call,), Stop.TOOL_CALLS, "x", NO_USAGE), CUSTOM, IDENTITY)
    ChatCompletion.model_validate_json(written, strict=True)

    [made] = json.loads(written)["choices"][0]["message"]["tool_calls"]
    assert made == {"id": "c1", "type": "custom", "custom": {"name": "c", "input": text}}


def test_modalities() -> None:
    """The split of the prompt's tokens is told as far as the API has words for it."""
    details = write(Text("x"), usage=Usage(9, 1, modalities={"text": 5, "audio": 2, "video": 2}))["usage"]

    assert details["prompt_tokens_details"] == {"text_tokens": 5, "audio_tokens": 2}
