"""One upstream that answers as every platform does, told apart by path: the least that each vendor's format needs.

What is sent is for the tests to look at; the bodies themselves are checked by the dialects' own tests and goldens.
"""

import base64
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tests.support.eventstream_frames import event
from tests.support.scripted import COMPLETION, CONVERSE_ANSWER, chunk, frame
from tests.support.upstreams import Received, Reply, json_reply, sse_reply

#: What every answer says and what it counts.
WORDS = "hello"
INPUT_TOKENS, OUTPUT_TOKENS = 3, 5

MESSAGE: Mapping[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "upstream-model",
    "content": [{"type": "text", "text": WORDS}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS},
}
MESSAGE_EVENTS: Sequence[Mapping[str, Any]] = (
    {
        "type": "message_start",
        "message": {**MESSAGE, "content": [], "stop_reason": None, "usage": {"input_tokens": 3, "output_tokens": 1}},
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": WORDS}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": OUTPUT_TOKENS},
    },
    {"type": "message_stop"},
)
GENERATED: Mapping[str, Any] = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": WORDS}]}, "finishReason": "STOP", "index": 0}],
    "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 5, "totalTokenCount": 8},
    "modelVersion": "upstream-model",
    "responseId": "r-1",
}
_EVENTSTREAM = "application/vnd.amazon.eventstream"


def every_host(request: Received) -> Reply:
    """The answer of whatever platform has this path; 404 when none has."""
    path = request.path.partition("?")[0]
    for ending, answer in _ANSWERS:
        if path.endswith(ending):
            return answer(request)
    return json_reply({"error": {"message": f"no such path: {path}"}}, 404)


def message_sse(events: Iterable[Mapping[str, Any]] = MESSAGE_EVENTS) -> Reply:
    """Anthropic's own stream: each event by name."""
    parts = [f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in events]
    return sse_reply(parts, done=False)


def message_frames(events: Iterable[Mapping[str, Any]] = MESSAGE_EVENTS) -> Reply:
    """The same events as InvokeModel frames them."""
    parts = [invoke_frame(e) for e in events]
    return Reply(parts, headers={"content-type": _EVENTSTREAM, "x-amzn-requestid": "aws-1"}, framing="chunked")


def invoke_frame(value: Mapping[str, Any]) -> bytes:
    """One event of InvokeModelWithResponseStream."""
    whole = base64.b64encode(json.dumps(value).encode()).decode()
    return event("chunk", json.dumps({"bytes": whole, "p": "abc"}).encode())


def _chat(request: Received) -> Reply:
    if not request.json.get("stream"):
        return json_reply(COMPLETION)
    usage = {"prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS, "total_tokens": 8}
    return sse_reply([chunk(WORDS), chunk(finish="stop"), {**chunk(), "choices": [], "usage": usage}])


def _messages(request: Received) -> Reply:
    return message_sse() if request.json.get("stream") else json_reply(MESSAGE, request_id="req_1")


def _converse_stream(_: Received) -> Reply:
    frames = [
        frame("messageStart", role="assistant"),
        frame("contentBlockDelta", contentBlockIndex=0, delta={"text": WORDS}),
        frame("contentBlockStop", contentBlockIndex=0),
        frame("messageStop", stopReason="end_turn"),
        frame("metadata", usage=CONVERSE_ANSWER["usage"], metrics={"latencyMs": 1}),
    ]
    return Reply(frames, headers={"content-type": _EVENTSTREAM, "x-amzn-requestid": "aws-1"}, framing="chunked")


def _always(value: Mapping[str, Any]) -> Callable[[Received], Reply]:
    return lambda _: json_reply(value)


_ANSWERS: Sequence[tuple[str, Callable[[Received], Reply]]] = (
    ("/chat/completions", _chat),
    ("/messages/count_tokens", _always({"input_tokens": INPUT_TOKENS})),
    ("/count-tokens:rawPredict", _always({"input_tokens": INPUT_TOKENS})),
    ("/count-tokens", _always({"inputTokens": INPUT_TOKENS})),
    (":countTokens", _always({"totalTokens": INPUT_TOKENS})),
    ("/messages", _messages),
    (":rawPredict", _messages),
    (":streamRawPredict", lambda _: message_sse()),
    ("/invoke", _always(MESSAGE)),
    ("/invoke-with-response-stream", lambda _: message_frames()),
    ("/converse", _always(CONVERSE_ANSWER)),
    ("/converse-stream", _converse_stream),
    (":generateContent", _always(GENERATED)),
    (":streamGenerateContent", lambda _: sse_reply([GENERATED], done=False)),
)
