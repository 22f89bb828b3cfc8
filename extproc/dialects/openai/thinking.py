"""Reasoning in assistant messages: what of an earlier answer goes back to its maker. See ``carrier`` for the forms."""

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from extproc.conversation.provenance import is_marked, unmarked
from extproc.conversation.request import Block, Extra, Text, Thinking, ToolCall
from extproc.dialects.openai.carrier import maker_of, maybe_arranged, seals_no_thought
from extproc.dialects.openai.fields import Members, wrong_value

_DISPLAYED: Final = ("reasoning_content", "reasoning")
#: The members of an assistant message that this module knows.
THINKING_MEMBERS: Final = frozenset({"thinking_blocks", "reasoning_details", "extra_content", *_DISPLAYED})

_BLOCK_TYPES: Final = {word: word for word in ("thinking", "redacted_thinking")}
#: Google's own endpoints say whose a signature is by the name of the product.
_GOOGLE: Final = ("google", "vertex")

MAX_THOUGHTS: Final = 4_096
"""Pieces of reasoning that one message may carry: our own bound, far above the turns of any agent."""

MAX_CARRIED: Final = 4 * 1024 * 1024
"""Characters of them, signatures included: our own bound, several times what the longest answer of any model holds."""


class Carried(Struct, frozen=True):
    """The reasoning that came with a message, in order.

    ``seal``: what tells the order of the whole turn. ``lost``: the path of a piece that is missing among them, or of
    reasoning that is shown without what it was carried in.
    """

    thoughts: tuple[Thinking, ...] = ()
    seal: str | None = None
    lost: str | None = None


NOTHING: Final = Carried()


def read_thinking(message: Members, extras: list[Extra]) -> Carried:
    """What an assistant message carries; ``thinking_blocks`` wins if both lists are there.

    Raises:
        ClientError: a block is of an unknown type, or lacks what makes it one; or there is more than the bounds allow.
    """
    if message.values.keys().isdisjoint(THINKING_MEMBERS):
        return NOTHING
    if blocks := message.objects("thinking_blocks"):
        return _bounded(Carried(tuple(_read_block(block) for block in blocks)), message.at("thinking_blocks"))
    if details := message.objects("reasoning_details"):
        return _bounded(_read_details(details, extras), message.at("reasoning_details"))
    shown = next((name for name in _DISPLAYED if message.values.get(name)), None)
    return Carried(lost=None if shown is None else message.at(shown))


def in_order(
    carried: Carried, texts: Sequence[Text], calls: Sequence[ToolCall], *, legacy: bool
) -> tuple[list[Block], str | None]:
    """The blocks of a turn as they stood, and the path of what was lost of its reasoning.

    A turn without a seal begins with its reasoning. Of one that the client has changed, no reasoning is left.
    """
    said = [text for text in texts if text.kind == "text"]
    refused = [text for text in texts if text.kind != "text"]
    if carried.seal is not None and carried.lost is None:
        arranged = maybe_arranged(carried.seal, carried.thoughts, said, calls, legacy=legacy)
        if arranged is not None:
            return [*arranged, *refused], None
        # A turn without reasoning has lost none, however the client has changed it.
        return [*texts, *calls], carried.thoughts[0].path if carried.thoughts else None
    if carried.lost is not None:
        return [*texts, *calls], carried.lost
    return [*carried.thoughts, *texts, *calls], None


def maybe_signed(node: Members, extras: list[Extra]) -> Thinking | None:
    """The signature that a call or a message has in ``extra_content``, as reasoning before it; else that is listed."""
    extra = node.values.get("extra_content")
    if extra is None:
        return None
    for name in _GOOGLE:
        vendor = extra.get(name) if isinstance(extra, dict) else None
        signature = vendor.get("thought_signature") if isinstance(vendor, dict) else None
        if isinstance(signature, str) and signature:
            told, origin = unmarked(signature, "google")
            return Thinking(f"{node.at('extra_content')}.{name}.thought_signature", signature=told, origin=origin)
    extras.append(Extra(node.at("extra_content"), extra))
    return None


def _read_block(block: Members) -> Thinking:
    if block.word("type", _BLOCK_TYPES) == "redacted_thinking":
        data, origin = unmarked(block.name("data"), None)
        return Thinking(block.path, redacted=data, origin=origin)
    return _thought(block.path, block.text("thinking"), block.maybe_text("signature"), None)


def _thought(path: str, text: str, signature: str | None, maker: str | None) -> Thinking:
    if signature is None:
        return Thinking(path, text, origin=maker)
    told, origin = unmarked(signature, maker)
    return Thinking(path, text, told, origin=origin)


def _read_details(details: list[Members], extras: list[Extra]) -> Carried:
    thoughts: list[Thinking] = []
    seal: str | None = None
    entries = _merged(details)
    for entry in entries.values():
        thought = _maybe_thought(entry)
        if thought is None:
            extras.append(Extra(entry.path, entry.values))
        else:
            thoughts.append(thought)
            seal = entry.maybe_text("id")
    missing = list(entries) != list(range(len(entries))) or len(thoughts) < len(entries)
    if not (seal or "").startswith("llmr1."):
        return Carried(tuple(thoughts))
    if seals_no_thought(seal or "") and not any(map(_holds, thoughts)):
        return Carried((), seal)
    return Carried(tuple(thoughts), seal, details[0].path if missing else None)


def _holds(thought: Thinking) -> bool:
    return bool(thought.text or thought.signature or thought.redacted)


def _bounded(carried: Carried, path: str) -> Carried:
    if len(carried.thoughts) > MAX_THOUGHTS:
        raise wrong_value(path, f"holds more than {MAX_THOUGHTS} pieces of reasoning; leave the member out")
    size = sum(
        len(told)
        for thought in carried.thoughts
        for told in (thought.text, thought.signature, thought.redacted)
        if told
    )
    if size > MAX_CARRIED:
        raise wrong_value(path, f"holds more than {MAX_CARRIED} characters of reasoning; leave the member out")
    return carried


def _merged(details: list[Members]) -> dict[int, Members]:
    """The entries by ``index``: collectors of streams may leave the pieces of one as they came."""
    pieces: dict[int, list[Members]] = {}
    for position, detail in enumerate(details):
        index = detail.maybe_integer("index")
        pieces.setdefault(position if index is None else index, []).append(detail)
    return {index: _joined(of) for index, of in pieces.items()}


def _joined(pieces: list[Members]) -> Members:
    """One entry out of its pieces: texts one after the other, of anything else the last word."""
    first, *later = pieces
    if not later:
        return first
    joined: dict[str, Any] = dict(first.values)
    for piece in later:
        joined.update((name, value) for name, value in piece.values.items() if value is not None)
    texts = [text for piece in pieces if isinstance(text := piece.values.get("text"), str)]
    return Members({**joined, "text": "".join(texts)} if texts else joined, first.path)


def _maybe_thought(detail: Members) -> Thinking | None:
    """One entry; None for one of another maker's form, or a mere summary."""
    kind = detail.text("type")
    told = detail.maybe_text("data" if kind == "reasoning.encrypted" else "signature")
    try:
        maker = maker_of(detail.maybe_text("format"))
    except KeyError:
        if told is None or not is_marked(told):
            return None
        maker = None
    if kind == "reasoning.text":
        return _thought(detail.path, detail.maybe_text("text") or "", told, maker)
    if kind == "reasoning.encrypted":
        data, origin = unmarked(detail.name("data"), maker)
        return Thinking(detail.path, redacted=data, origin=origin)
    return None
