"""Inputs of the matrix that are made of others: the turn after an answer, AWS frames around Anthropic's events."""

import base64
import json
from typing import Any

from tests.support.eventstream_frames import event

#: What InvokeModel adds to the last event.
_METRICS = {"inputTokenCount": 40, "outputTokenCount": 30, "invocationLatency": 310, "firstByteLatency": 110}


def next_request(client: str, asked: bytes, answered: bytes) -> bytes:
    """The client's next request: the same, its answer as it came, and a result for each call."""
    request, answer = json.loads(asked), json.loads(answered)
    turns = _openai_turns(answer) if client == "openai" else _anthropic_turns(answer)
    request["messages"] += turns
    return json.dumps(request, separators=(",", ":"), ensure_ascii=False).encode()


def _openai_turns(answer: dict[str, Any]) -> list[dict[str, Any]]:
    message = {name: value for name, value in answer["choices"][0]["message"].items() if value is not None}
    calls = message.get("tool_calls", [])
    return [message, *({"role": "tool", "tool_call_id": call["id"], "content": "clear"} for call in calls)]


def _anthropic_turns(answer: dict[str, Any]) -> list[dict[str, Any]]:
    results = [
        {"type": "tool_result", "tool_use_id": block["id"], "content": "clear"}
        for block in answer["content"]
        if block["type"] == "tool_use"
    ]
    return [{"role": "assistant", "content": answer["content"]}, {"role": "user", "content": results}]


def invoke_frames(stream: bytes) -> bytes:
    """Anthropic's stream as InvokeModelWithResponseStream sends it: a frame for each event, metrics in the last."""
    events = [json.loads(line.removeprefix("data: ")) for line in stream.decode().splitlines() if line[:5] == "data:"]
    return b"".join(_invoke_frame(told) for told in events)


def _invoke_frame(told: dict[str, Any]) -> bytes:
    whole = {**told, "amazon-bedrock-invocationMetrics": _METRICS} if told["type"] == "message_stop" else told
    encoded = base64.b64encode(json.dumps(whole).encode()).decode()
    return event("chunk", json.dumps({"bytes": encoded, "p": "abcdef"}).encode())
