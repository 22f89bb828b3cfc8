"""What Anthropic answers, whole and streamed, and what an OpenAI client gets of it."""

import json
from typing import Any, cast

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.conversation.errors import Kind, UpstreamError
from extproc.conversation.events import (
    ArgumentsDelta,
    BlockEnded,
    CitationDelta,
    Ended,
    Event,
    Fault,
    Lost,
    Metered,
    Ping,
    Started,
    Stopped,
    TextDelta,
    ThinkingDelta,
    ToolStarted,
)
from extproc.conversation.request import Citation, Text, Thinking, ToolCall
from extproc.conversation.response import Stop, Usage
from extproc.dialects.anthropic import DIALECT
from extproc.dialects.contract import UpstreamRequest
from extproc.registry import client_dialect
from tests.support import anthropic_oracle, openai_chat
from tests.support.anthropic_messages import (
    IDENTITY,
    SENT,
    closes,
    delta,
    ends,
    events_from,
    openai_request,
    opens,
    sse,
    start,
    text_block,
)
from tests.support.wire_splits import splits

PING = {"type": "ping"}
CUSTOM = UpstreamRequest(b"", custom_tools=frozenset({"shell"}))


def test_arguments_that_are_not_utf8() -> None:
    """They are left as text by the decoder, and are found out all the same, whole and streamed."""
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {"a": "#"}}
    body = json.dumps({"type": "message", "content": [call], "stop_reason": "tool_use"}).encode()
    with pytest.raises(UpstreamError, match="cannot be read"):
        DIALECT.read_response(body.replace(b"#", b"\xff"), {}, SENT)
    begun = {"type": "content_block_start", "index": 0, "content_block": call}
    event = b"data: " + json.dumps(begun).encode().replace(b"#", b"\xff") + b"\n\n"
    assert isinstance(DIALECT.stream_reader({}, SENT).feed(event)[-1], Fault)


def test_an_answer_of_which_nothing_is_left_is_none() -> None:
    """It names what there was; one that was cut may be empty."""
    ran = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    with pytest.raises(UpstreamError, match=r"holds nothing that can be passed on \(server_tool_use\)"):
        read(ran)
    assert read(ran, stop_reason="max_tokens").blocks == ()
    begun = {"type": "content_block_start", "index": 0, "content_block": ran}
    stopped = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}}
    reader = DIALECT.stream_reader({}, SENT)
    events = reader.feed(b"".join(b"data: " + json.dumps(told).encode() + b"\n\n" for told in (begun, stopped)))
    assert "server_tool_use" in cast("Fault", events[-1]).error.message


def read(*content: dict[str, Any], sent: UpstreamRequest = SENT, **members: Any) -> Any:
    """The neutral answer of a message with this content, which the SDK takes."""
    usage = members.pop("usage", {"input_tokens": 10, "output_tokens": 7})
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": list(content)}
    body = json.dumps({**message, "stop_reason": "end_turn", "stop_sequence": None, "usage": usage, **members}).encode()
    return DIALECT.read_response(body, {}, sent)


def test_every_block_is_read() -> None:
    """Text with its citations, thinking of both kinds and calls have neutral forms; the rest is listed."""
    web = {"type": "web_search_result_location", "cited_text": "q", "title": "T", "url": "u", "encrypted_index": "x"}
    response = read(
        {"type": "thinking", "thinking": "", "signature": "s"},
        {"type": "redacted_thinking", "data": "r"},
        {"type": "text", "text": "a", "citations": [web, {"type": "new"}]},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "tool_use", "id": "t", "name": "f", "input": {}},
    )
    assert response.blocks == (
        Thinking("", "", "s"),
        Thinking("", redacted="r"),
        Text("a", citations=(Citation("web", "q", "T", "u", token="x"),)),
        ToolCall("", "t", "f", "{}"),
    )
    assert response.losses == ("content[3].server_tool_use",)
    assert (response.id, response.model) == ("msg_1", "claude-x")


def test_usage_is_read() -> None:
    """Every prompt token counts as input; what was written for an hour is known apart."""
    usage = {
        "input_tokens": 10,
        "cache_creation_input_tokens": 20,
        "cache_read_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 15, "ephemeral_1h_input_tokens": 5},
        "output_tokens": 7,
        "output_tokens_details": {"thinking_tokens": 3},
        "service_tier": "priority",
    }
    response = read(usage=usage)
    assert response.usage == Usage(60, 7, 67, 30, 20, 3, 5)
    assert response.service_tier == "priority"
    assert read(usage={"input_tokens": -1, "output_tokens": 1.5}).usage == Usage()


STOPS = {
    "end_turn": Stop.END,
    "max_tokens": Stop.LENGTH,
    "stop_sequence": Stop.STOP_SEQUENCE,
    "tool_use": Stop.TOOL_CALLS,
    "pause_turn": Stop.PAUSED,
    "compaction": Stop.PAUSED,
    "refusal": Stop.REFUSAL,
    "model_context_window_exceeded": Stop.CONTEXT_FULL,
    "a_new_word": Stop.UNKNOWN,
}


@pytest.mark.parametrize(("word", "stop"), STOPS.items())
def test_stop_reason_table_from_anthropic(word: str, stop: Stop) -> None:
    """Each of the API's words is read, whole and streamed; a new one is unknown."""
    response = read(stop_reason=word)
    assert (response.stop, response.native_stop) == (stop, word)
    stopped = [event for event in events_from(sse(start(), *ends(word))) if isinstance(event, Stopped)]
    assert [(event.stop, event.native) for event in stopped] == [(stop, word)]


def test_refusals_explain_themselves() -> None:
    """A classifier's stop keeps its explanation, and a stop sequence its text."""
    details = {"type": "refusal", "category": "cyber", "explanation": "why"}
    assert read(stop_reason="refusal", stop_details=details).explanation == "why"
    assert read(stop_reason="stop_sequence", stop_sequence="X").stop_sequence == "X"
    streamed = events_from(sse(start(), *ends("refusal", stop_details=details)))
    assert Stopped(Stop.REFUSAL, "refusal", None, "why") in streamed


@pytest.mark.parametrize("body", [b"", b"no", b"[]", b"{}", b'{"content": 5}', b'{"content":[{"text":"x"}]}'])
def test_answers_that_are_none_are_an_error(body: bytes) -> None:
    """A 200 that holds no message is a bad gateway."""
    with pytest.raises(UpstreamError) as caught:
        DIALECT.read_response(body, {}, SENT)
    assert caught.value.error.status == 502
    with pytest.raises(UpstreamError):
        DIALECT.read_count(body)


def test_custom_tool_round_trip() -> None:
    """A call of a tool that takes plain text has that text as its arguments, whole and streamed."""
    used = {"type": "tool_use", "id": "t", "name": "shell", "input": {"input": "ls\n"}}
    assert read(used, sent=CUSTOM).blocks == (ToolCall("", "t", "shell", "ls\n", kind="custom"),)
    stream = sse(
        start(),
        opens(0, type="tool_use", id="t", name="shell", input={}),
        delta(0, type="input_json_delta", partial_json='{"inp'),
        delta(0, type="input_json_delta", partial_json='ut":"ls\\n"}'),
        closes(0),
        *ends("tool_use"),
    )
    events = events_from(stream, CUSTOM)
    assert ToolStarted(0, "t", "shell", kind="custom") in events
    assert [event.fragment for event in events if isinstance(event, ArgumentsDelta)] == ["ls\n"]
    broken = stream.replace(b"inp", b"imp")
    assert isinstance(events_from(broken, CUSTOM)[-1], Fault)
    with pytest.raises(UpstreamError):
        read({**used, "input": {}}, sent=CUSTOM)


WHOLE = sse(
    start(cache_read_input_tokens=30, cache_creation_input_tokens=20),
    PING,
    opens(0, type="thinking", thinking="", signature=""),
    delta(0, type="thinking_delta", thinking="hm\u2028"),
    delta(0, type="signature_delta", signature="sig"),
    closes(0),
    opens(1, type="redacted_thinking", data="r"),
    closes(1),
    *text_block(2, "Hello"),
    opens(3, type="web_search_tool_result", tool_use_id="s", content=[]),
    closes(3),
    opens(4, type="tool_use", id="t1", name="f", input={}),
    delta(4, type="input_json_delta", partial_json=""),
    delta(4, type="input_json_delta", partial_json='{"a":'),
    delta(4, type="input_json_delta", partial_json="1}"),
    closes(4),
    opens(5, type="tool_use", id="t2", name="g", input={}),
    closes(5),
    {"type": "a_new_event"},
    delta(2, type="a_new_delta"),
    *ends("tool_use", usage={"output_tokens": 7, "output_tokens_details": {"thinking_tokens": 3}}),
)
TOLD: list[Event] = [
    Started("msg_1", "claude-x"),
    Metered(Usage(60, 1, 61, 30, 20)),
    Ping(),
    ThinkingDelta(0, "hm\u2028"),
    ThinkingDelta(0, signature="sig"),
    BlockEnded(0),
    ThinkingDelta(1, redacted="r"),
    BlockEnded(1),
    TextDelta(2, "Hello"),
    BlockEnded(2),
    Lost("content[3].web_search_tool_result"),
    ToolStarted(4, "t1", "f"),
    ArgumentsDelta(4, '{"a":'),
    ArgumentsDelta(4, "1}"),
    BlockEnded(4),
    ToolStarted(5, "t2", "g"),
    ArgumentsDelta(5, "{}"),
    BlockEnded(5),
    Metered(Usage(60, 7, 67, 30, 20, 3)),
    Stopped(Stop.TOOL_CALLS, "tool_use"),
    Ended(),
]


def test_stream_is_read() -> None:
    """Every event of the API has its neutral ones, in order; the oracle takes the fixture as the API's own."""
    assert events_from(WHOLE) == TOLD


def test_stream_at_every_split() -> None:
    """The pieces in which the bytes arrive make no difference."""
    for chunks in splits(WHOLE):
        assert events_from(chunks) == TOLD


def test_stream_without_names_or_with_crlf() -> None:
    """Hosts leave the names away, and others end lines in another way."""
    bare = b"".join(line + b"\n" for line in WHOLE.split(b"\n") if not line.startswith(b"event:"))
    assert events_from(bare) == TOLD
    assert events_from(WHOLE.replace(b"\n", b"\r\n")) == TOLD
    assert events_from(WHOLE.replace(b"data: ", b"data:")) == TOLD


def test_input_of_a_start_counts_when_nothing_follows() -> None:
    """A host may send the whole input in the start of its block."""
    stream = sse(start(), opens(0, type="tool_use", id="t", name="f", input={"a": 1}), closes(0), *ends("tool_use"))
    assert [event.fragment for event in events_from(stream) if isinstance(event, ArgumentsDelta)] == ['{"a": 1}']


def test_citations_are_streamed() -> None:
    """A citation belongs to the text of its block."""
    place = {"type": "char_location", "cited_text": "q", "document_index": 0, "document_title": None}
    citation = {**place, "start_char_index": 1, "end_char_index": 2}
    stream = sse(
        start(),
        opens(0, type="text", text="a"),
        delta(0, type="citations_delta", citation=citation),
        closes(0),
        *ends(),
    )
    wanted = CitationDelta(0, Citation("char", "q", document=0, start=1, end=2))
    assert wanted in events_from(stream)
    assert TextDelta(0, "a") in events_from(stream)


@pytest.mark.parametrize("cut", range(1, WHOLE.count(b"\n\n")))
def test_stream_cut(cut: int) -> None:
    """A stream that ends before ``message_stop`` is never a normal end."""
    cut_short = b"\n\n".join(WHOLE.split(b"\n\n")[:cut]) + b"\n\n"
    events = events_from(cut_short)
    assert isinstance(events[-1], Fault)
    assert not any(isinstance(event, Ended) for event in events)


@pytest.mark.parametrize(
    "stream",
    [
        sse(start(), {"type": "message_stop"}),
        sse(start(), start()),
        sse(start(), *text_block(0, "a"), *text_block(0, "b")),
        sse(start(), delta(0, type="input_json_delta", partial_json="{}")),
        sse(start(), ends()[0], *text_block(0, "late")),
        sse(start(), ends()[0], delta(0, type="text_delta", text="late")),
        sse(start()) + b"data: no json\n\n",
        sse(start()) + b'data: {"type":"content_block_delta","index":"x"}\n\n',
    ],
)
def test_streams_without_order_are_faults(stream: bytes) -> None:
    """What makes no sense ends the answer with a fault, and nothing follows it."""
    events = events_from(stream)
    assert isinstance(events[-1], Fault)
    assert events[-1].error.status == 502


@pytest.mark.parametrize(
    ("word", "kind", "status"),
    [
        ("overloaded_error", Kind.OVERLOADED, 529),
        ("rate_limit_error", Kind.RATE_LIMIT, 429),
        ("api_error", Kind.SERVER, 500),
        ("a_new_error", Kind.SERVER, 502),
    ],
)
def test_stream_fault_from_anthropic(word: str, kind: Kind, status: int) -> None:
    """An error inside the stream is the last thing told, with the class of its word; an OpenAI client raises it."""
    stream = sse(start(), *text_block(0, "a"), {"type": "error", "error": {"type": word, "message": "busy"}}, *ends())
    events = events_from(stream)
    fault = events[-1]
    assert isinstance(fault, Fault)
    assert (fault.error.kind, fault.error.status, fault.error.native_type) == (kind, status, word)
    with pytest.raises(openai.APIError, match="busy"):
        chunks_of(for_openai(stream))


def for_openai(stream: bytes, **fields: Any) -> bytes:
    """The same answer for an OpenAI client."""
    client = client_dialect("OpenAI")
    writer = client.stream_writer(openai_request(stream=True, **fields), IDENTITY)
    return b"".join(writer.write(event) for event in events_from(stream))


def chunks_of(stream: bytes) -> list[Any]:
    """What openai-python makes of a stream."""
    client = openai_chat.sdk(stream, "text/event-stream")
    return list(client.chat.completions.create(model="m", messages=[], stream=True))


def test_stream_a_to_o_sdk() -> None:
    """Thinking, text and two calls are one OpenAI message: ids once, indices from 0, empty input an empty object."""
    chunks = chunks_of(for_openai(WHOLE, stream_options={"include_usage": True}))
    calls = [call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or ()]
    assert [call.id for call in calls if call.id] == ["t1", "t2"]
    assert {call.index for call in calls} == {0, 1}
    arguments = ["".join(c.function.arguments for c in calls if c.index == i and c.function) for i in (0, 1)]
    assert arguments == ['{"a":1}', "{}"]
    assert [choice.delta.role for chunk in chunks for choice in chunk.choices if choice.delta.role] == ["assistant"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.prompt_tokens == 60


def test_stream_usage_optional() -> None:
    """A client that did not ask sees no usage, and the events tell it to the gateway all the same."""
    assert all(chunk.usage is None for chunk in chunks_of(for_openai(WHOLE)))
    assert [event.usage.output_tokens for event in events_from(WHOLE) if isinstance(event, Metered)] == [1, 7]


@given(st.binary(max_size=200), st.integers(0, len(WHOLE)))
def test_no_bytes_make_the_reader_raise(noise: bytes, cut: int) -> None:
    """Whatever an upstream sends, the reader ends in one last word."""
    for stream in (noise, WHOLE[:cut] + noise, WHOLE[:cut] + noise + WHOLE[cut:]):
        events = events_from(stream)
        assert isinstance(events[-1], Ended | Fault)
        assert sum(isinstance(event, Ended | Fault) for event in events) == 1


@pytest.mark.parametrize(
    ("status", "word", "message", "kind"),
    [
        (400, "invalid_request_error", "messages: x", Kind.INVALID_REQUEST),
        (400, "invalid_request_error", "prompt is too long: 5 > 4", Kind.CONTEXT_LENGTH),
        (402, "billing_error", "x", Kind.BILLING),
        (404, "not_found_error", "model: claude-9", Kind.MODEL_NOT_FOUND),
        (404, "not_found_error", "x", Kind.NOT_FOUND),
        (413, "request_too_large", "x", Kind.TOO_LARGE),
        (429, "rate_limit_error", "x", Kind.RATE_LIMIT),
        (500, "api_error", "x", Kind.SERVER),
        (504, "timeout_error", "x", Kind.TIMEOUT),
        (529, "overloaded_error", "x", Kind.OVERLOADED),
        (503, "a_new_error", "x", Kind.OVERLOADED),
    ],
)
def test_errors_are_read(status: int, word: str, message: str, kind: Kind) -> None:
    """Status, class and words of an error reply stay."""
    body = json.dumps({"type": "error", "error": {"type": word, "message": message}}).encode()
    error = DIALECT.read_error(status, {}, body)
    assert (error.status, error.kind, error.message, error.native_type) == (status, kind, message, word)
    assert error.vendor


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error": "x"}', b'{"error": {}}', b"[" * 5000])
def test_error_bodies_of_any_shape(body: bytes) -> None:
    """An error reply without an error is one all the same."""
    error = DIALECT.read_error(503, {}, body)
    assert (error.status, error.kind) == (503, Kind.OVERLOADED)


def test_fixtures_are_legal() -> None:
    """Streams that are put together here are in the SDK's types, and in an order that the API keeps."""
    call = opens(2, type="tool_use", id="t", name="f", input={})
    thinking = opens(0, type="thinking", thinking="", signature="")
    signed = delta(0, type="signature_delta", signature="s")
    blocks = (thinking, signed, closes(0), *text_block(1, "a"), call, closes(2))
    anthropic_oracle.check_stream(sse(start(), PING, *blocks, *ends()))
