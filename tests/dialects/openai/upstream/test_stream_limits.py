"""Streams that interleave their calls: what that costs, and how much is held back."""

import itertools
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.conversation.errors import UpstreamError
from extproc.conversation.events import ArgumentsDelta, Ended, Event, Fault, TextDelta, ToolStarted
from extproc.dialects.contract import UpstreamRequest
from extproc.dialects.openai import DIALECT
from extproc.dialects.openai.upstream.arguments import ObjectEnd
from extproc.dialects.openai.upstream.choice import MAX_HELD
from tests.support.golden_dialects import read_events
from tests.support.openai_chat import sse
from tests.support.wire_costs import assert_linear

SENT = UpstreamRequest(b"")


def chunk(finish: str | None = None, **delta: object) -> dict[str, object]:
    """A chunk of the first choice."""
    return {"id": "c-1", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def call(index: int, arguments: str, *, begins: bool = False) -> dict[str, object]:
    """A chunk with a fragment of a call."""
    named = {"id": f"c{index}", "function": {"name": "f", "arguments": arguments}}
    return chunk(tool_calls=[{"index": index, **(named if begins else {"function": {"arguments": arguments}})}])


def read(*chunks: dict[str, object]) -> list[Event]:
    """The events of a stream."""
    return read_events(DIALECT.stream_reader({}, SENT), [sse(*chunks)])


def reads(*chunks: dict[str, object]) -> Callable[[], object]:
    """The reading of a stream."""
    stream = sse(*chunks)
    return lambda: read_events(DIALECT.stream_reader({}, SENT), [stream])


def test_calls_that_take_turns_cost_no_square() -> None:
    """Fragments of one call between those of another do not have all of it read again."""

    def job(count: int) -> Callable[[], object]:
        turns = [piece for _ in range(count) for piece in (call(0, "word "), call(1, "x"))]
        return reads(call(0, '{"a":"', begins=True), call(1, '{"b":"', begins=True), *turns)

    assert_linear(job, 300)


def test_text_beside_a_long_call_costs_no_square() -> None:
    """Text that comes while a call is open does not have the call read again."""

    def job(count: int) -> Callable[[], object]:
        return reads(call(0, '{"a":"' + "x" * 50 * count, begins=True), *[chunk(content="x")] * count)

    assert_linear(job, 400)


def test_many_calls_cost_no_square() -> None:
    """Calls that have ended are not looked at for each new one."""

    def job(count: int) -> Callable[[], object]:
        return reads(*(call(index, "{}", begins=True) for index in range(count)), chunk("tool_calls"))

    assert_linear(job, 500)


def test_held_calls_are_bounded() -> None:
    """A choice that holds back more than any answer has ends in a fault that names the limit."""
    pieces = [call(0, "x" * (MAX_HELD // 16), begins=not n) for n in range(17)]
    last = read(*pieces)[-1]

    assert isinstance(last, Fault)
    assert str(MAX_HELD) in last.error.message


def test_late_text_keeps_its_order() -> None:
    """Text that waited for a call comes before the text that came after the call's end."""
    events = read(
        call(0, '{"a":', begins=True), chunk(content="A"), call(0, "1}"), chunk(content="B"), chunk("tool_calls")
    )

    assert [event.text for event in events if isinstance(event, TextDelta)] == ["A", "B"]


def test_closed_nonsense_is_found_out() -> None:
    """Braces alone make no call: one whose text is no JSON ends the stream in a fault."""
    last = read(call(0, '{"a":}', begins=True), chunk(content="B"), chunk("stop"))[-1]

    assert isinstance(last, Fault)
    assert "not a JSON object" in last.error.message


def test_an_empty_finish_reason_is_none() -> None:
    """Servers that send an empty reason with every chunk have not stopped."""
    events = read(chunk("", content="a"), chunk("", content="b"), chunk("stop"))

    assert [event.text for event in events if isinstance(event, TextDelta)] == ["a", "b"]
    assert isinstance(events[-1], Ended)


@pytest.mark.parametrize("reason", [None, ""])
def test_a_whole_answer_without_a_reason_is_bad(reason: str | None) -> None:
    """An answer that does not say why it ended may be cut, and is no answer."""
    message = {"role": "assistant", "content": "a"}
    body = json.dumps({"id": "x", "choices": [{"index": 0, "message": message, "finish_reason": reason}]}).encode()

    with pytest.raises(UpstreamError, match=r"choices\[0\] has no finish_reason"):
        DIALECT.read_response(body, {}, SENT)


JSON = st.recursive(
    st.none() | st.integers() | st.text('ab{}[]"\\ \n', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('a{}"\\', max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text('a{}"\\', max_size=3), JSON, max_size=3), st.lists(st.integers(0, 200), max_size=5))
def test_the_end_of_an_object_is_found_at_every_split(value: dict[str, object], cuts: list[int]) -> None:
    """The end is reached with the last brace and not before, whatever the pieces."""
    text = json.dumps(value)
    places = [0, *sorted(cut for cut in cuts if cut < len(text) - 1), len(text) - 1]
    end = ObjectEnd()
    for start, stop in itertools.pairwise(places):
        end.feed(text[start:stop])
    assert not end.reached

    end.feed(text[-1] + " \n")
    assert end.reached


@pytest.mark.parametrize("text", ["", " ", "[]", "[{}]", "{", '{"a": "}', '{"a": "\\"}', "{}x", "{}{}", "x{}"])
def test_what_is_no_whole_object(text: str) -> None:
    """Other values, what is cut, and what has something around it have no end."""
    end = ObjectEnd()
    for letter in text:
        end.feed(letter)

    assert not end.reached


def test_a_call_streams_as_it_comes() -> None:
    """Fragments of the first call are told at once, and the next call's after it."""
    events = read(call(0, '{"a":', begins=True), call(1, "{}", begins=True), call(0, "1}"), chunk("tool_calls"))
    told = [event.fragment for event in events if isinstance(event, ArgumentsDelta)]

    assert (told, sum(isinstance(event, ToolStarted) for event in events)) == (['{"a":', "1}", "{}"], 2)
