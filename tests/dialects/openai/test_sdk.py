"""The official SDK reads our streams with its own accumulator, and its messages come back to us."""

from typing import Any

import openai
import pytest
from openai.types.chat import ParsedChatCompletion
from pydantic import BaseModel

from extproc.conversation.errors import ApiError, Kind
from extproc.conversation.events import (
    ArgumentsDelta,
    BlockEnded,
    Ended,
    Event,
    Fault,
    Metered,
    Started,
    Stopped,
    TextDelta,
    ThinkingDelta,
    ToolStarted,
)
from extproc.conversation.request import Text, Thinking, ToolCall
from extproc.conversation.response import Response, Stop, Usage
from extproc.dialects.openai import DIALECT
from tests.support.openai_chat import IDENTITY, read, sdk, tool, written

ASK: Any = [{"role": "user", "content": "x"}]
TOOLS: Any = [tool("f", parameters={"type": "object"}), tool("g", parameters={"type": "object"})]
THINKING = (Thinking("", text="hm", signature="s=="), Thinking("", redacted="cmVk"), Thinking("", signature="t"))
FULL: tuple[Event, ...] = (
    Started("up", "real"),
    ThinkingDelta(0, "h"),
    ThinkingDelta(0, "m"),
    ThinkingDelta(0, signature="s=="),
    BlockEnded(0),
    ThinkingDelta(1, redacted="cmVk"),
    BlockEnded(1),
    ThinkingDelta(2, signature="t"),
    BlockEnded(2),
    TextDelta(3, "hel"),
    TextDelta(3, "lo"),
    BlockEnded(3),
    ToolStarted(4, "c1", "f"),
    ArgumentsDelta(4, '{"a":'),
    ArgumentsDelta(4, "1}"),
    BlockEnded(4),
    ToolStarted(6, "c2", "g"),
    BlockEnded(6),
    Stopped(Stop.TOOL_CALLS, "tool_use"),
    Metered(Usage(10, 5, None, 4, 2)),
    Ended(),
)


def streamed(*events: Event, **options: Any) -> ParsedChatCompletion[Any]:
    """What ``.stream()`` makes of these events."""
    request = read(stream=True, stream_options={"include_usage": True})
    client = sdk(written(events, request), "text/event-stream")
    with client.chat.completions.stream(model="m", messages=ASK, **options) as stream:
        return stream.get_final_completion()


def test_the_accumulator_builds_the_whole_answer() -> None:
    """Text, reasoning, calls, usage and finish reason add up to the answer that was streamed."""
    answer = streamed(*FULL, tools=TOOLS)
    [choice] = answer.choices
    calls = choice.message.tool_calls or []

    assert (answer.id, answer.model, choice.finish_reason) == ("chatcmpl-up", "real", "tool_calls")
    assert (choice.message.role, choice.message.content) == ("assistant", "hello")
    assert [(c.id, c.type, c.function.name, c.function.arguments) for c in calls] == [
        ("c1", "function", "f", '{"a":1}'),
        ("c2", "function", "g", "{}"),
    ]
    assert (choice.message.model_extra or {})["reasoning_content"] == "hm"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (10, 5, 15)


def echoed_thinking(message: Any) -> list[tuple[str, str | None, str | None]]:
    """The thinking blocks that we read when the SDK sends this message back with the answers to its calls."""
    sent: list[bytes] = []
    results: Any = [{"role": "tool", "tool_call_id": call_id, "content": "x"} for call_id in ("c1", "c2")]
    reply = DIALECT.write_response(Response((Text("ok"),), Stop.END, "end", Usage()), read(), IDENTITY)
    sdk(reply, "application/json", sent).chat.completions.create(model="m", messages=[*ASK, message, *results])
    turn = DIALECT.read_request(sent[0]).turns[1]

    assert [type(block) for block in turn.blocks] == [Thinking] * 3 + [Text] + [ToolCall] * 2
    return [(b.text, b.signature, b.redacted) for b in turn.blocks if isinstance(b, Thinking)]


EXPECTED_THINKING = [(b.text, b.signature, b.redacted) for b in THINKING]


@pytest.mark.parametrize("as_dict", [False, True])
def test_streamed_thinking_comes_back(*, as_dict: bool) -> None:
    """A streamed message, sent back as object or dict, holds the exact thinking blocks."""
    message = streamed(*FULL, tools=TOOLS).choices[0].message

    assert echoed_thinking(message.model_dump() if as_dict else message) == EXPECTED_THINKING


@pytest.mark.parametrize("as_dict", [False, True])
def test_whole_thinking_comes_back(*, as_dict: bool) -> None:
    """A whole message, sent back as object or dict, holds the exact thinking blocks."""
    blocks = (*THINKING, Text("hello"), ToolCall("", "c1", "f", '{"a":1}'), ToolCall("", "c2", "g", "{}"))
    reply = DIALECT.write_response(Response(blocks, Stop.TOOL_CALLS, "tool_use", Usage(1, 2)), read(), IDENTITY)
    answer = sdk(reply, "application/json").chat.completions.create(model="m", messages=ASK)
    message = answer.choices[0].message

    assert echoed_thinking(message.model_dump() if as_dict else message) == EXPECTED_THINKING


def test_a_fault_raises() -> None:
    """An error event makes the SDK raise, with type and code, in the middle of its iteration."""
    error = ApiError(429, Kind.RATE_LIMIT, "slow down")

    with pytest.raises(openai.APIError) as caught:
        streamed(Started(), TextDelta(0, "a"), Fault(error))

    assert (caught.value.message, caught.value.type, caught.value.code) == (
        "slow down",
        "rate_limit_error",
        "rate_limit_exceeded",
    )


def test_a_cut_stream_raises() -> None:
    """A stream that ends before it stopped never looks like a whole answer."""
    with pytest.raises(openai.APIError, match="broke off"):
        streamed(Started(), TextDelta(0, "a"), Ended())


class Answer(BaseModel):
    """A structured output."""

    city: str


def test_structured_output_is_parsed() -> None:
    """Streamed JSON text is parsed into the client's model."""
    events = (Started(), TextDelta(0, '{"city":'), TextDelta(0, '"Oslo"}'), Stopped(Stop.END, "end"), Ended())

    assert streamed(*events, response_format=Answer).choices[0].message.parsed == Answer(city="Oslo")


def test_a_cut_structured_output_raises() -> None:
    """A finish reason of length tells the SDK that there is nothing to parse."""
    events = (Started(), TextDelta(0, '{"city":'), Stopped(Stop.LENGTH, "max_tokens"), Ended())

    with pytest.raises(openai.LengthFinishReasonError):
        streamed(*events, response_format=Answer)
