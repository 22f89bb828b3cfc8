"""The list of models, and what makes a conversation recognisable."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from extproc.dialects.contract import Listed
from extproc.wire import jsontext
from extproc.wire.errors import JsonError

#: Cache marks wander with a growing conversation, and are no part of what it says.
_MARKS: Final = ("cache_control", "prompt_cache_breakpoint")
_SYSTEM: Final = frozenset({"system", "developer"})


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
    """The leading system messages and the first message after them; empty when there are none.

    The text is the same whether it stands as a string or in parts, with cache marks or without.
    """
    try:
        messages = jsontext.peek(body, _messages).messages
    except JsonError:
        return b""
    kept: list[Any] = []
    for raw in messages:
        message = msgspec.json.decode(raw)
        if not isinstance(message, dict):
            break
        role = message.get("role")
        kept.append([role, _said(message.get("content"))])
        if not isinstance(role, str) or role not in _SYSTEM:
            break
    return _encode(kept) if kept else b""


def _said(content: Any) -> list[Any]:
    """The texts of the content joined, and what of it is no text, less its marks."""
    if isinstance(content, str):
        return [content]
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    text = "".join(part["text"] for part in parts if isinstance(part.get("text"), str))
    rest = [
        {name: value for name, value in part.items() if name not in _MARKS}
        for part in parts
        if part.get("type") != "text"
    ]
    return [text, *rest]
