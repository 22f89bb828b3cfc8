"""Streams at the level of events: what goldens show in a client's form, and what only events can show."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.conversation.errors import ApiError, Kind
from extproc.conversation.events import (
    ArgumentsDelta,
    BlockEnded,
    CitationDelta,
    Ended,
    Event,
    Fault,
    Lost,
    Metered,
    Started,
    Stopped,
    TextDelta,
    ThinkingDelta,
    ToolStarted,
)
from extproc.conversation.replay import events_of
from extproc.conversation.request import Citation, Text, Thinking, ToolCall
from extproc.conversation.response import Response, Stop, Usage
from extproc.dialects.bedrock import DIALECT
from extproc.dialects.bedrock.output_tool import OutputToolStream, unwrapped
from extproc.dialects.contract import StreamReader, UpstreamRequest
from tests.support.eventstream_frames import event, exception, frame
from tests.support.wire_splits import splits

HEADERS = {"x-amzn-requestid": "req-1"}


def reader(output_tool: str | None = None) -> StreamReader:
    return DIALECT.stream_reader(HEADERS, UpstreamRequest(b"", output_tool=output_tool))


def told(name: str, **payload: Any) -> bytes:
    return event(name, msgspec.json.encode(payload))


def delta(index: int, **member: Any) -> bytes:
    return told("contentBlockDelta", contentBlockIndex=index, delta=member)


def tool(index: int, call_id: str = "t1", name: str = "f", **more: Any) -> bytes:
    start = {"toolUse": {"toolUseId": call_id, "name": name, **more}}
    return told("contentBlockStart", contentBlockIndex=index, start=start)


def ended(index: int) -> bytes:
    return told("contentBlockStop", contentBlockIndex=index)


START = told("messageStart", role="assistant")
STOP = told("messageStop", stopReason="end_turn")
METADATA = told("metadata", usage={"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}, metrics={"latencyMs": 1})


def read(*frames: bytes, output_tool: str | None = None) -> list[Event]:
    reading = reader(output_tool)
    return [*reading.feed(b"".join(frames)), *reading.finish()]


def fault_of(events: Sequence[Event]) -> ApiError:
    last = events[-1]
    assert isinstance(last, Fault)
    return last.error


def test_converse_stream_no_block_start() -> None:
    """Text and reasoning open with their first delta, which is kept."""
    assert read(START, delta(0, reasoningContent={"text": "Hm."}), delta(1, text="Hi"), ended(1), STOP, METADATA) == [
        Started("req-1"),
        ThinkingDelta(0, "Hm."),
        TextDelta(1, "Hi"),
        BlockEnded(1),
        Stopped(Stop.END, "end_turn"),
        Metered(Usage(3, 2, 5)),
        Ended(),
    ]


def test_the_end_comes_with_the_usage() -> None:
    """The end does not wait for the connection to close, and closing adds nothing."""
    reading = reader()
    assert list(reading.feed(START + delta(0, text="Hi") + STOP))[-1] == Stopped(Stop.END, "end_turn")
    assert list(reading.feed(METADATA))[-1] == Ended()
    assert list(reading.feed(delta(0, text="more"))) == []
    assert list(reading.finish()) == []


def test_usage_before_the_stop() -> None:
    """A metadata event out of place is usage, and no end."""
    events = read(START, METADATA, delta(0, text="Hi"), STOP)
    assert [type(event) for event in events] == [Started, Metered, TextDelta, Stopped, Ended]


@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [
        ("internalServerException", 500, Kind.SERVER),
        ("modelStreamErrorException", 424, Kind.SERVER),
        ("validationException", 400, Kind.INVALID_REQUEST),
        ("throttlingException", 429, Kind.RATE_LIMIT),
        ("serviceUnavailableException", 503, Kind.OVERLOADED),
        ("modelTimeoutException", 408, Kind.TIMEOUT),
        ("brandNewException", 500, Kind.SERVER),
    ],
)
@pytest.mark.parametrize("begun", [False, True])
def test_converse_stream_exceptions(name: str, status: int, kind: Kind, *, begun: bool) -> None:
    """Each exception is the error that it would have been as a reply, and nothing follows it."""
    before = (START, delta(0, text="Hi")) if begun else ()
    events = read(*before, exception(name, b'{"message":"m"}'), delta(0, text="more"), STOP)
    assert len(events) == 2 * begun + 1
    assert fault_of(events) == ApiError(status, kind, "m", native_type=name, vendor=True)


def test_error_frames() -> None:
    """An error frame has its words in its headers, or none at all."""
    headers = {":message-type": "error", ":error-code": "InternalFailure", ":error-message": "Oops"}
    assert fault_of(read(START, frame(headers, b""))) == ApiError(
        500, Kind.SERVER, "Oops", native_type="InternalFailure", vendor=True
    )
    assert fault_of(read(frame({":message-type": "error"}, b""))) == ApiError(
        500, Kind.SERVER, "Bedrock gave no message"
    )


def test_converse_stream_bad_crc() -> None:
    """A damaged frame is an error at once, in the same call, and none of its content leaks."""
    damaged = bytearray(delta(0, text="secret"))
    damaged[-10] ^= 1
    reading = reader()
    events = reading.feed(START + delta(0, text="Hi") + bytes(damaged) + STOP)
    assert events[:-1] == [Started("req-1"), TextDelta(0, "Hi")]
    assert "checksum" in fault_of(events).message
    assert list(reading.finish()) == []


@pytest.mark.parametrize("frames", [(), (START,), (START, delta(0, text="Hi"), ended(0)), (START, STOP[:-1])])
def test_converse_stream_truncated(frames: tuple[bytes, ...]) -> None:
    """Bytes that end without messageStop are a cut answer."""
    assert fault_of(read(*frames)) == ApiError(502, Kind.SERVER, "the stream from Bedrock ended before the answer did")


def test_an_answer_without_its_usage_is_whole_and_listed() -> None:
    """MessageStop is the terminator: without metadata after it the client has all, and the record lacks usage."""
    assert read(START, delta(0, text="Hi"), STOP)[-2:] == [Lost("metadata.usage"), Ended()]
    assert Lost("metadata.usage") not in read(START, delta(0, text="Hi"), STOP, METADATA)


@pytest.mark.parametrize("left", [1, 8, 12, 40, -1])
def test_a_cut_inside_a_frame_is_damage(left: int) -> None:
    """Also after the stop: what ends inside a frame was not sent so."""
    assert "inside a frame" in fault_of(read(START, delta(0, text="Hi"), STOP, METADATA[:left])).message


@pytest.mark.parametrize("opened", [tool(0, type="server_tool_use"), delta(0, image={"source": {"bytes": "AAAA"}})])
def test_an_answer_of_which_nothing_is_left_is_none(opened: bytes) -> None:
    """It names what there was, after the usage; one that was filtered or cut may be empty."""
    events = read(START, opened, ended(0), STOP, METADATA)
    assert isinstance(events[-2], Metered)
    assert "holds nothing that can be passed on" in fault_of(events).message
    cut = told("messageStop", stopReason="max_tokens")
    assert read(START, opened, ended(0), cut, METADATA)[-1] == Ended()


def test_a_malformed_answer_is_billed() -> None:
    """The usage of a broken answer comes before its fault."""
    stop = told("messageStop", stopReason="malformed_tool_use")
    events = read(START, tool(0), stop, METADATA)
    assert isinstance(events[-2], Metered)
    assert fault_of(events).status == 502
    assert fault_of(read(START, stop)).message == "the model broke off its answer (malformed_tool_use)"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[]",
        b'{"contentBlockIndex":"x","delta":{}}',
        b'{"contentBlockIndex":0}',
        b"\xff\xff",
        b'{"delta":{},"p":' + b"[" * 100_000,
    ],
    ids=["empty", "cut", "array", "type", "member", "bytes", "depth"],
)
def test_events_that_cannot_be_read(payload: bytes) -> None:
    """A known event of another shape is the upstream's failure; it is never skipped."""
    error = fault_of(read(START, event("contentBlockDelta", payload), STOP))
    assert (error.status, error.kind) == (502, Kind.SERVER)
    assert "contentBlockDelta" in error.message


def test_tool_calls() -> None:
    """Calls may interleave; one without arguments has an empty object when it ends, or when the answer does."""
    events = read(
        START,
        tool(1, "a", "f"),
        tool(4, "b", "g"),
        delta(1, toolUse={"input": ""}),
        delta(4, toolUse={"input": '{"x"'}),
        ended(1),
        delta(4, toolUse={"input": ":1}"}),
        ended(4),
        tool(5, "c", "h"),
        told("messageStop", stopReason="tool_use"),
        METADATA,
    )
    assert events[1:-3] == [
        ToolStarted(1, "a", "f"),
        ToolStarted(4, "b", "g"),
        ArgumentsDelta(4, '{"x"'),
        ArgumentsDelta(1, "{}"),
        BlockEnded(1),
        ArgumentsDelta(4, ":1}"),
        BlockEnded(4),
        ToolStarted(5, "c", "h"),
        ArgumentsDelta(5, "{}"),
    ]


def test_what_the_service_runs_itself_is_not_shown() -> None:
    """Server tools, their results and whatever else has no neutral form open nothing, close nothing, and are told."""
    result = told("contentBlockStart", contentBlockIndex=1, start={"toolResult": {"toolUseId": "s"}})
    events = read(
        START,
        tool(0, type="server_tool_use"),
        delta(0, toolUse={"input": "{}"}),
        ended(0),
        result,
        delta(1, toolResult=[{"text": "x"}]),
        ended(1),
        delta(2, image={"source": {"bytes": "AAAA"}}),
        delta(2, image={"source": {"bytes": "AAAA"}}),
        delta(3, text="Hi"),
        STOP,
        METADATA,
    )
    content = "output.message.content"
    lost = [Lost(f"{content}[{name}") for name in ("0].toolUse", "1].toolResult", "2].other")]
    assert events[1:4] == lost
    assert [type(event) for event in events] == [Started, Lost, Lost, Lost, TextDelta, Stopped, Metered, Ended]


def test_converse_stream_every_split() -> None:
    """A stream of everything, cut at every byte, gives the same events."""
    page = {"documentPage": {"documentIndex": 0, "start": 1, "end": 2}}
    whole = b"".join(
        (
            START,
            delta(0, reasoningContent={"text": "Hm\u00e9"}),
            delta(0, reasoningContent={"signature": "c2ln"}),
            ended(0),
            delta(1, text="Blue\u2028."),
            delta(1, citation={"title": "T", "location": page}),
            ended(1),
            tool(2),
            delta(2, toolUse={"input": '{"a":'}),
            delta(2, toolUse={"input": "1}"}),
            ended(2),
            tool(3, type="server_tool_use"),
            STOP,
            METADATA,
        )
    )
    expected = read(whole)
    assert isinstance(expected[-1], Ended)
    for chunks in splits(whole):
        reading = reader()
        assert expected == [*(told for chunk in chunks for told in reading.feed(chunk)), *reading.finish()]


def test_converse_stop_sequence_value() -> None:
    """The sequence that was met comes back beside the reason, if it was a text at all."""
    for fields, sequence in (({"stop_sequence": "END"}, "END"), ({"stop_sequence": None}, None), ([1], None)):
        stop = told("messageStop", stopReason="stop_sequence", additionalModelResponseFields=fields)
        assert read(START, stop)[1] == Stopped(Stop.STOP_SEQUENCE, "stop_sequence", sequence)


def test_citations() -> None:
    """A source comes after its text, at the same block; one that points nowhere is told as lost."""
    page = {"documentPage": {"documentIndex": 0, "start": 1, "end": 2}}
    cited = {"title": "T", "sourceContent": [{"text": "Sky "}, {"text": "is blue"}], "location": page}
    events = read(START, delta(0, text="Blue."), delta(0, citation=cited), delta(0, citation={}), ended(0), STOP)
    assert events[1:5] == [
        TextDelta(0, "Blue."),
        CitationDelta(0, Citation("page", "Sky is blue", "T", document=0, start=1, end=2)),
        Lost("output.message.content[0].citation"),
        BlockEnded(0),
    ]


def test_citations_of_held_back_text() -> None:
    """While a tool stands in for the answer's form, a text is held back with its sources."""
    cited = {"title": "T", "location": {"web": {"url": "https://a.example"}}}
    frames = (START, delta(0, text="So:"), delta(0, citation=cited), ended(0))
    kinds = [type(event) for event in read(*frames, tool(1, "c", "out"), ended(1), STOP, output_tool="out")]
    assert CitationDelta not in kinds
    events = read(*frames, STOP, output_tool="out")
    assert [type(event) for event in events[1:4]] == [TextDelta, CitationDelta, BlockEnded]


def test_tools_under_derived_names() -> None:
    """A call comes back under the name that the client knows."""
    reading = DIALECT.stream_reader(HEADERS, UpstreamRequest(b"", tool_names={"a_b_1": "a.b"}))
    assert reading.feed(START + tool(0, "t", "a_b_1"))[1] == ToolStarted(0, "t", "a.b")


@given(noise=st.binary(max_size=200), begun=st.booleans())
def test_any_bytes_end_in_one_fault(noise: bytes, *, begun: bool) -> None:
    """No bytes can make the reader raise, or end a stream that had no messageStop in anything but a fault."""
    events = read(*([START] if begun else []), noise)
    assert [isinstance(event, Fault) for event in events] == [False] * (len(events) - 1) + [True]


PIECES = st.sampled_from(
    [START, STOP, METADATA, tool(0), tool(1, "b", "out"), tool(2, "c", "out"), ended(0), ended(1), ended(9)]
    + [delta(index, text="x") for index in (0, 3)]
    + [delta(index, toolUse={"input": "{}"}) for index in (0, 1, 2)]
    + [delta(index, citation={"location": {"web": {"url": "u"}}}) for index in (0, 1, 4)]
    + [delta(5, image={}), told("contentBlockStart", contentBlockIndex=6, start={"image": {"format": "png"}})]
    + [told("contentBlockDelta", contentBlockIndex=7, delta={}), exception("throttlingException", b"{}"), told("new")]
)


@given(st.lists(PIECES, max_size=12), st.sampled_from([None, "out"]))
def test_any_events_make_a_legal_stream(frames: list[bytes], output_tool: str | None) -> None:
    """Whatever the order of events, the neutral one is legal: a start, calls before their arguments, a stop, an end."""
    events = read(*frames, output_tool=output_tool)
    kinds = [type(one) for one in events if not isinstance(one, Metered)]
    assert kinds[-1] in {Ended, Fault}
    assert not {Ended, Fault} & set(kinds[:-1])
    assert Started not in kinds[1:]
    if Stopped in kinds:
        assert kinds.index(Stopped) == len(kinds) - 2
    calls: set[int] = set()
    for one in events:
        if isinstance(one, ToolStarted):
            assert one.index not in calls
            calls.add(one.index)
        elif isinstance(one, ArgumentsDelta):
            assert one.index in calls


# --- the tool that stands in for structured output

WHOLE = Response(
    (Text("I will."), ToolCall("", "t1", "out", '{"a":1}')), Stop.TOOL_CALLS, "tool_use", Usage(1, 2, 3), "req-1"
)


def test_unwrapped_answer() -> None:
    """The call is the content, the text around it is listed as lost, and the answer has ended."""
    response = unwrapped(WHOLE, "out")
    assert response.blocks == (Text('{"a":1}'),)
    assert (response.stop, response.native_stop) == (Stop.END, "tool_use")
    assert response.losses == ("output.message.content[].text",)
    assert unwrapped(WHOLE, "other") is WHOLE


def test_unwrapped_answer_beside_other_calls() -> None:
    """Other calls stay calls, reasoning stays, a second call of the stand-in is left out."""
    thinking = Thinking("", "Hm.")
    other, again = ToolCall("", "t2", "f", "{}"), ToolCall("", "t3", "out", "{}")
    response = unwrapped(Response((thinking, *WHOLE.blocks, other, again), Stop.TOOL_CALLS, "", Usage()), "out")
    assert response.blocks == (thinking, Text('{"a":1}'), other)
    assert response.stop is Stop.TOOL_CALLS


@pytest.mark.parametrize(
    "blocks",
    [
        WHOLE.blocks,
        WHOLE.blocks[1:],
        (Text("No."),),
        (Text("Look."), ToolCall("", "t2", "f", '{"b":2}')),
        (ToolCall("", "t2", "f", "{}"), *WHOLE.blocks, ToolCall("", "t3", "out", "{}")),
        (Thinking("", "Hm.", "c2ln"), WHOLE.blocks[1], Text("There.")),
        (),
    ],
)
def test_streamed_and_whole_answers_agree(blocks: tuple[Any, ...]) -> None:
    """Unwrapping a stream gives the blocks that unwrapping the whole answer gives, and the same stop."""
    response = Response(blocks, Stop.TOOL_CALLS, "tool_use", Usage(1, 2, 3))
    streamed = OutputToolStream("out").feed(events_of(response))
    expected = events_of(unwrapped(response, "out"))
    assert _flat(streamed) == _flat(expected)


def _flat(events: Sequence[Event]) -> tuple[Any, ...]:
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    thinking = [(event.text, event.signature) for event in events if isinstance(event, ThinkingDelta)]
    calls = [(event.id, event.name) for event in events if isinstance(event, ToolStarted)]
    arguments = [event.fragment for event in events if isinstance(event, ArgumentsDelta)]
    return text, thinking, calls, arguments, [event for event in events if isinstance(event, Stopped)], events[-1]


@pytest.mark.parametrize("more", [delta(0, text="Hi"), tool(3), STOP])
def test_nothing_comes_after_the_stop(more: bytes) -> None:
    """Content after messageStop is the upstream's failure: the client has been told that the answer is over."""
    assert fault_of(read(START, STOP, more, METADATA)).message == "Bedrock went on after it had stopped its answer"


def test_a_block_opens_once() -> None:
    """A second start of the same block would give the client two calls in one place."""
    assert fault_of(read(START, tool(0), tool(0, "t2"))).message == "Bedrock opened a block of its answer twice"


def test_replay_of_an_empty_answer() -> None:
    """An answer without blocks is still a whole stream."""
    assert events_of(Response((Text(""),), Stop.FILTERED, "content_filtered", Usage())) == [
        Started(),
        Stopped(Stop.FILTERED, "content_filtered"),
        Metered(Usage()),
        Ended(),
    ]
