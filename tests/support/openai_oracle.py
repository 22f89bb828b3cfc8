"""openai-python as the judge of what we send to servers of OpenAI's API, and of answers that stand for theirs."""

import json
from typing import Any

from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)

from tests.support.typed_dicts import maybe_misfit

#: What other servers of this API take as well, and OpenAI does not.
_EXTENSIONS = {"top_k"}


def check_request(body: bytes) -> dict[str, Any]:
    """The request, if the SDK's types know all of it, and if each call has its result before anything else comes."""
    request: dict[str, Any] = json.loads(body)
    shape: Any = CompletionCreateParamsStreaming if request.get("stream") else CompletionCreateParamsNonStreaming
    problem = maybe_misfit({name: value for name, value in request.items() if name not in _EXTENSIONS}, shape, "$")
    assert problem is None, problem
    _check_order(request["messages"])
    assert "stream_options" not in request or request.get("stream"), "options of a stream that is none"
    assert len(request.get("stop", ())) <= 4
    return request


def check_response(body: bytes) -> None:
    """Fails for an answer that the SDK's model does not take as it stands."""
    ChatCompletion.model_validate_json(body, strict=True)


def check_stream(stream: bytes) -> None:
    """Fails for a stream with a chunk that the SDK's model does not take, or that has neither an end nor an error."""
    blocks = [block for block in stream.split(b"\n\n") if block and not block.startswith(b":")]
    payloads = [block.removeprefix(b"data: ") for block in blocks]
    *chunks, last = payloads
    if last != b"[DONE]":
        assert json.loads(last)["error"]["message"]
    for chunk in chunks:
        ChatCompletionChunk.model_validate_json(chunk, strict=True)


def _check_order(messages: list[dict[str, Any]]) -> None:
    assert messages, "no messages"
    waiting: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            assert message["tool_call_id"] in waiting, "a result without its call"
            waiting.remove(message["tool_call_id"])
            continue
        assert not waiting, f"calls without results: {waiting}"
        waiting = [call["id"] for call in message.get("tool_calls", ())]
        assert all(len(call_id) <= 40 for call_id in waiting)
        assert len(set(waiting)) == len(waiting)
    assert not waiting, f"calls without results: {waiting}"
