"""Whose a piece of reasoning is, and what of it may go where.

Signed reasoning is valid at the model that made it, and nowhere else: another maker answers 400, and a Claude drops
what another Claude thought. Clients give back what they were given, so the gateway writes the origin into the
signature of what it translates, and takes it out again before the maker sees it. An answer that passes untouched is not
marked; its client's dialect says who made it.

An origin is ``<maker>`` (``anthropic``, ``google`` ...), or ``<maker>.<hash>`` with eight hex digits of the model's
name.
"""

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from msgspec.structs import replace

from extproc.conversation.capabilities import Capabilities
from extproc.conversation.errors import Loss
from extproc.conversation.request import Thinking, Turn

_MARK: Final = "llmr1."
_MARKED: Final = re.compile(r"llmr1\.(?P<origin>[a-z]*\.[0-9a-f]{8})\.(?P<signature>.*)", re.DOTALL)
#: Where an upstream that signs nothing has reasoning to tell: it can be shown, and never goes back.
UNSIGNED: Final = ""

NOBODYS: Final = "the model takes no reasoning of earlier turns back"
ANOTHERS: Final = "not all reasoning of earlier turns is this model's own and signed, so none of it can go back"


def origin_of(capabilities: Capabilities, model: str) -> str:
    """The origin of what ``model`` (the upstream's name) thinks."""
    return f"{capabilities.maker}.{sha256(model.encode()).hexdigest()[:8]}"


def marked(signature: str, origin: str) -> str:
    """The signature (or redacted data) as a client gets it."""
    return f"{_MARK}{origin}.{signature}"


def is_marked(signature: str) -> bool:
    """Whether the gateway wrote an origin into it."""
    return signature.startswith(_MARK)


def unmarked(signature: str, otherwise: str | None) -> tuple[str, str | None]:
    """The maker's own signature, and its origin: ``otherwise`` when it is not marked."""
    found = _MARKED.fullmatch(signature) if signature.startswith(_MARK) else None
    return (signature, otherwise) if found is None else (found["signature"], found["origin"])


def fits(thinking: Thinking, capabilities: Capabilities, model: str) -> bool:
    """Whether ``model`` made it, as far as is known, and can check that it did."""
    if thinking.signature == UNSIGNED or (thinking.signature is None and thinking.redacted is None):
        return False
    if thinking.origin is None or thinking.origin == capabilities.maker:
        return True
    return thinking.origin == origin_of(capabilities, model)


def without_foreign(
    turns: Sequence[Turn], capabilities: Capabilities, model: str
) -> tuple[tuple[Turn, ...], tuple[Loss, ...]]:
    """The turns less all reasoning when any of it is another's: one gap among them fails the maker's check as a whole.

    The same turns come back when there is nothing to take away.
    """
    thoughts = [block for turn in turns for block in turn.blocks if isinstance(block, Thinking)]
    if not thoughts or (capabilities.thinking_blocks and all(fits(block, capabilities, model) for block in thoughts)):
        return tuple(turns), ()
    reason = ANOTHERS if capabilities.thinking_blocks else NOBODYS
    kept = (
        replace(turn, blocks=tuple(block for block in turn.blocks if not isinstance(block, Thinking))) for turn in turns
    )
    return tuple(kept), (Loss(thoughts[0].path, "drop", reason),)
