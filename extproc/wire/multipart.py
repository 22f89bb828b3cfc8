"""Enough of multipart/form-data to route by a text field and to rewrite that field in place.

A form that two parsers could read differently is refused instead of guessed at, because the gateway decides by what
it reads and the upstream acts on what *it* reads: the wanted field twice, two boundary parameters, no closing
delimiter. Grammar: https://www.rfc-editor.org/rfc/rfc2046#section-5.1.1, https://www.rfc-editor.org/rfc/rfc7578.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from extproc.wire.errors import MultipartError

MAX_PARTS: Final = 1_000
"""Of one form. A guess, the same as Go's mime/multipart has: the forms of these APIs have some ten."""

_MAX_BOUNDARY_CHARS: Final = 70  # RFC 2046

_PARAMETER: Final = re.compile(r'[ \t]*;[ \t]*([^\s=;"]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*+)"|([^\s;"]*))')
_PARAMETERS_END: Final = re.compile(r"[ \t;]*\Z")
_ESCAPED: Final = re.compile(r"\\(.)")
_DELIMITER_TAIL: Final = re.compile(rb"(--)?[ \t]*+(?:\r\n|\Z)")
_HEADER: Final = re.compile(r"^([^\s:]+)[ \t]*:[ \t]*(.*)$", re.MULTILINE)
_FOLD: Final = re.compile(rb"\r\n[ \t]+")
_VERBATIM_ENCODINGS: Final = frozenset({"7bit", "8bit", "binary"})


@dataclass(frozen=True, slots=True)
class Field:
    """The value of a text field, and where its bytes start and end in the body."""

    value: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Part:
    """The headers of one part with lower-case names, and where its content is; a part may have none."""

    headers: dict[str, str]
    start: int
    end: int


def read_field(body: bytes, content_type: str, name: str) -> Field | None:
    """The field `name` that is not a file, or None. Reads the whole form; the cost is linear in its size.

    Raises:
        MultipartError: the content-type has no usable boundary, the form is not closed, or the field appears twice,
            has no content, is not UTF-8 or is sent in a transfer encoding.
    """
    found: Field | None = None
    for part in _read_parts(body, _read_boundary(content_type)):
        if not _is_field(part, name):
            continue
        if found is not None:
            raise MultipartError(f"the form field {name!r} appears more than once; send it once")
        found = _read_value(body, part, name)
    return found


def replace(body: bytes, field: Field, new_value: bytes) -> bytes:
    """The body with other bytes as the value of `field`, which `read_field` found in this same body.

    Raises `MultipartError` for a value that could be taken for a delimiter: one with line ends or leading hyphens.
    """
    if b"\r" in new_value or b"\n" in new_value or new_value.startswith(b"--"):
        raise MultipartError("a form field cannot be set to a value with line ends or with leading hyphens")
    return b"".join((body[: field.start], new_value, body[field.end :]))


def _read_boundary(content_type: str) -> bytes:
    media_type, parameters = _read_parameters(content_type)
    if media_type != "multipart/form-data":
        raise MultipartError(f"content-type {media_type!r} is not multipart/form-data")
    boundary = parameters.get("boundary", "")
    if not 0 < len(boundary) <= _MAX_BOUNDARY_CHARS:
        raise MultipartError(f"content-type needs a boundary of 1 to {_MAX_BOUNDARY_CHARS} characters")
    if not (boundary.isascii() and boundary.isprintable()) or boundary.endswith(" "):
        raise MultipartError("the boundary in the content-type must be printable ASCII and not end in a space")
    return boundary.encode()


def _read_parameters(value: str) -> tuple[str, dict[str, str]]:
    """The first word of a header value, and its parameters with lower-case names."""
    first, _, _ = value.partition(";")
    parameters: dict[str, str] = {}
    pos = len(first)
    while found := _PARAMETER.match(value, pos):
        name = found[1].lower()
        if name in parameters:
            raise MultipartError(f"the parameter {name!r} appears twice in one header")
        parameters[name] = found[3] if found[2] is None else _ESCAPED.sub(r"\1", found[2])
        pos = found.end()
    if not _PARAMETERS_END.match(value, pos):
        raise MultipartError(f"a header of the form cannot be read after {first.strip()!r}: expected ; name=value")
    return first.strip().lower(), parameters


def _read_parts(body: bytes, boundary: bytes) -> Iterator[_Part]:
    """All parts in order; raises `MultipartError` for too many, and at the end if there is no closing delimiter."""
    content_start: int | None = None
    for position, (start, end, closes) in enumerate(_find_delimiters(body, boundary)):
        if position > MAX_PARTS:
            raise MultipartError(f"the form has more than {MAX_PARTS} parts")
        if content_start is not None:
            yield _read_part(body, content_start, start)
        if closes:
            return
        content_start = end
    if content_start is None:
        raise MultipartError("the boundary of the content-type does not occur in the form")
    raise MultipartError("the form has no closing delimiter; it may have been cut off")


def _find_delimiters(body: bytes, boundary: bytes) -> Iterator[tuple[int, int, bool]]:
    """Where each delimiter starts and ends, its line ends included, and whether it closes the form.

    A line that only begins with the delimiter is content, as in Go's mime/multipart.
    """
    delimiter = b"\r\n--" + boundary
    start = -2 if body.startswith(delimiter[2:]) else body.find(delimiter)
    while start != -1:
        tail = _DELIMITER_TAIL.match(body, start + len(delimiter))
        if tail is not None:
            yield start, tail.end(), tail[1] is not None
        start = body.find(delimiter, start + len(delimiter))


def _read_part(body: bytes, start: int, end: int) -> _Part:
    """The part between two delimiters: `start` is after the line end of the one, `end` before that of the other."""
    blank = body.find(b"\r\n\r\n", start - 2, end)
    block = body[start : max(blank, start)] if blank >= 0 else body[start:end]
    lines = _FOLD.sub(b" ", block).replace(b"\r\n", b"\n").decode("utf-8", "replace")
    headers: dict[str, str] = {}
    for header in _HEADER.finditer(lines):
        name = header[1].lower()
        if name in headers:
            raise MultipartError(f"a part of the form has the header {name!r} twice")
        headers[name] = header[2].strip()
    return _Part(headers, blank + 4 if blank >= 0 else -1, end)


def _is_field(part: _Part, name: str) -> bool:
    disposition, parameters = _read_parameters(part.headers.get("content-disposition", ""))
    if disposition != "form-data" or "filename" in parameters or "filename*" in parameters:
        return False
    return parameters.get("name") == name


def _read_value(body: bytes, part: _Part, name: str) -> Field:
    if part.start < 0:
        raise MultipartError(f"the form field {name!r} has no content: expected a blank line after its headers")
    encoding = part.headers.get("content-transfer-encoding", "binary").lower()
    if encoding not in _VERBATIM_ENCODINGS:
        raise MultipartError(f"the form field {name!r} is sent as {encoding}; send it as it is")
    try:
        value = body[part.start : part.end].decode()
    except UnicodeDecodeError:
        raise MultipartError(f"the form field {name!r} is not UTF-8") from None
    return Field(value, part.start, part.end)
