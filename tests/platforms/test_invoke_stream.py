"""InvokeModelWithResponseStream: frames in, Anthropic's server-sent events out."""

import base64
import json
from typing import Any

import botocore.session
import pytest
from botocore.eventstream import EventStreamBuffer
from botocore.parsers import EventStreamJSONParser

from extproc.platforms.aws_anthropic import PLATFORM
from extproc.wire.sse import SseParser
from tests.support.eventstream_frames import event, exception, frame
from tests.support.wire_splits import splits

START = {"type": "message_start", "message": {"id": "msg_1", "usage": {"input_tokens": 3, "output_tokens": 1}}}
DELTA = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "h\u00e9\u2028"}}
FINAL = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}}
METRICS = {"inputTokenCount": 3, "outputTokenCount": 5, "invocationLatency": 9, "firstByteLatency": 2}
STOP = {"type": "message_stop", "amazon-bedrock-invocationMetrics": METRICS}
EVENTS = (START, {"type": "ping"}, DELTA, FINAL, STOP)


def chunk(told: dict[str, Any] | bytes) -> bytes:
    content = told if isinstance(told, bytes) else json.dumps(told, ensure_ascii=False).encode()
    return event("chunk", json.dumps({"bytes": base64.b64encode(content).decode(), "p": "abcdef"}).encode())


STREAM = b"".join(chunk(told) for told in EVENTS)


def unframed(chunks: list[bytes]) -> bytes:
    unframer = PLATFORM.maybe_unframer()
    assert unframer is not None
    return b"".join(unframer.feed(piece) for piece in chunks) + unframer.finish()


def events(whole: bytes) -> list[tuple[str, dict[str, Any]]]:
    parser = SseParser()
    read = [*parser.feed(whole), *parser.finish()]
    assert all(told.complete for told in read)
    return [(told.event.decode(), json.loads(told.data or b"")) for told in read]


def test_the_fixture_is_what_botocore_reads() -> None:
    """The frames of these tests are frames of InvokeModelWithResponseStream to AWS's own parser."""
    service = botocore.session.get_session().get_service_model("bedrock-runtime")
    shape = service.operation_model("InvokeModelWithResponseStream").get_event_stream_output()
    buffer = EventStreamBuffer()
    buffer.add_data(STREAM)
    parsed = [EventStreamJSONParser().parse(message.to_response_dict(), shape) for message in buffer]
    assert [json.loads(told["chunk"]["bytes"]) for told in parsed] == list(EVENTS)


def test_invoke_anthropic_stream() -> None:
    """Each chunk is one event under its own name, byte for byte; AWS's metrics are not in it."""
    told = events(unframed([STREAM]))
    assert [name for name, _ in told] == [str(sent["type"]) for sent in EVENTS]
    assert [content for _, content in told] == [*EVENTS[:-1], {"type": "message_stop"}]


def test_every_split() -> None:
    """However the bytes arrive, the events are the same."""
    expected = unframed([STREAM])
    for chunks in splits(STREAM):
        assert expected == unframed(chunks)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("internalServerException", "api_error"),
        ("modelStreamErrorException", "api_error"),
        ("validationException", "invalid_request_error"),
        ("throttlingException", "rate_limit_error"),
        ("serviceUnavailableException", "overloaded_error"),
        ("modelTimeoutException", "timeout_error"),
        ("somethingNewException", "api_error"),
    ],
)
@pytest.mark.parametrize("before", [b"", chunk(START)])
def test_exceptions_are_error_events(name: str, kind: str, before: bytes) -> None:
    """An exception frame is Anthropic's error event, and nothing comes after it."""
    *_, (last, told) = events(unframed([before + exception(name, b'{"message":"so it is"}') + chunk(STOP), STREAM]))
    assert (last, told) == ("error", {"type": "error", "error": {"type": kind, "message": "so it is"}})


def test_error_frames() -> None:
    """So is a frame of the type error, which has no payload."""
    headers = {":message-type": "error", ":error-code": "Internal", ":error-message": "went wrong"}
    assert events(unframed([frame(headers, b"")])) == [
        ("error", {"type": "error", "error": {"type": "api_error", "message": "went wrong"}})
    ]


@pytest.mark.parametrize(
    "damaged",
    [
        event("chunk", b"no json"),
        event("chunk", b'{"bytes":"***"}'),
        event("chunk", b"{}"),
        chunk(b"[]"),
        chunk(b'{"type":"a\\nb"}'),
        chunk(START)[:-1],
        chunk(START)[:-3] + b"zzz",
        b"event: message_start\ndata: {}\n\n",
    ],
    ids=["text", "base64", "empty", "array", "name", "cut", "checksum", "sse"],
)
def test_damage_is_an_error_event(damaged: bytes) -> None:
    """What cannot be read ends the stream with an error, after all that came before it."""
    told = events(unframed([chunk(DELTA) + damaged]))
    assert [name for name, _ in told] == ["content_block_delta", "error"]
    assert told[1][1]["error"]["type"] == "api_error"


def test_other_frames_are_passed_over() -> None:
    """A kind of event that is not known yet means nothing to a client of Anthropic's."""
    assert unframed([event("initial-response", b"{}"), frame({":message-type": "event"}, b"")]) == b""


def test_an_end_between_frames_is_the_dialects_to_judge() -> None:
    """Whether the answer was whole is not seen in its frames."""
    assert [name for name, _ in events(unframed([chunk(DELTA)]))] == ["content_block_delta"]
