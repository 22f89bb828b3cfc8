"""The Anthropic side of the demo provider: messages, whole and streamed, the counting of tokens, and the errors."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Any
from uuid import uuid4

from controller.standalone.demo.anthropic_shapes import (
    BadRequest,
    Counted,
    Create,
    Message,
    ToolResultBlock,
    ToolUseBlock,
    read,
    sign,
)
from controller.standalone.demo.script import (
    CHUNKS_BEFORE_BREAK,
    HEADER,
    Cut,
    Prompt,
    Reply,
    Tool,
    Wishes,
    compose,
    count,
    pieces,
    read_wishes,
)
from controller.standalone.demo.serving import Answer, Request

_STOP_REASONS = {"end": "end_turn", "length": "max_tokens", "stop": "stop_sequence"}
#: A ping and the beginning of a block are no chunks to the other vendors.
_EVENTS_BEFORE_BREAK = CHUNKS_BEFORE_BREAK + 2
_ERROR_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


async def answer(request: Request) -> Answer:
    """The answer to any request below ``/v1/messages``."""
    version, header = request.headers.get("anthropic-version", ""), request.headers.get(HEADER, "")
    try:
        match request.method, request.segments[1:]:
            case "POST", ["messages"]:
                asked = read(Create, request.body, version)
                assert isinstance(asked, Create)
                return _create(asked, _prompt(asked, header))
            case "POST", ["messages", "count_tokens"]:
                counted = read(Counted, request.body, version)
                prompt = _prompt(counted, header)
                error = prompt.wishes.error
                return failure(error) if error else _whole({"input_tokens": prompt.tokens})
            case _:
                return failure(404, f"There is no {request.method} {request.path} here.")
    except BadRequest as refusal:
        return failure(400, str(refusal))


def failure(status: int, message: str | None = None) -> Answer:
    """An error in Anthropic's shape, with a ``retry-after`` where a retry makes sense."""
    usual = "api_error" if status >= 500 else "invalid_request_error"
    asked = f"The demo provider was asked for an error {status}."
    # Where it is the model that is not there, the message begins so.
    text = message or (f"model: {asked}" if status == 404 else asked)
    request_id = f"req_{uuid4().hex[:24]}"
    body = {
        "type": "error",
        "error": {"type": _ERROR_TYPES.get(status, usual), "message": text},
        "request_id": request_id,
    }
    headers = {"request-id": request_id} | ({"retry-after": "1"} if status in {429, 529} else {})
    return Answer(json.dumps(body).encode(), status, headers=headers)


def _whole(value: Mapping[str, Any]) -> Answer:
    return Answer(json.dumps(value, ensure_ascii=False).encode(), headers={"request-id": f"req_{uuid4().hex[:24]}"})


def _create(asked: Create, prompt: Prompt) -> Answer:
    wishes = prompt.wishes
    if wishes.error:
        return failure(wishes.error)
    if wishes.broken and not asked.stream:
        if wishes.broken == "cut":
            raise Cut
        return failure(500)
    reply = compose(prompt, asked.model)
    message = {
        "id": f"msg_{uuid4().hex[:24]}",
        "type": "message",
        "role": "assistant",
        "model": asked.model,
        "content": list(_blocks(reply)),
        "stop_reason": "tool_use" if reply.call else _STOP_REASONS[reply.ending],
        "stop_sequence": _met(asked, prompt, reply),
        "stop_details": None,
        "usage": _usage(asked, prompt, reply),
    }
    if not asked.stream:
        return _whole(message)
    headers = {"request-id": f"req_{uuid4().hex[:24]}"}
    return Answer(_stream(_events(message), wishes), content_type="text/event-stream; charset=utf-8", headers=headers)


async def _stream(events: Iterator[Mapping[str, Any]], wishes: Wishes) -> AsyncGenerator[bytes, None]:
    for i, event in enumerate(events):
        if wishes.broken and i == _EVENTS_BEFORE_BREAK:
            if wishes.broken == "cut":
                raise Cut
            if wishes.broken == "error":
                error = {"type": "api_error", "message": "The demo provider broke off."}
                yield _sse({"type": "error", "error": error})
            return
        if i:
            await asyncio.sleep(wishes.delay_s)
        yield _sse(event)


def _sse(event: Mapping[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


def _events(message: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    usage = message["usage"]
    begun = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    yield {"type": "message_start", "message": begun}
    yield {"type": "ping"}
    for index, block in enumerate(message["content"]):
        start, deltas = _begun(block)
        yield {"type": "content_block_start", "index": index, "content_block": start}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    ended = {name: message[name] for name in ("stop_reason", "stop_sequence", "stop_details")}
    yield {"type": "message_delta", "delta": ended, "usage": usage}
    yield {"type": "message_stop"}


def _begun(block: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
    match block:
        case {"type": "text", "text": text}:
            return {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces(text)]
        case {"type": "thinking", "thinking": text, "signature": signature}:
            thoughts = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(text)]
            return {**block, "thinking": "", "signature": ""}, [
                *thoughts,
                {"type": "signature_delta", "signature": signature},
            ]
        case {"input": arguments}:
            parts = pieces(json.dumps(arguments, ensure_ascii=False))
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": part} for part in parts]
        case _:
            raise ValueError(f"no deltas for a block of {', '.join(block)}")


def _blocks(reply: Reply) -> Iterator[Mapping[str, Any]]:
    if reply.reasoning:
        # Without the space at its end, which pieces of a stream would not have.
        thoughts = "".join(pieces(reply.reasoning))
        yield {"type": "thinking", "thinking": thoughts, "signature": sign(thoughts)}
    if reply.call:
        name, arguments = reply.call
        yield {"type": "tool_use", "id": f"toolu_{uuid4().hex[:24]}", "name": name, "input": json.loads(arguments)}
    elif reply.text:
        yield {"type": "text", "text": reply.text}


def _met(asked: Create, prompt: Prompt, reply: Reply) -> str | None:
    """The stop sequence that ended the answer."""
    if reply.ending != "stop":
        return None
    whole = compose(
        Prompt(prompt.text, prompt.tokens, tool_result=prompt.tool_result, wishes=prompt.wishes), asked.model
    )
    return next((stop for stop in asked.stop_sequences or () if stop in whole.text), None)


def _prompt(asked: Counted, header: str) -> Prompt:
    turns = [" ".join(map(_text, message.blocks)) for message in asked.messages]
    system = asked.system if isinstance(asked.system, str) else " ".join(block.text for block in asked.system or ())
    said = next((text for message in reversed(asked.messages) if (text := _said(message))), "")
    results = [block for block in asked.messages[-1].blocks if isinstance(block, ToolResultBlock)]
    choice = asked.tool_choice.type if asked.tool_choice else "auto"
    tools = () if choice == "none" else tuple(Tool(tool.name, tool.input_schema) for tool in asked.all_tools)
    named = asked.tool_choice.name if asked.tool_choice else None
    output = asked.output_config.format if asked.output_config else None
    return Prompt(
        text=said,
        tokens=count(system) + sum(map(count, turns)),
        cached_tokens=sum(map(count, [system, *turns[:-1]])) if _marked(asked) else 0,
        tool_result=_text(results[-1]) if results else None,
        tools=tools,
        forced=named or (tools[0].name if choice == "any" and tools else None),
        schema=output.schema_ if output else None,
        think=asked.thinking is not None and asked.thinking.type != "disabled",
        max_tokens=asked.max_tokens if isinstance(asked, Create) else None,
        stop=tuple(asked.stop_sequences or ()) if isinstance(asked, Create) else (),
        wishes=read_wishes(header, said),
    )


def _marked(asked: Counted) -> bool:
    blocks = [block for message in asked.messages for block in message.blocks]
    system = [] if asked.system is None or isinstance(asked.system, str) else asked.system
    marked = (*blocks, *system, *asked.all_tools)
    return asked.cache_control is not None or any(getattr(block, "cache_control", None) for block in marked)


def _usage(asked: Create, prompt: Prompt, reply: Reply) -> Mapping[str, Any]:
    """Words as tokens.

    What a mark covers is written on the first turn and read on later ones, and not counted as input.
    """
    later = len(asked.messages) > 1
    return {
        "input_tokens": prompt.tokens - prompt.cached_tokens,
        "cache_creation_input_tokens": 0 if later else prompt.cached_tokens,
        "cache_read_input_tokens": prompt.cached_tokens if later else 0,
        "output_tokens": reply.tokens,
        "output_tokens_details": {"thinking_tokens": reply.reasoning_tokens},
        "service_tier": "standard",
    }


def _said(message: Message) -> str:
    if message.role != "user":
        return ""
    return " ".join(block.text for block in message.blocks if block.type == "text")


def _text(block: Any) -> str:
    if isinstance(block, ToolUseBlock):
        return json.dumps(block.input)
    if isinstance(block, ToolResultBlock):
        return block.content if isinstance(block.content, str) else " ".join(map(_text, block.content))
    return getattr(block, "text", None) or getattr(block, "thinking", None) or ""
