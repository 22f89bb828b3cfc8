"""JSON as text: reading with one kind of error, and edits in place that leave every other byte as it was.

Numbers, escapes, duplicate keys, unknown members and white space of what is not edited survive, because nothing is
written again. Where a key comes twice the last one counts, as in msgspec, orjson and the standard library.
"""

import json
import re
from typing import Any, Final, TypeVar

import msgspec

from extproc.wire.errors import JsonError, JsonShapeError

T = TypeVar("T")

_DECODER: Final = msgspec.json.Decoder()
_OBJECT_DECODER: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_BOM: Final = b"\xef\xbb\xbf"

_WHERE: Final = re.compile(r" \(byte (\d+)\)\Z")
_PATH: Final = re.compile(r" - at `([^`]*)`\Z")
_HALF_PAIR: Final = re.compile(rb"(?<!\\)(?:\\\\)*+(\\u[dD][89abAB])(?!..\\u[dD][c-fC-F])")

_OPEN: Final = re.compile(rb"[ \t\n\r]*+(\{)[ \t\n\r]*+")
_KEY: Final = re.compile(r'[ \t\n\r]*+"([^"\\]*+(?:\\.[^"\\]*+)*+)"[ \t\n\r]*+:[ \t\n\r]*+', re.DOTALL)
_SEPARATOR: Final = re.compile(r"[ \t\n\r]*+([,}])")
_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_SKIPPER: Final = json.JSONDecoder(parse_int=str, parse_float=str)


def parse(body: bytes) -> Any:
    """The value of a whole JSON text. Raises `JsonError`, for a number that we cannot hold `JsonShapeError`.

    Stricter than the standard library: no NaN, no lone surrogates, no byte order mark.
    """
    return _decode(_DECODER, body)


def peek(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """The part of a JSON text that `decoder` asks for, without building the rest.

    What is skipped is checked to be JSON and UTF-8 all the same. Raises `JsonError`; a value that is missing or of
    another type than the decoder's raises `JsonShapeError` with its path.
    """
    value = _decode(decoder, body)
    _require_utf8(body)
    return value


def parse_object_raw(body: bytes) -> dict[str, msgspec.Raw]:
    """The top-level members of a JSON object, each value as its text (no copy: it keeps `body` alive).

    Raises `JsonError`; a text that is another JSON value raises `JsonShapeError`.
    """
    return peek(body, _OBJECT_DECODER)


def member_span(body: bytes, key: str) -> tuple[int, int] | None:
    """Where the value of the top-level member `key` starts and ends; None if there is no such member.

    `body` is an object that `peek` or `parse_object_raw` accepted. The scan stops where no later member can have the
    key, so for a broken text it raises `JsonError` or answers from the part before the fault.
    """
    last_quote = _last_possible_quote(body, key)
    if last_quote < 0:
        return None
    _, pos = _open_object(body)
    text = body.decode("latin-1")  # an offset in this text is an offset in the bytes, whatever they encode
    name = key.encode().decode("latin-1")
    span: tuple[int, int] | None = None
    more = not text.startswith("}", pos)
    while more and pos <= last_quote:
        found = _expect(_KEY, text, pos, "a key and a colon")
        start, end = found.end(), _skip_value(text, found.end())
        if found[1] == name or ("\\" in found[1] and _unescape(found[1]) == key):
            span = start, end
        separator = _expect(_SEPARATOR, text, end, "a comma or a closing brace")
        more, pos = separator[1] == ",", separator.end()
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


def _last_possible_quote(body: bytes, key: str) -> int:
    """No member with this key starts after this offset; -1 if there is none at all.

    A key of letters and digits is spelled literally or with escapes that start with backslash, u, 00.
    """
    if not _PLAIN_KEY.fullmatch(key) or (b"\\" in body and b"\\u00" in body):
        return len(body)
    return body.rfind(b'"' + key.encode() + b'"')


def _expect(pattern: re.Pattern[str], text: str, pos: int, what: str) -> re.Match[str]:
    found = pattern.match(text, pos)
    if found is None:
        raise JsonError(f"JSON is malformed: expected {what}", pos)
    return found


def _skip_value(text: str, pos: int) -> int:
    """Where the JSON value that starts at `pos` ends. What the decoder builds from Latin-1 is thrown away."""
    try:
        _, end = _SKIPPER.raw_decode(text, pos)
    except json.JSONDecodeError as error:
        raise JsonError(f"JSON is malformed: {error.msg}", error.pos) from None
    except RecursionError:
        raise JsonError("JSON is nested too deeply", pos) from None
    return end


def _unescape(token: str) -> str:
    """The key that the text between its quotes stands for; `token` is Latin-1 of what is UTF-8."""
    try:
        return str(json.loads('"' + token.encode("latin-1").decode() + '"'))
    except ValueError as error:
        raise JsonError(f"JSON is malformed: the key {token[:40]!r} cannot be read") from error


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
