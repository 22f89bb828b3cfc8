"""Answers and streams for Anthropic's clients, judged by the SDK and by a strict automaton."""

import json
from collections.abc import Sequence
from typing import Any

import anthropic
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.conversation.errors import ApiError, Kind, UpstreamError
from extproc.conversation.events import (
    ArgumentsDelta,
    BlockEnded,
    CitationDelta,
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
from extproc.conversation.replay import events_of
from extproc.conversation.request import Citation, Text, Thinking, ToolCall
from extproc.conversation.response import NO_USAGE, Response, Stop, Usage
from extproc.dialects.anthropic import DIALECT
from tests.support import anthropic_oracle
from tests.support.anthropic_messages import IDENTITY, MARKED, ORIGIN, read, told, written_stream

USAGE = Usage(60, 7, 67, 30, 20, 3, 5)


def answer(
    *blocks: Text | Thinking | ToolCall, stop: Stop = Stop.END, usage: Usage = NO_USAGE, **members: Any
) -> Response:
    return Response(blocks, stop, stop.value, usage, **members)


def message(response: Response, identity: Any = IDENTITY) -> dict[str, Any]:
    """The client's message, which the SDK takes."""
    return anthropic_oracle.check_message(DIALECT.write_response(response, read(), identity))


def call(arguments: str = "{}", call_id: str = "t1") -> ToolCall:
    return ToolCall("", call_id, "f", arguments)


def test_usage_arithmetic() -> None:
    """What was read from and written to the cache is not in the input here; overlapping counts end at 0."""
    assert message(answer(Text("a"), usage=USAGE))["usage"] == {
        "input_tokens": 10,
        "cache_creation_input_tokens": 20,
        "cache_read_input_tokens": 30,
        "output_tokens": 7,
        "output_tokens_details": {"thinking_tokens": 3},
        "cache_creation": {"ephemeral_5m_input_tokens": 15, "ephemeral_1h_input_tokens": 5},
    }
    overlapping = Usage(10, 1, 11, cached_input_tokens=8, cache_write_tokens=8)
    assert message(answer(Text("a"), usage=overlapping))["usage"]["input_tokens"] == 0


STOPS = [
    (Stop.END, "end_turn", "tool_use"),
    (Stop.STOP_SEQUENCE, "stop_sequence", "tool_use"),
    (Stop.LENGTH, "max_tokens", "max_tokens"),
    (Stop.CONTEXT_FULL, "model_context_window_exceeded", "model_context_window_exceeded"),
    (Stop.TOOL_CALLS, "end_turn", "tool_use"),
    (Stop.REFUSAL, "refusal", "refusal"),
    (Stop.FILTERED, "refusal", "refusal"),
    (Stop.PAUSED, "pause_turn", "pause_turn"),
    (Stop.UNKNOWN, "end_turn", "tool_use"),
]


@pytest.mark.parametrize(("stop", "plain", "calling"), STOPS)
def test_stop_reason_table(stop: Stop, plain: str, calling: str) -> None:
    """Each reason has its word, whole and streamed; calls decide unless the answer is cut, filtered or paused."""
    for blocks, reason in (((Text("a"),), plain), ((Text("a"), call()), calling)):
        response = answer(*blocks, stop=stop)
        assert message(response)["stop_reason"] == reason
        assert told(written_stream(events_of(response))).stop_reason == reason


@pytest.mark.parametrize("explanation", [None, "not that"])
def test_stop_reason_table_refusal(explanation: str | None) -> None:
    """A refusal says why, if anybody said."""
    response = answer(Text("no", kind="refusal"), stop=Stop.REFUSAL, explanation=explanation)
    written = message(response)
    assert written["stop_details"] == {"type": "refusal", "category": None, "explanation": explanation}
    assert written["content"] == [{"type": "text", "text": "no"}]


def test_stop_sequence_is_told() -> None:
    """The sequence that was met is named where it is known."""
    assert message(answer(Text("a"), stop=Stop.STOP_SEQUENCE, stop_sequence="X"))["stop_sequence"] == "X"
    events: list[Event] = [Started(), TextDelta(0, "a"), Stopped(Stop.STOP_SEQUENCE, "s", sequence="X"), Ended()]
    assert told(written_stream(events)).stop_sequence == "X"


def test_malformed_answers_are_errors() -> None:
    """No stop reason says that the model broke off."""
    with pytest.raises(UpstreamError):
        DIALECT.write_response(answer(stop=Stop.MALFORMED), read(), IDENTITY)
    stream = written_stream([Started(), TextDelta(0, "a"), Stopped(Stop.MALFORMED, "x")])
    assert anthropic_oracle.events_of(stream)[-1][0] == "error"


def test_blocks_keep_their_order() -> None:
    """Thinking, text and calls stand as they came; marks say whose the thinking is, and nothing empty is told."""
    response = answer(
        Thinking("", "deep", "s1"),
        Thinking("", redacted="r1"),
        Text(""),
        Text("so", citations=(Citation("web", "q", "T", "https://e.com", token="x"), Citation("char", "q"))),
        call(""),
        Thinking("", "", "s2"),
        call('{"n": 1.0}', "t2"),
        Thinking("", ""),
    )
    written = message(response, MARKED)["content"]
    assert [block["type"] for block in written] == [
        "thinking",
        "redacted_thinking",
        "text",
        "tool_use",
        "thinking",
        "tool_use",
    ]
    assert written[0]["signature"] == f"llmr1.{ORIGIN}.s1"
    assert written[1]["data"] == f"llmr1.{ORIGIN}.r1"
    assert len(written[2]["citations"]) == 1
    assert written[3]["input"] == {}
    streamed = told(written_stream(events_of(response), MARKED)).model_dump(exclude_none=True)["content"]
    for block in (*written, *streamed):
        block.pop("citations", None)
    assert streamed == written


def test_unsigned_thinking_is_marked_so() -> None:
    """What nobody signed is shown, and cannot be taken for signed when it comes back."""
    assert message(answer(Thinking("", "t")), MARKED)["content"][0]["signature"] == f"llmr1.{ORIGIN}."
    assert told(written_stream(events_of(answer(Thinking("", "t"))), MARKED)).content[0].signature == f"llmr1.{ORIGIN}."
    assert message(answer(Thinking("", "t")))["content"][0]["signature"] == ""


@pytest.mark.parametrize("arguments", ["[1]", "{bad", '"x"'])
def test_arguments_that_are_no_object_are_an_error(arguments: str) -> None:
    """A tool never runs with made-up input: the answer is an error that names the tool, streamed or not."""
    response = answer(call(arguments), stop=Stop.TOOL_CALLS)
    with pytest.raises(UpstreamError, match="'f'"):
        DIALECT.write_response(response, read(), IDENTITY)
    name, event = anthropic_oracle.events_of(written_stream(events_of(response)))[-1]
    assert (name, event["error"]["type"]) == ("error", "api_error")


def test_ids_tier_and_vendor_members() -> None:
    """The upstream's id and model stay findable, its own members stand beside the message."""
    response = answer(Text("a"), id="resp-1", model="up", service_tier="default", vendor={"grounding": {"a": 1}})
    written = message(response)
    assert (written["id"], written["model"], written["grounding"]) == ("msg_resp-1", "up", {"a": 1})
    assert written["usage"]["service_tier"] == "standard"
    bare = message(answer(Text("a"), id="msg_1"))
    assert (bare["id"], bare["model"]) == ("msg_1", "client-model")
    events: list[Event] = [Started(), TextDelta(0, "a"), VendorDelta({"grounding": 1}), Stopped(Stop.END, ""), Ended()]
    assert (
        json.loads(written_stream(events).split(b"message_delta\ndata: ")[1].split(b"\n")[0])["delta"]["grounding"] == 1
    )


INTERLEAVED: list[Event] = [
    Started("chatcmpl-1", "up"),
    TextDelta(0, ""),
    TextDelta(0, "Hel"),
    TextDelta(0, "lo"),
    ToolStarted(1, "a", "f"),
    ToolStarted(2, "b", "g"),
    ArgumentsDelta(2, '{"x":'),
    ArgumentsDelta(1, '{"y": '),
    LogprobsDelta(()),
    ArgumentsDelta(2, "1}"),
    ArgumentsDelta(1, "2}"),
    TextDelta(0, " more"),
    BlockEnded(1),
    BlockEnded(2),
    Stopped(Stop.TOOL_CALLS, "tool_calls"),
    Metered(USAGE),
    Ended(),
]


def test_stream_o_to_a_sdk() -> None:
    """Interleaved fragments become blocks one after the other, and the SDK accumulates them."""
    final = told(written_stream(INTERLEAVED))
    assert [(block.type, getattr(block, "text", None)) for block in final.content] == [
        ("text", "Hello"),
        ("tool_use", None),
        ("tool_use", None),
        ("text", " more"),
    ]
    assert [block.input for block in final.content if block.type == "tool_use"] == [{"y": 2}, {"x": 1}]
    assert (final.stop_reason, final.usage.input_tokens, final.usage.output_tokens) == ("tool_use", 10, 7)


def test_stream_without_block_ends() -> None:
    """Calls that are never said to be complete are so when the answer stops."""
    final = told(written_stream([event for event in INTERLEAVED if not isinstance(event, BlockEnded)]))
    assert [block.type for block in final.content] == ["text", "tool_use", "tool_use", "text"]


def test_stream_usage_is_known_from_the_start_where_it_can_be() -> None:
    """Counts that came before the answer stand in its start."""
    events: list[Event] = [Metered(USAGE), Started(), TextDelta(0, "a"), Stopped(Stop.END, ""), Ended()]
    start = anthropic_oracle.check_stream(written_stream(events))[0]
    assert start["message"]["usage"]["input_tokens"] == 10


def test_stream_of_citations_and_pings() -> None:
    """Citations follow their text, and a sign of life is one, but never before the start."""
    web = Citation("web", "q", "T", "https://e.com", token="x")
    events: list[Event] = [
        Ping(),
        Started(),
        Ping(),
        TextDelta(0, "a"),
        CitationDelta(0, web),
        CitationDelta(0, Citation("char")),
        Lost("content[1].x"),
        Stopped(Stop.END, ""),
        Ping(),
        Ended(),
    ]
    stream = written_stream(events)
    assert stream.count(b"event: ping") == 2
    assert [c.url for c in told(stream).content[0].citations] == ["https://e.com"]


@pytest.mark.parametrize(
    "events",
    [
        [Ended()],
        [Started(), Started()],
        [Started(), TextDelta(0, "a"), Ended()],
        [Started(), Stopped(Stop.END, ""), TextDelta(0, "a")],
        [Started(), ArgumentsDelta(0, "{}")],
        [Started(), ToolStarted(0, "a", "f"), BlockEnded(0), ToolStarted(0, "b", "g")],
        [Started(), ToolStarted(0, "a", "f"), ArgumentsDelta(5, "{}"), BlockEnded(0)],
        [Started(), TextDelta(0, "a"), Fault(ApiError(503, Kind.OVERLOADED, "busy"))],
    ],
)
def test_stream_fault(events: Sequence[Event]) -> None:
    """What breaks the order, or the upstream itself, ends in one error event, which the SDK raises."""
    stream = written_stream([*events, TextDelta(9, "late"), Ended()])
    assert anthropic_oracle.events_of(stream)[-1][0] == "error"
    with pytest.raises(anthropic.APIStatusError) as caught:
        told(stream)
    kind = caught.value.body["error"]["type"] if isinstance(caught.value.body, dict) else None
    assert kind in {"api_error", "overloaded_error"}


def test_other_candidates_are_no_part_of_a_message() -> None:
    """A message has one answer."""
    events: list[Event] = [
        Started(),
        TextDelta(0, "a"),
        TextDelta(1, "b", candidate=1),
        Stopped(Stop.END, ""),
        Ended(),
    ]
    assert [block.text for block in told(written_stream(events)).content] == ["a"]


PIECES: st.SearchStrategy[Event] = st.one_of(
    st.builds(TextDelta, st.integers(0, 3), st.sampled_from(["", "a", '"\\\u2028'])),
    st.builds(ThinkingDelta, st.integers(0, 3), st.sampled_from(["", "t"]), st.sampled_from([None, "s"])),
    st.builds(lambda i: ThinkingDelta(i, redacted="r"), st.integers(0, 3)),
    st.builds(ToolStarted, st.integers(0, 3), st.just("i"), st.just("f")),
    st.builds(ArgumentsDelta, st.integers(0, 3), st.sampled_from(["", "{}", "x"])),
    st.builds(BlockEnded, st.integers(0, 3)),
    st.builds(lambda i: CitationDelta(i, Citation("web", url="u")), st.integers(0, 3)),
    st.just(Metered(USAGE)),
    st.just(Ping()),
    st.just(Lost("x")),
    st.just(Stopped(Stop.END, "")),
)


@given(st.lists(PIECES, max_size=25))
def test_whatever_comes_the_stream_is_legal(pieces: list[Event]) -> None:
    """No order of events makes the writer say something that a client could not read."""
    written_stream([Started(), *pieces, Stopped(Stop.END, ""), Ended()])


@given(st.permutations([0, 1, 2, 3]), st.lists(st.integers(0, 3), min_size=40, max_size=40))
def test_interleaved_calls_arrive_whole(order: list[int], turns: list[int]) -> None:
    """However the fragments of calls are mixed, each call has its own, and they stand in order of appearance."""
    whole = {index: json.dumps({"call": index, "pad": "x" * index}) for index in order}
    left = {index: list(text) for index, text in whole.items()}
    events: list[Event] = [Started(), *(ToolStarted(i, f"id{i}", "f") for i in order)]
    mixed = (*turns, *(i for i in order for _ in whole[i]))
    events += [ArgumentsDelta(index, left[index].pop(0)) for index in mixed if left[index]]
    stream = written_stream([*events, Stopped(Stop.TOOL_CALLS, ""), Ended()])
    assert [block.input["call"] for block in told(stream).content] == order


def test_errors_and_headers_sdk_classes() -> None:
    """Each class of error is the SDK's class for its status."""
    classes = {
        (400, Kind.INVALID_REQUEST): anthropic.BadRequestError,
        (401, Kind.AUTHENTICATION): anthropic.AuthenticationError,
        (403, Kind.PERMISSION): anthropic.PermissionDeniedError,
        (404, Kind.MODEL_NOT_FOUND): anthropic.NotFoundError,
        (409, Kind.INVALID_REQUEST): anthropic.ConflictError,
        (413, Kind.TOO_LARGE): anthropic.APIStatusError,
        (429, Kind.RATE_LIMIT): anthropic.RateLimitError,
        (500, Kind.SERVER): anthropic.InternalServerError,
        (503, Kind.OVERLOADED): anthropic.APIStatusError,
        (504, Kind.TIMEOUT): anthropic.APIStatusError,
    }
    for (status, kind), wanted in classes.items():
        body = DIALECT.write_error(ApiError(status, kind, "why"))
        assert anthropic_oracle.check_error(body)["message"] == "why"
        client = anthropic_oracle.client(_answering(status, body))
        with pytest.raises(wanted) as caught:
            client.messages.create(model="m", max_tokens=5, messages=[{"role": "user", "content": "hi"}])
        assert caught.value.status_code == status


def _answering(status: int, body: bytes) -> anthropic_oracle.Handler:
    return lambda _: httpx2.Response(status, content=body, headers={"content-type": "application/json"})


def test_prompts_that_are_too_long_are_called_so() -> None:
    """Tools look at the beginning of the message."""
    error = ApiError(400, Kind.CONTEXT_LENGTH, "maximum context length is 5")
    assert json.loads(DIALECT.write_error(error))["error"] == {
        "type": "invalid_request_error",
        "message": "prompt is too long: maximum context length is 5",
    }
