"""The neutral answer as a ``message``.

Shapes: anthropic-python 2.12 ``types/message`` and ``types/content_block``, read 2026-11-22. Signatures and redacted
data carry their origin (``conversation.provenance``), so that reasoning comes back to its maker and to no other.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from extproc.conversation.errors import ApiError, Kind, UpstreamError
from extproc.conversation.provenance import UNSIGNED, marked
from extproc.conversation.request import Text, Thinking, ToolCall
from extproc.conversation.response import CUT_SHORT, Response, Stop
from extproc.dialects.anthropic.citations import maybe_written
from extproc.dialects.anthropic.client.ids import told_id
from extproc.dialects.anthropic.usage import write_usage
from extproc.dialects.contract import Identity
from extproc.wire import jsontext
from extproc.wire.errors import JsonError

_STOP_REASONS: Final = {
    Stop.END: "end_turn",
    Stop.STOP_SEQUENCE: "stop_sequence",
    Stop.LENGTH: "max_tokens",
    Stop.CONTEXT_FULL: "model_context_window_exceeded",
    Stop.TOOL_CALLS: "end_turn",
    Stop.REFUSAL: "refusal",
    Stop.FILTERED: "refusal",
    Stop.PAUSED: "pause_turn",
    Stop.UNKNOWN: "end_turn",
}
#: The reasons that calls overrule: clients decide by the reason whether to run tools.
_BEFORE_CALLS: Final = frozenset({"end_turn", "stop_sequence"})
_ID_PREFIX: Final = "msg_"
_EMPTY: Final = b"{}"


def write_response(response: Response, identity: Identity) -> bytes:
    """The body of a whole answer. Of one that is cut, a call in pieces is left out: ``input`` can hold no half object.

    Raises:
        UpstreamError: the answer is malformed, or the arguments of a call are no JSON object: a tool that ran without
            them would do something else.
    """
    cut = frozenset(cut_calls(response))
    blocks = [block for position, block in enumerate(response.blocks) if position not in cut]
    content = [written for block in blocks for written in _blocks(block, identity.origin)]
    has_calls = any(isinstance(block, ToolCall) for block in blocks)
    reason = stop_reason(response.stop, has_calls=has_calls)
    answer: dict[str, Any] = {
        "id": message_id(response.id, identity),
        "type": "message",
        "role": "assistant",
        "model": response.model or identity.model,
        "content": content,
        "stop_reason": reason,
        "stop_sequence": response.stop_sequence if reason == "stop_sequence" else None,
        "usage": write_usage(response.usage, response.service_tier),
    }
    if reason == "refusal":
        answer["stop_details"] = stop_details(response.explanation)
    if response.vendor:
        answer = {**response.vendor, **answer}
    return msgspec.json.encode(answer)


def message_id(upstream_id: str | None, identity: Identity) -> str:
    """The answer's id: the upstream's own where it has one, so that it can be found in its logs."""
    tail = upstream_id or identity.id
    return tail if tail.startswith(_ID_PREFIX) else _ID_PREFIX + tail


def stop_reason(stop: Stop, *, has_calls: bool) -> str:
    """Anthropic's word. Calls decide, not the upstream's reason, unless the answer is cut, filtered or paused.

    Raises:
        UpstreamError: for ``Stop.MALFORMED``.
    """
    if stop is Stop.MALFORMED:
        message = "the model broke off with a malformed answer; send the request again"
        raise UpstreamError(ApiError(status=502, kind=Kind.SERVER, message=message))
    reason = _STOP_REASONS[stop]
    return "tool_use" if has_calls and reason in _BEFORE_CALLS else reason


def stop_details(explanation: str | None) -> dict[str, Any]:
    """Why an answer was refused."""
    return {"type": "refusal", "category": None, "explanation": explanation}


def own_mark(signature: str, origin: str) -> str:
    """A signature as the client gets it; without an origin it is told as it is."""
    return marked(signature, origin) if origin else signature


def checked_input(arguments: str, name: str) -> bytes:
    """The arguments as they stand, if they are an object; blank ones are an empty one."""
    if not is_readable(arguments):
        shown = name[:64] if name.isprintable() else "(unprintable)"
        message = f"the model called the tool {shown!r} with arguments that are no JSON object; send the request again"
        raise UpstreamError(ApiError(status=502, kind=Kind.SERVER, message=message))
    return arguments.encode() if arguments.strip() else _EMPTY


def cut_calls(response: Response) -> Iterator[int]:
    """The positions of the calls whose arguments were cut with the answer, which ``write_response`` leaves out."""
    if response.stop not in CUT_SHORT:
        return
    for position, block in enumerate(response.blocks):
        if isinstance(block, ToolCall) and not is_readable(block.arguments):
            yield position


def is_readable(arguments: str) -> bool:
    """Whether the arguments are a whole object, or none at all."""
    text = arguments.encode()
    if not text.strip():
        return True
    try:
        jsontext.check_object(text)
    except JsonError:
        return False
    return True


def _blocks(block: Text | Thinking | ToolCall, origin: str) -> Iterator[dict[str, Any]]:
    """The content blocks for one neutral block: one, or none for what holds nothing."""
    match block:
        case Text(text=text, citations=citations):
            if text:
                told = [written for citation in citations if (written := maybe_written(citation))]
                yield {"type": "text", "text": text, **({"citations": told} if told else {})}
        case ToolCall(id=call_id, name=name, arguments=arguments):
            called = msgspec.Raw(checked_input(arguments, name))
            yield {"type": "tool_use", "id": told_id(call_id), "name": name, "input": called}
        case Thinking(redacted=str(redacted)):
            yield {"type": "redacted_thinking", "data": own_mark(redacted, origin)}
        case Thinking(text=text, signature=signature):
            if text or signature:
                mark = own_mark(signature or UNSIGNED, origin)
                yield {"type": "thinking", "thinking": text, "signature": mark}
