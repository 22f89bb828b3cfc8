"""Typed reading of parsed JSON, with errors that name the path: shared by all client dialects.

Everywhere here ``null`` counts as absent, as it does in OpenAI's API and nearly everywhere in Anthropic's. No message
repeats a value of the request, as values may be private; the one exception is a short word where only certain words
are known.
"""

import re
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Any, Final, TypeVar

from extproc.conversation.errors import ClientError
from extproc.conversation.request import Extra
from extproc.wire.jsontext import MAX_MEMBERS

#: The longest unknown word that an error message repeats.
_MAX_WORD: Final = 64

_JSON_TYPES: Final[dict[type, str]] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number with a fraction or exponent",
    type(None): "null",
}

_BASE64: Final = re.compile(r"[A-Za-z0-9+/]*")

_Word = TypeVar("_Word", bound=str)


def wrong_type(path: str, expected: str, value: Any) -> ClientError:
    """``value`` at ``path`` is of another JSON type than ``expected`` (``a string``)."""
    return ClientError(f"{path}: expected {expected}, got {_JSON_TYPES[type(value)]}", param=path, code="invalid_type")


def wrong_value(path: str, message: str) -> ClientError:
    """The value at ``path`` has the right type and cannot be used; ``message`` says why and what to do."""
    return ClientError(f"{path}: {message}", param=path, code="invalid_value")


def missing(path: str, expected: str) -> ClientError:
    """``path`` must be there, as ``expected``."""
    return ClientError(f"{path}: required, but missing; add {expected}", param=path, code="missing_required_parameter")


def unknown_word(path: str, value: str, known: Iterable[str]) -> ClientError:
    """The word ``value`` is none of ``known``."""
    named = f"{value!r}" if len(value) <= _MAX_WORD and value.isprintable() else "(too long to repeat)"
    return wrong_value(path, f"unknown value {named}; expected one of {', '.join(sorted(known))}")


def read_base64(data: str, path: str) -> str:
    """``data`` itself, checked: the standard alphabet with its padding, nothing else, not empty."""
    if not data:
        raise wrong_value(path, "the base64 data is empty")
    match = _BASE64.match(data)
    end = match.end() if match else 0
    if data[end:] not in ("", "=", "=="):
        raise wrong_value(path, f"the data is not base64: a character outside A-Z a-z 0-9 + / at offset {end}")
    if len(data) % 4:
        raise wrong_value(path, "the base64 data is cut or not padded: its length must be a multiple of 4")
    return data


class Members:
    """The members of one JSON object, and the object's path (empty for the body itself)."""

    __slots__ = ("path", "values")

    def __init__(self, value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise wrong_type(path, "an object", value)
        self.values: dict[str, Any] = value
        self.path = path

    def at(self, name: str) -> str:
        """The path of a member."""
        return f"{self.path}.{name}" if self.path else name

    def maybe_text(self, name: str) -> str | None:
        """A string, maybe empty."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, str):
            raise wrong_type(self.at(name), "a string", value)
        return value

    def text(self, name: str) -> str:
        """A required string, maybe empty."""
        value = self.maybe_text(name)
        if value is None:
            raise missing(self.at(name), "a string")
        return value

    def name(self, name: str) -> str:
        """A required string that is not empty."""
        value = self.text(name)
        if not value:
            raise wrong_value(self.at(name), "must not be empty")
        return value

    def maybe_word(self, name: str, known: dict[str, _Word]) -> _Word | None:
        """One of the keys of ``known``, answered as its value."""
        value = self.maybe_text(name)
        if value is None:
            return None
        if value not in known:
            raise unknown_word(self.at(name), value, known)
        return known[value]

    def word(self, name: str, known: dict[str, _Word]) -> _Word:
        """As ``maybe_word``, and required."""
        value = self.maybe_word(name, known)
        if value is None:
            raise missing(self.at(name), f"one of {', '.join(sorted(known))}")
        return value

    def maybe_boolean(self, name: str) -> bool | None:
        """A boolean; no number or string stands for one."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, bool):
            raise wrong_type(self.at(name), "a boolean", value)
        return value

    def maybe_number(self, name: str, low: float, high: float) -> float | None:
        """A number from ``low`` to ``high``, both included."""
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong_type(self.at(name), "a number", value)
        if not low <= value <= high:
            raise wrong_value(self.at(name), f"must be from {low:g} to {high:g}")
        return value

    def maybe_integer(self, name: str, low: int | None = None) -> int | None:
        """An integer, at least ``low``; ``5.0`` is none."""
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type(self.at(name), "an integer", value)
        if low is not None and value < low:
            raise wrong_value(self.at(name), f"must be at least {low}")
        return value

    def maybe_object(self, name: str) -> "Members | None":
        """An object."""
        value = self.values.get(name)
        return None if value is None else Members(value, self.at(name))

    def object(self, name: str) -> "Members":
        """A required object."""
        value = self.maybe_object(name)
        if value is None:
            raise missing(self.at(name), "an object")
        return value

    def objects(self, name: str) -> "list[Members]":
        """An array of objects, empty when absent."""
        value = self.values.get(name)
        if value is None:
            return []
        path = self.at(name)
        if not isinstance(value, list):
            raise wrong_type(path, "an array of objects", value)
        return [Members(entry, f"{path}[{index}]") for index, entry in enumerate(value)]

    def unknown(self, known: AbstractSet[str]) -> Iterator[Extra]:
        """The members that are none of ``known``, each listed when it is left out; many are a ``ClientError``."""
        if self.values.keys() <= known:
            return
        if len(self.values) > MAX_MEMBERS:
            path = self.path or "the request body"
            message = f"{path}: has {len(self.values)} members; at most {MAX_MEMBERS} are translated"
            raise ClientError(message, param=self.path or None, code="invalid_value")
        for name, value in self.values.items():
            if name not in known and value is not None:
                yield Extra(self.at(name), value)
