"""What Anthropic answers, typed as far as we read it. Unknown members and blocks are left to the reader to list."""

from typing import Any, Final

import msgspec

from extproc.conversation.response import Stop

STOPS: Final = {
    "end_turn": Stop.END,
    "max_tokens": Stop.LENGTH,
    "stop_sequence": Stop.STOP_SEQUENCE,
    "tool_use": Stop.TOOL_CALLS,
    "pause_turn": Stop.PAUSED,
    "compaction": Stop.PAUSED,
    "refusal": Stop.REFUSAL,
    "model_context_window_exceeded": Stop.CONTEXT_FULL,
}


class PlainText(msgspec.Struct, gc=False):
    """The input of a tool that takes plain text."""

    input: str


class ContentBlock(msgspec.Struct, gc=False):
    """A block of any type; ``input`` stays the verbatim JSON text."""

    type: str
    text: str = ""
    thinking: str = ""
    signature: str | None = None
    data: str | None = None
    id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw()
    citations: Any = None


class Delta(msgspec.Struct, gc=False):
    """The delta of a block (``type``) or of the message."""

    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    partial_json: str = ""
    citation: Any = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: Any = None


class Message(msgspec.Struct, gc=False):
    """A whole message, or the empty one that a stream begins with."""

    type: str = ""
    content: list[ContentBlock] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: Any = None
    usage: Any = None
    id: str | None = None
    model: str | None = None


class StreamEvent(msgspec.Struct, gc=False):
    """One event of any type."""

    type: str
    index: int = 0
    delta: Delta | None = None
    content_block: ContentBlock | None = None
    message: Message | None = None
    usage: Any = None
    error: Any = None


text_decoder: Final = msgspec.json.Decoder(PlainText)


def explanation_of(details: Any) -> str | None:
    """Why an answer was refused, in the maker's words."""
    told = details.get("explanation") if isinstance(details, dict) else None
    return told if isinstance(told, str) and told else None


def plain_text(arguments: bytes) -> str | None:
    """The text that a custom tool was called with, None when it is not there."""
    try:
        return text_decoder.decode(arguments).input
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
