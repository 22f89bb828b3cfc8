"""What is not the same in two requests or answers, who is right about it, and the page that tells it."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

_FILE = Path(__file__).parents[1] / "golden" / "differential" / "verdicts.yaml"
PAGE = Path(__file__).parents[2] / "docs" / "dialects" / "differential-litellm.md"
_MEMBERS: Final = {"pair", "case", "place", "theirs", "who", "why"}
_WHO: Final = {"we": "we", "they": "they", "both": "both", "open": "open"}
_LONGEST: Final = 90
_MOST_CASES: Final = 3

_HEAD = """# LiteLLM and LLMRoute, difference by difference

The probes of every field (`tests/golden/fields`) and whole conversations (`tests/golden/differential`) go through
LiteLLM's own transformation classes and through LLMRoute. Each place where the two requests, or what a client is told
of an answer, are not the same stands here. `make differential` (LiteLLM {version}, in an environment of its own) writes
the page with `ARGS=--update-golden`. It fails when the page is out of date, when a difference has no verdict, and when
a verdict has no difference.

LiteLLM is called as its callers do with `drop_params`: parameters that it knows to be unsupported are left out.
Spellings that mean the same to the vendor (a string for one text block, `snake_case` in Google's JSON) do not count.

Who is right: **we**; **they**; **both** (the vendor takes either); **open** (no source that we have says).
"""


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where the two bodies are not the same; ``ours`` or ``theirs`` may be ``absent``."""

    place: str
    ours: str
    theirs: str


@dataclass(frozen=True, slots=True)
class Found:
    """A difference, where it was seen."""

    pair: str
    case: str
    difference: Difference


@dataclass(frozen=True, slots=True)
class Verdict:
    """Who is right, and why, about the differences that match all patterns."""

    pair: str
    case: str
    place: str
    theirs: str
    who: str
    why: str

    def covers(self, found: Found) -> bool:
        """Whether this is the verdict on it."""
        told = found.difference
        asked = ((self.pair, found.pair), (self.case, found.case), (self.place, told.place), (self.theirs, told.theirs))
        return all(re.fullmatch(pattern, text, re.DOTALL) for pattern, text in asked)


def verdicts() -> list[Verdict]:
    """All of them, in order of precedence."""
    told: list[dict[str, Any]] = yaml.safe_load(_FILE.read_text())
    strangers = {name for one in told for name in one} - _MEMBERS
    assert not strangers, f"nothing reads {sorted(strangers)}"
    assert all(one["who"] in _WHO for one in told)
    return [Verdict(**{"pair": ".*", "theirs": ".*", **one}) for one in told]


def judged(found: Iterable[Found], known: Sequence[Verdict]) -> tuple[list[tuple[Verdict, list[Found]]], list[Found]]:
    """The differences by verdict, and those on which there is none."""
    by_verdict: list[tuple[Verdict, list[Found]]] = [(verdict, []) for verdict in known]
    strays: list[Found] = []
    for one in found:
        heap = next((heap for verdict, heap in by_verdict if verdict.covers(one)), strays)
        heap.append(one)
    return by_verdict, strays


def page(by_verdict: Sequence[tuple[Verdict, list[Found]]], version: str) -> str:
    """The page in Markdown."""
    total = sum(len(heap) for _, heap in by_verdict)
    counts = {who: sum(len(heap) for verdict, heap in by_verdict if verdict.who == who) for who in _WHO}
    lines = [_HEAD.format(version=version)]
    lines.append(f"{total} differences: " + ", ".join(f"{who} {count}" for who, count in counts.items()) + ".\n")
    for who in ("they", "open", "both", "we"):
        lines.append(f"## {who}\n")
        sections = [_section(verdict, heap) for verdict, heap in by_verdict if verdict.who == who and heap]
        lines += [line for section in sections for line in section] or ["Nothing.\n"]
    return "\n".join(lines).rstrip() + "\n"


def _section(verdict: Verdict, heap: Sequence[Found]) -> list[str]:
    lines = [f"{verdict.why}\n", "| from, to | place | ours | LiteLLM's | seen with |", "|---|---|---|---|---|"]
    rows: dict[tuple[str, str, str, str], list[str]] = {}
    for one in heap:
        told = one.difference
        row = (one.pair.replace("_", " "), told.place, _short(told.ours), _short(told.theirs))
        rows.setdefault(row, []).append(one.case)
    for place, seen in rows.items():
        more = f" and {len(seen) - _MOST_CASES} more" if len(seen) > _MOST_CASES else ""
        cells = (*place, "; ".join(seen[:_MOST_CASES]) + more)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return [*lines, ""]


def _short(text: str) -> str:
    told = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return f"`{told}`" if told != "absent" else "absent"


def different(place: str, ours: Any, theirs: Any) -> Iterator[Difference]:
    """Every place where two JSON values are not the same; lists of unequal length are one place."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in sorted(ours.keys() | theirs.keys()):
            inner = f"{place}.{name}".removeprefix(".")
            yield from different(inner, ours.get(name, _ABSENT), theirs.get(name, _ABSENT))
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for position, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from different(f"{place}[{position}]", one, other)
    elif ours != theirs:
        yield Difference(place, _told(ours), _told(theirs))


class _Absent:
    """No value."""


_ABSENT = _Absent()


def _told(value: Any) -> str:
    return "absent" if value is _ABSENT else json.dumps(value, ensure_ascii=False)
