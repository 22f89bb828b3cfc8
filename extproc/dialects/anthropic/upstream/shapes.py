"""What Anthropic answers, typed as far as we read it. Unknown members and blocks are left to the reader to list."""

import re
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
    container: Any = None


class Message(msgspec.Struct, gc=False):
    """A whole message, or the empty one that a stream begins with."""

    type: str = ""
    content: list[ContentBlock] | None = None
    error: Any = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: Any = None
    usage: Any = None
    id: str | None = None
    model: str | None = None
    container: Any = None
    context_management: Any = None
    input_transformations: Any = None


class StreamEvent(msgspec.Struct, gc=False):
    """One event of any type."""

    type: str
    index: int = 0
    delta: Delta | None = None
    content_block: ContentBlock | None = None
    message: Message | None = None
    usage: Any = None
    error: Any = None
    context_management: Any = None
    input_transformations: Any = None


_BESIDE: Final = ("container", "context_management", "input_transformations")
#: Whole characters and escapes; half of a surrogate pair at the end is left.
_BEGUN: Final = re.compile(
    r'[ \t\r\n]*\{[ \t\r\n]*"input"[ \t\r\n]*:[ \t\r\n]*"'
    r'((?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4}'
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})*+)"
)
text_decoder: Final = msgspec.json.Decoder(PlainText)


def explanation_of(details: Any) -> str | None:
    """Why an answer was refused, in the maker's words."""
    told = details.get("explanation") if isinstance(details, dict) else None
    return told if isinstance(told, str) and told else None


def lost_beside(told: Message | StreamEvent | Delta) -> list[str]:
    """What stands beside the content and has no neutral form. See docs/dialects/answers.md for what needs none."""
    lost = [name for name in _BESIDE if _says(getattr(told, name, None))]
    details = getattr(told, "stop_details", None)
    if isinstance(details, dict) and details.get("category"):
        lost.append("stop_details.category")
    usage = getattr(told, "usage", None)
    if isinstance(usage, dict):
        lost += ["usage.server_tool_use"] if _says(usage.get("server_tool_use")) else []
        lost += ["usage.speed"] if usage.get("speed") not in (None, "standard") else []
    return lost


def _says(value: Any) -> bool:
    """Whether there is anything in it; counts of 0 and empty lists say nothing."""
    return any(map(_says, value.values())) if isinstance(value, dict) else bool(value)


def plain_text(arguments: bytes) -> str | None:
    """The text that a custom tool was called with, None when it is not there."""
    try:
        return text_decoder.decode(arguments).input
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def begun_text(arguments: str) -> str:
    """As much of that text as there is in arguments that were cut, empty when it had not begun."""
    found = _BEGUN.match(arguments)
    if found is None:
        return ""
    try:
        return msgspec.json.decode(f'"{found[1]}"', type=str)
    except msgspec.DecodeError:
        return ""
