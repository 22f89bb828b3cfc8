"""The echoes of the clouds' formats: Bedrock's Converse, InvokeModel's frames around Messages, and Gemini."""

import base64
import json
from typing import Any

from tests.support.echo_makers import AnthropicEcho
from tests.support.echo_upstreams import Answer, Heard, Spent, literal, pieces, sse
from tests.support.eventstream_frames import event

_EVENTSTREAM = "application/vnd.amazon.eventstream"


class InvokeEcho(AnthropicEcho):
    """InvokeModel: Messages inside AWS's frames."""

    content_type = _EVENTSTREAM

    def stream(self, answer: Answer) -> list[bytes]:
        """One frame for each event."""
        datas = [one.partition(b"data: ")[2].strip() for one in super().stream(answer)]
        return [
            event("chunk", json.dumps({"bytes": base64.b64encode(data).decode(), "p": "ab"}).encode()) for data in datas
        ]


class ConverseEcho:
    """``/model/{id}/converse``."""

    content_type = _EVENTSTREAM
    signs = True

    def hear(self, body: bytes) -> Heard:
        """What the messages say."""
        request, heard = literal(body), Heard()
        heard.system.extend(element["text"] for element in request.get("system", ()))
        tools = request.get("toolConfig", {}).get("tools", ())
        heard.tools.extend(tool["toolSpec"]["name"] for tool in tools if "toolSpec" in tool)
        for message in request["messages"]:
            if message["role"] == "assistant":
                heard.last[:] = message["content"]
            for element in message["content"]:
                [(kind, value)] = element.items()
                self._element(message["role"], kind, value, heard)
        return heard

    def _element(self, role: str, kind: str, value: Any, heard: Heard) -> None:
        match kind:
            case "text" if role == "system":
                heard.system.append(value)
            case "text":
                heard.say(role, value)
            case "image":
                heard.pictures.append(value["source"]["bytes"])
            case "toolUse":
                heard.calls.append((value["toolUseId"], value["name"], value["input"]))
            case "toolResult":
                text = "".join(part["text"] for part in value["content"])
                heard.results.append((value["toolUseId"], text, value.get("status") == "error"))
            case "reasoningContent":
                pass
            case other:
                raise AssertionError(other)

    def whole(self, answer: Answer) -> bytes:
        """A ``ConverseResponse``."""
        inputs = {f"\x00{i}": call[2] for i, call in enumerate(answer.calls)}
        message = {"role": "assistant", "content": self._content(answer, list(inputs))}
        told = json.dumps(
            {
                "output": {"message": message},
                "stopReason": _converse_stop(answer),
                "usage": _converse_usage(answer.spent),
                "metrics": {"latencyMs": 1},
            }
        )
        for marker, raw in inputs.items():
            told = told.replace(json.dumps(marker), raw)
        return told.encode()

    def stream(self, answer: Answer) -> list[bytes]:
        """Frames: no start for text and reasoning, and the usage after the end."""
        blocks: list[tuple[dict[str, Any] | None, list[dict[str, Any]]]] = []
        if answer.thought is not None:
            thoughts = [{"reasoningContent": {"text": part}} for part in pieces(answer.thought)]
            blocks.append((None, [*thoughts, {"reasoningContent": {"signature": answer.signature}}]))
        if answer.text:
            blocks.append((None, [{"text": part} for part in pieces(answer.text)]))
        for one, name, arguments in answer.calls:
            start = {"toolUse": {"toolUseId": one, "name": name}}
            blocks.append((start, [{"toolUse": {"input": part}} for part in pieces(arguments)]))
        frames = [_framed("messageStart", {"role": "assistant"})]
        for index, (opened, deltas) in enumerate(blocks):
            at = {"contentBlockIndex": index}
            if opened is not None:
                frames.append(_framed("contentBlockStart", {**at, "start": opened}))
            frames += [_framed("contentBlockDelta", {**at, "delta": delta}) for delta in deltas]
            frames.append(_framed("contentBlockStop", at))
        frames.append(_framed("messageStop", {"stopReason": _converse_stop(answer)}))
        usage = {"usage": _converse_usage(answer.spent), "metrics": {"latencyMs": 1}}
        return [*frames, _framed("metadata", usage)]

    def spoken(self, answer: Answer) -> list[Any]:
        """Its blocks, exactly."""
        return self._content(answer, [literal(call[2]) for call in answer.calls])

    def _content(self, answer: Answer, inputs: list[Any]) -> list[Any]:
        content: list[Any] = []
        if answer.thought is not None:
            told = {"text": answer.thought, "signature": answer.signature}
            content.append({"reasoningContent": {"reasoningText": told}})
        if answer.text:
            content.append({"text": answer.text})
        for (one, name, _), given in zip(answer.calls, inputs, strict=True):
            content.append({"toolUse": {"toolUseId": one, "name": name, "input": given}})
        return content


def _framed(kind: str, payload: dict[str, Any]) -> bytes:
    return event(kind, json.dumps(payload).encode())


def _converse_stop(answer: Answer) -> str:
    return "tool_use" if answer.calls else "end_turn"


def _converse_usage(spent: Spent) -> dict[str, Any]:
    fresh = spent.prompt - spent.cached - spent.written
    counts = {"inputTokens": fresh, "outputTokens": spent.output, "totalTokens": fresh + spent.output}
    return {**counts, "cacheReadInputTokens": spent.cached, "cacheWriteInputTokens": spent.written}


class GeminiEcho:
    """``:generateContent``; ``with_ids``: a model that gives its calls ids, and signs the first call of a step."""

    content_type = "text/event-stream"
    signs = True

    def __init__(self, *, with_ids: bool) -> None:
        self._with_ids = with_ids

    def hear(self, body: bytes) -> Heard:
        """What the contents say."""
        request, heard = literal(body), Heard()
        heard.system.extend(part["text"] for part in request.get("systemInstruction", {}).get("parts", ()))
        for tool in request.get("tools", ()):
            heard.tools.extend(function["name"] for function in tool.get("functionDeclarations", ()))
        for content in request["contents"]:
            if content["role"] == "model":
                heard.last[:] = content["parts"]
            for part in content["parts"]:
                self._part("assistant" if content["role"] == "model" else "user", part, heard)
        return heard

    def _part(self, role: str, part: dict[str, Any], heard: Heard) -> None:
        if "functionCall" in part:
            call = part["functionCall"]
            heard.calls.append((call.get("id"), call["name"], call["args"]))
        elif "functionResponse" in part:
            result = part["functionResponse"]
            failed = "error" in result["response"]
            heard.results.append((result.get("id"), result["response"]["error" if failed else "output"], failed))
        elif "inlineData" in part:
            heard.pictures.append(part["inlineData"]["data"])
        elif not part.get("thought"):
            heard.say(role, part["text"])

    def whole(self, answer: Answer) -> bytes:
        """A ``GenerateContentResponse``."""
        inputs = {f"\x00{i}": call[2] for i, call in enumerate(answer.calls)}
        told = json.dumps(_response(self._parts(answer, list(inputs)), answer.spent, done=True))
        for marker, raw in inputs.items():
            told = told.replace(json.dumps(marker), raw)
        return told.encode()

    def stream(self, answer: Answer) -> list[bytes]:
        """Each part in a response of its own, long unsigned texts in several."""
        chunks: list[str] = []
        parts = self._parts(answer, [f"\x00{i}" for i in range(len(answer.calls))])
        for part in parts:
            split = [part]
            if "text" in part and "thoughtSignature" not in part:
                split = [{**part, "text": piece} for piece in pieces(part["text"])]
            chunks += [json.dumps(_response([one], None, done=False)) for one in split]
        for i, call in enumerate(answer.calls):
            chunks = [chunk.replace(json.dumps(f"\x00{i}"), call[2]) for chunk in chunks]
        return sse([*chunks, json.dumps(_response([], answer.spent, done=True))])

    def spoken(self, answer: Answer) -> list[Any]:
        """Its parts, each signature where it was."""
        return self._parts(answer, [literal(call[2]) for call in answer.calls])

    def _parts(self, answer: Answer, inputs: list[Any]) -> list[Any]:
        parts: list[dict[str, Any]] = []
        if answer.thought is not None:
            parts.append({"text": answer.thought, "thought": True})
        if answer.text:
            parts.append({"text": answer.text})
        first = len(parts)
        for (one, name, _), given in zip(answer.calls, inputs, strict=True):
            call = {"name": name, "args": given}
            parts.append({"functionCall": {"id": one, **call} if self._with_ids else call})
        if parts and (answer.calls or answer.thought is not None) and (answer.text or answer.calls):
            signed = parts[first] if answer.calls else parts[-1]
            signed["thoughtSignature"] = answer.signature
        return parts


def _response(parts: list[dict[str, Any]], spent: Spent | None, *, done: bool) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if done:
        candidate["finishReason"] = "STOP"
    told: dict[str, Any] = {"candidates": [candidate], "modelVersion": "up", "responseId": "r1"}
    if spent is not None:
        told["usageMetadata"] = {
            "promptTokenCount": spent.prompt,
            "cachedContentTokenCount": spent.cached,
            "candidatesTokenCount": spent.output,
            "totalTokenCount": spent.prompt + spent.output,
        }
    return told
