"""What is wrong with a configuration: one finding for each place, all of them at once."""

import difflib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

#: Findings shown by ``str(ConfigError)``; all of them are in ``findings``. A guess at what a person reads in one go.
SHOWN_FINDINGS = 20

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
_DIGITS = re.compile(r"([0-9]+)")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. ``path`` is empty when the file as a whole is meant; ``line`` counts from 1."""

    path: str
    reason: str
    suggestion: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        at = f"line {self.line}" if self.line is not None else ""
        text = f"{self.path or at}: {self.reason}" if self.path or at else self.reason
        if self.suggestion is not None:
            text += f' (did you mean "{self.suggestion}"?)'
        return f"{text}, {at}" if self.path and at else text

    def below(self, path: str) -> "Finding":
        """The same finding, its path read from ``path`` on."""
        if not path or not self.path:
            return replace(self, path=path or self.path)
        joint = "" if self.path.startswith("[") else "."
        return replace(self, path=f"{path}{joint}{self.path}")


class ConfigError(Exception):
    """A configuration that must not be served. ``findings``, never empty, is sorted by path, positions as numbers."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings: tuple[Finding, ...] = tuple(sorted(set(findings), key=_order))
        super().__init__(self.findings)

    def __str__(self) -> str:
        lines = [str(finding) for finding in self.findings[:SHOWN_FINDINGS]]
        if (hidden := len(self.findings) - SHOWN_FINDINGS) > 0:
            lines.append(f"and {hidden} more")
        return "\n".join(lines)


class MisfitError(ValueError):
    """Raised inside the schema's own validators: findings with paths relative to the part that was validated."""

    def __init__(self, *findings: Finding) -> None:
        super().__init__("; ".join(map(str, findings)))
        self.findings = findings


def _order(finding: Finding) -> tuple[list[str | int], str, int]:
    parts = _DIGITS.split(finding.path)
    natural = [int(part) if i % 2 else part for i, part in enumerate(parts)]
    return natural, finding.reason, finding.line or 0


def render_path(loc: Sequence[str | int]) -> str:
    """A JSON path as people write it: ``("rules", 0, "backends", 1)`` is ``rules[0].backends[1]``.

    Keys that are not plain words are quoted and shortened, so the result is always one readable line.
    """
    path = ""
    for item in loc:
        if isinstance(item, int):
            path += f"[{item}]"
        elif not _PLAIN_KEY.match(item):
            path += f"[{quoted(item)}]"
        else:
            path += f".{shortened(item)}" if path else shortened(item)
    return path


def quoted(value: str) -> str:
    """A value of the file as it may stand in a message: in double quotes, escaped, at most 64 characters of it."""
    return json.dumps(shortened(value))


def shortened(value: str) -> str:
    """At most 64 characters of a value."""
    return value if len(value) <= 64 else f"{value[:61]}..."


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that ``word`` most likely should be, whatever its case and separators; None when none is near."""
    plain = {_folded(name): name for name in known}
    close = difflib.get_close_matches(_folded(word)[:256], list(plain), n=1)
    return plain[close[0]] if close else None


def _folded(word: str) -> str:
    return word.replace("_", "").replace("-", "").lower()
