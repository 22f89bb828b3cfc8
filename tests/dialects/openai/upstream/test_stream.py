"""Streams of servers that speak this API, at every split."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.conversation.errors import Kind
from extproc.conversation.events import (
    ArgumentsDelta,
    BlockEnded,
    Ended,
    Event,
    Fault,
    LogprobsDelta,
    Lost,
    Metered,
    Ping,
    Started,
    Stopped,
    TextDelta,
    ThinkingDelta,
    ToolStarted,
    VendorDelta,
)
from extproc.conversation.response import Stop, TokenLogprob, Usage
from extproc.dialects.contract import UpstreamRequest
from extproc.dialects.openai import DIALECT
from tests.support.golden_dialects import all_splits, read_events
from tests.support.openai_chat import sse

START = Started("chatcmpl-1", "real")
SENT = UpstreamRequest(b"", tool_names={"short": "a long name"})


def chunk(*choices: dict[str, Any], **members: Any) -> dict[str, Any]:
    """A chunk of these choices."""
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "real", "choices": choices, **members}


def delta(finish: str | None = None, index: int = 0, **members: Any) -> dict[str, Any]:
    """A chunk of one choice."""
    return chunk({"index": index, "delta": members, "finish_reason": finish})


def call(index: int | None, arguments: str | None = None, call_id: str | None = None, name: str | None = None) -> Any:
    """A chunk with a fragment of a call."""
    fragment = {"index": index, "id": call_id, "function": {"name": name, "arguments": arguments}}
    return delta(tool_calls=[{key: value for key, value in fragment.items() if value is not None}])


def read(*payloads: Any, done: bool = True) -> list[Event]:
    """The events of a stream, the same byte by byte as whole."""
    stream = sse(*payloads, done=done)
    whole = read_events(DIALECT.stream_reader({}, SENT), [stream])
    single = [stream[i : i + 1] for i in range(len(stream))]
    assert read_events(DIALECT.stream_reader({}, SENT), single) == whole
    return whole


def fault(events: Sequence[Event]) -> str:
    """The message of the fault that ends the events, which is the only end."""
    *before, last = events
    assert isinstance(last, Fault)
    assert not any(isinstance(event, Fault | Ended) for event in before)
    return last.error.message


def end(stop: Stop = Stop.END, native: str = "stop", **members: Any) -> list[Event]:
    """How an answer ends."""
    return [Stopped(stop, native, **members), Ended()]


FIRST = delta(role="assistant", content="")


def test_text() -> None:
    """Text in pieces is one block; the first empty content opens none; usage comes as it is told."""
    usage = chunk(usage={"prompt_tokens": 3, "completion_tokens": 4}, service_tier="flex")

    assert read(FIRST, delta(content="a"), delta(content="b"), delta("stop"), usage) == [
        START,
        TextDelta(0, "a"),
        TextDelta(0, "b"),
        BlockEnded(0),
        Metered(Usage(3, 4), "flex"),
        *end(),
    ]


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning(name: str) -> None:
    """Reasoning is a block of its own before the text, without a signature."""
    pieces = [chunk({"index": 0, "delta": {name: text}}) for text in "hm"]

    assert read(*pieces, delta(content="a"), delta("stop")) == [
        START,
        ThinkingDelta(0, "h"),
        ThinkingDelta(0, "m"),
        BlockEnded(0),
        TextDelta(1, "a"),
        BlockEnded(1),
        *end(),
    ]


def test_calls_one_after_the_other() -> None:
    """A new call ends the one before it when that is whole, at once; the client's own name comes back."""
    events = read(call(0, "", "c1", "short"), call(0, '{"a":1}'), call(1, "", "c2", "g"), call(1, "{}"), delta("stop"))

    assert events == [
        START,
        ToolStarted(0, "c1", "a long name"),
        ArgumentsDelta(0, '{"a":1}'),
        BlockEnded(0),
        ToolStarted(1, "c2", "g"),
        ArgumentsDelta(1, "{}"),
        BlockEnded(1),
        *end(Stop.TOOL_CALLS),
    ]


def test_calls_that_interleave() -> None:
    """Fragments of a later call wait for the end of the one before it, and nothing is lost."""
    events = read(
        call(0, '{"a"', "c1", "f"), call(1, '{"b"', "c2", "g"), call(0, ":1}"), call(1, ":2}"), delta("tool_calls")
    )

    assert events[1:-2] == [
        ToolStarted(0, "c1", "f"),
        ArgumentsDelta(0, '{"a"'),
        ArgumentsDelta(0, ":1}"),
        BlockEnded(0),
        ToolStarted(1, "c2", "g"),
        ArgumentsDelta(1, '{"b"'),
        ArgumentsDelta(1, ":2}"),
        BlockEnded(1),
    ]


def test_a_late_name() -> None:
    """A call is told once its id and its name are known."""
    events = read(call(0, "{", "c1"), call(0, '"a":', name="f"), call(0, "1}"), delta("stop"))

    assert events[1:-2] == [
        ToolStarted(0, "c1", "f"),
        ArgumentsDelta(0, "{"),
        ArgumentsDelta(0, '"a":'),
        ArgumentsDelta(0, "1}"),
        BlockEnded(0),
    ]


def test_a_call_that_never_gets_an_id() -> None:
    """A call without an id gets one at the end; one without arguments has an empty object."""
    events = read(call(0, name="f"), delta("stop"))

    assert [type(event) for event in events[1:-2]] == [ToolStarted, ArgumentsDelta, BlockEnded]
    assert isinstance(events[1], ToolStarted)
    assert events[1].id.startswith("call_")


def test_calls_without_an_index() -> None:
    """Servers that send no index tell calls apart by their ids, and what has neither belongs to the last one."""
    events = read(call(None, "{", "c1", "f"), call(None, "}"), call(None, "{}", "c2", "f"), delta("stop"))

    assert [event.id for event in events if isinstance(event, ToolStarted)] == ["c1", "c2"]
    assert [event.fragment for event in events if isinstance(event, ArgumentsDelta)] == ["{", "}", "{}"]


def test_the_deprecated_function_call() -> None:
    """A call in the old form is a call."""
    events = read(
        delta(function_call={"name": "f", "arguments": "{"}), delta(function_call={"arguments": "}"}), delta("stop")
    )

    assert [event.name for event in events if isinstance(event, ToolStarted)] == ["f"]
    assert "".join(event.fragment for event in events if isinstance(event, ArgumentsDelta)) == "{}"


def test_a_custom_call() -> None:
    """The text of a custom call arrives as the one argument of a function, which events can hold."""
    first = delta(tool_calls=[{"index": 0, "id": "c1", "type": "custom", "custom": {"name": "f", "input": 'a"'}}])
    events = read(first, delta(tool_calls=[{"index": 0, "custom": {"input": "b"}}]), delta("tool_calls"))

    assert events[1:-2] == [ToolStarted(0, "c1", "f"), ArgumentsDelta(0, '{"input":"a\\"b"}'), BlockEnded(0)]


def test_text_after_a_call() -> None:
    """Text after a whole call is another block; in the middle of one it waits."""
    assert read(call(0, "{}", "c1", "f"), delta(content="a"), delta("stop"))[3:6] == [
        BlockEnded(0),
        TextDelta(1, "a"),
        BlockEnded(1),
    ]
    assert read(call(0, "{", "c1", "f"), delta(content="a"), call(0, "}"), delta("stop"))[2:7] == [
        ArgumentsDelta(0, "{"),
        ArgumentsDelta(0, "}"),
        BlockEnded(0),
        TextDelta(1, "a"),
        BlockEnded(1),
    ]


def test_an_answer_that_is_cut_may_end_within_a_call() -> None:
    """At the limit, the arguments may be cut as well: the client is told that they are."""
    events = read(call(0, '{"a":', "c1", "f"), delta("length"))

    assert events[-4:] == [ArgumentsDelta(0, '{"a":'), BlockEnded(0), *end(Stop.LENGTH, "length")]


def test_a_refusal() -> None:
    """A refusal is text, and explains the stop."""
    assert read(delta(refusal="no"), delta("stop"))[1:] == [
        TextDelta(0, "no"),
        BlockEnded(0),
        *end(Stop.REFUSAL, explanation="no"),
    ]


def test_several_choices() -> None:
    """Each choice has its own blocks and its own end; block numbers are never shared."""
    events = read(delta(content="a"), delta(index=1, content="b"), delta("stop"), delta("length", 1))

    assert events[1:] == [
        TextDelta(0, "a"),
        TextDelta(1, "b", 1),
        BlockEnded(0),
        BlockEnded(1, 1),
        Stopped(Stop.END, "stop"),
        Stopped(Stop.LENGTH, "length", candidate=1),
        Ended(),
    ]


def test_logprobs() -> None:
    """Probabilities follow the text that they are of."""
    logprobs = {"content": [{"token": "a", "logprob": -1, "bytes": None, "top_logprobs": []}]}
    piece = chunk({"index": 0, "delta": {"content": "a"}, "logprobs": logprobs, "finish_reason": None})

    assert read(piece, delta("stop"))[1:3] == [TextDelta(0, "a"), LogprobsDelta((TokenLogprob("a", -1.0),))]


def test_the_stop_sequence_of_vllm() -> None:
    """The sequence that was met is told."""
    last = chunk({"index": 0, "delta": {}, "finish_reason": "stop", "stop_reason": "END"})

    assert read(delta(content="a"), last)[-2:] == end(Stop.STOP_SEQUENCE, sequence="END")


def test_losses_are_told_once() -> None:
    """What has no neutral form is named once, however often it comes."""
    noted = delta(annotations=[{}])

    assert [event for event in read(noted, noted, delta("stop")) if isinstance(event, Lost)] == [
        Lost("choices[].delta.annotations")
    ]


def test_azure_stream_quirks() -> None:
    """An empty first chunk, annotations without delta before and after the finish chunk, and a late finish reason."""
    results = {"hate": {"filtered": True}}
    opening = {"id": "", "model": "", "object": "", "created": 0, "choices": [], "prompt_filter_results": [1]}
    note = {"id": "", "model": "", "choices": [{"index": 0, "finish_reason": None, "content_filter_results": {}}]}
    late = {"choices": [{"index": 0, "finish_reason": "content_filter", "content_filter_results": results}]}

    assert read(opening, note, FIRST, delta(content="a"), note, delta("stop"), note, late) == [
        START,
        TextDelta(0, "a"),
        BlockEnded(0),
        VendorDelta({"prompt_filter_results": [1], "content_filter_results": results}),
        *end(Stop.FILTERED, "content_filter"),
    ]


def test_comments_are_pings() -> None:
    """A comment keeps the connection open, and is told as that."""
    stream = b": PROCESSING\n\n" + sse(delta(content="a"), delta("stop"))

    assert read_events(DIALECT.stream_reader({}, SENT), [stream])[0] == Ping()


def test_a_terminator_without_its_blank_line() -> None:
    """Some servers end with the terminator and one line end, or none."""
    stream = sse(delta(content="a"), delta("stop"), done=False) + b"data: [DONE]"

    for ending in (b"", b"\n", b"\n\n"):
        assert read_events(DIALECT.stream_reader({}, SENT), [stream + ending])[-1] == Ended()


@pytest.mark.parametrize(
    ("payloads", "done", "words"),
    [
        ((), False, "before its end"),
        ((), True, "without a finish reason"),
        ((FIRST, delta(content="a")), False, "before its end"),
        ((FIRST, delta(content="a")), True, "without a finish reason"),
        ((FIRST, delta("stop")), False, "before its end"),
        ((delta("stop"), delta(index=1, content="b")), True, "without a finish reason"),
        ((call(0, '{"a":', "c1", "f"), delta("stop")), True, "'f'"),
        ((call(0, "[]", "c1", "f"), delta("tool_calls")), True, "'f'"),
        ((call(0, "{}", "c1"), delta("tool_calls")), True, "names no tool"),
        ((delta("stop"), delta(content="a")), True, "went on"),
        ((delta("stop"), call(0, "{}", "c1", "f")), True, "went on"),
        ((call(0, "{}", "c1", "f"), call(1, "{}", "c2", "f"), call(0, "x")), True, "went on"),
        ((delta(content="a"), delta("abort")), True, "abort"),
        (([1],), True, "cannot be read"),
        ((chunk({"index": "0"}),), True, "cannot be read"),
    ],
)
def test_stream_cut(payloads: Sequence[Any], words: str, *, done: bool) -> None:
    """A stream that ends early, or makes no sense, ends in a fault and never looks whole."""
    assert words in fault(read(*payloads, done=done))


@pytest.mark.parametrize(
    ("payload", "kind", "message"),
    [
        ({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, Kind.RATE_LIMIT, "slow down"),
        ({"error": "out of memory"}, Kind.SERVER, "out of memory"),
        ({"object": "error", "message": "no", "type": "invalid_request_error"}, Kind.INVALID_REQUEST, "no"),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "later"}}, Kind.OVERLOADED, "later"),
    ],
)
def test_stream_fault(payload: Any, kind: Kind, message: str) -> None:
    """An error inside a stream is its last word, with the server's own."""
    *_, last = read(delta(content="a"), payload, delta(content="b"))

    assert isinstance(last, Fault)
    assert (last.error.kind, last.error.message, last.error.vendor) == (kind, message, True)


def test_nothing_follows_the_end() -> None:
    """After its end a stream says nothing more, and its bytes may simply stop."""
    reader = DIALECT.stream_reader({}, SENT)
    reader.feed(sse(delta("stop")))

    assert [*reader.feed(sse(delta(content="a"))), *reader.finish()] == []


def test_every_split() -> None:
    """The events are the same however the bytes arrive."""
    stream = b": p\r\n\r\n" + sse(
        delta(content="h\u00e9\u2028"), call(0, "{}", "c1", "f"), delta("stop"), chunk(usage={"prompt_tokens": 1})
    )
    whole = read_events(DIALECT.stream_reader({}, SENT), [stream])

    assert all(read_events(DIALECT.stream_reader({}, SENT), chunks) == whole for chunks in all_splits(stream))


DELTAS = st.fixed_dictionaries(
    {},
    optional={
        "content": st.none() | st.text("ab", max_size=2),
        "reasoning": st.text("hm", max_size=2),
        "refusal": st.none() | st.just("no"),
        "tool_calls": st.lists(
            st.fixed_dictionaries(
                {"index": st.integers(0, 2)},
                optional={
                    "id": st.sampled_from(["c1", "c2"]),
                    "function": st.fixed_dictionaries(
                        {},
                        optional={
                            "name": st.sampled_from(["f", "g"]),
                            "arguments": st.sampled_from(["{", "}", "{}", ""]),
                        },
                    ),
                },
            ),
            max_size=2,
        ),
    },
)
CHUNKS = st.builds(
    lambda index, members, finish: delta(finish, index, **members),
    st.integers(0, 1),
    DELTAS,
    st.sampled_from([None, None, None, "stop", "tool_calls", "length"]),
)


@given(st.lists(CHUNKS, max_size=12), st.booleans())
def test_blocks_never_overlap(chunks: list[Any], done: bool) -> None:
    """Whatever a server interleaves, blocks of a choice open and end one after the other, and one end comes last."""
    events = read_events(DIALECT.stream_reader({}, SENT), [sse(*chunks, done=done)])
    opened: dict[int, int | None] = {}
    for event in events:
        if isinstance(event, TextDelta | ThinkingDelta | ToolStarted | ArgumentsDelta):
            assert opened.setdefault(event.candidate, event.index) in {None, event.index}
            opened[event.candidate] = event.index
        elif isinstance(event, BlockEnded):
            assert opened[event.candidate] == event.index
            opened[event.candidate] = None
    assert isinstance(events[-1], Ended | Fault)
    assert sum(isinstance(event, Ended | Fault) for event in events) == 1
