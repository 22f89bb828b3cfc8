"""The list of models in Anthropic's form, page by page, and what keeps a conversation together.

Source: anthropic-python 2.12 ``types/model_info``, ``types/model_list_params``, ``pagination.Page``, read 2026-11-22.
The SDK asks for the page after ``last_id`` until ``has_more`` is false.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

from extproc.dialects.contract import MAX_STICKY_BLOCKS, MAX_STICKY_BYTES, Listed
from extproc.dialects.fields import wrong_value
from extproc.wire import jsontext
from extproc.wire.errors import JsonError

DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 1000

#: How many digits of a number are read.
_MAX_DIGITS: Final = 9


class _Opening(msgspec.Struct):
    system: Any = None
    messages: list[msgspec.Raw] = []


class _Message(msgspec.Struct):
    content: Any = None


_opening: Final = msgspec.json.Decoder(_Opening)
_message: Final = msgspec.json.Decoder(_Message)
_encode: Final = msgspec.json.Encoder(order="sorted").encode


def write_models(models: Sequence[Listed], wanted: str | None, query: str) -> bytes | None:
    """One page of the list, or the ``wanted`` model, None when it is not there.

    Raises:
        ClientError: ``limit`` is no number from 1 to 1000, or a cursor names no model.
    """
    if wanted is not None:
        found = next((model for model in models if model.id == wanted), None)
        return None if found is None else msgspec.json.encode(_info(found))
    asked = parse_qs(query, max_num_fields=100)
    shown = models if _wants_active(asked) else ()
    page, has_more = _page(shown, asked)
    data = [_info(model) for model in page]
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return msgspec.json.encode({"data": data, "has_more": has_more, "first_id": first, "last_id": last})


def sticky_key(body: bytes) -> bytes:
    """The system text and the first message, without cache marks, which move from turn to turn.

    Of each its beginning counts; empty when they cannot be read.
    """
    try:
        opening = jsontext.peek(body, _opening)
        first = _message.decode(opening.messages[0]).content if opening.messages else None
        kept = [_encode(_without_marks(content))[:MAX_STICKY_BYTES] for content in (opening.system, first)]
    except (JsonError, msgspec.DecodeError, UnicodeError, RecursionError):
        return b""
    return b"\n".join(kept)


def _without_marks(content: Any) -> Any:
    """A string is the same as one text block."""
    if isinstance(content, str):
        return [{"type": "text", "text": content[:MAX_STICKY_BYTES]}]
    if not isinstance(content, list):
        return content
    return [
        {name: value for name, value in block.items() if name != "cache_control"} if isinstance(block, dict) else block
        for block in content[:MAX_STICKY_BLOCKS]
    ]


def _info(model: Listed) -> dict[str, Any]:
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.id,
        "created_at": datetime.fromtimestamp(model.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycle": "active",
    }


def _wants_active(asked: Mapping[str, list[str]]) -> bool:
    """All models here are active; the SDK writes ``lifecycle[]``."""
    stages = [*asked.get("lifecycle", ()), *asked.get("lifecycle[]", ())]
    return not stages or "active" in stages


def _page(models: Sequence[Listed], asked: Mapping[str, list[str]]) -> tuple[Sequence[Listed], bool]:
    """The models of the page, and whether there are more in the direction of the cursor."""
    limit, after, before = _limit(asked), _last(asked, "after_id"), _last(asked, "before_id")
    if before is not None:
        end = _place(models, before, "before_id")
        start = max(0, end - limit)
        return models[start:end], start > 0
    start = 0 if after is None else _place(models, after, "after_id") + 1
    return models[start : start + limit], start + limit < len(models)


def _limit(asked: Mapping[str, list[str]]) -> int:
    text = _last(asked, "limit")
    if text is None:
        return DEFAULT_LIMIT
    limit = int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else 0
    if not 1 <= limit <= MAX_LIMIT:
        raise wrong_value("limit", f"must be a number from 1 to {MAX_LIMIT}")
    return limit


def _last(asked: Mapping[str, list[str]], name: str) -> str | None:
    values = asked.get(name)
    return values[-1] if values else None


def _place(models: Sequence[Listed], wanted: str, name: str) -> int:
    place = next((i for i, model in enumerate(models) if model.id == wanted), None)
    if place is None:
        raise wrong_value(name, "names no model of the list")
    return place
