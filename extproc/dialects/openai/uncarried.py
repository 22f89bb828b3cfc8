"""Takes reasoning that the gateway has marked out of a body that goes to an upstream of the client's own dialect.

A conversation may move from a Claude to a server of OpenAI's API. It could do nothing with the carrier (``carrier``),
and several servers answer 400 to members that they do not know (openai/openai-node #1161, of OpenAI's older models).
What is not marked is not ours, and stays; so does every byte of the messages that carry nothing.
"""

from typing import Final

import msgspec

from extproc.conversation.errors import Loss
from extproc.conversation.provenance import NOBODYS
from extproc.wire import jsontext
from extproc.wire.errors import JsonError

#: How a mark and a seal begin; no body without it carries anything.
MARK: Final = b"llmr1."
_CARRIERS: Final = frozenset({"reasoning_details", "thinking_blocks", "extra_content"})
_SHOWN: Final = frozenset({"reasoning_content"})
_array: Final = msgspec.json.Decoder(list[msgspec.Raw])


def carrier_losses(body: bytes) -> tuple[Loss, ...]:
    """The first message from which ``without_carriers`` takes something, which stands for all of them."""
    if MARK not in body:
        return ()
    try:
        span = jsontext.member_span(body, "messages")
        entries = [] if span is None else [bytes(entry) for entry in _array.decode(body[span[0] : span[1]])]
        first = next(
            (i for i, entry in enumerate(entries) if MARK in entry and _stripped(entry, "tool_calls") != entry), -1
        )
    except (JsonError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()
    return () if first < 0 else (Loss(f"messages[{first}]", "drop", NOBODYS),)


def without_carriers(body: bytes) -> bytes:
    """``body`` without marked reasoning, and without what shows it; the same object when there is none.

    A body that cannot be read is left to the upstream to refuse.
    """
    try:
        span = jsontext.member_span(body, "messages")
        if span is None or MARK not in body[span[0] : span[1]]:
            return body
        messages = _each(body[span[0] : span[1]], "tool_calls")
    except JsonError:
        return body
    start, end = span
    return body if messages == body[start:end] else b"".join((body[:start], messages, body[end:]))


def _each(array: bytes, inner: str | None) -> bytes:
    """The array with its objects stripped, and those in their member ``inner``; the same text if none had to be."""
    try:
        entries = [bytes(entry) for entry in _array.decode(array)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return array
    stripped = [_stripped(entry, inner) if MARK in entry else entry for entry in entries]
    return array if stripped == entries else b"[" + b",".join(stripped) + b"]"


def _stripped(node: bytes, inner: str | None) -> bytes:
    """A message, or a call of one, less its carriers."""
    if not node.startswith(b"{"):
        return node
    members = [(name, bytes(value)) for name, value in jsontext.members(node)]
    carried = {name for name, value in members if name in _CARRIERS and MARK in value}
    gone = carried | (_SHOWN if carried else frozenset())
    kept = [
        (name, _each(value, None) if name == inner and MARK in value else value)
        for name, value in members
        if name not in gone
    ]
    if kept == members:
        return node
    return b"{" + b",".join(msgspec.json.encode(name) + b":" + value for name, value in kept) + b"}"
