"""Answers that are cut inside a tool call, and the ids of calls, as Anthropic's and OpenAI's clients get them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.conversation.errors import UpstreamError
from extproc.conversation.events import ArgumentsDelta, BlockEnded, Ended, Event, Metered, Started, Stopped, ToolStarted
from extproc.conversation.request import Text, ToolCall
from extproc.conversation.response import CUT_SHORT, NO_USAGE, Response, Stop, Usage
from extproc.dialects.anthropic import DIALECT
from extproc.dialects.anthropic.client.ids import given_id, told_id
from extproc.dialects.anthropic.upstream.ids import upstream_id
from extproc.dialects.contract import Identity, UpstreamRequest
from extproc.dialects.openai import DIALECT as OPENAI

IDENTITY = Identity("abc", "m", 1, "openai.12345678")
ASKED = DIALECT.read_request(b'{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"a"}]}')
OPENAI_ASKED = OPENAI.read_request(b'{"model":"m","messages":[{"role":"user","content":"a"}]}')
PIECE = '{"a": "lo'


def told(*events: Event) -> str:
    writer = DIALECT.stream_writer(ASKED, IDENTITY)
    return b"".join(writer.write(event) for event in events).decode()


def a_call(arguments: str, stop: Stop, call_id: str = "t") -> tuple[Event, ...]:
    begun = (Started("i", "m"), ToolStarted(0, call_id, "f"), ArgumentsDelta(0, arguments), BlockEnded(0))
    return (*begun, Stopped(stop, "x"), Metered(Usage(1, 2, 3)), Ended())


@pytest.mark.parametrize("stop", sorted(CUT_SHORT))
def test_a_stream_ends_where_it_was_cut(stop: Stop) -> None:
    """A call in pieces is told as far as it came, with the reason, and the stream ends properly."""
    shown = told(*a_call(PIECE, stop))
    assert "event: error" not in shown
    assert json.dumps(PIECE) in shown
    assert shown.index("content_block_stop") < shown.index("message_delta") < shown.index("message_stop")


@pytest.mark.parametrize("stop", [Stop.END, Stop.TOOL_CALLS, Stop.UNKNOWN])
def test_a_broken_call_of_a_whole_answer_is_an_error(stop: Stop) -> None:
    """Without a cut the model itself wrote no object; neither the block nor the message ends."""
    shown = told(*a_call(PIECE, stop))
    assert "event: error" in shown
    assert "content_block_stop" not in shown
    assert "message_stop" not in shown


def test_a_broken_call_holds_what_follows() -> None:
    """Nothing is told behind a call in pieces before the stop says what it is; then all of it is."""
    first = (Started("i", "m"), ToolStarted(0, "s", "f"), ArgumentsDelta(0, PIECE), BlockEnded(0))
    second = (ToolStarted(1, "t", "g"), ArgumentsDelta(1, "{}"), BlockEnded(1))
    writer = DIALECT.stream_writer(ASKED, IDENTITY)
    assert b'"g"' not in b"".join(writer.write(event) for event in (*first, *second))
    rest = writer.write(Stopped(Stop.LENGTH, "length")).decode()
    assert (rest.count("content_block_start\n"), rest.count("content_block_stop\n")) == (1, 2)


def test_a_whole_answer_leaves_the_cut_call_out() -> None:
    """The text stays, the reason is max_tokens, and the call is listed."""
    response = Response((Text("I will"), ToolCall("", "t", "f", PIECE)), Stop.LENGTH, "length", NO_USAGE)
    answer = json.loads(DIALECT.write_response(response, ASKED, IDENTITY))
    assert [block["type"] for block in answer["content"]] == ["text"]
    assert answer["stop_reason"] == "max_tokens"
    assert "blocks[1].arguments" in DIALECT.untold(response)


def openai_answer(reason: str) -> bytes:
    function = {"name": "f", "arguments": PIECE}
    message = {
        "role": "assistant",
        "content": "I",
        "tool_calls": [{"id": "c", "type": "function", "function": function}],
    }
    choice = {"index": 0, "finish_reason": reason, "message": message}
    return json.dumps({"id": "x", "object": "chat.completion", "model": "g", "choices": [choice]}).encode()


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_openai_upstream_cut_in_a_call(reason: str) -> None:
    """The answer is read; OpenAI's clients get the arguments as far as they came."""
    response = OPENAI.read_response(openai_answer(reason), {}, UpstreamRequest(b""))
    answer = json.loads(OPENAI.write_response(response, OPENAI_ASKED, IDENTITY))
    [choice] = answer["choices"]
    assert choice["finish_reason"] == reason
    assert choice["message"]["tool_calls"][0]["function"]["arguments"] == PIECE


def test_openai_upstream_with_a_broken_call() -> None:
    """An answer that says it is whole may hold no call in pieces."""
    with pytest.raises(UpstreamError):
        OPENAI.read_response(openai_answer("tool_calls"), {}, UpstreamRequest(b""))


ODD = "functions.Bash:0"


@given(st.text(min_size=1, max_size=80))
def test_ids_come_back(call_id: str) -> None:
    """Every id is told in Anthropic's alphabet, one for one; what is short enough comes back as it was."""
    shown = told_id(call_id)
    assert upstream_id(shown) == shown
    assert told_id(shown) == shown
    assert given_id(shown) == (call_id if len(call_id.encode()) <= 43 or shown == call_id else shown)


@given(st.from_regex(r"llmr1_[a-zA-Z0-9_-]{0,60}", fullmatch=True))
def test_ids_that_only_look_spelled(shown: str) -> None:
    """An id that the gateway did not write is itself."""
    assert told_id(given_id(shown)) == shown


def test_odd_ids_are_the_same_in_stream_and_whole() -> None:
    """Whole and streamed calls get one spelling, and a history that holds it is read with the upstream's own id."""
    spelled = told_id(ODD)
    response = Response((ToolCall("", ODD, "f", "{}"),), Stop.TOOL_CALLS, "x", NO_USAGE)
    [block] = json.loads(DIALECT.write_response(response, ASKED, IDENTITY))["content"]
    assert block["id"] == spelled
    assert spelled in told(*a_call("{}", Stop.TOOL_CALLS, ODD))
    result = {"type": "tool_result", "tool_use_id": spelled, "content": "r"}
    history: list[dict[str, Any]] = [{"role": "user", "content": "a"}, {"role": "assistant", "content": [block]}]
    body = {"model": "m", "max_tokens": 5, "messages": [*history, {"role": "user", "content": [result]}]}
    turns = DIALECT.read_request(json.dumps(body).encode()).turns
    assert [getattr(turn.blocks[0], name) for turn, name in zip(turns[1:], ("id", "call_id"), strict=True)] == [
        ODD,
        ODD,
    ]
