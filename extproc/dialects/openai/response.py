"""The neutral answer as a ``chat.completion``.

Shapes: openai-python 3.54 ``types/chat/chat_completion`` and ``types/completion_usage``, read 2026-11-22. Two common
extensions carry reasoning: ``reasoning_content`` (text for display) and ``thinking_blocks`` (signed blocks, to be sent
back as they are).
"""

from typing import Any, Final

import msgspec

from extproc.conversation.errors import ApiError, Kind, UpstreamError
from extproc.conversation.request import Request, Text, Thinking, ToolCall
from extproc.conversation.response import NO_USAGE, Response, Stop, Usage
from extproc.dialects.contract import Identity
from extproc.dialects.openai.tools import LEGACY_TOOLS

_FINISH_REASONS: Final[dict[Stop, str]] = {
    Stop.END: "stop",
    Stop.STOP_SEQUENCE: "stop",
    Stop.LENGTH: "length",
    Stop.CONTEXT_FULL: "length",
    Stop.TOOL_CALLS: "stop",
    Stop.FILTERED: "content_filter",
    Stop.UNKNOWN: "stop",
}
#: The tiers that OpenAI's clients know; another vendor's word would fail their validation.
_SERVICE_TIERS: Final = frozenset({"auto", "default", "flex", "scale", "priority", "fast"})
_ID_PREFIX: Final = "chatcmpl-"


def write_response(response: Response, request: Request, identity: Identity) -> bytes:
    """The body of a whole answer. ``finish_reason`` tells of calls whenever there are some and the answer is not cut.

    Raises:
        UpstreamError: the answer stopped as malformed, which no finish reason can say.
    """
    legacy = speaks_functions(request)
    message, has_calls = _message(response, legacy=legacy)
    answer: dict[str, Any] = {
        "id": completion_id(response.id, identity),
        "object": "chat.completion",
        "created": identity.created,
        "model": response.model or identity.model,
        "choices": [
            {
                "index": 0,
                "message": message,
                "logprobs": None,
                "finish_reason": finish_reason(response.stop, has_calls=has_calls, legacy=legacy),
            }
        ],
    }
    if response.usage != NO_USAGE:
        answer["usage"] = usage_object(response.usage)
    if response.service_tier in _SERVICE_TIERS:
        answer["service_tier"] = response.service_tier
    return msgspec.json.encode(answer)


def completion_id(upstream_id: str | None, identity: Identity) -> str:
    """The answer's id, in OpenAI's form: the upstream's where it has one, so that it can be found in its logs."""
    tail = upstream_id or identity.id
    return tail if tail.startswith(_ID_PREFIX) else _ID_PREFIX + tail


def speaks_functions(request: Request) -> bool:
    """Whether the client uses the deprecated ``functions``, whose answers hold one ``function_call``."""
    return bool(request.tools) and request.tools[0].path.startswith(LEGACY_TOOLS)


def known_tier(service_tier: str | None) -> str | None:
    """The tier, if OpenAI's clients know it."""
    return service_tier if service_tier in _SERVICE_TIERS else None


def finish_reason(stop: Stop, *, has_calls: bool, legacy: bool) -> str:
    """OpenAI's word. Calls decide, not the upstream's reason, unless the answer is cut or filtered.

    Raises:
        UpstreamError: for ``Stop.MALFORMED``.
    """
    if stop is Stop.MALFORMED:
        message = "the model broke off with a malformed answer; send the request again"
        raise UpstreamError(ApiError(status=502, kind=Kind.SERVER, message=message))
    reason = _FINISH_REASONS[stop]
    if has_calls and reason == "stop":
        return "function_call" if legacy else "tool_calls"
    return reason


def usage_object(usage: Usage) -> dict[str, Any]:
    """``usage``: the three counts are always numbers, a detail is there only when it is known."""
    prompt, completion = usage.input_tokens or 0, usage.output_tokens or 0
    total = prompt + completion
    if usage.total_tokens is not None and (usage.input_tokens is None or usage.output_tokens is None):
        total = usage.total_tokens
    counts: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total}
    details = {"cached_tokens": usage.cached_input_tokens, "cache_write_tokens": usage.cache_write_tokens}
    if known := {name: count for name, count in details.items() if count is not None}:
        counts["prompt_tokens_details"] = known
    if usage.reasoning_tokens is not None:
        counts["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return counts


def thinking_object(text: str, signature: str | None, redacted: str | None) -> dict[str, Any]:
    """One entry of ``thinking_blocks``."""
    if redacted is not None:
        return {"type": "redacted_thinking", "data": redacted}
    if signature is None:
        return {"type": "thinking", "thinking": text}
    return {"type": "thinking", "thinking": text, "signature": signature}


def _message(response: Response, *, legacy: bool) -> tuple[dict[str, Any], bool]:
    """The message, and whether it holds calls."""
    texts = [block for block in response.blocks if isinstance(block, Text)]
    thinking = [block for block in response.blocks if isinstance(block, Thinking)]
    calls = [block for block in response.blocks if isinstance(block, ToolCall)]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": _joined(texts, "text"),
        "refusal": _joined(texts, "refusal"),
    }
    if thinking:
        if reasoning := "".join(block.text for block in thinking):
            message["reasoning_content"] = reasoning
        message["thinking_blocks"] = [thinking_object(b.text, b.signature, b.redacted) for b in thinking]
    if calls and legacy:
        # The deprecated form has room for one call; the model repeats the others once it sees the first result.
        message["function_call"] = {"name": calls[0].name, "arguments": calls[0].arguments}
    elif calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in calls
        ]
    return message, bool(calls)


def _joined(texts: list[Text], kind: str) -> str | None:
    """The text of all blocks of a kind, None when there is no such block."""
    chosen = [block.text for block in texts if block.kind == kind]
    return "".join(chosen) if chosen else None
