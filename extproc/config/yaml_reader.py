"""YAML to plain values, read from the parser's events: no recursion, no object construction, bounded aliases.

Rules, on top of libyaml's grammar:

1. Scalars are read by the core schema of YAML 1.2.2 section 10.3.2 (https://yaml.org/spec/1.2.2/),
   as JSON means them. So ``no``, ``on``, ``1:30`` and ``2024-01-01`` are the text that they look like.
2. Keys are text and appear once in a mapping: YAML's parsers let the last one win, which loses configuration silently.
3. One document. No tags, and no merge keys, which YAML 1.2 dropped. Aliases are fine until they multiply.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import yaml

from extproc.config.errors import ConfigError, Finding, quoted, render_path

#: How deep a file may nest. The schema needs 8.
MAX_DEPTH = 64

#: How many values all aliases together may stand for. A guess: far above what a person writes, far below what hurts.
MAX_ALIASED = 100_000

#: How many values a file may have. Ten thousand rules are about 150,000; more than this takes seconds to read and is no
#: hand-written file (generated ones are JSON, which has no such limit).
MAX_VALUES = 500_000

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TEXT_TAGS = ("!", "tag:yaml.org,2002:str")
_COLLECTION_TAGS = (None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]{1,40}\Z")
_OTHER_BASE = re.compile(r"0o[0-7]{1,40}\Z|0x[0-9a-fA-F]{1,40}\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:e[-+]?[0-9]+)?\Z|[-+]?\.inf\Z|\.nan\Z")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\ufffe\uffff]")


def read_yaml(text: str, lines: dict[str, int] | None = None) -> tuple[Any, tuple[Finding, ...]]:
    """The one document of a file, and the faults that did not stop the reading.

    ``lines``, when given, is filled with the line of every path. Raises ``ConfigError`` when the text has no value.
    """
    if found := _CONTROL.search(text):
        code = f"U+{ord(found[0]):04X}"
        raise _refusal(f"not valid YAML: control character {code}", text.count("\n", 0, found.start()) + 1)
    reader = _Reader(lines)
    try:
        reader.take_all(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        raise _refusal(*_grammar_fault(error, text)) from None
    except yaml.YAMLError as error:
        raise _refusal(f"not valid YAML: {error}") from None
    return reader.root, tuple(reader.findings)


def _refusal(reason: str, line: int | None = None) -> ConfigError:
    return ConfigError([Finding("", reason, line=line)])


def _grammar_fault(error: yaml.MarkedYAMLError, text: str) -> tuple[str, int | None]:
    mark = error.problem_mark or error.context_mark
    problem = error.problem or "the text cannot be read"
    if mark is None:
        return f"not valid YAML: {problem}", None
    rows = text.splitlines()
    if "cannot start any token" in problem:
        character = rows[mark.line][mark.column : mark.column + 1] if mark.line < len(rows) else ""
        problem = (
            "a tab where YAML wants spaces"
            if character == "\t"
            else f"{quoted(character)} cannot begin a value; put the value in quotes"
        )
    elif error.context:
        problem = f"{problem} {error.context}"
    return f"not valid YAML: {problem}", min(mark.line + 1, len(rows))


def _scalar(event: yaml.ScalarEvent) -> Any:
    """The value of a scalar; raises ``ValueError`` for a tag that is not text's."""
    if event.tag is not None and event.tag not in _TEXT_TAGS:
        raise ValueError(f"the tag {quoted(event.tag)} is not supported; write the plain value")
    text = event.value
    if event.tag is not None or not event.implicit[0]:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.match(text):
        return int(text)
    if _OTHER_BASE.match(text):
        return int(text, 0)
    if _FLOAT.match(lowered := text.lower()):
        return float(lowered.replace(".inf", "inf").replace(".nan", "nan"))
    return text


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end is yet to come. ``key`` waits for its value; ``first_lines``: where keys stood."""

    value: dict[str, Any] | list[Any]
    path: str
    anchor: str | None
    made_before: int
    key: str | None = None
    first_lines: dict[str, int] = field(default_factory=dict)

    def wants_key(self) -> bool:
        return self.key is None and isinstance(self.value, dict)


class _Reader:
    """Builds one value from events. ``root`` is that value after ``take_all``."""

    def __init__(self, lines: dict[str, int] | None) -> None:
        self.root: Any = None
        self.findings: list[Finding] = []
        self._lines = lines
        self._open: list[_Open] = []
        self._documents = 0
        #: How many values were made so far, and how many each finished anchor stands for.
        self._made = 0
        self._aliased = 0
        self._anchors: dict[str, tuple[Any, int]] = {}

    def take_all(self, events: Iterable[yaml.Event]) -> None:
        for event in events:
            match event:
                case yaml.ScalarEvent():
                    self._take_scalar(event)
                case yaml.MappingStartEvent():
                    self._begin({}, event)
                case yaml.SequenceStartEvent():
                    self._begin([], event)
                case yaml.AliasEvent():
                    self._take_alias(event)
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    self._end()
                case yaml.DocumentStartEvent():
                    self._begin_document(event)
                case _:
                    pass  # the borders of stream and document say nothing more

    def _begin_document(self, event: yaml.Event) -> None:
        self._documents += 1
        if self._documents > 1:
            raise _refusal("a second document begins here; the file holds one", _line(event))

    def _take_scalar(self, event: yaml.ScalarEvent) -> None:
        try:
            value = _scalar(event)
        except ValueError as error:
            raise self._refused(str(error), event) from None
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, 1)
        if self._open and self._open[-1].wants_key():
            self._take_key(value, event)
            return
        self._made += 1
        self._put(value, event)

    def _take_key(self, value: Any, event: yaml.ScalarEvent) -> None:
        parent = self._open[-1]
        key = event.value
        path = parent.path + _step(parent.path, key)
        if key == "<<" and event.implicit[0]:
            raise self._refused("merge keys (<<) are not supported; write the fields out", event)
        if not isinstance(value, str):
            self.findings.append(Finding(path, "a key must be text; put it in quotes", line=_line(event)))
        if (first := parent.first_lines.get(key)) is not None:
            self.findings.append(Finding(path, f"appears twice, first in line {first}; keep one", line=_line(event)))
        parent.first_lines.setdefault(key, _line(event))
        parent.key = key
        if self._lines is not None:
            self._lines[path] = _line(event)

    def _begin(self, value: dict[str, Any] | list[Any], event: yaml.CollectionStartEvent) -> None:
        if event.tag not in _COLLECTION_TAGS:
            raise self._refused(f"the tag {quoted(str(event.tag))} is not supported; write the plain value", event)
        if self._open and self._open[-1].wants_key():
            raise self._refused("a key must be text, not a list or a mapping", event)
        if len(self._open) >= MAX_DEPTH:
            raise _refusal(f"nested more than {MAX_DEPTH} levels deep", _line(event))
        path = self._put(value, event)
        self._made += 1
        if event.anchor is not None:
            self._anchors.pop(event.anchor, None)
        self._open.append(_Open(value, path, event.anchor, self._made - 1))

    def _end(self) -> None:
        done = self._open.pop()
        if done.anchor is not None:
            self._anchors[done.anchor] = (done.value, self._made - done.made_before)

    def _take_alias(self, event: yaml.AliasEvent) -> None:
        if self._open and self._open[-1].wants_key():
            raise self._refused("a key must be written out, not be an alias", event)
        if event.anchor not in self._anchors:
            within = any(part.anchor == event.anchor for part in self._open)
            what = "refers to the value that it is in" if within else "has no anchor above it"
            raise self._refused(f"the alias *{event.anchor} {what}", event)
        value, size = self._anchors[event.anchor]
        self._made += size
        self._aliased += size
        if self._aliased > MAX_ALIASED:
            raise self._refused(f"aliases stand for more than {MAX_ALIASED:,} values", event)
        self._put(value, event)

    def _put(self, value: Any, event: yaml.Event) -> str:
        """Give a value to what is open; answers the value's path."""
        if self._made > MAX_VALUES:
            raise _refusal(f"more than {MAX_VALUES:,} values", _line(event))
        if not self._open:
            self.root = value
            return ""
        parent = self._open[-1]
        if isinstance(parent.value, list):
            path = f"{parent.path}[{len(parent.value)}]"
            parent.value.append(value)
            if self._lines is not None:
                self._lines[path] = _line(event)
            return path
        key = parent.key or ""
        parent.value[key] = value
        parent.key = None
        return parent.path + _step(parent.path, key)

    def _refused(self, reason: str, event: yaml.Event) -> ConfigError:
        path = ""
        if self._open:
            parent = self._open[-1]
            path = parent.path + (_step(parent.path, parent.key) if parent.key is not None else "")
        return ConfigError([Finding(path, reason, line=_line(event))])


def _step(path: str, key: str) -> str:
    step = render_path((key,))
    return step if not path or step.startswith("[") else f".{step}"


def _line(event: yaml.Event) -> int:
    assert event.start_mark is not None
    return event.start_mark.line + 1
