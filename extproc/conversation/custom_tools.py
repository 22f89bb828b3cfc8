"""Tools that take plain text, for makers that know functions only: a function with one string parameter, ``input``.

A writer of requests sends such a tool and the calls in the history as that function; what comes back is a function's
call, and the client's writer, which knows what the client declared, takes the text out again.
"""

from typing import Any, Final

import msgspec

#: The verbatim JSON Schema of the function's parameters.
SCHEMA: Final = (
    '{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}'
)
#: Why a demanded grammar is refused: nothing else enforces one.
NO_GRAMMAR: Final = "a custom tool with a grammar needs a model that enforces it; use format text, or another backend"


class _Arguments(msgspec.Struct):
    input: str


_decoder: Final = msgspec.json.Decoder(_Arguments)


def arguments_of(text: str) -> str:
    """The arguments of the function, as JSON text, for a call with this text."""
    arguments: dict[str, Any] = {"input": text}
    return msgspec.json.encode(arguments).decode()


def text_of(arguments: str) -> str:
    """The text of a call of the function; what a model writes in another shape is itself the text."""
    try:
        return _decoder.decode(arguments).input
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return arguments
