"""What a client was told: its answer, whole or streamed, as its SDK puts it together, read in no vendor's format."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from openai.lib.streaming._deltas import accumulate_delta

from tests.support.anthropic_oracle import check_stream
from tests.support.echo_upstreams import literal


@dataclass(frozen=True, slots=True)
class Told:
    """An answer: text, shown reasoning, calls by id, name and arguments, usage, and the message to send back."""

    text: str
    thought: str
    calls: list[tuple[str, str, Any]]
    prompt: int
    cached: int
    output: int
    finish: str
    message: dict[str, Any]


def read_answer(client: str, body: bytes, *, stream: bool) -> Told:
    """The answer of an ``openai`` or ``anthropic`` client."""
    if client == "openai":
        return _openai(_collected(body) if stream else json.loads(body))
    return _anthropic(_message(check_stream(body)) if stream else json.loads(body))


def _openai(answer: dict[str, Any]) -> Told:
    [choice] = answer["choices"]
    message, usage = choice["message"], answer["usage"]
    calls = [
        (c["id"], c["function"]["name"], literal(c["function"]["arguments"])) for c in message.get("tool_calls") or ()
    ]
    return Told(
        message.get("content") or "",
        message.get("reasoning_content") or "",
        calls,
        usage["prompt_tokens"],
        (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0,
        usage["completion_tokens"],
        choice["finish_reason"],
        message,
    )


def _collected(stream: bytes) -> dict[str, Any]:
    """A completion out of its chunks, by openai-python's own rules."""
    datas = [block.removeprefix("data: ") for block in stream.decode().split("\n\n") if block.startswith("data: ")]
    assert datas[-1] == "[DONE]", datas[-1]
    message: dict[object, object] = {}
    finish, usage = None, None
    for data in datas[:-1]:
        chunk = json.loads(data)
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            message = accumulate_delta(message, choice["delta"])
            finish = choice["finish_reason"] or finish
    for call in _entries(message, "tool_calls"):
        call.pop("index")
    return {"choices": [{"message": message, "finish_reason": finish}], "usage": usage}


def _entries(message: dict[object, object], name: str) -> Sequence[dict[str, Any]]:
    entries = message.get(name, [])
    assert isinstance(entries, list)
    return entries


def _anthropic(answer: dict[str, Any]) -> Told:
    content, usage = answer["content"], answer["usage"]
    calls = [(b["id"], b["name"], b["input"]) for b in content if b["type"] == "tool_use"]
    read, written = (usage.get(f"cache_{kind}_input_tokens") or 0 for kind in ("read", "creation"))
    return Told(
        "".join(b["text"] for b in content if b["type"] == "text"),
        "".join(b["thinking"] for b in content if b["type"] == "thinking"),
        [(one, name, literal(json.dumps(given))) for one, name, given in calls],
        usage["input_tokens"] + read + written,
        read,
        usage["output_tokens"],
        answer["stop_reason"],
        {"role": "assistant", "content": content},
    )


def _message(events: list[dict[str, Any]]) -> dict[str, Any]:
    """A message out of its events."""
    message: dict[str, Any] = {}
    inputs: dict[int, str] = {}
    for event in events:
        match event["type"]:
            case "message_start":
                message = event["message"]
            case "content_block_start":
                message["content"].append(event["content_block"])
            case "content_block_delta":
                _extend(message["content"][event["index"]], event["delta"], inputs, event["index"])
            case "message_delta":
                message |= event["delta"]
                message["usage"] |= {name: count for name, count in event["usage"].items() if count is not None}
            case "error":
                raise AssertionError(event)
            case _:
                pass
    for index, text in inputs.items():
        message["content"][index]["input"] = json.loads(text)
    return message


def _extend(block: dict[str, Any], delta: dict[str, Any], inputs: dict[int, str], index: int) -> None:
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] = delta["signature"]
        case "input_json_delta":
            inputs[index] = inputs.get(index, "") + delta["partial_json"]
        case other:
            raise AssertionError(other)
