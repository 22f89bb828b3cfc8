"""Many regular expressions, tried on a text in one pass."""

from collections.abc import Callable, Iterator, Sequence

import re2

from extproc.config.patterns import pattern_options

#: What one automaton may take, in bytes: a floor, and a share for each pattern. RE2 fills it with states only as texts
#: come that need them, and starts over when it is full.
_FLOOR_BYTES = 8 << 20
_BYTES_PER_PATTERN = 4 << 10

_Matcher = Callable[[bytes], Sequence[int]]


class PatternSet:
    """Patterns that must each match a whole text. All of them are valid for ``config.patterns``."""

    __slots__ = ("_parts",)

    def __init__(self, patterns: Sequence[str], budget_bytes: int | None = None) -> None:
        budget = budget_bytes or _FLOOR_BYTES + _BYTES_PER_PATTERN * len(patterns)
        self._parts = tuple(_parts(patterns, 0, budget))

    def matching(self, text: bytes) -> list[int]:
        """The positions of the patterns that match, in no particular order. Linear in the text."""
        return [offset + i for offset, match in self._parts for i in match(text)]


def _parts(patterns: Sequence[str], offset: int, budget: int) -> Iterator[tuple[int, _Matcher]]:
    """One automaton for all, or halves where RE2 finds that they do not fit into the budget together."""
    options = pattern_options(budget)
    automaton = re2.Set.FullMatchSet(options)
    for pattern in patterns:
        automaton.Add(pattern.encode())
    try:
        automaton.Compile()
    except re2.error:
        # From here on the set must not be touched: matching with one that failed to compile ends the process.
        if len(patterns) == 1:
            yield offset, _single(patterns[0])
            return
        half = len(patterns) // 2
        yield from _parts(patterns[:half], offset, budget)
        yield from _parts(patterns[half:], offset + half, budget)
    else:
        yield offset, lambda text: automaton.Match(text) or ()


def _single(pattern: str) -> _Matcher:
    """A pattern on its own, which RE2 can also try without building states."""
    compiled = re2.compile(pattern.encode(), pattern_options())
    return lambda text: (0,) if compiled.fullmatch(text) is not None else ()
