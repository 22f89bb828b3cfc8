"""Streams of several choices, and the rarer pieces of one, read by the SDK's own accumulator where it can."""

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletionChunk

from extproc.conversation.events import (
    ArgumentsDelta,
    BlockEnded,
    CitationDelta,
    Ended,
    Event,
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
from extproc.conversation.request import Citation, Request, Text, Thinking, ToolCall
from extproc.conversation.response import Candidate, Response, Stop, TokenLogprob, Usage
from extproc.dialects.openai import DIALECT
from tests.support.openai_chat import IDENTITY, payloads, read, sdk, written

ASK: Any = [{"role": "user", "content": "x"}]
END: tuple[Event, ...] = (Stopped(Stop.END, "end_turn"), Ended())


def chunks(*events: Event, request: Request | None = None) -> list[Any]:
    """The chunks of these events, each one that the SDK's strict model takes."""
    found = payloads(written(events, request))
    assert found.pop() == "[DONE]"
    for chunk in found:
        ChatCompletionChunk.model_validate_json(json.dumps(chunk), strict=True)
    return found


def accumulated(*events: Event) -> Any:
    """What the SDK makes of the stream."""
    client = sdk(written(events), "text/event-stream")
    with client.chat.completions.stream(model="m", messages=ASK) as stream:
        stream.until_done()
        return stream.current_completion_snapshot


def test_several_choices() -> None:
    """Every choice has its role once, its own text and its own end; the first chunk is of choice 0."""
    events = (
        Started(),
        TextDelta(0, "b", 1),
        TextDelta(1, "a"),
        TextDelta(0, "c", 1),
        Stopped(Stop.LENGTH, "length", candidate=1),
        TextDelta(1, "d"),
        Stopped(Stop.END, "stop"),
        Ended(),
    )
    answer = accumulated(*events)
    found = sorted(answer.choices, key=lambda choice: choice.index)

    assert [choice.message.content for choice in found] == ["ad", "bc"]
    assert [choice.message.role for choice in found] == ["assistant", "assistant"]
    assert [choice.finish_reason for choice in found] == ["stop", "length"]
    assert chunks(*events)[0]["choices"][0]["index"] == 0


@pytest.mark.parametrize(
    "events",
    [
        (Started(), TextDelta(0, "a", 1), Stopped(Stop.END, "stop"), Ended()),
        (Started(), Stopped(Stop.END, "stop"), TextDelta(0, "a", 1), Ended()),
        (Started(), Stopped(Stop.END, "x"), Stopped(Stop.END, "x", candidate=1), TextDelta(0, "a", 1), Ended()),
    ],
)
def test_every_choice_needs_its_end(events: tuple[Event, ...]) -> None:
    """A stream is whole when all of its choices are."""
    *_, last = payloads(written(events))

    assert last["error"]["type"] == "server_error"


def test_choices_that_come_one_after_the_other() -> None:
    """A choice may begin when another has ended."""
    events = (
        Started(),
        TextDelta(0, "a"),
        Stopped(Stop.END, "x"),
        TextDelta(1, "b", 1),
        Stopped(Stop.END, "x", candidate=1),
    )

    assert [c.message.content for c in accumulated(*events, Ended()).choices] == ["a", "b"]


def test_logprobs() -> None:
    """Probabilities come in a chunk of their own, and the SDK collects them."""
    entry = TokenLogprob("a", -1.5, (97,), (TokenLogprob("b", -2.0),))
    [choice] = accumulated(Started(), TextDelta(0, "a"), LogprobsDelta((entry,)), *END).choices

    assert choice.logprobs.content[0].top_logprobs[0].token == "b"


def test_citations() -> None:
    """Sources are told once, before the end, with the place of their text."""
    web = Citation("web", title="T", url="https://h")
    events = (
        TextDelta(0, "ab"),
        BlockEnded(0),
        TextDelta(1, "c"),
        CitationDelta(1, web),
        CitationDelta(1, Citation("char")),
    )
    [annotation] = accumulated(Started(), *events, *END).choices[0].message.annotations

    assert (annotation.url_citation.start_index, annotation.url_citation.end_index) == (2, 3)


def test_a_refusal() -> None:
    """The explanation of a refusal is told before the finish reason."""
    *_, closing, finish = chunks(Started(), Stopped(Stop.REFUSAL, "refusal", explanation="because"), Ended())

    assert closing["choices"][0]["delta"] == {"refusal": "because"}
    assert finish["choices"][0]["finish_reason"] == "content_filter"


def test_vendor_members() -> None:
    """The last word of each of the maker's own members stands on the message; the API's own cannot be forged."""
    events = (VendorDelta({"ratings": 1, "role": "user"}), VendorDelta({"ratings": 2, "grounding": {"a": 1}}))
    [choice] = accumulated(Started(), *events, *END).choices

    assert choice.message.model_extra["ratings"] == 2
    assert choice.message.model_extra["grounding"] == {"a": 1}
    assert choice.message.role == "assistant"


def test_a_late_vendor_member_does_no_harm() -> None:
    """What the maker adds after the stop cannot be told any more."""
    found = chunks(Started(), Stopped(Stop.END, "x"), VendorDelta({"late": 1}), Ended())

    assert "late" not in json.dumps(found)


def test_pings_and_losses() -> None:
    """A ping is a comment, which no client sees; a loss is for the record alone."""
    writer = DIALECT.stream_writer(read(stream=True), IDENTITY)

    assert writer.write(Ping()).startswith(b":")
    writer.write(Started())
    assert writer.write(Lost("x")) == b""
    assert writer.write(Ping()).endswith(b"\n\n")
    for event in END:
        writer.write(event)
    assert writer.write(Ping()) == b""


def test_custom_calls() -> None:
    """The text of a call is told at once when it is known, in the form of custom tools."""
    request = read(stream=True, tools=[{"type": "custom", "custom": {"name": "c"}}])
    events = (ToolStarted(3, "c1", "c"), ArgumentsDelta(3, '{"input"'), ArgumentsDelta(3, ':"a\\n"}'), BlockEnded(3))
    deltas = [chunk["choices"][0]["delta"] for chunk in payloads(written((Started(), *events, *END), request))[1:-1]]

    assert deltas == [
        {"tool_calls": [{"index": 0, "id": "c1", "type": "custom", "custom": {"name": "c", "input": ""}}]},
        {"tool_calls": [{"index": 0, "custom": {"input": "a\n"}}]},
        {},
    ]


def test_a_whole_answer_told_as_a_stream() -> None:
    """Nothing of an answer is lost when it is told event by event."""
    web = Citation("web", title="T", url="https://h")
    blocks = (Thinking("", "hm", "s"), Text("a", citations=(web,)), ToolCall("", "c1", "f", "{}"))
    other = Candidate(1, (Text("b"),), Stop.REFUSAL, "refusal", "because", (TokenLogprob("b", -1.0),), {"v": 1})
    response = Response(
        blocks, Stop.TOOL_CALLS, "x", Usage(1, 2), stop_sequence="END", others=(other,), vendor={"v": 0}
    )
    told = events_of(response)
    answer = accumulated(*told)
    first, second = answer.choices

    assert (first.message.content, second.message.content) == ("a", "b")
    assert (first.finish_reason, second.finish_reason) == ("tool_calls", "content_filter")
    assert len(first.message.annotations) == 1
    assert (first.message.model_extra["v"], second.message.model_extra["v"]) == (0, 1)
    assert second.message.refusal == "because"
    assert second.logprobs.content[0].token == "b"
    assert [event.sequence for event in told if isinstance(event, Stopped)] == ["END", None]
    assert Metered(Usage(1, 2)) in told


def test_thinking_of_other_choices_is_sealed_apart() -> None:
    """Each choice carries its own reasoning."""
    events = (
        Started(),
        ThinkingDelta(0, "a", "s"),
        ThinkingDelta(1, "b", "t", candidate=1),
        Stopped(Stop.END, "x"),
        Stopped(Stop.END, "x", candidate=1),
        Ended(),
    )
    details = [choice.message.model_extra["reasoning_details"] for choice in accumulated(*events).choices]

    assert [[(d["index"], d["text"], d["id"][:8]) for d in found] for found in details] == [
        [(0, "a", "llmr1.r.")],
        [(0, "b", "llmr1.r.")],
    ]
