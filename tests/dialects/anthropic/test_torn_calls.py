"""Calls with plain text in answers that end in the middle of them."""

import json

import pytest

from extproc.conversation.errors import UpstreamError
from extproc.conversation.events import ArgumentsDelta, BlockEnded, Ended, Event, Fault, Stopped
from extproc.conversation.response import Stop
from extproc.dialects.anthropic import DIALECT
from extproc.dialects.contract import UpstreamRequest
from extproc.registry import client_dialect
from tests.support.anthropic_messages import IDENTITY, closes, delta, ends, events_from, opens, sse, start, text_block
from tests.support.openai_chat import read as openai_request

CUSTOM = UpstreamRequest(b"", custom_tools=frozenset({"shell"}))


def torn(partial: str, reason: str, *after: dict[str, object], closed: bool = True) -> list[Event]:
    """The events of a stream whose call has got no further."""
    block = opens(0, type="tool_use", id="t", name="shell", input={})
    fragment = delta(0, type="input_json_delta", partial_json=partial)
    return events_from(
        sse(start(), block, *([fragment] if partial else []), *([closes(0)] if closed else []), *after, *ends(reason)),
        CUSTOM,
    )


@pytest.mark.parametrize(
    ("partial", "text"),
    [
        ('{"input": "abc', "abc"),
        ('{"input":"a\\nb\\', "a\nb"),
        ('{"input":"a\\u00e', "a"),
        ('{"input":"a\\ud83d', "a"),
        ('{"input":"\\ud83d\\ude00x', "\U0001f600x"),
        ('{"input":"done"', "done"),
        ('{"inp', None),
        ("", None),
    ],
)
@pytest.mark.parametrize("closed", [True, False])
def test_a_cut_call_is_told_as_far_as_it_came(partial: str, text: str | None, *, closed: bool) -> None:
    """At the end of a cut answer the text that came is passed on, and the answer ends as cut."""
    events = torn(partial, "max_tokens", closed=closed)

    told = [event for event in events if isinstance(event, ArgumentsDelta | BlockEnded | Stopped)]
    assert told == [
        *([] if text is None else [ArgumentsDelta(0, text)]),
        BlockEnded(0),
        Stopped(Stop.LENGTH, "max_tokens"),
    ]
    assert isinstance(events[-1], Ended)


def test_an_openai_client_sees_the_cut() -> None:
    """The client has the text as far as it came, and the finish reason length."""
    request = openai_request(tools=[{"type": "custom", "custom": {"name": "shell"}}], stream=True)
    writer = client_dialect("OpenAI").stream_writer(request, IDENTITY)
    stream = b"".join(writer.write(event) for event in torn('{"input": "abc', "max_tokens"))

    assert b'"custom":{"input":"abc"}' in stream
    assert b'"finish_reason":"length"' in stream
    assert stream.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("after", [(), text_block(1, "more"), (delta(1, type="text_delta", text="more"),)])
def test_a_torn_call_in_a_whole_answer_is_a_fault(after: tuple[dict[str, object], ...]) -> None:
    """Where the answer is not cut there, the call is broken: nobody may run it."""
    for reason in ("end_turn", "tool_use") if not after else ("max_tokens",):
        last = torn('{"input": "abc', reason, *after)[-1]
        assert isinstance(last, Fault)
        assert "plain text" in last.error.message


def test_a_whole_answer_that_is_cut_leaves_the_call_out() -> None:
    """A whole answer lists the call that it has no text of, if it is cut; else it is no answer."""
    call = {"type": "tool_use", "id": "t", "name": "shell", "input": {}}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "c", "content": [call], "usage": {}}
    response = DIALECT.read_response(json.dumps({**message, "stop_reason": "max_tokens"}).encode(), {}, CUSTOM)

    assert (response.blocks, response.losses) == ((), ("content[0].tool_use",))
    with pytest.raises(UpstreamError, match="holds none"):
        DIALECT.read_response(json.dumps({**message, "stop_reason": "tool_use"}).encode(), {}, CUSTOM)
