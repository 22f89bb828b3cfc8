"""A whole message of Anthropic's."""

from typing import Any, Final

import msgspec

from extproc.conversation.errors import UpstreamError
from extproc.conversation.request import Citation, Text, Thinking, ToolCall
from extproc.conversation.response import CUT_SHORT, Response, Stop
from extproc.dialects.anthropic.citations import maybe_citation
from extproc.dialects.anthropic.errors import bad_answer, read_error_object
from extproc.dialects.anthropic.upstream.shapes import (
    STOPS,
    ContentBlock,
    Message,
    explanation_of,
    lost_beside,
    plain_text,
)
from extproc.dialects.anthropic.usage import read_counts, read_tier
from extproc.dialects.contract import UpstreamRequest
from extproc.wire import jsontext

_DECODER: Final = msgspec.json.Decoder(Message)


class _Counted(msgspec.Struct):
    input_tokens: int


_counted: Final = msgspec.json.Decoder(_Counted)


def read_response(body: bytes, sent: UpstreamRequest) -> Response:
    """The answer in neutral form.

    Raises ``UpstreamError``: 502 for a body that is no message; an error under a 200 keeps its own kind and status.
    """
    try:
        answer = jsontext.decoded(_DECODER, body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_answer(f"its body cannot be read as a message: {error}") from error
    if answer.type == "error":
        raise UpstreamError(read_error_object(answer.error))
    if answer.content is None:
        raise bad_answer("its body has no content")
    blocks: list[Text | Thinking | ToolCall] = []
    losses = lost_beside(answer)
    native = answer.stop_reason or ""
    stop = STOPS.get(native, Stop.UNKNOWN)
    for position, block in enumerate(answer.content):
        known = _maybe_block(block, sent.custom_tools, cut=stop in CUT_SHORT)
        if known is None:
            losses.append(f"content[{position}].{block.type}")
        else:
            blocks.append(known)
    if losses and not blocks and stop not in CUT_SHORT:
        raise bad_answer(f"it holds nothing that can be passed on ({losses[0].rpartition('.')[2]})")
    return Response(
        blocks=tuple(blocks),
        stop=stop,
        native_stop=native,
        usage=read_counts(answer.usage).neutral(),
        id=answer.id,
        model=answer.model,
        service_tier=read_tier(answer.usage),
        losses=tuple(losses),
        stop_sequence=answer.stop_sequence,
        explanation=explanation_of(answer.stop_details),
    )


def read_count(body: bytes) -> int:
    """``input_tokens``; raises ``UpstreamError`` when the answer does not say it."""
    try:
        counted = _counted.decode(body).input_tokens
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_answer("its body does not say input_tokens") from error
    if counted < 0:
        raise bad_answer("its input_tokens are less than none")
    return counted


def _maybe_block(block: ContentBlock, custom: frozenset[str], *, cut: bool) -> Text | Thinking | ToolCall | None:
    """None for what only Anthropic's own servers say; a client of another dialect could not answer it."""
    match block.type:
        case "text":
            return Text(block.text, citations=citations_of(block.citations))
        case "thinking":
            return Thinking("", block.thinking, block.signature)
        case "redacted_thinking":
            return Thinking("", redacted=block.data)
        case "tool_use":
            return _maybe_call(block, custom, cut=cut)
        case _:
            return None


def _maybe_call(block: ContentBlock, custom: frozenset[str], *, cut: bool) -> ToolCall | None:
    """None for a call whose plain text an answer that was cut does not hold."""
    arguments = bytes(block.input) or b"{}"
    if block.name in custom:
        text = plain_text(arguments)
        if text is None and cut:
            return None
        if text is None:
            raise bad_answer("a call of a tool that takes plain text holds none")
        return ToolCall("", block.id, block.name, text, kind="custom")
    return ToolCall("", block.id, block.name, arguments.decode())


def citations_of(value: Any) -> tuple[Citation, ...]:
    """The citations of a text block, those of unknown kinds left out."""
    told = value if isinstance(value, list) else ()
    return tuple(read for entry in told if (read := maybe_citation(entry)))
