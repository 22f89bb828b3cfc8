"""The other OpenAI endpoints that a gateway passes through: completions, embeddings, moderations, responses."""

import base64
import hashlib
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from uuid import uuid4

from controller.standalone.demo.openai_shapes import Completion, Embeddings, Moderation, Responses, read
from controller.standalone.demo.openai_wire import failure, stream, whole
from controller.standalone.demo.script import Prompt, Reply, compose, count, pieces, read_wishes
from controller.standalone.demo.serving import Answer

_DIMENSIONS = 256
_CATEGORIES = ("harassment", "hate", "illicit", "self-harm", "sexual", "violence")


def _completions(body: bytes, header: str) -> Answer:
    asked = read(Completion, body)
    text = asked.prompt if isinstance(asked.prompt, str) else " ".join(asked.prompt)
    wishes = read_wishes(header, text)
    if wishes.error:
        return failure(wishes.error)
    stops = (asked.stop,) if isinstance(asked.stop, str) else tuple(asked.stop or ())
    prompt = Prompt(text, count(text), max_tokens=asked.max_tokens, stop=stops, wishes=wishes)
    reply = compose(prompt, asked.model)
    finish = "length" if reply.ending == "length" else "stop"
    usage = {
        "prompt_tokens": prompt.tokens,
        "completion_tokens": reply.tokens,
        "total_tokens": prompt.tokens + reply.tokens,
    }
    base = {
        "id": f"cmpl-{uuid4().hex}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": asked.model,
    }

    def choice(text: str, finish: str | None) -> Mapping[str, Any]:
        return {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}

    def chunks() -> Iterator[Mapping[str, Any]]:
        for piece in pieces(reply.text):
            yield {**base, "choices": [choice(piece, None)]}
        yield {**base, "choices": [choice("", finish)]}
        if asked.stream_options and asked.stream_options.include_usage:
            yield {**base, "choices": [], "usage": usage}

    if asked.stream:
        return Answer(stream(chunks(), wishes), content_type="text/event-stream")
    return whole({**base, "choices": [choice(reply.text, finish)], "usage": usage})


def _embeddings(body: bytes, _: str) -> Answer:
    asked = read(Embeddings, body)
    inputs = _inputs(asked.input)
    vectors = [_vector(str(text), asked.dimensions or _DIMENSIONS) for text in inputs]
    as_text = asked.encoding_format == "base64"
    tokens = sum(count(text) if isinstance(text, str) else len(text) for text in inputs)
    data = [
        {"object": "embedding", "index": i, "embedding": _base64(vector) if as_text else vector}
        for i, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return whole({"object": "list", "data": data, "model": asked.model, "usage": usage})


def _inputs(given: str | list[str] | list[int] | list[list[int]]) -> list[str | list[int]]:
    """One text or several; a flat list of numbers is one text in token ids."""
    if isinstance(given, str):
        return [given]
    ids = [item for item in given if isinstance(item, int)]
    return [ids] if ids else [item for item in given if not isinstance(item, int)]


def _vector(text: str, dimensions: int) -> list[float]:
    """A unit vector: the same for the same text."""
    noise = hashlib.shake_256(text.encode()).digest(2 * dimensions)
    raw = [value / 32768 for value in struct.unpack(f"<{dimensions}h", noise)]
    length = sum(value * value for value in raw) ** 0.5 or 1.0
    return [value / length for value in raw]


def _base64(vector: list[float]) -> str:
    """Little-endian float32, as OpenAI packs them."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _moderations(body: bytes, _: str) -> Answer:
    asked = read(Moderation, body)
    inputs = [asked.input] if isinstance(asked.input, str) else asked.input
    results = [_judgement("violence" if "kill" in str(text).lower() else None) for text in inputs]
    return whole({"id": f"modr-{uuid4().hex}", "model": asked.model, "results": results})


def _judgement(flagged: str | None) -> Mapping[str, Any]:
    return {
        "flagged": flagged is not None,
        "categories": {name: name == flagged for name in _CATEGORIES},
        "category_scores": {name: 0.9 if name == flagged else 0.001 for name in _CATEGORIES},
        "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
    }


def _responses(body: bytes, header: str) -> Answer:
    asked = read(Responses, body)
    text = asked.input if isinstance(asked.input, str) else _last_text(asked.input)
    wishes = read_wishes(header, text)
    if wishes.error:
        return failure(wishes.error)
    tokens = count(text) + count(asked.instructions or "")
    prompt = Prompt(text, tokens, max_tokens=asked.max_output_tokens, wishes=wishes)
    reply = compose(prompt, asked.model)
    if asked.stream:
        # This API ends with its own last event; it knows no [DONE].
        return Answer(stream(_response_events(asked, prompt, reply), wishes, end=b""), content_type="text/event-stream")
    return whole(_response(asked, prompt, reply, f"resp_{uuid4().hex}"))


def _last_text(items: list[dict[str, Any]]) -> str:
    content = items[-1].get("content", "") if items else ""
    if isinstance(content, str):
        return content
    return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))


def _response(asked: Responses, prompt: Prompt, reply: Reply | None, name: str) -> Mapping[str, Any]:
    base: dict[str, Any] = {
        "id": name,
        "object": "response",
        "created_at": int(time.time()),
        "status": "completed" if reply else "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": asked.instructions,
        "model": asked.model,
        "output": [_item(reply, "completed")] if reply else [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": None,
    }
    if reply:
        base["usage"] = {
            "input_tokens": prompt.tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": reply.tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": prompt.tokens + reply.tokens,
        }
    return base


def _item(reply: Reply | None, status: str) -> Mapping[str, Any]:
    content = [_part(reply.text)] if reply else []
    return {"id": "msg_demo", "type": "message", "role": "assistant", "status": status, "content": content}


def _part(text: str) -> Mapping[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _response_events(asked: Responses, prompt: Prompt, reply: Reply) -> Iterator[Mapping[str, Any]]:
    name = f"resp_{uuid4().hex}"
    where = {"item_id": "msg_demo", "output_index": 0, "content_index": 0}
    events: list[tuple[str, Mapping[str, Any]]] = [
        ("response.created", {"response": _response(asked, prompt, None, name)}),
        ("response.in_progress", {"response": _response(asked, prompt, None, name)}),
        ("response.output_item.added", {"output_index": 0, "item": _item(None, "in_progress")}),
        ("response.content_part.added", {**where, "part": _part("")}),
        *(("response.output_text.delta", {**where, "delta": piece, "logprobs": []}) for piece in pieces(reply.text)),
        ("response.output_text.done", {**where, "text": reply.text, "logprobs": []}),
        ("response.content_part.done", {**where, "part": _part(reply.text)}),
        ("response.output_item.done", {"output_index": 0, "item": _item(reply, "completed")}),
        ("response.completed", {"response": _response(asked, prompt, reply, name)}),
    ]
    for number, (kind, event) in enumerate(events):
        yield {"type": kind, "sequence_number": number, **event}


#: The endpoint below ``/v1`` -> its answer to a body and the header of wishes.
ANSWERS: Mapping[str, Callable[[bytes, str], Answer]] = {
    "completions": _completions,
    "embeddings": _embeddings,
    "moderations": _moderations,
    "responses": _responses,
}
