"""Watching a passing stream: its bytes, its usage, its end."""

import json
from typing import Any

import openai
import pytest

from extproc.conversation.errors import Kind
from extproc.conversation.response import NO_USAGE, Usage
from extproc.dialects.contract import StreamTap
from extproc.dialects.openai import DIALECT
from tests.support.openai_chat import sdk, sse
from tests.support.wire_splits import splits


def chunk(content: str = "a", **more: Any) -> dict[str, Any]:
    """One chunk of a chat stream."""
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": None}
    return {"id": "c", "object": "chat.completion.chunk", "model": "real", "choices": [choice], **more}


USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
ONLY_USAGE = {"id": "c", "object": "chat.completion.chunk", "model": "real", "choices": [], "usage": USAGE}
ERROR = {"error": {"message": "broken", "type": "server_error", "param": None, "code": None}}
DONE = b"data: [DONE]\n\n"
HEAD = sse(chunk("é\u2028", usage=None), chunk('"usage" "error" [DONE]', usage=None), done=False)


def tapped(chunks: list[bytes], *, strip: bool) -> tuple[bytes, StreamTap]:
    """The bytes for the client, and the tap after the end."""
    tap = DIALECT.stream_tap(strip_usage=strip)
    out = b"".join([tap.feed(piece) for piece in chunks])
    return out + tap.finish(), tap


def tap_all_ways(stream: bytes, *, strip: bool) -> tuple[bytes, StreamTap]:
    """The outcome that every split has in common."""
    expected, tap = tapped([stream], strip=strip)
    known = (tap.usage, tap.model, tap.fault)
    for chunks in splits(stream):
        out, other = tapped(chunks, strip=strip)
        assert expected == out, f"split as {[len(piece) for piece in chunks]}"
        assert known == (other.usage, other.model, other.fault)
    return expected, tap


STREAMS = {
    "usual": HEAD + sse(ONLY_USAGE),
    "no space": HEAD.replace(b"data: ", b"data:") + sse(ONLY_USAGE),
    "crlf": (HEAD + sse(ONLY_USAGE)).replace(b"\n", b"\r\n"),
    "comments": b": ping\n\n" + HEAD + b": ping\n\n: x\n\n" + sse(ONLY_USAGE),
    "byte order mark": b"\xef\xbb\xbf" + HEAD + sse(ONLY_USAGE),
    "no newline at the end": (HEAD + sse(ONLY_USAGE)).removesuffix(b"\n\n"),
    "one newline at the end": (HEAD + sse(ONLY_USAGE)).removesuffix(b"\n"),
    "after done": HEAD + sse(ONLY_USAGE) + b": bye\n\n",
    "empty events": b"\n\n\n" + HEAD + sse(ONLY_USAGE),
}


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS.keys())
def test_watching_changes_no_byte(stream: bytes) -> None:
    """Every stream passes as it came, however it is cut, and its usage and model are known."""
    out, tap = tap_all_ways(stream, strip=False)

    assert out == stream
    assert (tap.usage, tap.model, tap.fault) == (Usage(3, 4, 7), "real", None)


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS.keys())
def test_stripping_takes_the_usage_chunk_alone(stream: bytes) -> None:
    """With the gateway's own wish for usage, the stream is the same without that chunk."""
    newline = b"\r\n" if b"\r\n" in stream else b"\n"
    usage_event = sse(ONLY_USAGE, done=False).replace(b"\n", newline)
    out, tap = tap_all_ways(stream, strip=True)

    assert stream.count(usage_event) == 1
    assert out == stream.replace(usage_event, b"")
    assert (tap.usage, tap.fault) == (Usage(3, 4, 7), None)


@pytest.mark.parametrize("strip", [False, True])
def test_chunks_pass_as_the_same_object(*, strip: bool) -> None:
    """An untouched chunk is not copied."""
    tap = DIALECT.stream_tap(strip_usage=strip)

    for piece in (sse(chunk(), done=False), HEAD, b": ping\n\n", sse(chunk(usage=None), done=False), DONE):
        assert tap.feed(piece) is piece


def test_bytes_never_wait_when_nothing_is_stripped() -> None:
    """Half an event leaves at once; only for stripping is an unfinished event held."""
    piece = HEAD[: len(HEAD) // 2 + 5]

    assert DIALECT.stream_tap(strip_usage=False).feed(piece) is piece
    held = DIALECT.stream_tap(strip_usage=True).feed(piece)
    assert piece.startswith(held)
    assert len(held) < len(piece)


def test_only_a_chunk_without_choices_is_stripped() -> None:
    """Vendors that tell usage in every chunk, or beside choices, keep their chunks; the last word counts."""
    stream = sse(
        chunk(usage={"prompt_tokens": 3, "completion_tokens": 1}),
        chunk(usage={"completion_tokens": 2}),
        {"choices": [], "model": "real", "prompt_filter_results": []},
    )
    out, tap = tap_all_ways(stream, strip=True)

    assert out == stream
    assert tap.usage == Usage(3, 2)


def test_a_vendor_member_named_response_hides_no_usage() -> None:
    """Only typed events keep their usage inside ``response``; in a chunk that name means nothing."""
    _, tap = tapped([sse(chunk(), {**ONLY_USAGE, "response": {"usage": None}})], strip=False)

    assert tap.usage == Usage(3, 4, 7)


def test_absent_usage_is_not_zero() -> None:
    """Null, empty and missing usage leave nothing known."""
    _, tap = tapped([sse(chunk(), chunk(usage=None), chunk(usage={}), chunk(usage={"x": 1}))], strip=False)

    assert tap.usage == NO_USAGE


def test_usage_with_white_space() -> None:
    """A vendor's white space hides neither null nor numbers."""
    stream = (
        b'data: {"model": "real", "choices": [{}], "usage" : null}\n\n'
        b'data: {"model":"real","choices":[ ],"usage" : {"prompt_tokens" : 3}}\n\n'
    ) + DONE
    out, tap = tap_all_ways(stream, strip=True)

    assert tap.usage == Usage(3)
    assert b"prompt_tokens" not in out


def test_the_model_of_a_later_chunk() -> None:
    """An empty model in the first chunk is none; the first real one is told."""
    first = {"choices": [], "model": "", "prompt_filter_results": []}
    _, tap = tapped([sse(first, chunk(), chunk(model="other"))], strip=False)

    assert tap.model == "real"


@pytest.mark.parametrize("strip", [False, True])
def test_an_error_in_the_stream_is_a_fault(*, strip: bool) -> None:
    """An upstream's in-band error passes as it is, is known, and no second one is added."""
    stream = HEAD + sse(ERROR, done=False)
    out, tap = tap_all_ways(stream, strip=strip)

    assert out == stream
    assert tap.fault is not None
    assert (tap.fault.kind, tap.fault.message) == (Kind.SERVER, "broken")


@pytest.mark.parametrize("strip", [False, True])
@pytest.mark.parametrize("stream", [HEAD, HEAD + sse(ONLY_USAGE, done=False), b"", b": ping\n\n", b"data: {oops}\n\n"])
def test_a_cut_stream_ends_in_an_error_event(stream: bytes, *, strip: bool) -> None:
    """A stream without [DONE] gets an error event, so that it never looks whole; what was known stays known."""
    out, tap = tap_all_ways(stream, strip=strip)
    kept = stream.replace(sse(ONLY_USAGE, done=False), b"") if strip else stream

    assert tap.fault is not None
    assert (tap.fault.kind, tap.fault.status) == (Kind.SERVER, 502)
    assert out == kept + DIALECT.error_event(tap.fault)
    assert tap.usage == (Usage(3, 4, 7) if b"prompt_tokens" in stream else NO_USAGE)


@pytest.mark.parametrize("tail", [b"data: {", b"data: " + json.dumps(chunk()).encode() + b"\n", b"da", b"event: x\r\n"])
def test_a_stream_cut_inside_an_event(tail: bytes) -> None:
    """The error event stands alone: the broken event is ended before it, or not sent where it was held."""
    passed, tap = tap_all_ways(HEAD + tail, strip=False)
    stripped, _ = tap_all_ways(HEAD + tail, strip=True)

    assert tap.fault is not None
    assert passed == HEAD + tail + b"\n\n" + DIALECT.error_event(tap.fault)
    assert stripped == HEAD + DIALECT.error_event(tap.fault)


@pytest.mark.parametrize("strip", [False, True])
def test_the_sdk_raises_for_a_cut_stream(*, strip: bool) -> None:
    """openai-python, which takes a missing [DONE] for an end, raises what the tap adds."""
    out, _ = tapped([HEAD], strip=strip)
    stream = sdk(out, "text/event-stream").chat.completions.create(
        model="m", messages=[{"role": "user", "content": "x"}], stream=True
    )

    with pytest.raises(openai.APIError, match="closed the stream before its end"):
        list(stream)


def typed(event_type: str, **members: Any) -> bytes:
    """One event of a typed stream."""
    data = json.dumps({"type": event_type, **members})
    return f"event: {event_type}\ndata: {data}\n\n".encode()


RESPONSES_USAGE = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
CREATED = typed("response.created", response={"id": "r", "model": "real", "usage": None, "error": None})
DELTA = typed("response.output_text.delta", delta='"usage": 1')


@pytest.mark.parametrize("last", ["response.completed", "response.incomplete"])
@pytest.mark.parametrize("strip", [False, True])
def test_responses_streams(last: str, *, strip: bool) -> None:
    """The Responses API ends with its own event, which holds the usage; no [DONE] is missed."""
    odd = typed("response.odd", response=5) + typed("response.odd", response=None)
    stream = CREATED + odd + DELTA + typed(last, response={"model": "real", "usage": RESPONSES_USAGE, "error": None})
    out, tap = tap_all_ways(stream, strip=strip)

    assert out == stream
    assert (tap.usage, tap.model, tap.fault) == (Usage(3, 4, 7), "real", None)


@pytest.mark.parametrize(
    ("last", "kind"),
    [
        (
            typed(
                "response.failed", response={"error": {"code": "rate_limit_exceeded", "message": "m"}, "usage": None}
            ),
            Kind.RATE_LIMIT,
        ),
        (typed("error", code="server_is_overloaded", message="m", param=None), Kind.OVERLOADED),
    ],
)
def test_responses_streams_that_fail(last: bytes, kind: Kind) -> None:
    """A failed response and a bare error event are faults, and pass as they are."""
    out, tap = tap_all_ways(CREATED + last, strip=False)

    assert out == CREATED + last
    assert tap.fault is not None
    assert (tap.fault.kind, tap.fault.message) == (kind, "m")


def test_a_cut_responses_stream_is_a_fault_without_an_event() -> None:
    """A Responses stream without its last event is known to be cut; its clients miss that event themselves."""
    out, tap = tap_all_ways(CREATED + DELTA, strip=False)

    assert out == CREATED + DELTA
    assert tap.fault is not None


def test_other_typed_streams() -> None:
    """Images and transcripts pass, with usage where they tell it, whatever their last event is called."""
    stream = typed("image_generation.partial_image", b64_json="AAAA") + typed(
        "image_generation.completed", usage=RESPONSES_USAGE
    )
    out, tap = tap_all_ways(stream, strip=False)

    assert out == stream
    assert (tap.usage, tap.fault) == (Usage(3, 4, 7), None)


def test_completions_streams() -> None:
    """The older completions API is watched like chat."""
    old = {"id": "c", "object": "text_completion", "model": "real", "choices": [{"index": 0, "text": "a"}]}
    out, tap = tap_all_ways(sse(old, {**old, "choices": [], "usage": USAGE}), strip=True)

    assert out == sse(old)
    assert tap.usage == Usage(3, 4, 7)


@pytest.mark.parametrize(
    "data", [b"{oops", b"[]", b"null", b'"x"', b"\xff", b'{"choices":5,"usage":[],"model":[]}', b'{"error":null}']
)
def test_odd_events_pass(data: bytes) -> None:
    """What is no chunk passes untouched and breaks nothing."""
    stream = HEAD + b"data: " + data + b"\n\n" + sse(ONLY_USAGE)
    out, tap = tap_all_ways(stream, strip=False)

    assert out == stream
    assert (tap.usage, tap.fault) == (Usage(3, 4, 7), None)


@pytest.mark.parametrize("strip", [False, True])
def test_an_event_beyond_all_measure(*, strip: bool) -> None:
    """An endless event is not collected forever: watching ends, and a stream that was held ends in an error."""
    tap = DIALECT.stream_tap(strip_usage=strip)
    piece = b"data: " + b"x" * (16 * 1024 * 1024)
    outs = [tap.feed(piece) for _ in range(5)]

    assert tap.finish() == b""
    assert (tap.fault is not None) == strip
    if tap.fault is None:
        assert all(out is piece for out in outs)
    else:
        assert b"".join(outs) == DIALECT.error_event(tap.fault)
