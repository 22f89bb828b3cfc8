"""What the canned upstream answers in each vendor's format: whole bodies and streams, made once."""

import base64
import json
from typing import Any

from msgspec import Struct

from tests.support.eventstream_frames import frame

CHUNKS = 100
WORD = "lorem ipsum"

_EVENTSTREAM = b"application/vnd.amazon.eventstream"
_SSE = b"text/event-stream"


class Canned(Struct, frozen=True):
    """One format's answers. ``stream`` has ``CHUNKS`` parts, each to be written on its own."""

    whole: bytes
    stream: list[bytes]
    stream_type: bytes


def _sse(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def _framed(kind: str, payload: object) -> bytes:
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return frame(headers, json.dumps(payload).encode())


def _openai() -> Canned:
    head = {"id": "chatcmpl-bench", "created": 1, "model": "bench"}
    message = {"role": "assistant", "content": WORD * 40}
    whole = {
        **head,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 200, "completion_tokens": 80, "total_tokens": 280},
    }
    chunk = {**head, "object": "chat.completion.chunk"}

    def told(delta: dict[str, str], finish: str | None = None) -> bytes:
        return _sse({**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": None})

    counts = {"prompt_tokens": 200, "completion_tokens": 100, "total_tokens": 300}
    last = _sse({**chunk, "choices": [], "usage": counts}) + b"data: [DONE]\n\n"
    stream = [*(told({"content": WORD}) for _ in range(CHUNKS - 2)), told({}, "stop"), last]
    return Canned(json.dumps(whole).encode(), stream, _SSE)


def _converse() -> Canned:
    whole = {
        "output": {"message": {"role": "assistant", "content": [{"text": WORD * 40}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 200, "outputTokens": 80, "totalTokens": 280},
        "metrics": {"latencyMs": 1},
    }
    usage = {"usage": {"inputTokens": 200, "outputTokens": 100, "totalTokens": 300}, "metrics": {"latencyMs": 1}}
    delta = {"contentBlockIndex": 0, "delta": {"text": WORD}, "p": "abcdefgh"}
    stream = [
        _framed("messageStart", {"role": "assistant"}),
        *(_framed("contentBlockDelta", delta) for _ in range(CHUNKS - 4)),
        _framed("contentBlockStop", {"contentBlockIndex": 0}),
        _framed("messageStop", {"stopReason": "end_turn"}),
        _framed("metadata", usage),
    ]
    return Canned(json.dumps(whole).encode(), stream, _EVENTSTREAM)


def _message() -> dict[str, Any]:
    return {
        "id": "msg_bench",
        "type": "message",
        "role": "assistant",
        "model": "bench",
        "content": [{"type": "text", "text": WORD * 40}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 200, "output_tokens": 80},
    }


def _message_events() -> list[dict[str, Any]]:
    start = {**_message(), "content": [], "stop_reason": None, "usage": {"input_tokens": 200, "output_tokens": 1}}
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": WORD}}
    return [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *(delta for _ in range(CHUNKS - 5)),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 100},
        },
        {"type": "message_stop"},
    ]


def _anthropic() -> Canned:
    stream = [b"event: " + event["type"].encode() + b"\n" + _sse(event) for event in _message_events()]
    return Canned(json.dumps(_message()).encode(), stream, _SSE)


def _invoke() -> Canned:
    wrapped = (base64.b64encode(json.dumps(event).encode()).decode() for event in _message_events())
    stream = [_framed("chunk", {"bytes": data, "p": "abcdefgh"}) for data in wrapped]
    return Canned(json.dumps(_message()).encode(), stream, _EVENTSTREAM)


def _gemini() -> Canned:
    def told(text: str, finish: str | None, output: int) -> dict[str, Any]:
        candidate: dict[str, Any] = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}
        if finish is not None:
            candidate["finishReason"] = finish
        counts = {"promptTokenCount": 200, "candidatesTokenCount": output, "totalTokenCount": 200 + output}
        return {"candidates": [candidate], "usageMetadata": counts, "modelVersion": "bench", "responseId": "r-bench"}

    stream = [_sse(told(WORD, None, i)) for i in range(CHUNKS - 1)] + [_sse(told(WORD, "STOP", 100))]
    return Canned(json.dumps(told(WORD * 40, "STOP", 80)).encode(), stream, _SSE)


#: What a path without its query ends with -> who answers there, first match.
BY_PATH = (
    ("/converse", _converse()),
    ("/converse-stream", _converse()),
    ("/invoke", _invoke()),
    ("/invoke-with-response-stream", _invoke()),
    (":generateContent", _gemini()),
    (":streamGenerateContent", _gemini()),
    ("/messages", _anthropic()),
    (":rawPredict", _anthropic()),
    (":streamRawPredict", _anthropic()),
    ("/chat/completions", _openai()),
)
