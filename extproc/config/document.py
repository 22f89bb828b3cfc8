"""From the bytes of a file to plain values: gzip or not, JSON or YAML, decided by content alone."""

import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from extproc.config.errors import ConfigError, Finding, render_path
from extproc.config.yaml_reader import read_yaml

#: The largest file, in bytes after decompression. A ConfigMap ends at 1 MiB, and gzip makes about 20:1 of this format,
#: so nothing that Kubernetes can carry comes near; more is a decompression bomb.
MAX_BYTES = 64 << 20

_GZIP = b"\x1f\x8b"
_GZIP_WINDOW = 31  # zlib's way to ask for a gzip frame with the largest window
_BOM = "\ufeff"
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_HALF_A_PAIR = "holds half of a surrogate pair, which is not a character"
_JSON_OBJECT = re.compile(r"\s*\{\s*(?:[\"}]|\Z)")


@dataclass(frozen=True, slots=True)
class Document:
    """``value`` is the file's content; ``findings`` are faults that did not stop the reading, such as doubled keys."""

    text: str
    value: Any
    findings: tuple[Finding, ...] = ()


def read_document(data: bytes) -> Document:
    """Read a whole file. Raises ``ConfigError`` when there is no value to speak of."""
    text = _decoded(_plain(data)).removeprefix(_BOM)
    if not text.strip():
        raise _refusal("the file is empty; an empty configuration is {}")
    if not text.lstrip().startswith("{"):
        return Document(text, *read_yaml(text))
    try:
        return _json(text)
    except ConfigError as not_json:
        return _flow_yaml(text, not_json)


def _refusal(reason: str, line: int | None = None) -> ConfigError:
    return ConfigError([Finding("", reason, line=line)])


def _plain(data: bytes) -> bytes:
    if data.startswith(_GZIP):
        return _unpacked(data)
    if len(data) > MAX_BYTES:
        raise _refusal(f"the file is larger than {MAX_BYTES >> 20} MiB")
    return data


def _unpacked(data: bytes) -> bytes:
    frame = zlib.decompressobj(_GZIP_WINDOW)
    try:
        plain = frame.decompress(data, MAX_BYTES + 1)
    except zlib.error:
        raise _refusal("the gzip data is damaged") from None
    if len(plain) > MAX_BYTES:
        raise _refusal(f"the gzip data unpacks to more than {MAX_BYTES >> 20} MiB")
    if not frame.eof:
        raise _refusal("the gzip data is cut off")
    if frame.unused_data:
        raise _refusal("there are bytes after the end of the gzip data")
    return plain


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _refusal(f"not UTF-8 text: byte {error.start} is 0x{data[error.start]:02x}", line) from None


class _Doubled(dict[str, Any]):
    """An object of the file in which some keys appear twice."""

    keys_twice: tuple[str, ...] = ()


def _json(text: str) -> Document:
    """Parse JSON, a check for doubled keys included. The standard parser is quick here: 10,000 rules take 30 ms."""
    doubled = False

    def take(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal doubled
        fields = dict(pairs)
        if len(fields) == len(pairs):
            return fields
        doubled = True
        marked = _Doubled(fields)
        names = [name for name, _ in pairs]
        marked.keys_twice = tuple(name for name in fields if names.count(name) > 1)
        return marked

    try:
        value = json.loads(text, object_pairs_hook=take, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise _refusal(f"not valid JSON: {error.msg} (column {error.colno})", error.lineno) from None
    except RecursionError:
        raise _refusal("not valid JSON: nested too deeply") from None
    except ValueError as error:
        raise _refusal(f"not valid JSON: {error}") from None
    findings = tuple(_faults(value)) if doubled or _SURROGATE.search(text) else ()
    if any(finding.reason == _HALF_A_PAIR for finding in findings):
        raise ConfigError(findings)
    return Document(text, value, findings)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _faults(value: Any) -> Iterator[Finding]:
    """What JSON's grammar allows and we do not: doubled keys, and escapes that are no characters."""
    pending: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while pending:
        loc, part = pending.pop()
        if isinstance(part, _Doubled):
            for key in part.keys_twice:
                yield Finding(render_path((*loc, key)), "appears twice; keep one")
        if isinstance(part, dict):
            pending += [((*loc, key), child) for key, child in part.items()]
            pending += [((*loc, key), key) for key in part if not _encodable(key)]
        elif isinstance(part, list):
            pending += [((*loc, i), child) for i, child in enumerate(part)]
        elif isinstance(part, str) and not _encodable(part):
            yield Finding(render_path(loc), _HALF_A_PAIR)


def _encodable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _flow_yaml(text: str, not_json: ConfigError) -> Document:
    """YAML's flow style begins with a brace too. When neither parses, the error speaks of what the file looks like."""
    try:
        return Document(text, *read_yaml(text))
    except ConfigError:
        if _JSON_OBJECT.match(text):
            raise not_json from None
        raise
