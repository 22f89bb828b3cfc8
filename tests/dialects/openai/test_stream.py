"""The chunks of a stream, against a strict automaton of what clients rely on."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk

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
from extproc.conversation.response import Stop, Usage
from extproc.dialects.openai import DIALECT
from tests.support.openai_chat import IDENTITY, payloads, read, written

WITH_USAGE = read(stream=True, stream_options={"include_usage": True})
PLAIN = read(stream=True)
END: tuple[Event, ...] = (Stopped(Stop.END, "end_turn"), Ended())


class Automaton:
    """Accepts a stream chunk by chunk, or fails; collects what a client would see."""

    def __init__(self, *, include_usage: bool) -> None:
        self.include_usage = include_usage
        self.text = ""
        self.reasoning = ""
        self.calls: list[dict[str, str]] = []
        self.thinking: list[dict[str, Any]] = []
        self.finish: str | None = None
        self.usage: dict[str, Any] | None = None
        self.error: dict[str, Any] | None = None
        self.done = False
        self._constant: tuple[Any, ...] | None = None

    def accept(self, payload: Any) -> None:
        """The next event's data."""
        assert not self.done, "nothing follows [DONE]"
        assert self.error is None, "nothing follows an error"
        if payload == "[DONE]":
            assert self.finish is not None, "[DONE] without a finish reason"
            self.done = True
        elif "error" in payload:
            self.error = payload["error"]
        else:
            ChatCompletionChunk.model_validate_json(json.dumps(payload), strict=True)
            self._accept_chunk(payload)

    def _accept_chunk(self, chunk: dict[str, Any]) -> None:
        constant = (chunk["id"], chunk["object"], chunk["created"], chunk["model"])
        first, self._constant = self._constant is None, self._constant or constant
        assert self._constant == constant, "id, created and model are the same in every chunk"
        assert self.usage is None, "only [DONE] follows the usage chunk"
        if not chunk["choices"]:
            assert self.include_usage
            assert self.finish is not None, "usage comes after the finish chunk"
            self.usage = chunk["usage"]
            return
        assert chunk.get("usage", "absent") == (None if self.include_usage else "absent")
        [choice] = chunk["choices"]
        assert (choice["index"], choice["logprobs"]) == (0, None)
        assert self.finish is None, "one finish chunk, and no content after it"
        delta = choice["delta"]
        assert first == ("role" in delta), "role in the first chunk only"
        self.finish = choice["finish_reason"]
        assert self.finish is None or delta == {}
        self.text += delta.get("content", "")
        self.reasoning += delta.get("reasoning_content", "")
        for entry in delta.get("tool_calls", []):
            self._accept_call(entry)
        for entry in delta.get("reasoning_details", []):
            self._accept_thinking(entry)

    def _accept_call(self, entry: dict[str, Any]) -> None:
        if "id" in entry:
            assert entry["index"] == len(self.calls), "indices count from 0 in order of appearance"
            assert entry["type"] == "function"
            assert entry["function"]["arguments"] == ""
            self.calls.append({"id": entry["id"], "name": entry["function"]["name"], "arguments": ""})
        else:
            assert set(entry) == {"index", "function"}
            assert set(entry["function"]) == {"arguments"}
            self.calls[entry["index"]]["arguments"] += entry["function"]["arguments"]

    def _accept_thinking(self, entry: dict[str, Any]) -> None:
        assert entry["index"] <= len(self.thinking), "indices are contiguous"
        if entry["index"] == len(self.thinking):
            assert "format" in entry
            self.thinking.append({"type": entry["type"]})
        block = self.thinking[entry["index"]]
        assert entry["type"] == block["type"]
        for name in ("signature", "format", "data", "id"):
            assert not (name in entry and name in block), "strings that are told twice are joined"
        for name in ("text", "signature", "data", "format", "id"):
            if name in entry:
                block[name] = block.get(name, "") + entry[name]


def run(*events: Event, include_usage: bool = False) -> Automaton:
    """The automaton after the whole stream of these events."""
    automaton = Automaton(include_usage=include_usage)
    for payload in payloads(written(events, WITH_USAGE if include_usage else PLAIN)):
        automaton.accept(payload)
    return automaton


def test_exact_bytes_of_a_small_stream() -> None:
    """Role chunk, text chunk, finish chunk, usage chunk and [DONE], byte for byte."""
    head = '"id":"chatcmpl-up","object":"chat.completion.chunk","created":1700000000,"model":"real"'
    choice = '"choices":[{"index":0,"delta":%s,"logprobs":null,"finish_reason":%s}],"usage":null'
    usage = '"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}'
    expected = "".join(
        f"data: {{{head},{rest}}}\n\n"
        for rest in (
            choice % ('{"role":"assistant","content":""}', "null"),
            choice % ('{"content":"hé"}', "null"),
            choice % ("{}", '"stop"'),
            f'"choices":[],{usage}',
        )
    )
    events = (Started("up", "real"), TextDelta(0, "hé"), *END[:1], Metered(Usage(1, 2)), Ended())

    assert written(events, WITH_USAGE).decode() == expected + "data: [DONE]\n\n"


def test_text() -> None:
    """Texts of any block are one content; without include_usage there is no usage chunk."""
    seen = run(Started(), TextDelta(0, "a"), BlockEnded(0), TextDelta(3, "b"), Metered(Usage(1, 2)), *END)

    assert (seen.text, seen.finish, seen.usage, seen.done) == ("ab", "stop", None, True)


def test_calls_are_counted_by_appearance() -> None:
    """Block indices with gaps become 0, 1; fragments find their call even when they interleave."""
    seen = run(
        Started(),
        TextDelta(0, "a"),
        ToolStarted(2, "c1", "f"),
        ToolStarted(5, "c2", "g"),
        ArgumentsDelta(5, '{"x":'),
        ArgumentsDelta(2, '{"a":1}'),
        ArgumentsDelta(5, "2}"),
        BlockEnded(2),
        BlockEnded(5),
        *END,
    )

    assert seen.calls == [
        {"id": "c1", "name": "f", "arguments": '{"a":1}'},
        {"id": "c2", "name": "g", "arguments": '{"x":2}'},
    ]
    assert seen.finish == "tool_calls"


@pytest.mark.parametrize(
    "middle",
    [(BlockEnded(0),), (ArgumentsDelta(0, ""), BlockEnded(0), BlockEnded(0)), (), (ArgumentsDelta(0, ""),)],
)
def test_a_call_without_arguments_has_an_empty_object(middle: Sequence[Event]) -> None:
    """A call that ends, or is cut by the stop, without a fragment gets {} once."""
    seen = run(Started(), ToolStarted(0, "c", "f"), *middle, *END)

    assert seen.calls == [{"id": "c", "name": "f", "arguments": "{}"}]


def test_thinking() -> None:
    """Reasoning text shows, and its blocks come in indexed pieces with the signature once."""
    seen = run(
        Started(),
        ThinkingDelta(0, "a"),
        ThinkingDelta(0, "b"),
        ThinkingDelta(0, signature="s"),
        ThinkingDelta(1, redacted="cmVk"),
        ThinkingDelta(4, "c", signature="t"),
        TextDelta(5, "x"),
        *END,
    )

    assert seen.reasoning == "abc"
    assert seen.thinking[-1].pop("id").startswith("llmr1.rrrt1.")
    assert seen.thinking == [
        {"type": "reasoning.text", "text": "ab", "signature": "s", "format": "unknown"},
        {"type": "reasoning.encrypted", "data": "cmVk", "format": "unknown"},
        {"type": "reasoning.text", "text": "c", "signature": "t", "format": "unknown"},
    ]


def test_thinking_without_text_has_an_empty_one() -> None:
    """A block with a signature alone still has its text, which is empty."""
    seen = run(Started(), ThinkingDelta(0, signature="s"), *END)

    [block] = seen.thinking
    assert (seen.reasoning, block["text"], block["signature"]) == ("", "", "s")


def test_empty_deltas_make_no_chunks() -> None:
    """Events that show nothing cost the client nothing."""
    writer = DIALECT.stream_writer(PLAIN, IDENTITY)
    writer.write(Started())
    writer.write(ToolStarted(7, "c", "f"))

    silent = (TextDelta(0, ""), ThinkingDelta(1, ""), ArgumentsDelta(7, ""), BlockEnded(0), Metered(Usage(1, 2)))
    assert [writer.write(event) for event in silent] == [b""] * 5


def test_the_finish_chunk_does_not_wait() -> None:
    """The finish chunk leaves with Stopped, though usage comes later; usage and [DONE] leave with Ended."""
    writer = DIALECT.stream_writer(WITH_USAGE, IDENTITY)
    writer.write(Started())
    finish = writer.write(Stopped(Stop.END, "end_turn"))
    metered = writer.write(Metered(Usage(1, 2, cached_input_tokens=1), "flex"))
    end = writer.write(Ended())

    assert payloads(finish)[0]["choices"][0]["finish_reason"] == "stop"
    assert metered == b""
    [usage, done] = payloads(end)
    assert usage["usage"]["prompt_tokens_details"] == {"cached_tokens": 1}
    assert (usage["choices"], usage["service_tier"], done) == ([], "flex", "[DONE]")


def test_usage_is_cumulative() -> None:
    """The last word of each count wins, and silence changes nothing."""
    seen = run(Started(), Metered(Usage(5, 1)), Metered(Usage(output_tokens=9)), *END, include_usage=True)

    assert seen.usage == {"prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14}


def test_unknown_usage_is_not_zero() -> None:
    """When the upstream said nothing of usage there is no usage chunk, not one of zeros."""
    seen = run(Started(), TextDelta(0, "a"), *END, include_usage=True)

    assert (seen.usage, seen.done) == (None, True)


@pytest.mark.parametrize("first", [TextDelta(0, "a"), ThinkingDelta(0, "a"), ToolStarted(0, "c", "f")])
def test_an_upstream_that_does_not_introduce_itself(first: Event) -> None:
    """Without Started the first content opens the stream under our own id and model."""
    stream = payloads(written((first, *END)))

    assert (stream[0]["id"], stream[0]["model"]) == ("chatcmpl-abc123", "client-model")
    assert stream[0]["choices"][0]["delta"]["role"] == "assistant"
    run(first, *END)


def test_an_empty_answer_is_whole() -> None:
    """A stop with nothing before it is a role chunk, a finish chunk and [DONE]."""
    seen = run(*END)

    assert (seen.text, seen.finish, seen.done) == ("", "stop", True)


@pytest.mark.parametrize("stop", [stop for stop in Stop if stop is not Stop.MALFORMED])
def test_finish_reasons_agree_with_whole_answers(stop: Stop) -> None:
    """Every stop has a finish reason in streams, with calls and without."""
    expected = {Stop.LENGTH: "length", Stop.CONTEXT_FULL: "length", Stop.PAUSED: "length"}
    expected |= {Stop.FILTERED: "content_filter", Stop.REFUSAL: "content_filter"}
    ending = (Stopped(stop, "native"), Ended())

    assert expected.get(stop, "stop") == run(Started(), TextDelta(0, "a"), *ending).finish
    assert expected.get(stop, "tool_calls") == run(Started(), ToolStarted(0, "c", "f"), *ending).finish


def test_a_fault_is_the_last_word() -> None:
    """A fault becomes an error event at once; no finish reason, no [DONE], and silence after it."""
    writer = DIALECT.stream_writer(WITH_USAGE, IDENTITY)
    writer.write(Started())
    writer.write(ToolStarted(0, "c", "f"))
    error = ApiError(429, Kind.RATE_LIMIT, "slow down")

    assert writer.write(Fault(error)) == DIALECT.error_event(error)
    after = (TextDelta(0, "a"), Fault(error), *END, Started(), Metered(Usage(1, 1)))
    assert [writer.write(event) for event in after] == [b""] * 6


@pytest.mark.parametrize(
    "events",
    [
        (Ended(),),
        (Started(), Ended()),
        (Started(), TextDelta(0, "a"), Ended()),
        (Started(), Started()),
        (ArgumentsDelta(0, "{}"),),
        (Started(), ArgumentsDelta(0, "{}")),
        (Started(), ToolStarted(0, "c", "f"), ToolStarted(0, "c", "f")),
        (Started(), ToolStarted(0, "c", "f"), BlockEnded(0), ArgumentsDelta(0, "{}")),
        (Started(), Stopped(Stop.END, "x"), TextDelta(0, "a")),
        (Started(), Stopped(Stop.END, "x"), Stopped(Stop.END, "x")),
        (Started(), Stopped(Stop.MALFORMED, "x")),
    ],
)
def test_events_out_of_order_break_the_stream(events: Sequence[Event]) -> None:
    """An illegal event ends the stream with a server error, so that it never looks whole."""
    automaton = Automaton(include_usage=False)
    for payload in payloads(written((*events, *END))):
        automaton.accept(payload)

    assert automaton.error is not None
    assert automaton.error["type"] == "server_error"
    assert not automaton.done


def test_deprecated_functions_get_a_function_call() -> None:
    """A client that sends functions gets its one call in pieces of the form it knows."""
    request = read(stream=True, functions=[{"name": "f"}])
    events = (
        Started(),
        ToolStarted(0, "c1", "f"),
        ArgumentsDelta(0, '{"a":'),
        ToolStarted(1, "c2", "f"),
        ArgumentsDelta(1, "{}"),
        ArgumentsDelta(0, "1}"),
        BlockEnded(0),
        BlockEnded(1),
        *END,
    )
    deltas = [chunk["choices"][0] for chunk in payloads(written(events, request))[1:-1]]

    assert [choice["delta"] for choice in deltas] == [
        {"function_call": {"name": "f", "arguments": ""}},
        {"function_call": {"arguments": '{"a":'}},
        {"function_call": {"arguments": "1}"}},
        {},
    ]
    assert deltas[-1]["finish_reason"] == "function_call"


EVENTS = st.one_of(
    st.builds(Started, st.none() | st.text(max_size=5)),
    st.builds(TextDelta, st.integers(0, 3), st.text(max_size=5)),
    st.builds(ThinkingDelta, st.integers(0, 3), st.text(max_size=5)),
    st.builds(ToolStarted, st.integers(0, 3), st.text(max_size=5), st.text(max_size=5)),
    st.builds(ArgumentsDelta, st.integers(0, 3), st.text(max_size=5)),
    st.builds(BlockEnded, st.integers(0, 3)),
    st.builds(Stopped, st.sampled_from(Stop), st.just("x")),
    st.builds(Metered, st.builds(Usage, st.none() | st.integers(0, 9), st.none() | st.integers(0, 9))),
    st.just(Ended()),
)


@given(st.lists(EVENTS, max_size=15), st.booleans())
def test_any_events_make_a_legal_stream(events: list[Event], include_usage: bool) -> None:  # the automaton asserts
    """Whatever events come in whatever order, the bytes are a legal stream, whole or ended by an error."""
    seen = run(*events, include_usage=include_usage)

    assert not (seen.done and seen.error)
