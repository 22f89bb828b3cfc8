"""The list of models, and what makes a conversation recognisable."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from extproc.dialects.contract import MAX_STICKY_BLOCKS, MAX_STICKY_BYTES, Listed
from extproc.wire import jsontext
from extproc.wire.errors import JsonError

#: Cache marks wander with a growing conversation, and are no part of what it says.
_MARKS: Final = ("cache_control", "prompt_cache_breakpoint")
_SYSTEM: Final = frozenset({"system", "developer"})
#: A client may lead with as many system messages as it likes; these many tell conversations apart.
_MAX_LEADING: Final = 16


class _Messages(msgspec.Struct):
    messages: list[msgspec.Raw] = []


_messages: Final = msgspec.json.Decoder(_Messages)
_encode: Final = msgspec.json.Encoder(order="sorted").encode


def write_models(models: Sequence[Listed], wanted: str | None) -> bytes | None:
    """The list in OpenAI's form, or one model of it; None when the wanted one is not there."""
    shown = [
        {"id": model.id, "object": "model", "created": model.created, "owned_by": model.owned_by}
        for model in models
        if wanted is None or model.id == wanted
    ]
    if wanted is None:
        return msgspec.json.encode({"object": "list", "data": shown})
    return msgspec.json.encode(shown[0]) if shown else None


def sticky_key(body: bytes) -> bytes:
    """The leading system messages and the first message after them; empty when they cannot be read or are none.

    The text is the same whether it stands as a string or in parts, with cache marks or without. Of each message its
    beginning counts.
    """
    try:
        messages = jsontext.peek(body, _messages).messages
        kept = []
        for raw in messages[:_MAX_LEADING]:
            message = msgspec.json.decode(raw)
            if not isinstance(message, dict):
                break
            role = message.get("role")
            kept.append(_encode([role, _said(message.get("content"))])[:MAX_STICKY_BYTES])
            if not isinstance(role, str) or role not in _SYSTEM:
                break
    except (JsonError, msgspec.DecodeError, UnicodeError, RecursionError):
        return b""
    return b"\n".join(kept)


def _said(content: Any) -> list[Any]:
    """The beginning of the content's text, and what of it is no text, less its marks."""
    if isinstance(content, str):
        return [content[:MAX_STICKY_BYTES]]
    listed = content[:MAX_STICKY_BLOCKS] if isinstance(content, list) else []
    parts = [part for part in listed if isinstance(part, dict)]
    text = "".join(part["text"] for part in parts if isinstance(part.get("text"), str))
    rest = [
        {name: value for name, value in part.items() if name not in _MARKS}
        for part in parts
        if part.get("type") != "text"
    ]
    return [text[:MAX_STICKY_BYTES], *rest]
