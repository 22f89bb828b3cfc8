"""Claude's reasoning through clients that know nothing of it, and back: the exact turn, or none of its reasoning."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from extproc.conversation.provenance import origin_of, without_foreign
from extproc.dialects.anthropic import DIALECT
from extproc.dialects.contract import Identity
from extproc.registry import client_dialect
from tests.support import anthropic_oracle, openai_chat
from tests.support.anthropic_messages import (
    OPUS_4_8,
    SENT,
    closes,
    delta,
    destination,
    ends,
    events_from,
    openai_request,
    opens,
    sse,
    start,
    text_block,
)

ORIGIN = origin_of(DIALECT.capabilities(OPUS_4_8), OPUS_4_8)
IDENTITY = Identity("abc123", "chat", 1_700_000_000, ORIGIN)
TOOLS: Any = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]

#: One answer, and the one that came after its results: signed, empty and redacted thinking, interleaved with calls.
TURN: list[dict[str, Any]] = [
    {"type": "thinking", "thinking": "Let me see", "signature": "s1"},
    {"type": "thinking", "thinking": "", "signature": "s2"},
    {"type": "text", "text": "First"},
    {"type": "redacted_thinking", "data": "r1"},
    {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}},
    {"type": "thinking", "thinking": "and", "signature": "s3"},
    {"type": "tool_use", "id": "toolu_2", "name": "f", "input": {}},
]


def whole() -> bytes:
    """The OpenAI client's answer."""
    usage = {"input_tokens": 1, "output_tokens": 2}
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": TURN,
        "usage": usage,
    }
    body = json.dumps({**message, "stop_reason": "tool_use", "stop_sequence": None}).encode()
    anthropic_oracle.check_message(body)
    response = DIALECT.read_response(body, {}, SENT)
    return client_dialect("OpenAI").write_response(response, openai_request(tools=TOOLS), IDENTITY)


def streamed() -> bytes:
    """The same answer as a stream."""
    request = openai_request(tools=TOOLS, stream=True)
    writer = client_dialect("OpenAI").stream_writer(request, IDENTITY)
    return b"".join(writer.write(event) for event in events_from(sse(start(), *_blocks(), *ends("tool_use"))))


def _blocks() -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    for index, block in enumerate(TURN):
        match block["type"]:
            case "thinking":
                events.append(opens(index, type="thinking", thinking="", signature=""))
                events.append(delta(index, type="thinking_delta", thinking=block["thinking"]))
                events += [delta(index, type="signature_delta", signature=block["signature"]), closes(index)]
            case "text":
                events += text_block(index, block["text"])
            case "tool_use":
                events += [opens(index, **{**block, "input": {}})]
                events += [
                    delta(index, type="input_json_delta", partial_json=json.dumps(block["input"])),
                    closes(index),
                ]
            case _:
                events += [opens(index, **block), closes(index)]
    return events


def received(*, stream: bool) -> Any:
    """The message as openai-python has it."""
    if not stream:
        client = openai_chat.sdk(whole(), "application/json")
        return client.chat.completions.create(model="chat", messages=[], tools=TOOLS).choices[0].message
    client = openai_chat.sdk(streamed(), "text/event-stream")
    with client.chat.completions.stream(model="chat", messages=[], tools=TOOLS) as told:
        return told.get_final_completion().choices[0].message


def sent_back(message: Any, *, model: str = OPUS_4_8) -> list[dict[str, Any]]:
    """The assistant's content that the upstream gets when openai-python sends the message back."""
    bodies: list[bytes] = []
    client = openai_chat.sdk(whole(), "application/json", bodies)
    results: Any = [{"role": "tool", "tool_call_id": f"toolu_{i}", "content": "ok"} for i in (1, 2)]
    first: Any = {"role": "user", "content": "hi"}
    client.chat.completions.create(model="chat", messages=[first, message, *results], tools=TOOLS)
    read = client_dialect("OpenAI").read_request(bodies[0])
    turns, _ = without_foreign(read.turns, DIALECT.capabilities(model), model)
    written = DIALECT.write_request(replace(read, turns=turns), destination(model))
    content: list[dict[str, Any]] = anthropic_oracle.check_request(written.body)["messages"][1]["content"]
    return content


AS: dict[str, Callable[[Any], Any]] = {
    "object": lambda message: message,
    "dict": lambda message: message.model_dump(exclude_none=True),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("form", AS)
def test_thinking_round_trip(form: str, *, stream: bool) -> None:
    """The exact turn comes back: order, empty thinking, signatures, redacted data, calls between them."""
    assert sent_back(AS[form](received(stream=stream))) == TURN


def without_thinking() -> list[dict[str, Any]]:
    return [block for block in TURN if block["type"] in {"text", "tool_use"}]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_thinking_lost_or_foreign(*, stream: bool) -> None:
    """Another model, an edited text, a lost carrier or a lost piece: then none of the reasoning goes back."""
    message = AS["dict"](received(stream=stream))
    assert sent_back(message, model="claude-opus-4-6") == without_thinking()
    stripped = {name: value for name, value in message.items() if not name.startswith("reasoning")}
    assert sent_back(stripped) == without_thinking()
    details = message["reasoning_details"]
    assert sent_back({**message, "reasoning_details": details[1:]}) == without_thinking()
    edited = sent_back({**message, "content": "Second"})
    assert [block["type"] for block in edited] == ["text", "tool_use", "tool_use"]
    assert edited[0]["text"] == "Second"
