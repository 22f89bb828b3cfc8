"""The neutral answer as a ``chat.completion``.

Shapes: openai-python 3.54 ``types/chat/chat_completion`` and ``types/completion_usage``, read 2026-11-22. Common
extensions carry reasoning: ``reasoning_content`` (text for display) and ``reasoning_details`` (see ``carrier``).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from extproc.conversation import custom_tools
from extproc.conversation.errors import ApiError, Kind, UpstreamError
from extproc.conversation.request import Citation, Request, Text, Thinking, ToolCall
from extproc.conversation.response import NO_USAGE, Candidate, Response, Stop, TokenLogprob, Usage
from extproc.dialects.contract import Identity
from extproc.dialects.openai.carrier import Seal, bare_entry, entry, extra_content, keeps_sealing, signs_calls
from extproc.dialects.openai.tools import LEGACY_TOOLS

_FINISH_REASONS: Final[dict[Stop, str]] = {
    Stop.END: "stop",
    Stop.STOP_SEQUENCE: "stop",
    Stop.LENGTH: "length",
    Stop.CONTEXT_FULL: "length",
    Stop.TOOL_CALLS: "stop",
    Stop.REFUSAL: "content_filter",
    Stop.FILTERED: "content_filter",
    # The turn is not complete, and a client must not take it for that.
    Stop.PAUSED: "length",
    Stop.UNKNOWN: "stop",
}
#: The tiers that OpenAI's clients know; another vendor's word would fail their validation.
_SERVICE_TIERS: Final = frozenset({"auto", "default", "flex", "scale", "priority", "fast"})
_ID_PREFIX: Final = "chatcmpl-"
#: What a usage splits its prompt tokens into, of what OpenAI's clients know.
_MODALITIES: Final = {"text": "text_tokens", "image": "image_tokens", "audio": "audio_tokens"}


def write_response(response: Response, request: Request, identity: Identity) -> bytes:
    """The body of a whole answer. ``finish_reason`` tells of calls whenever there are some and the answer is not cut.

    Raises:
        UpstreamError: the answer stopped as malformed, which no finish reason can say.
    """
    first = Candidate(
        0,
        response.blocks,
        response.stop,
        response.native_stop,
        response.explanation,
        response.logprobs,
        response.vendor,
    )
    answer: dict[str, Any] = {
        "id": completion_id(response.id, identity),
        "object": "chat.completion",
        "created": identity.created,
        "model": response.model or identity.model,
        "choices": [_choice(candidate, request, identity.origin) for candidate in (first, *response.others)],
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


def custom_names(request: Request) -> frozenset[str]:
    """The names of the tools that take a text, and not a JSON object."""
    return frozenset([tool.name for tool in request.tools if tool.kind == "custom"])


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
    if usage.modalities:
        details |= {_MODALITIES[name]: count for name, count in usage.modalities.items() if name in _MODALITIES}
    if known := {name: count for name, count in details.items() if count is not None}:
        counts["prompt_tokens_details"] = known
    if usage.reasoning_tokens is not None:
        counts["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return counts


def logprobs_object(entries: Sequence[TokenLogprob] | None) -> dict[str, Any] | None:
    """``logprobs`` of a choice, None when nothing is known of them."""
    return None if entries is None else {"content": [_logprob(entry, top=True) for entry in entries], "refusal": None}


def maybe_annotation(citation: Citation, start: int, end: int) -> dict[str, Any] | None:
    """The source of the text from ``start`` to ``end``; None for one that is not on the web: there is no other form."""
    if citation.kind != "web" or citation.url is None:
        return None
    source = {"start_index": start, "end_index": end, "title": citation.title or "", "url": citation.url}
    return {"type": "url_citation", "url_citation": source}


def vendor_members(vendor: Mapping[str, Any], message: Mapping[str, Any]) -> dict[str, Any]:
    """The maker's own members, less those that would stand in for one of the message's own."""
    return {name: value for name, value in vendor.items() if name not in message}


def _choice(candidate: Candidate, request: Request, origin: str) -> dict[str, Any]:
    legacy = speaks_functions(request)
    message = _message(candidate, request, origin, legacy=legacy)
    has_calls = "tool_calls" in message or "function_call" in message
    return {
        "index": candidate.index,
        "message": message,
        "logprobs": logprobs_object(candidate.logprobs),
        "finish_reason": finish_reason(candidate.stop, has_calls=has_calls, legacy=legacy),
    }


def _message(candidate: Candidate, request: Request, origin: str, *, legacy: bool) -> dict[str, Any]:
    customs = custom_names(request)
    texts = [block for block in candidate.blocks if isinstance(block, Text)]
    calls = [block for block in candidate.blocks if isinstance(block, ToolCall)]
    refusal = _joined(texts, "refusal")
    message: dict[str, Any] = {
        "role": "assistant",
        "content": _joined(texts, "text"),
        "refusal": candidate.explanation if refusal is None else refusal,
    }
    if any(text.citations for text in texts) and (annotations := _annotations(texts)):
        message["annotations"] = annotations
    written = [_call(call, customs) for call in calls]
    if calls and legacy:
        # The deprecated form has room for one call; the model repeats the others once it sees the first result.
        message["function_call"] = {"name": calls[0].name, "arguments": calls[0].arguments}
    elif calls:
        message["tool_calls"] = written
    if len(texts) + len(calls) < len(candidate.blocks):
        message |= _reasoning(candidate.blocks, customs, origin, legacy=legacy)
        if signs_calls(origin):
            _sign(candidate.blocks, message, written, origin)
    elif keeps_sealing(request.turns, origin):
        message |= _reasoning(candidate.blocks, customs, origin, legacy=legacy)
    if candidate.vendor:
        message |= vendor_members(candidate.vendor, message)
    return message


def _reasoning(
    blocks: Sequence[Text | Thinking | ToolCall], customs: frozenset[str], origin: str, *, legacy: bool
) -> dict[str, Any]:
    """What shows of the reasoning, and what carries it."""
    seal, details, shown, called = Seal(), list[dict[str, Any]](), "", False
    for position, block in enumerate(blocks):
        match block:
            case Thinking():
                seal.thought()
                details.append(entry(len(details), block, origin))
                shown += block.text
            case Text(text=text):
                if text and block.kind == "text":
                    seal.text(position, text)
            case ToolCall():
                if not (called and legacy):
                    text = called_with(block, customs)
                    seal.call("" if legacy else block.id, block.name).append(text)
                called = True
    details = details or [bare_entry(origin)]
    details[-1]["id"] = seal.sealed()
    return {**({"reasoning_content": shown} if shown else {}), "reasoning_details": details}


def _sign(
    blocks: Sequence[Text | Thinking | ToolCall], message: dict[str, Any], calls: list[dict[str, Any]], origin: str
) -> None:
    """Puts signatures where Google's own endpoint has them as well: on the call that follows, else on the message."""
    signature: str | None = None
    remaining = iter(calls)
    for block in blocks:
        if isinstance(block, Thinking):
            # One with text is the thought's own.
            signature = signature if block.text else block.signature or signature
            continue
        call = next(remaining) if isinstance(block, ToolCall) else None
        if signature is not None:
            (message if call is None else call)["extra_content"] = extra_content(signature, origin)
            signature = None
    if signature is not None:
        message["extra_content"] = extra_content(signature, origin)


def called_with(call: ToolCall, customs: frozenset[str]) -> str:
    """The arguments of a call, or its text where the client's tool takes one."""
    if call.name in customs and call.kind == "function":
        return custom_tools.text_of(call.arguments)
    return call.arguments


def _call(call: ToolCall, customs: frozenset[str]) -> dict[str, Any]:
    text = called_with(call, customs)
    if call.name in customs or call.kind == "custom":
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": text}}
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": text}}


def _annotations(texts: Sequence[Text]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    start = 0
    for text in texts:
        if text.kind == "text":
            end = start + len(text.text)
            written = (maybe_annotation(citation, start, end) for citation in text.citations)
            found += [annotation for annotation in written if annotation is not None]
            start = end
    return found


def _logprob(entry: TokenLogprob, *, top: bool) -> dict[str, Any]:
    written: dict[str, Any] = {"token": entry.token, "bytes": entry.bytes, "logprob": entry.logprob}
    return {**written, "top_logprobs": [_logprob(other, top=False) for other in entry.top]} if top else written


def _joined(texts: Sequence[Text], kind: str) -> str | None:
    """The text of all blocks of a kind, None when there is no such block."""
    chosen = [block.text for block in texts if block.kind == kind]
    return "".join(chosen) if chosen else None
