"""A configuration file as a value, and back.

Pure: bytes in, value or ``ConfigError`` out. Watching the file is the server's business, writing the ConfigMap the
controller's.
"""

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from extproc.config.document import Document, read_document
from extproc.config.errors import ConfigError, Finding
from extproc.config.names import OLDEST_VERSION, VERSION
from extproc.config.reasons import explained
from extproc.config.schema import Config
from extproc.config.yaml_reader import read_yaml

#: Above this many bytes ``pack`` compresses. Half of what a ConfigMap may hold, so that it never gets near by surprise.
PACK_ABOVE = 512 << 10

_GZIP_WINDOW = 31  # zlib's way to ask for a gzip frame; its header has no time in it


def load(data: bytes) -> Config:
    """Read a configuration: plain or gzip, JSON or YAML, decided by content.

    Raises ``ConfigError`` with every finding of the first stage that has any: the grammar, the version, the fields with
    doubled keys, what the fields refer to. Regular expressions are checked when the routing index is compiled.
    """
    document = read_document(data)
    value = document.value
    if not isinstance(value, dict):
        raise ConfigError([Finding("", "the top level must be a mapping of fields, such as rules: [...]")])
    if (version := _maybe_foreign_version(value)) is not None:
        raise ConfigError(_with_lines([version], document))
    try:
        config = Config.model_validate(value, by_alias=True, by_name=False)
    except ValidationError as error:
        found = [finding for detail in error.errors(include_url=False) for finding in explained(detail)]
        raise ConfigError(_with_lines([*document.findings, *found], document)) from None
    if document.findings:
        raise ConfigError(_with_lines(document.findings, document))
    return config


def dump(config: Config) -> bytes:
    """Canonical JSON: the schema's field order, no spaces, defaults left out except ``version``.

    Equal configurations give equal bytes, and ``load`` reads them back equal.
    """
    rest = config.model_dump_json(by_alias=True, exclude_defaults=True, exclude={"version"}).encode()
    comma = b"" if rest == b"{}" else b","
    return b'{"version":%d%b%b' % (config.version, comma, rest[1:])


def pack(data: bytes) -> bytes:
    """What the ConfigMap shall hold of a dumped configuration: the same bytes, or gzip of them above 512 KiB.

    Equal data gives equal bytes: there is no time in the frame.
    """
    return data if len(data) <= PACK_ABOVE else zlib.compress(data, level=9, wbits=_GZIP_WINDOW)


def content_hash(data: bytes) -> str:
    """16 hexadecimal digits that name a file's bytes: the start of their SHA-256."""
    return hashlib.sha256(data).hexdigest()[:16]


def _maybe_foreign_version(value: dict[str, Any]) -> Finding | None:
    """A version that this processor cannot read: then nothing else in the file is worth a word."""
    version = value.get("version", VERSION)
    if not isinstance(version, int) or isinstance(version, bool) or OLDEST_VERSION <= version <= VERSION:
        return None
    reason = f"this processor reads {OLDEST_VERSION}..{VERSION}, not {version}"
    return Finding("version", f"{reason}; upgrade extproc first" if version > VERSION else reason)


def _with_lines(findings: Iterable[Finding], document: Document) -> Iterator[Finding]:
    """The findings with their lines, where the file has several and YAML's grammar covers it."""
    lines: dict[str, int] = {}
    if "\n" in document.text.strip():
        try:
            read_yaml(document.text, lines)
        except ConfigError:
            lines.clear()
    for finding in findings:
        yield finding if finding.line is not None else replace(finding, line=_line_of(finding.path, lines))


def _line_of(path: str, lines: dict[str, int]) -> int | None:
    """The line of a path, or of the nearest part around it (a missing field has no line of its own)."""
    while path and path not in lines:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return lines.get(path)
