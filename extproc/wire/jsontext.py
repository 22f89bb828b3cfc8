"""JSON as text: reading with one kind of error, and edits in place that leave every other byte as it was.

Numbers, escapes, duplicate keys, unknown members and white space of what is not edited survive, because nothing is
written again. Where a key comes twice the last one counts, as in msgspec, orjson and the standard library.
"""

import re
from itertools import islice
from typing import Any, Final, TypeVar

import msgspec

from extproc.wire.errors import JsonCostError, JsonError, JsonShapeError

T = TypeVar("T")

MAX_VALUES: Final = 200_000
"""Values of one text that `parse` builds, some 20 MB of memory. A guess: ten times what a long conversation has."""

MAX_MEMBERS: Final = 1_000
"""Members of one object that `members` lists. A guess: no API that we know has a hundred."""


class _AnyObject(msgspec.Struct):
    """An object of which nothing is read."""


_DECODER: Final = msgspec.json.Decoder()
_OBJECT_DECODER: Final = msgspec.json.Decoder(_AnyObject)
_SKIPPING_DECODER: Final = msgspec.json.Decoder(msgspec.Raw)
_BOM: Final = b"\xef\xbb\xbf"

_WHERE: Final = re.compile(r" \(byte (\d+)\)\Z")
_PATH: Final = re.compile(r" - at `([^`]*)`\Z")
_HALF_PAIR: Final = re.compile(rb"(?<!\\)(?:\\\\)*+(\\u[dD][89abAB])(?!..\\u[dD][c-fC-F])")

_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_OPEN: Final = re.compile(rb"[ \t\n\r]*+(\{)[ \t\n\r]*+")
_KEY: Final = re.compile(rb"[ \t\n\r]*+" + _STRING + rb"[ \t\n\r]*+:[ \t\n\r]*+", re.DOTALL)
_SEPARATOR: Final = re.compile(rb"[ \t\n\r]*+[,}]")
_VALUE_MARK: Final = re.compile(rb'(?:[^",{[]++|' + _STRING + rb")*+(?:[,{[]|\Z)", re.DOTALL)


def parse(body: bytes, max_values: int = MAX_VALUES) -> Any:
    """The value of a whole JSON text. Raises `JsonError`, for a number that we cannot hold `JsonShapeError`.

    Stricter than the standard library: no NaN, no lone surrogates, no byte order mark. A text of more than about
    `max_values` values is a `JsonCostError`, raised before any is built: three bytes can stand for eighty in memory.
    """
    if len(body) > max_values:
        _require_few_values(body, max_values)
    return _decode(_DECODER, body)


def peek(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """The part of a JSON text that `decoder` asks for, without building the rest.

    What is skipped is checked to be JSON and UTF-8 all the same. Raises `JsonError`; a value that is missing or of
    another type than the decoder's raises `JsonShapeError` with its path.
    """
    value = _decode(decoder, body)
    _require_utf8(body)
    return value


def decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """As `decoder.decode`, with its errors, and a `UnicodeDecodeError` also for what it skips or leaves as text.

    A `msgspec.Raw` is not checked to be UTF-8: who turns one into text wants this.
    """
    value = decoder.decode(body)
    if not body.isascii():
        body.decode()
    return value


def check_object(body: bytes) -> None:
    """Raises `JsonError` unless `body` is JSON, and `JsonShapeError` unless it is an object; builds nothing."""
    peek(body, _OBJECT_DECODER)


def members(body: bytes) -> list[tuple[str, msgspec.Raw]]:
    """The top-level members of a JSON object in order, duplicates too, each value as its text (it keeps `body` alive).

    Raises `JsonError`; a text that is another JSON value raises `JsonShapeError`, and one of more than `MAX_MEMBERS`
    members `JsonCostError`.
    """
    found = _members(body)
    _require_utf8(body)
    return [(key.text, value) for key, value in found.items()]


def member_span(body: bytes, key: str) -> tuple[int, int] | None:
    """Where the value of the top-level member `key` starts and ends; None if there is no such member.

    No value is built, neither the member's nor those around it. Raises as `members`, but does not check for UTF-8, nor
    a body in which the key occurs nowhere.
    """
    if b"\\" not in body and b'"' + key.encode() + b'"' not in body:
        return None
    found = _members(body)
    if all(name.text != key for name in found):
        return None
    _, pos = _open_object(body)
    span: tuple[int, int] | None = None
    for name, value in found.items():
        start = _expect(_KEY, body, pos, "a key and a colon").end()
        end = start + len(memoryview(value))
        if name.text == key:
            span = start, end
        pos = _expect(_SEPARATOR, body, end, "a comma or a closing brace").end()
    return span


def replace_member(body: bytes, key: str, new_value: bytes) -> bytes:
    """`body` with the value of its top-level member `key` replaced by the JSON text `new_value`.

    Of duplicate members the last one is replaced, as it is the one that counts. Raises `JsonError` if there is none;
    else as `member_span`.
    """
    span = member_span(body, key)
    if span is None:
        raise JsonError(f"the object has no member {key!r} to replace")
    start, end = span
    return b"".join((body[:start], new_value, body[end:]))


def insert_member(body: bytes, key: str, value: bytes) -> bytes:
    """`body` with a new first member: `key` with the JSON text `value`.

    Raises `JsonError` if `body` is no object, or if it has the member already, which would count instead of the new.
    """
    after_brace, content = _open_object(body)
    if member_span(body, key) is not None:
        raise JsonError(f"the object already has a member {key!r}; replace it")
    comma = b"" if body.startswith(b"}", content) else b","
    return b"".join((body[:after_brace], msgspec.json.encode(key), b":", value, comma, body[after_brace:]))


def _open_object(body: bytes) -> tuple[int, int]:
    """The offset after the opening brace, and the offset of what follows it."""
    opening = _OPEN.match(body)
    if opening is None:
        raise JsonError("the JSON text is not an object", 0)
    return opening.end(1), opening.end()


def _expect(pattern: re.Pattern[bytes], body: bytes, pos: int, what: str) -> re.Match[bytes]:
    found = pattern.match(body, pos)
    if found is None:
        raise JsonError(f"JSON is malformed: expected {what}", pos)
    return found


class _Key:
    """A key that equals no other, so that a dict holds duplicates, in order."""

    __slots__ = ("text",)
    text: str


class _TooManyMembersError(Exception):
    """Leaves the decoder as it is, unlike a `ValueError`."""


def _new_key(_type: type, text: str) -> _Key:
    key = _Key()  # without an __init__: this runs for each member of each body
    key.text = text
    return key


def _new_members_decoder() -> msgspec.json.Decoder[dict[_Key, msgspec.Raw]]:
    """A decoder that stops at the first member too many, for one text."""
    room = iter(range(MAX_MEMBERS))

    def new_key(of: type, text: str) -> _Key:
        if next(room, None) is None:
            raise _TooManyMembersError
        return _new_key(of, text)

    return msgspec.json.Decoder(_MEMBERS, dec_hook=new_key)


_MEMBERS: Final = dict[_Key, msgspec.Raw]
_MEMBERS_DECODER: Final = msgspec.json.Decoder(_MEMBERS, dec_hook=_new_key)


def _members(body: bytes) -> dict[_Key, msgspec.Raw]:
    # A short text cannot hold too many members: a member takes five bytes.
    decoder = _MEMBERS_DECODER if len(body) <= 5 * MAX_MEMBERS else _new_members_decoder()
    try:
        return _decode(decoder, body)
    except _TooManyMembersError:
        raise JsonCostError(f"a JSON object has more than {MAX_MEMBERS} members") from None


def _require_few_values(body: bytes, limit: int) -> None:
    """Each value but the first of its array or object has a comma before it, and each array or object a bracket."""
    if body.count(b",") + body.count(b"{") + body.count(b"[") <= limit:
        return
    _decode(_SKIPPING_DECODER, body)  # in a sound text the pattern leaves off nowhere
    if next(islice(_VALUE_MARK.finditer(body), limit, None), None) is not None:
        raise JsonCostError(f"the JSON text has more than {limit} values")


def _decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _shape_error(str(error)) from None
    except msgspec.DecodeError as error:
        raise _syntax_error(str(error), body) from None
    except UnicodeDecodeError as error:
        _require_utf8(body)
        raise JsonError(f"JSON is malformed: {error.reason}") from None
    except RecursionError:
        raise JsonError("JSON is nested too deeply") from None


def _shape_error(text: str) -> JsonShapeError:
    path = _PATH.search(text)
    return JsonShapeError(_PATH.sub("", text), path[1] if path else "$")


def _syntax_error(text: str, body: bytes) -> JsonError:
    """A better message where the decoder's would mislead."""
    if not body.strip():
        return JsonError("the body is empty where JSON is due", 0)
    if body.startswith(_BOM):
        return JsonError("JSON is malformed: it begins with a byte order mark", 0)
    where = _WHERE.search(text)
    if where is None or "surrogate" in text or "hex escape" in text:
        half = _HALF_PAIR.search(body)
        if half is not None:
            return JsonError("JSON is malformed: a \\u escape is half of a surrogate pair", half.start(1))
    if where is None:
        return JsonError("JSON is malformed: the text ends too early", len(body))
    return JsonError(_WHERE.sub("", text), int(where[1]))


def _require_utf8(body: bytes) -> None:
    if body.isascii():
        return
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise JsonError(f"JSON is malformed: not UTF-8, {error.reason}", error.start) from None
