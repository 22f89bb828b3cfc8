"""Bodies and streams that stay Anthropic's: byte for byte, but for the model and reasoning of others."""

import json
from typing import Any

import anthropic
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.conversation.errors import ClientError
from extproc.conversation.provenance import marked, origin_of
from extproc.conversation.response import NO_USAGE, Usage
from extproc.dialects.anthropic import DIALECT
from extproc.dialects.anthropic.models import capabilities_of
from tests.support import anthropic_oracle
from tests.support.anthropic_messages import (
    NEWEST,
    OPUS_4_8,
    USER,
    body_of,
    closes,
    delta,
    ends,
    events_from,
    opens,
    read,
    sse,
    start,
    text_block,
    told,
)
from tests.support.wire_splits import splits

OWN = origin_of(capabilities_of(OPUS_4_8), OPUS_4_8)
FOREIGN = "google.0a1b2c3d"

EVERYTHING = """{ "model" : "m", "max_tokens": 1e2, "a_new_field": null, "messages": [ {"role":"user","content":[
 {"type":"text","text":"caf\\u00e9","cache_control":null}, {"type":"a_new_block","x":1.0},
 {"type":"document","source":{"type":"file","file_id":"f"}} ]},
 {"role":"assistant","content":[{"type":"thinking","thinking":"","signature":"s"},{"type":"server_tool_use","id":"x",
 "name":"web_search","input":{}} ]} ], "tools":[{"type":null,"name":"f",
 "input_schema":{"type":"object","b":1,"a":2}}]}"""


def edited(body: bytes, model: str | None = None) -> bytes:
    return DIALECT.edit(body, model=model, include_usage=True)


def test_same_dialect_anthropic_identity() -> None:
    """Nothing that a client may send is changed, known or not."""
    body = EVERYTHING.encode()
    assert edited(body) is body
    assert edited(body, "m") is body
    assert edited(body, "other") == body.replace(b'"m"', b'"other"')
    assert DIALECT.asks_usage(body)


def test_model_is_put_where_there_is_none() -> None:
    """A body without a model gets the backend's."""
    assert json.loads(edited(b'{"messages":[]}', "x")) == {"model": "x", "messages": []}


def test_bodies_that_cannot_be_edited() -> None:
    """What is no JSON object is the client's mistake."""
    for body in (b"", b"[]", b"{"):
        with pytest.raises(ClientError):
            edited(body, "x")


def thinks(signature: str, kind: str = "thinking") -> dict[str, Any]:
    if kind == "thinking":
        return {"type": kind, "thinking": "t", "signature": signature}
    return {"type": kind, "data": signature}


def conversation(*blocks: dict[str, Any]) -> bytes:
    answer = {"role": "assistant", "content": [*blocks, {"type": "text", "text": "a"}]}
    return body_of(model=OPUS_4_8, messages=[USER, answer, USER])


def kept(body: bytes, model: str | None = None) -> list[dict[str, Any]]:
    """The reasoning of the assistant's message after the edit."""
    content = json.loads(edited(body, model))["messages"][1]["content"]
    assert content[-1] == {"type": "text", "text": "a"}
    return [*content[:-1]]


@pytest.mark.parametrize("kind", ["thinking", "redacted_thinking"])
def test_thinking_of_the_same_model_is_unmarked(kind: str) -> None:
    """What this model said through another dialect goes back as it was, beside what passed untouched."""
    own = thinks(marked("sig", OWN), kind)
    assert kept(conversation(thinks("plain"), own)) == [thinks("plain"), thinks("sig", kind)]


@pytest.mark.parametrize("mark", [marked("sig", FOREIGN), marked("", OWN)])
def test_thinking_lost_or_foreign_in_passthrough(mark: str) -> None:
    """One block of another maker, or one that nobody signed, takes all reasoning with it."""
    assert kept(conversation(thinks("plain"), thinks(mark), thinks(marked("own", OWN)))) == []


def test_thinking_goes_when_the_model_changes() -> None:
    """An override to another model makes the old one's reasoning another's."""
    body = conversation(thinks(marked("sig", OWN)))
    assert kept(body) == [thinks("sig")]
    assert kept(body, "claude-sonnet-4-5") == []


def test_messages_of_foreign_thinking_alone_go() -> None:
    """No empty message is left behind."""
    answer = {"role": "assistant", "content": [thinks(marked("s", FOREIGN))]}
    body = body_of(messages=[USER, answer, USER])
    assert [message["role"] for message in json.loads(edited(body))["messages"]] == ["user", "user"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m","system":"llmr1.google.0a1b2c3d.x","messages":[{"role":"user","content":"llmr1."}]}',
        b'{"model":"m","messages":"llmr1."}',
        b'{"model":"m","messages":[{"role":"assistant","content":[{"type":5,"signature":"llmr1."}]}]}',
    ],
)
def test_marks_elsewhere_are_text(body: bytes) -> None:
    """What only looks like a mark, or stands in no conversation, is left alone."""
    assert edited(body) is body


WHOLE = sse(
    start(cache_read_input_tokens=30, cache_creation_input_tokens=20),
    {"type": "ping"},
    *text_block(0, "Hello"),
    *ends(usage={"output_tokens": 7}),
)


def tapped(chunks: list[bytes]) -> tuple[bytes, Any]:
    tap = DIALECT.stream_tap(strip_usage=True)
    return b"".join(tap.feed(chunk) for chunk in chunks) + tap.finish(), tap


def test_tap_passes_every_byte() -> None:
    """A whole stream passes in the pieces in which it comes, and its usage is known."""
    for chunks in splits(WHOLE):
        out, tap = tapped(chunks)
        assert out == WHOLE
        assert (tap.usage, tap.model, tap.fault, tap.ended) == (Usage(60, 7, 67, 30, 20), "claude-x", None, True)


def test_tap_reads_streams_without_names() -> None:
    """A server that leaves the names away is understood all the same."""
    bare = b"".join(line + b"\n" for line in WHOLE.split(b"\n") if not line.startswith(b"event:"))
    assert tapped([bare])[1].usage == Usage(60, 7, 67, 30, 20)


@pytest.mark.parametrize("size", [1, len(WHOLE) // 2, len(WHOLE) - 60])
def test_stream_cut_in_passthrough(size: int) -> None:
    """A stream that was cut ends in an error event of its own, which the SDK raises."""
    out, tap = tapped([WHOLE[:size]])
    assert tap.fault is not None
    assert out.endswith(DIALECT.error_event(tap.fault))
    with pytest.raises(anthropic.APIStatusError):
        told(out)


def test_stream_fault_in_passthrough() -> None:
    """The upstream's own error is the end, and nothing is added."""
    stream = sse(start(), {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}})
    out, tap = tapped([stream])
    assert out == stream
    assert (tap.fault.status, tap.fault.message) == (529, "busy")


@given(st.binary(max_size=100), st.integers(0, len(WHOLE)))
def test_no_bytes_make_the_tap_raise(noise: bytes, cut: int) -> None:
    """Whatever passes, passes whole."""
    stream = WHOLE[:cut] + noise + WHOLE[cut:]
    assert tapped([stream])[0].startswith(stream)


def test_read_usage() -> None:
    """Usage and model of a message; nothing of anything else."""
    body = b'{"type":"message","model":"claude-x","usage":{"input_tokens":1,"output_tokens":2}}'
    assert DIALECT.read_usage(body) == (Usage(1, 2, 3), "claude-x")
    for other in (b"", b"[]", b"{}", b'{"usage":[],"model":5}', b"[" * 5000):
        assert DIALECT.read_usage(other) == (NO_USAGE, None)


def test_count_answer() -> None:
    """The SDK reads the number of tokens."""
    assert json.loads(DIALECT.write_count_answer(12)) == {"input_tokens": 12}


def test_sdk_echo_of_a_streamed_answer_is_read_back() -> None:
    """What the SDK accumulates of a stream, it sends back as it was: signatures, empty thinking and all."""
    stream = sse(
        start(),
        opens(0, type="thinking", thinking="", signature=""),
        delta(0, type="signature_delta", signature="sig"),
        closes(0),
        *text_block(1, "a"),
        *ends(),
    )
    assert events_from(stream)
    seen: list[bytes] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.content)
        return httpx2.Response(200, json={"input_tokens": 1})

    client = anthropic_oracle.client(answer)
    first = {"role": "user", "content": "hi"}
    again: Any = [first, {"role": "assistant", "content": told(stream).content}, first]
    client.messages.count_tokens(model="m", messages=again)
    turns = read(NEWEST, messages=json.loads(seen[0])["messages"]).turns
    assert [getattr(block, "signature", None) for block in turns[1].blocks] == ["sig", None]
