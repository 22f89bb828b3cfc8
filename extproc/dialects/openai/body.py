"""A request body as JSON: the routing facts without the rest, and the whole of it."""

from typing import Final

import msgspec

from extproc.conversation.errors import ClientError
from extproc.dialects.contract import Peek
from extproc.dialects.openai.fields import Members
from extproc.wire import jsontext
from extproc.wire.errors import JsonError, JsonShapeError


class _Routing(msgspec.Struct):
    model: str
    stream: bool | None = None


_routing: Final = msgspec.json.Decoder(_Routing)


def peek(body: bytes) -> Peek:
    """``model`` and ``stream``, read while skipping the rest; what is skipped is still checked to be JSON.

    Raises:
        ClientError: the body is no JSON object, or ``model`` or ``stream`` is absent or of a wrong type.
    """
    try:
        routing = jsontext.peek(body, _routing)
    except JsonShapeError:
        return _read_routing(body)
    except JsonError as error:
        raise invalid_json(error) from error
    if not routing.model:
        return _read_routing(body)
    return Peek(routing.model, routing.stream is True)


def parse(body: bytes) -> Members:
    """The body's members. Raises ``ClientError`` when it is not a JSON object."""
    try:
        value = jsontext.parse(body)
    except JsonError as error:
        raise invalid_json(error) from error
    if not isinstance(value, dict):
        raise ClientError("The request body must be a JSON object, and is another JSON value.", code="invalid_json")
    return Members(value, "")


def invalid_json(error: JsonError) -> ClientError:
    """The error for a body that cannot be parsed; says where, never what stands there."""
    where = "" if error.offset is None else f" (byte {error.offset})"
    return ClientError(f"The request body cannot be read: {error}{where}.", code="invalid_json")


def _read_routing(body: bytes) -> Peek:
    """The slow way, whose errors name the path."""
    members = parse(body)
    return Peek(members.name("model"), members.maybe_boolean("stream") is True)
