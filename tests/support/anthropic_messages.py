"""Anthropic bodies for tests: what an OpenAI client's request becomes, what a client's request means, streams."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import httpx2
import pytest

from extproc.conversation.errors import ApiError, ClientError
from extproc.conversation.events import Event
from extproc.conversation.request import Extra, Request
from extproc.dialects.anthropic import DIALECT
from extproc.dialects.contract import Destination, Identity, UpstreamRequest
from extproc.registry import client_dialect
from tests.support import anthropic_oracle

IDENTITY = Identity("abc123", "client-model", 1_700_000_000)
ORIGIN = "google.0a1b2c3d"
MARKED = Identity("abc123", "client-model", 1_700_000_000, ORIGIN)
USER = {"role": "user", "content": "hi"}
NEWEST = {"anthropic-version": "2026-10-21"}
OLDEST = {"anthropic-version": "2023-06-01"}
SENT = UpstreamRequest(b"")
PNG = "iVBORw0KGgo="

#: Three models that differ in all that matters here.
SONNET_4_5 = "claude-sonnet-4-5-20250929"
OPUS_4_6 = "claude-opus-4-6"
OPUS_4_8 = "claude-opus-4-8"


def body_of(**fields: Any) -> bytes:
    """A client's body: one user message unless ``fields`` has others; None leaves a field away."""
    whole = {"model": "m", "max_tokens": 100, "messages": [USER], **fields}
    return json.dumps({name: value for name, value in whole.items() if value is not None}).encode()


def read(headers: Mapping[str, str] = OLDEST, /, **fields: Any) -> Request:
    """What an Anthropic client's request means."""
    return DIALECT.read_request(body_of(**fields), headers)


def refused(headers: Mapping[str, str] = OLDEST, /, **fields: Any) -> ApiError:
    """The 400 that an Anthropic client's request gets."""
    with pytest.raises(ClientError) as caught:
        read(headers, **fields)
    assert caught.value.error.status == 400
    return caught.value.error


def extras(request: Request) -> dict[str, str]:
    """The extras by path, each with what becomes of it."""
    return {extra.path: _fate(extra) for extra in request.extras}


def _fate(extra: Extra) -> str:
    return "refused" if extra.essential else "harmless" if extra.harmless else "listed"


def destination(model: str, **members: Any) -> Destination:
    """Anthropic's own API, unless ``members`` say otherwise."""
    return Destination(model, DIALECT.capabilities(model), **{"fetches_urls": True, **members})


def openai_request(**fields: Any) -> Request:
    """What an OpenAI client's request means."""
    whole = {"model": "m", "messages": [USER], **fields}
    return client_dialect("OpenAI").read_request(json.dumps(whole).encode())


def sent(model: str = SONNET_4_5, to: Mapping[str, Any] | None = None, /, **fields: Any) -> UpstreamRequest:
    """What an OpenAI client's request becomes; checked by the SDK's types."""
    written = DIALECT.write_request(openai_request(**fields), destination(model, **(to or {})))
    anthropic_oracle.check_request(written.body)
    return written


def upstream(model: str = SONNET_4_5, to: Mapping[str, Any] | None = None, /, **fields: Any) -> dict[str, Any]:
    """The body that an OpenAI client's request becomes."""
    body: dict[str, Any] = json.loads(sent(model, to, **fields).body)
    return body


def losses(model: str = SONNET_4_5, to: Mapping[str, Any] | None = None, /, **fields: Any) -> list[tuple[str, str]]:
    """Path and kind of what was listed on the way."""
    return [(loss.path, loss.kind) for loss in sent(model, to, **fields).losses]


def refusal(model: str = SONNET_4_5, to: Mapping[str, Any] | None = None, /, **fields: Any) -> str | None:
    """The path that a refused OpenAI request names."""
    with pytest.raises(ClientError) as caught:
        sent(model, to, **fields)
    assert caught.value.error.status == 400
    return caught.value.error.param


def written_stream(events: Iterable[Event], identity: Identity = IDENTITY) -> bytes:
    """The client's stream of these events, whose order the oracle has checked."""
    writer = DIALECT.stream_writer(read(stream=True), identity)
    stream = b"".join(writer.write(event) for event in events)
    anthropic_oracle.check_stream(stream)
    return stream


def told(stream: bytes) -> Any:
    """The message that the SDK's stream helper makes of a stream."""

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=stream, headers={"content-type": "text/event-stream"})

    client = anthropic_oracle.client(answer)
    with client.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}]) as streamed:
        return streamed.get_final_message()


def events_from(stream: bytes | Sequence[bytes], request: UpstreamRequest = SENT) -> list[Event]:
    """What a reader makes of an upstream's stream, whole or in pieces."""
    reader = DIALECT.stream_reader({}, request)
    chunks = [stream] if isinstance(stream, bytes) else stream
    return [*(event for chunk in chunks for event in reader.feed(chunk)), *reader.finish()]


def sse(*events: Mapping[str, Any]) -> bytes:
    """An upstream's stream."""
    return b"".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in events)


def start(**usage: int) -> dict[str, Any]:
    """``message_start``."""
    counts = {"input_tokens": 10, "output_tokens": 1, **usage}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": []}
    return {
        "type": "message_start",
        "message": {**message, "stop_reason": None, "stop_sequence": None, "usage": counts},
    }


def opens(index: int, **block: Any) -> dict[str, Any]:
    """``content_block_start``."""
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, **members: Any) -> dict[str, Any]:
    """``content_block_delta``."""
    return {"type": "content_block_delta", "index": index, "delta": members}


def closes(index: int) -> dict[str, Any]:
    """``content_block_stop``."""
    return {"type": "content_block_stop", "index": index}


def ends(reason: str = "end_turn", **members: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """``message_delta`` and ``message_stop``; ``usage`` among the members replaces the usual one."""
    usage = members.pop("usage", {"output_tokens": 7})
    change = {"stop_reason": reason, "stop_sequence": None, **members}
    return {"type": "message_delta", "delta": change, "usage": usage}, {"type": "message_stop"}


def text_block(index: int, text: str) -> tuple[dict[str, Any], ...]:
    """A whole text block."""
    return opens(index, type="text", text=""), delta(index, type="text_delta", text=text), closes(index)
