"""Converse through both clients' dialects, and InvokeModel through Anthropic's own SDK."""

import base64
import json
from typing import Any

import anthropic
import httpx2
import msgspec
import pytest

from extproc.conversation.events import Lost
from extproc.conversation.provenance import origin_of, without_foreign
from extproc.dialects.bedrock import DIALECT
from extproc.dialects.contract import Destination, Identity
from extproc.platforms.aws_anthropic import PLATFORM as INVOKE
from extproc.registry import client_dialect
from tests.support.anthropic_oracle import check_message, check_stream, client
from tests.support.eventstream_frames import event, exception

MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
TO = Destination(MODEL, DIALECT.capabilities(MODEL))
ME = Identity("0", "chat", 0, origin_of(TO.capabilities, MODEL))
CLIENTS = ("OpenAI", "Anthropic")
ASKED: dict[str, Any] = {"model": "chat", "max_tokens": 4000, "messages": [{"role": "user", "content": "Hi"}]}


def answered(client_name: str, asked: dict[str, Any], **answer: Any) -> dict[str, Any]:
    """What the client gets for a Converse answer."""
    client_side = client_dialect(client_name)
    request = client_side.read_request(msgspec.json.encode(asked))
    sent = DIALECT.write_request(request, TO)
    told = {"output": {"message": {"content": [{"text": "x"}]}}, "stopReason": "end_turn", **answer}
    response = DIALECT.read_response(msgspec.json.encode(told), {}, sent)
    body = client_side.write_response(response, request, ME)
    if client_name == "Anthropic":
        return check_message(body)
    parsed: dict[str, Any] = json.loads(body)
    return parsed


def sent_on(client_name: str, asked: dict[str, Any]) -> list[Any]:
    """The messages that go up, less what is another model's."""
    request = client_dialect(client_name).read_request(msgspec.json.encode(asked))
    turns, lost = without_foreign(request.turns, TO.capabilities, MODEL)
    assert lost == ()
    request = msgspec.structs.replace(request, turns=turns)
    messages: list[Any] = msgspec.json.decode(DIALECT.write_request(request, TO).body)["messages"]
    return messages


def test_converse_usage_cache() -> None:
    """Both clients get every prompt token once: OpenAI's in a sum, Anthropic's apart and by lifetime."""
    usage = {
        "inputTokens": 10,
        "outputTokens": 5,
        "totalTokens": 9999,
        "cacheReadInputTokens": 30,
        "cacheWriteInputTokens": 20,
        "cacheDetails": [{"ttl": "1h", "inputTokens": 15}, {"ttl": "5m", "inputTokens": 5}],
    }
    told = answered("OpenAI", ASKED, usage=usage)["usage"]
    assert (told["prompt_tokens"], told["completion_tokens"], told["total_tokens"]) == (60, 5, 65)
    assert told["prompt_tokens_details"] == {"cached_tokens": 30, "cache_write_tokens": 20}
    assert answered("Anthropic", ASKED, usage=usage)["usage"] == {
        "input_tokens": 10,
        "cache_read_input_tokens": 30,
        "cache_creation_input_tokens": 20,
        "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 15},
        "output_tokens": 5,
    }


def test_converse_stop_sequence_value() -> None:
    """Anthropic's clients learn which sequence was met."""
    asked = {**ASKED, "stop_sequences": ["END"]}
    told = answered(
        "Anthropic", asked, stopReason="stop_sequence", additionalModelResponseFields={"stop_sequence": "END"}
    )
    assert (told["stop_reason"], told["stop_sequence"]) == ("stop_sequence", "END")


@pytest.mark.parametrize("client_name", CLIENTS)
def test_converse_redacted_bytes(client_name: str) -> None:
    """Redacted and signed thinking that a client gives back as it got it goes up as the very text that came down."""
    content = [
        {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln/+=="}}},
        {"reasoningContent": {"redactedContent": "AAEC/w=="}},
        {"text": "So."},
    ]
    told = answered(client_name, ASKED, output={"message": {"content": content}})
    said = (
        told["choices"][0]["message"] if client_name == "OpenAI" else {"role": "assistant", "content": told["content"]}
    )
    messages = [*ASKED["messages"], said, {"role": "user", "content": "And?"}]
    assert sent_on(client_name, {**ASKED, "messages": messages})[1]["content"] == content


def frame(name: str, **payload: Any) -> bytes:
    return event(name, msgspec.json.encode(payload))


def test_converse_stream_metadata_last() -> None:
    """Anthropic's ``message_delta`` waits for the usage, which Converse tells last."""
    request = client_dialect("Anthropic").read_request(msgspec.json.encode({**ASKED, "stream": True}))
    sent = DIALECT.write_request(request, TO)
    reader, writer = DIALECT.stream_reader({}, sent), client_dialect("Anthropic").stream_writer(request, ME)
    usage = {"inputTokens": 3, "outputTokens": 7, "totalTokens": 10}
    frames = [
        frame("messageStart", role="assistant"),
        frame("contentBlockDelta", contentBlockIndex=0, delta={"text": "Hi"}),
        frame("contentBlockStop", contentBlockIndex=0),
        frame("messageStop", stopReason="end_turn"),
        frame("metadata", usage=usage, metrics={"latencyMs": 1}),
    ]
    events = [told for piece in frames for told in reader.feed(piece)] + list(reader.finish())
    stream = check_stream(b"".join(writer.write(told) for told in events if not isinstance(told, Lost)))
    [delta] = [told for told in stream if told["type"] == "message_delta"]
    assert (delta["usage"]["input_tokens"], delta["usage"]["output_tokens"]) == (3, 7)


STREAM: list[dict[str, Any]] = [
    {
        "type": "message_start",
        "message": {
            "id": "msg_bdrk_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-5-20250929",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 3, "output_tokens": 1},
        },
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 7},
    },
    {"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 3, "outputTokenCount": 7}},
]


def invoked(*told: dict[str, Any], tail: bytes = b"") -> bytes:
    """The frames of InvokeModel as an Anthropic client gets them through the gateway."""
    unframer = INVOKE.maybe_unframer()
    assert unframer is not None
    whole = b"".join(frame("chunk", bytes=base64.b64encode(msgspec.json.encode(one)).decode()) for one in told)
    return unframer.feed(whole + tail) + unframer.finish()


def streamed(stream: bytes) -> anthropic.types.Message:
    """What the official SDK makes of the stream."""

    def reply(_request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=stream)

    with client(reply).messages.stream(
        model="chat", max_tokens=9, messages=[{"role": "user", "content": "Hi"}]
    ) as reading:
        return reading.get_final_message()


def test_invoke_anthropic_stream() -> None:
    """Anthropic's SDK reads InvokeModel's stream as Anthropic's own, with each token counted once."""
    stream = invoked(*STREAM)
    check_stream(stream)
    message = streamed(stream)
    assert [block.to_dict() for block in message.content] == [{"type": "text", "text": "Hi"}]
    assert (message.usage.input_tokens, message.usage.output_tokens, message.stop_reason) == (3, 7, "end_turn")
    assert b"invocationMetrics" not in stream


def test_invoke_anthropic_stream_exception() -> None:
    """An exception frame is an error that the SDK raises."""
    stream = invoked(*STREAM[:3], tail=exception("throttlingException", b'{"message":"slow"}'))
    check_stream(stream)
    with pytest.raises(anthropic.APIStatusError, match="slow"):
        streamed(stream)
