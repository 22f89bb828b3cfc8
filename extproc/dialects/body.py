"""A request body as JSON: the routing facts without the rest, and the whole of it."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from extproc.conversation.errors import ClientError, Kind
from extproc.dialects.contract import Peek
from extproc.dialects.fields import Members
from extproc.wire import jsontext
from extproc.wire.errors import JsonCostError, JsonError, JsonShapeError

_ROUTING: Final = frozenset({"model", "stream"})
_BOOLEANS: Final = {b"true": True, b"false": False, b"null": False}
_OUTLINES: Final[Mapping[bytes, Any]] = {b"{": {}, b"[": []}
_text: Final = msgspec.json.Decoder(str)
_MODEL: Final = b'"model"'
_STREAM: Final = b'"stream"'
#: Longer bodies are dear to look through twice.
_MAX_PLAIN_BYTES: Final = 64 * 1024


class _Routing(msgspec.Struct):
    model: str
    stream: bool | None = None


_routing: Final = msgspec.json.Decoder(_Routing)


def peek(body: bytes) -> Peek:
    """``model`` and ``stream``, read while skipping the rest; what is skipped is still checked to be JSON.

    A second member of either name is refused, and a name in another case: parsers differ in which one counts (Go's
    takes ``Model`` for ``model``, https://pkg.go.dev/encoding/json#Unmarshal), so the upstream could serve a model
    that nobody has checked.

    Raises:
        ClientError: the body is no JSON object, or ``model`` or ``stream`` is absent, of a wrong type or ambiguous.
    """
    if _is_plain(body) and (plain := _maybe_plain(body)) is not None:
        return plain
    try:
        members = jsontext.members(body)
    except JsonShapeError:
        raise _no_object() from None
    except JsonError as error:
        raise invalid_json(error) from error
    values: dict[str, msgspec.Raw] = {}
    for name, value in members:
        if (folded := name.casefold()) in _ROUTING:
            if name != folded or name in values:
                raise _ambiguous(folded)
            values[name] = value
    stream = _BOOLEANS.get(bytes(values["stream"])) if "stream" in values else False
    model = _maybe_text(values["model"]) if "model" in values else None
    if stream is None or not model:
        return _read_routing(values)
    return Peek(model, stream)


def _is_plain(body: bytes) -> bool:
    """Whether neither name can stand in the body's own members twice, or in another form, as its text tells."""
    if len(body) > _MAX_PLAIN_BYTES or not body.isascii() or b"\\u" in body or body.count(b":") > jsontext.MAX_MEMBERS:
        return False
    folded = body.lower()
    return folded.count(_MODEL) == body.count(_MODEL) <= 1 and folded.count(_STREAM) == body.count(_STREAM) <= 1


def _maybe_plain(body: bytes) -> Peek | None:
    """The facts in one pass, which builds nothing else; None for anything out of the ordinary."""
    try:
        routing = _routing.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    return Peek(routing.model, routing.stream is True) if routing.model else None


def parse(body: bytes) -> Members:
    """The body's members. Raises ``ClientError`` when it is not a JSON object, or 413 when it has too many values."""
    try:
        value = jsontext.parse(body)
    except JsonCostError as error:
        message = f"The request body is too large to be translated: {error}."
        raise ClientError(message, status=413, kind=Kind.TOO_LARGE) from error
    except JsonError as error:
        raise invalid_json(error) from error
    if not isinstance(value, dict):
        raise _no_object()
    return Members(value, "")


def invalid_json(error: JsonError) -> ClientError:
    """The error for a body that cannot be parsed; says where, never what stands there."""
    where = "" if error.offset is None else f" (byte {error.offset})"
    return ClientError(f"The request body cannot be read: {error}{where}.", code="invalid_json")


def _ambiguous(name: str) -> ClientError:
    message = f"{name}: stands in the body twice, or in another case, which parsers read differently; send {name} once"
    return ClientError(message, param=name, code="duplicate_parameter")


def _no_object() -> ClientError:
    return ClientError("The request body must be a JSON object, and is another JSON value.", code="invalid_json")


def _maybe_text(value: msgspec.Raw) -> str | None:
    text = bytes(value)
    return _text.decode(text) if text.startswith(b'"') else None


def _read_routing(values: Mapping[str, msgspec.Raw]) -> Peek:
    """The slow way, whose errors name the path."""
    members = Members({name: _outline(value) for name, value in values.items()}, "")
    return Peek(members.name("model"), members.maybe_boolean("stream") is True)


def _outline(value: msgspec.Raw) -> Any:
    """The value, if it is no array or object; else an empty one."""
    text = bytes(value)
    outline = _OUTLINES.get(text[:1])
    return jsontext.parse(text) if outline is None else outline
