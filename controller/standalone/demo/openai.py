"""The OpenAI side of the demo provider: chat completions, whole and streamed, models, and the errors of both."""

import time
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

from controller.standalone.demo import openai_more
from controller.standalone.demo.openai_shapes import (
    AssistantMessage,
    BadRequest,
    Chat,
    Message,
    NamedChoice,
    TextPart,
    ToolMessage,
    UserMessage,
    check_chat,
    read,
)
from controller.standalone.demo.openai_wire import failure, stream, whole
from controller.standalone.demo.script import (
    HEADER,
    Cut,
    Prompt,
    Reply,
    Tool,
    compose,
    count,
    pieces,
    read_wishes,
)
from controller.standalone.demo.serving import Answer, Request

MODELS = ("demo-openai", "demo-embedding", "demo-moderation")
_ANY_OBJECT: Mapping[str, Any] = {"type": "object", "properties": {"answer": {"type": "string"}}}
_FINISH = {"end": "stop", "length": "length", "stop": "stop"}


async def answer(request: Request) -> Answer:
    """The answer to any request below ``/v1``; wishes for errors are granted here for every endpoint."""
    try:
        match request.method, request.segments[1:]:
            case "POST", ["chat", "completions"]:
                return _chat(request)
            case "GET", ["models"]:
                return whole({"object": "list", "data": [_model(name) for name in MODELS]})
            case "GET", ["models", name] if name in MODELS:
                return whole(_model(name))
            case "POST", [("completions" | "embeddings" | "moderations" | "responses") as operation]:
                header = request.headers.get(HEADER, "")
                error = read_wishes(header).error
                return failure(error) if error else openai_more.ANSWERS[operation](request.body, header)
            case _:
                return failure(404, f"There is no {request.method} {request.path} here.", code="unknown_url")
    except BadRequest as refusal:
        return failure(400, str(refusal), param=refusal.param, code=refusal.code)


def _chat(request: Request) -> Answer:
    chat = read(Chat, request.body)
    check_chat(chat)
    prompt = _prompt(chat, request.headers.get(HEADER, ""))
    wishes = prompt.wishes
    if wishes.error:
        return failure(wishes.error)
    if wishes.broken and not chat.stream:
        if wishes.broken == "cut":
            raise Cut
        return failure(500)
    reply = compose(prompt, chat.model)
    about = {"id": f"chatcmpl-{uuid4().hex}", "created": int(time.time()), "model": chat.model}
    headers = {"x-request-id": f"req_{uuid4().hex}"}
    if chat.stream:
        events = _events(chat, prompt, reply, about)
        return Answer(stream(events, wishes), content_type="text/event-stream; charset=utf-8", headers=headers)
    choice = {"index": 0, "message": _message(reply), "logprobs": None, "finish_reason": _finish(reply)}
    completion = {**about, "object": "chat.completion", "choices": [choice], "usage": _usage(prompt, reply)}
    return whole({**completion, "service_tier": "default", "system_fingerprint": "fp_demo"}, headers)


def _events(chat: Chat, prompt: Prompt, reply: Reply, about: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    with_usage = bool(chat.stream_options and chat.stream_options.include_usage)
    base = {**about, "object": "chat.completion.chunk", "service_tier": "default", "system_fingerprint": "fp_demo"}

    def chunk(delta: Mapping[str, Any], finish: str | None = None) -> Mapping[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**base, "choices": [choice]} | ({"usage": None} if with_usage else {})

    if reply.call:
        name, arguments = reply.call
        call = {"index": 0, "id": f"call_{uuid4().hex[:24]}", "type": "function"}
        first = {**call, "function": {"name": name, "arguments": ""}}
        yield chunk({"role": "assistant", "content": None, "tool_calls": [first]})
        for piece in pieces(arguments):
            yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
    else:
        yield chunk({"role": "assistant", "content": "", "refusal": None})
        for piece in pieces(reply.text):
            yield chunk({"content": piece})
    yield chunk({}, _finish(reply))
    if with_usage:
        yield {**base, "choices": [], "usage": _usage(prompt, reply)}


def _prompt(chat: Chat, header: str) -> Prompt:
    texts = [_text(message) for message in chat.messages]
    asked = next((t for m, t in zip(chat.messages[::-1], texts[::-1], strict=True) if isinstance(m, UserMessage)), "")
    last = chat.messages[-1]
    # A second turn finds the turns before it in the cache, as it would at OpenAI.
    old = next((i for i in range(len(texts) - 1, -1, -1) if isinstance(chat.messages[i], AssistantMessage)), 0)
    choice = chat.tool_choice
    tools = () if choice == "none" else tuple(_tool(tool.function) for tool in chat.tools or ())
    forced = choice.function.name if isinstance(choice, NamedChoice) else None
    if forced is not None and forced not in {tool.name for tool in tools}:
        raise BadRequest(f"tool_choice names {forced!r}, which is not among the tools.", "tool_choice")
    stops = (chat.stop,) if isinstance(chat.stop, str) else tuple(chat.stop or ())
    return Prompt(
        text=asked,
        tokens=sum(map(count, texts)),
        cached_tokens=sum(map(count, texts[:old])),
        tool_result=texts[-1] if isinstance(last, ToolMessage) else None,
        tools=tools,
        forced=forced or (tools[0].name if choice == "required" else None),
        schema=_schema(chat),
        think=chat.reasoning_effort not in {None, "none"},
        max_tokens=chat.max_completion_tokens or chat.max_tokens,
        stop=stops,
        wishes=read_wishes(header, asked),
    )


def _tool(spec: Any) -> Tool:
    return Tool(spec.name, spec.parameters or {"type": "object"})


def _schema(chat: Chat) -> Mapping[str, Any] | None:
    match chat.response_format:
        case None:
            return None
        case wanted if wanted.json_schema is not None:
            return wanted.json_schema.schema_ or _ANY_OBJECT
        case wanted:
            return _ANY_OBJECT if wanted.type == "json_object" else None


def _text(message: Message) -> str:
    content = message.content
    if isinstance(content, list):
        return " ".join(part.text for part in content if isinstance(part, TextPart))
    return content or ""


def _message(reply: Reply) -> Mapping[str, Any]:
    if not reply.call:
        return {"role": "assistant", "content": reply.text, "refusal": None, "annotations": []}
    name, arguments = reply.call
    call = {"id": f"call_{uuid4().hex[:24]}", "type": "function", "function": {"name": name, "arguments": arguments}}
    return {"role": "assistant", "content": None, "refusal": None, "annotations": [], "tool_calls": [call]}


def _finish(reply: Reply) -> str:
    return "tool_calls" if reply.call else _FINISH[reply.ending]


def _usage(prompt: Prompt, reply: Reply) -> Mapping[str, Any]:
    return {
        "prompt_tokens": prompt.tokens,
        "completion_tokens": reply.tokens,
        "total_tokens": prompt.tokens + reply.tokens,
        "prompt_tokens_details": {"cached_tokens": prompt.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reply.reasoning_tokens, "audio_tokens": 0},
    }


def _model(name: str) -> Mapping[str, Any]:
    return {"id": name, "object": "model", "created": 1764547200, "owned_by": "llmroute-demo"}
