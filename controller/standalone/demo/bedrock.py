"""The Bedrock side of the demo provider: Converse and ConverseStream, and the errors of both."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Any
from uuid import uuid4

from controller.standalone.demo import eventstream
from controller.standalone.demo.bedrock_shapes import (
    BadRequest,
    ContentBlock,
    Converse,
    ToolResult,
    read,
    read_counted,
    schema_of,
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
_ERRORS = {
    400: "ValidationException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}
_Usage = Mapping[str, int | list[Mapping[str, str | int]]]


async def answer(request: Request) -> Answer:
    """The answer to any request below ``/model``."""
    match request.method, request.segments:
        case "POST", ["model", model, ("converse" | "converse-stream") as operation] if model:
            try:
                asked = read(request.body)
                prompt = _prompt(asked, request.headers.get(HEADER, ""))
            except BadRequest as refusal:
                return failure(400, str(refusal))
            return _converse(asked, prompt, model, streamed=operation == "converse-stream")
        case "POST", ["model", model, "count-tokens"] if model:
            try:
                counted = _prompt(read_counted(request.body), request.headers.get(HEADER, ""))
            except BadRequest as refusal:
                return failure(400, str(refusal))
            error = counted.wishes.error
            return failure(error) if error else Answer(json.dumps({"inputTokens": counted.tokens}).encode())
        case _:
            return failure(404, f"There is no {request.method} {request.path} here.", "UnknownOperationException")


def failure(status: int, message: str | None = None, kind: str | None = None) -> Answer:
    """An error in Bedrock's shape: the type in a header, the message in the body."""
    kind = kind or _ERRORS.get(status, "ModelErrorException" if status < 500 else "InternalServerException")
    headers = {
        "x-amzn-requestid": str(uuid4()),
        "x-amzn-errortype": f"{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/",
    }
    body = {"message": message or f"The demo provider was asked for an error {status}."}
    return Answer(json.dumps(body).encode(), status, headers=headers | ({"retry-after": "1"} if status == 429 else {}))


def _converse(asked: Converse, prompt: Prompt, model: str, *, streamed: bool) -> Answer:
    wishes = prompt.wishes
    if wishes.error:
        return failure(wishes.error)
    if wishes.broken and not streamed:
        if wishes.broken == "cut":
            raise Cut
        return failure(500)
    reply = compose(prompt, model)
    usage = _usage(asked, prompt, reply)
    headers = {"x-amzn-requestid": str(uuid4())}
    if streamed:
        frames = _stream(_events(reply, usage), wishes)
        return Answer(frames, content_type=eventstream.CONTENT_TYPE, headers=headers)
    body = {
        "output": {"message": {"role": "assistant", "content": list(_blocks(reply))}},
        "stopReason": _stop_reason(reply),
        "usage": usage,
        "metrics": {"latencyMs": 1},
    }
    return Answer(json.dumps(body, ensure_ascii=False).encode(), headers=headers)


async def _stream(events: Iterator[tuple[str, Mapping[str, Any]]], wishes: Wishes) -> AsyncGenerator[bytes, None]:
    for i, (kind, payload) in enumerate(events):
        if wishes.broken and i == CHUNKS_BEFORE_BREAK:
            if wishes.broken == "cut":
                raise Cut
            if wishes.broken == "error":
                message = {"message": "The demo provider broke off.", "originalStatusCode": 500}
                yield eventstream.exception("modelStreamErrorException", message)
            return
        if i:
            await asyncio.sleep(wishes.delay_s)
        # Bedrock pads its payloads with a member p, so that their length says nothing of the words.
        yield eventstream.event(kind, {**payload, "p": "abcdefghijklmnopqrstuvwxyz"[: 1 + i % 26]})


def _events(reply: Reply, usage: _Usage) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield "messageStart", {"role": "assistant"}
    for index, block in enumerate(_blocks(reply)):
        at = {"contentBlockIndex": index}
        if "toolUse" in block:
            use = block["toolUse"]
            yield (
                "contentBlockStart",
                {**at, "start": {"toolUse": {"toolUseId": use["toolUseId"], "name": use["name"]}}},
            )
        for delta in _deltas(block):
            yield "contentBlockDelta", {**at, "delta": delta}
        yield "contentBlockStop", at
    yield "messageStop", {"stopReason": _stop_reason(reply)}
    yield "metadata", {"usage": usage, "metrics": {"latencyMs": 1}}


def _deltas(block: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    match block:
        case {"text": text}:
            yield from ({"text": piece} for piece in pieces(text))
        case {"toolUse": {"input": arguments}}:
            yield from ({"toolUse": {"input": piece}} for piece in pieces(json.dumps(arguments, ensure_ascii=False)))
        case {"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}}:
            yield from ({"reasoningContent": {"text": piece}} for piece in pieces(text))
            yield {"reasoningContent": {"signature": signature}}
        case _:
            raise ValueError(f"no deltas for a block of {', '.join(block)}")


def _blocks(reply: Reply) -> Iterator[Mapping[str, Any]]:
    if reply.reasoning:
        thoughts = {"text": reply.reasoning, "signature": sign(reply.reasoning)}
        yield {"reasoningContent": {"reasoningText": thoughts}}
    if reply.call:
        name, arguments = reply.call
        use_id = f"tooluse_{uuid4().hex[:22]}"
        yield {"toolUse": {"toolUseId": use_id, "name": name, "input": json.loads(arguments)}}
    elif reply.text:
        yield {"text": reply.text}


def _stop_reason(reply: Reply) -> str:
    return "tool_use" if reply.call else _STOP_REASONS[reply.ending]


def _prompt(asked: Converse, header: str) -> Prompt:
    turns = [" ".join(map(_text, message.content)) for message in asked.messages]
    system = " ".join(block.text for block in asked.system if block.text)
    users = [message for message in asked.messages if message.role == "user"]
    said = next((text for turn in reversed(users) if (text := _said(turn.content))), "")
    results = [block.tool_result for block in asked.messages[-1].content if block.tool_result]
    tools = tuple(Tool(spec.name, spec.input_schema.json_) for spec in asked.specs)
    choice = asked.tool_config.tool_choice if asked.tool_config else None
    forced = choice.tool.name if choice and choice.tool else tools[0].name if choice and choice.any else None
    knobs = asked.inference_config
    if _thinks(asked) and forced:
        raise BadRequest("A model that thinks cannot be forced to use a tool; toolChoice may only be auto.")
    return Prompt(
        text=said,
        tokens=count(system) + sum(map(count, turns)),
        cached_tokens=sum(map(count, [system, *turns[:-1]])) if _cache_points(asked) else 0,
        tool_result=_result(results[-1]) if results else None,
        tools=tools,
        forced=forced,
        schema=schema_of(asked),
        think=_thinks(asked),
        max_tokens=knobs.max_tokens if knobs else None,
        stop=tuple(knobs.stop_sequences or ()) if knobs else (),
        wishes=read_wishes(header, said),
    )


def _thinks(asked: Converse) -> bool:
    extra = asked.additional_model_request_fields
    thinking = extra.get("thinking") or extra.get("reasoningConfig")
    return isinstance(thinking, dict) and thinking.get("type") in {"enabled", "adaptive"}


def _cache_points(asked: Converse) -> bool:
    blocks: list[Any] = [*asked.system, *(block for message in asked.messages for block in message.content)]
    return any(block.cache_point for block in blocks)


def _usage(asked: Converse, prompt: Prompt, reply: Reply) -> _Usage:
    """Words as tokens.

    What a cache point covers is written on the first turn and read on later ones, and not counted as input.
    """
    usage: dict[str, Any] = {
        "inputTokens": prompt.tokens - prompt.cached_tokens,
        "outputTokens": reply.tokens,
        "totalTokens": prompt.tokens + reply.tokens,
    }
    if _cache_points(asked):
        later = len(asked.messages) > 1
        usage["cacheReadInputTokens"] = prompt.cached_tokens if later else 0
        usage["cacheWriteInputTokens"] = 0 if later else prompt.cached_tokens
    return usage


def _text(block: ContentBlock) -> str:
    if block.tool_use:
        return json.dumps(block.tool_use.input)
    return _result(block.tool_result) if block.tool_result else block.text or ""


def _said(blocks: list[ContentBlock]) -> str:
    return " ".join(block.text for block in blocks if block.text)


def _result(result: ToolResult) -> str:
    return " ".join(part.text or json.dumps(part.json_) for part in result.content)
