"""The echoes of the two makers' own formats: OpenAI's chat completions and Anthropic's Messages."""

import json
from typing import Any

from tests.support.echo_upstreams import Answer, Heard, Spent, literal, pieces, sse


class OpenAIEcho:
    """``/v1/chat/completions``."""

    content_type = "text/event-stream"
    signs = False

    def hear(self, body: bytes) -> Heard:
        """What the messages say."""
        request, heard = literal(body), Heard()
        heard.tools.extend(tool["function"]["name"] for tool in request.get("tools", ()))
        for message in request["messages"]:
            self._message(message, heard)
        return heard

    def _message(self, message: dict[str, Any], heard: Heard) -> None:
        content = message.get("content")
        parts: list[dict[str, Any]] = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
        text = "".join(part["text"] for part in parts if part["type"] == "text")
        match message["role"]:
            case "system" | "developer":
                heard.system.extend(part["text"] for part in parts)
            case "tool":
                failed = text.startswith("Error: ")
                heard.results.append(
                    (message["tool_call_id"], text.removeprefix("Error: ") if failed else text, failed)
                )
            case "assistant":
                calls = [(call["id"], call["function"]) for call in message.get("tool_calls", ())]
                told = [(one, function["name"], literal(function["arguments"])) for one, function in calls]
                heard.last[:] = [text, told]
                heard.calls.extend(told)
                heard.say("assistant", text)
            case _:
                heard.say("user", text)
                urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
                heard.pictures.extend(url.partition(",")[2] for url in urls)

    def whole(self, answer: Answer) -> bytes:
        """A ``chat.completion``."""
        message: dict[str, Any] = {"role": "assistant", "content": answer.text or None}
        if answer.thought is not None:
            message["reasoning_content"] = answer.thought
        if answer.calls:
            message["tool_calls"] = [_openai_call(*call) for call in answer.calls]
        choice = {"index": 0, "message": message, "finish_reason": _openai_finish(answer), "logprobs": None}
        head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "up"}
        return json.dumps({**head, "choices": [choice], "usage": _openai_usage(answer.spent)}).encode()

    def stream(self, answer: Answer) -> list[bytes]:
        """Chunks, usage in the last one."""
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        deltas += [{"reasoning_content": part} for part in pieces(answer.thought or "")]
        deltas += [{"content": part} for part in pieces(answer.text)]
        for index, (one, name, arguments) in enumerate(answer.calls):
            deltas.append({"tool_calls": [{"index": index, **_openai_call(one, name, "")}]})
            deltas += [
                {"tool_calls": [{"index": index, "function": {"arguments": part}}]} for part in pieces(arguments)
            ]
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "up"}
        chunks = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
        chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": _openai_finish(answer)}]})
        chunks.append({**head, "choices": [], "usage": _openai_usage(answer.spent)})
        return sse([*chunks, "[DONE]"])

    def spoken(self, answer: Answer) -> list[Any]:
        """Text and calls; nobody takes its reasoning back."""
        return [answer.text, [(one, name, literal(arguments)) for one, name, arguments in answer.calls]]


def _openai_call(one: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": one, "type": "function", "function": {"name": name, "arguments": arguments}}


def _openai_finish(answer: Answer) -> str:
    return "tool_calls" if answer.calls else "stop"


def _openai_usage(spent: Spent) -> dict[str, Any]:
    details = {"cached_tokens": spent.cached, "cache_write_tokens": spent.written}
    return {
        "prompt_tokens": spent.prompt,
        "completion_tokens": spent.output,
        "total_tokens": spent.prompt + spent.output,
        "prompt_tokens_details": details,
    }


class AnthropicEcho:
    """``/v1/messages``, wherever it is hosted."""

    content_type = "text/event-stream"
    signs = True

    def hear(self, body: bytes) -> Heard:
        """What the messages say."""
        request, heard = literal(body), Heard()
        heard.system.extend(_texts(request.get("system", [])))
        heard.tools.extend(tool["name"] for tool in request.get("tools", ()))
        for message in request["messages"]:
            content = message["content"]
            blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
            if message["role"] == "system":
                heard.system.extend(_texts(blocks))
                continue
            if message["role"] == "assistant":
                heard.last[:] = blocks
            for block in blocks:
                self._block(message["role"], block, heard)
        return heard

    def _block(self, role: str, block: dict[str, Any], heard: Heard) -> None:
        match block["type"]:
            case "text":
                heard.say(role, block["text"])
            case "image":
                heard.pictures.append(block["source"]["data"])
            case "tool_use":
                heard.calls.append((block["id"], block["name"], block["input"]))
            case "tool_result":
                text = "".join(_texts(block.get("content", [])))
                heard.results.append((block["tool_use_id"], text, block.get("is_error", False)))
            case "thinking" | "redacted_thinking":
                pass
            case other:
                raise AssertionError(other)

    def whole(self, answer: Answer) -> bytes:
        """A ``message``."""
        inputs = {f"\x00{i}": call[2] for i, call in enumerate(answer.calls)}
        content = self._content(answer, list(inputs))
        head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "up", "content": content}
        told = json.dumps({**head, **_anthropic_stop(answer), "usage": _anthropic_usage(answer.spent)})
        for marker, raw in inputs.items():
            told = told.replace(json.dumps(marker), raw)
        return told.encode()

    def stream(self, answer: Answer) -> list[bytes]:
        """Events, each block's content in deltas."""
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "up", "content": []}
        usage = _anthropic_usage(answer.spent)
        start = {**message, "stop_reason": None, "stop_sequence": None, "usage": {**usage, "output_tokens": 1}}
        events: list[dict[str, Any]] = [{"type": "message_start", "message": start}, {"type": "ping"}]
        for index, (block, deltas) in enumerate(_anthropic_blocks(answer)):
            events.append({"type": "content_block_start", "index": index, "content_block": block})
            events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
            events.append({"type": "content_block_stop", "index": index})
        events.append(
            {"type": "message_delta", "delta": _anthropic_stop(answer), "usage": {"output_tokens": answer.spent.output}}
        )
        return sse([*events, {"type": "message_stop"}], named=True)

    def spoken(self, answer: Answer) -> list[Any]:
        """Its blocks, exactly."""
        return self._content(answer, [literal(call[2]) for call in answer.calls])

    def _content(self, answer: Answer, inputs: list[Any]) -> list[Any]:
        content: list[Any] = []
        if answer.thought is not None:
            content.append({"type": "thinking", "thinking": answer.thought, "signature": answer.signature})
        if answer.text:
            content.append({"type": "text", "text": answer.text})
        for (one, name, _), given in zip(answer.calls, inputs, strict=True):
            content.append({"type": "tool_use", "id": one, "name": name, "input": given})
        return content


def _texts(content: Any) -> list[str]:
    return [content] if isinstance(content, str) else [block["text"] for block in content if block["type"] == "text"]


def _anthropic_stop(answer: Answer) -> dict[str, Any]:
    return {"stop_reason": "tool_use" if answer.calls else "end_turn", "stop_sequence": None}


def _anthropic_usage(spent: Spent) -> dict[str, Any]:
    return {
        "input_tokens": spent.prompt - spent.cached - spent.written,
        "cache_read_input_tokens": spent.cached,
        "cache_creation_input_tokens": spent.written,
        "output_tokens": spent.output,
    }


def _anthropic_blocks(answer: Answer) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    if answer.thought is not None:
        thoughts = [{"type": "thinking_delta", "thinking": part} for part in pieces(answer.thought)]
        signed = [{"type": "signature_delta", "signature": answer.signature}]
        blocks.append(({"type": "thinking", "thinking": "", "signature": ""}, [*thoughts, *signed]))
    if answer.text:
        texts = [{"type": "text_delta", "text": part} for part in pieces(answer.text)]
        blocks.append(({"type": "text", "text": ""}, texts))
    for one, name, arguments in answer.calls:
        fragments = [{"type": "input_json_delta", "partial_json": part} for part in pieces(arguments)]
        blocks.append(({"type": "tool_use", "id": one, "name": name, "input": {}}, fragments))
    return blocks
