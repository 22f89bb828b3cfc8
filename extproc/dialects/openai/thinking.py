"""Reasoning in assistant messages: what of an earlier answer goes back to its maker.

``thinking_blocks`` is the form that this gateway (and LiteLLM) writes; ``reasoning_details`` is OpenRouter's, which
several clients echo. Both hold signed blocks. ``reasoning_content`` and ``reasoning`` are for display and never read.
"""

from typing import Any, Final

from extproc.conversation.request import Extra, Thinking
from extproc.dialects.openai.fields import Members

#: The members of an assistant message that this module knows.
THINKING_MEMBERS: Final = frozenset({"thinking_blocks", "reasoning_details", "reasoning_content", "reasoning"})

_BLOCK_TYPES: Final = {word: word for word in ("thinking", "redacted_thinking")}
#: The makers' formats of ``reasoning_details`` whose blocks are Claude's: no other maker's may go there.
_CLAUDE_FORMAT: Final = "anthropic-"


def read_thinking(message: Members, extras: list[Extra]) -> tuple[Thinking, ...]:
    """The thinking blocks of an assistant message; ``thinking_blocks`` wins if both forms are there.

    Raises:
        ClientError: a block is of an unknown type, or lacks what makes it one.
    """
    if message.values.keys().isdisjoint(THINKING_MEMBERS):
        return ()
    if blocks := message.objects("thinking_blocks"):
        return tuple(_read_block(block) for block in blocks)
    details = (_maybe_detail(detail, extras) for detail in message.objects("reasoning_details"))
    return tuple(detail for detail in details if detail)


def _read_block(block: Members) -> Thinking:
    if block.word("type", _BLOCK_TYPES) == "redacted_thinking":
        return Thinking(block.path, redacted=block.name("data"))
    return Thinking(block.path, text=block.text("thinking"), signature=block.maybe_text("signature"))


def _maybe_detail(detail: Members, extras: list[Extra]) -> Thinking | None:
    """One entry of ``reasoning_details``; what is not Claude's, or a mere summary, is listed as left out."""
    if (detail.maybe_text("format") or _CLAUDE_FORMAT).startswith(_CLAUDE_FORMAT):
        detail_type: Any = detail.text("type")
        if detail_type == "reasoning.text":
            return Thinking(detail.path, text=detail.maybe_text("text") or "", signature=detail.maybe_text("signature"))
        if detail_type == "reasoning.encrypted":
            return Thinking(detail.path, redacted=detail.name("data"))
    extras.append(Extra(detail.path, detail.values))
    return None
