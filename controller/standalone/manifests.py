"""Manifests from files: multi-document YAML (or JSON), every value with the file and line it came from.

Each document is read on its own, so a broken one does not hide what is wrong in the others.
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controller.api import Finding, Severity, Subject
from controller.api.reading import subject_of
from controller.standalone.faults import Unreadable
from extproc.config.errors import ConfigError
from extproc.config.errors import Finding as ConfigFinding
from extproc.config.yaml_reader import read_yaml

STDIN = "-"
SUFFIXES = (".yaml", ".yml", ".json")
#: A manifest is written by hand; this is far above the size of an object that Kubernetes would store.
MAX_FILE_BYTES = 16 * 1024 * 1024

# A line that begins with such a mark ends a document wherever it stands, in block scalars too (YAML 1.2.2, 9.1.2).
_SEPARATOR = re.compile(r"^(?:---(?=[ \t\r\n]|\Z)|\.\.\.(?=[ \t\r\n]|\Z).*\n?)", re.MULTILINE)
_VALUE_OF_A_SECRET = re.compile(r"(?:items\[[0-9]+\]\.)?(?:stringData|data)\b")
_LAST_STEP = re.compile(r"(\.[^.\[\]]+|\[[^\[\]]*\])\Z")


@dataclass(frozen=True, slots=True)
class Note:
    """A finding with its place, printed the way compilers do it."""

    file: str
    line: int
    severity: Severity
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: {self.severity}: "
        return f"{place}{self.path}: {self.message}" if self.path else f"{place}{self.message}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object. ``lines`` has the line of every path of its document, where the object itself stands at ``root``."""

    file: str
    line: int
    value: Mapping[str, Any] = field(repr=False)
    lines: Mapping[str, int]
    root: str = ""

    def line_of(self, path: str) -> int:
        """The line of a path, or of the nearest thing around it that is there."""
        full = f"{self.root}.{path}" if self.root else path
        while full and full not in self.lines:
            shorter = _LAST_STEP.sub("", full)
            full = shorter if shorter != full else ""
        return self.lines.get(full, self.line)


@dataclass(frozen=True, slots=True)
class Manifests:
    """What was read. ``notes`` is what reading alone can find fault with."""

    manifests: tuple[Manifest, ...] = ()
    notes: tuple[Note, ...] = ()
    _by_subject: Mapping[Subject, Manifest] = field(default_factory=dict)

    @property
    def objects(self) -> list[Mapping[str, Any]]:
        """The objects, each name once, in the order of the files."""
        return [manifest.value for manifest in self.manifests]

    def note(self, finding: Finding) -> Note:
        """A finding of ``translate`` with its place."""
        manifest = self._by_subject.get(finding.subject)
        where = f"{finding.subject}" if manifest is None else manifest.file
        line = 0 if manifest is None else manifest.line_of(finding.path)
        return Note(where, line, finding.severity, finding.path, finding.message)


def files_of(sources: Iterable[str]) -> list[str]:
    """The files that the arguments name: a directory stands for the manifests right inside it, sorted.

    Raises ``Unreadable`` for what is not there or cannot be looked at, and for a directory without manifests.
    """
    files: list[str] = []
    for source in sources:
        try:
            files += _files_of(source)
        except OSError as error:
            raise Unreadable(f"{source}: {error.strerror or error}") from None
    return list(dict.fromkeys(files))


def is_read_once(file: str) -> bool:
    """Whether there is nothing to read a second time: standard input and pipes, as of ``<(kubectl get ...)``.

    Raises ``Unreadable``.
    """
    try:
        return file == STDIN or (Path(file).exists() and not Path(file).is_file() and not Path(file).is_dir())
    except OSError as error:
        raise Unreadable(f"{file}: {error.strerror or error}") from None


def _files_of(source: str) -> list[str]:
    path = Path(source)
    if path.is_dir():
        found = sorted(str(child) for child in path.iterdir() if child.suffix in SUFFIXES and child.is_file())
        if not found:
            raise Unreadable(f"{source}: no {', '.join(SUFFIXES)} files in this directory")
        return found
    if source != STDIN and not path.exists():
        raise Unreadable(f"{source}: no such file or directory")
    return [source]


def read_manifests(files: Sequence[str], read: Callable[[str], bytes] | None = None) -> Manifests:
    """Everything in the files. Raises ``Unreadable`` when one cannot be opened or is no text."""
    notes: list[Note] = []
    by_subject: dict[Subject, Manifest] = {}
    for file in files:
        for manifest in _documents(file, _text(file, read or read_content), notes):
            subject = subject_of(manifest.value)
            first = by_subject.setdefault(subject, manifest)
            if first is not manifest:
                message = f"{subject} is already in {first.file}:{first.line}; the first one counts"
                notes.append(Note(file, manifest.line_of("metadata.name"), Severity.WARNING, "metadata.name", message))
    return Manifests(tuple(by_subject.values()), tuple(notes), by_subject)


def read_content(file: str) -> bytes:
    """The bytes of a file or, for ``-``, of standard input. Raises ``Unreadable``."""
    try:
        if file == STDIN:
            return sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
        with Path(file).open("rb") as stream:
            return stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise Unreadable(f"{file}: {error.strerror or error}") from None


def _text(file: str, read: Callable[[str], bytes]) -> str:
    data = read(file)
    if len(data) > MAX_FILE_BYTES:
        raise Unreadable(f"{file}: larger than {MAX_FILE_BYTES >> 20} MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Unreadable(f"{file}:{line}: not UTF-8 text") from None


def _documents(file: str, text: str, notes: list[Note]) -> Iterator[Manifest]:
    for first_line, part in _parts(text):
        lines: dict[str, int] = {}
        try:
            value, findings = read_yaml(part, lines)
        except ConfigError as error:
            value, findings = None, error.findings
        # A text that ends too early is at fault after its last line; the reader of the message wants that line.
        last = part.rstrip().count("\n") + 1
        notes += [
            Note(file, first_line + min(finding.line or 1, last), Severity.ERROR, finding.path, _discreet(finding))
            for finding in findings
        ]
        lines = {path: first_line + line for path, line in lines.items()}
        if value is not None:
            yield from _objects(file, value, lines, notes)


def _discreet(finding: ConfigFinding) -> str:
    """The reason, without the part of a password that some of YAML's would quote."""
    if _VALUE_OF_A_SECRET.match(finding.path):
        return "the value cannot be read; put it in quotes"
    return finding.reason


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """The documents of a text, each with the number of lines before it."""
    start = 0
    for mark in [*_SEPARATOR.finditer(text), None]:
        part = text[start : mark.start()] if mark else text[start:]
        if part.strip():
            yield text.count("\n", 0, start), part
        if mark:
            start = mark.end()


def _objects(file: str, value: Any, lines: Mapping[str, int], notes: list[Note]) -> Iterator[Manifest]:
    first = min(lines.values(), default=1)
    if not isinstance(value, Mapping):
        notes.append(Note(file, first, Severity.ERROR, "", "a manifest must be a mapping with apiVersion and kind"))
        return
    if value.get("kind") != "List" or not isinstance(value.get("items"), list):
        yield from _object(Manifest(file, first, value, lines), notes)
        return
    for i, item in enumerate(value["items"]):
        root = f"items[{i}]"
        if isinstance(item, Mapping):
            yield from _object(Manifest(file, lines.get(root, first), item, lines, root), notes)
        else:
            notes.append(Note(file, lines.get(root, first), Severity.ERROR, root, "must be an object"))


def _object(manifest: Manifest, notes: list[Note]) -> Iterator[Manifest]:
    metadata = manifest.value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    required = {
        "apiVersion": manifest.value.get("apiVersion"),
        "kind": manifest.value.get("kind"),
        "metadata.name": name,
    }
    missing = [path for path, found in required.items() if not isinstance(found, str) or not found]
    for path in missing:
        message = f"every manifest needs {path}"
        notes.append(Note(manifest.file, manifest.line_of(path), Severity.ERROR, path, message))
    if not missing:
        yield manifest
