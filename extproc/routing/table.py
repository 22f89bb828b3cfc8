"""The rules of one host name, findable by what they ask for.

Each entry (a match of a rule) is filed under one of its conditions: under an exact value if it has one, else under a
pattern. It is the condition that the fewest others share, so that neither ten thousand models nor ten thousand tenants
of one model make a list to walk through; the model wins a tie. What is found there still has to fulfil the rest.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from extproc.routing.automata import PatternSet
from extproc.routing.conditions import MODEL, Conditions, Request, octets
from extproc.routing.route import Route


@dataclass(frozen=True, slots=True)
class Candidate:
    """A match of a rule, before its table is made. ``order`` is its precedence, smaller first."""

    order: tuple[int, int, int]
    conditions: Conditions
    client: str | None
    route: Route


@dataclass(frozen=True, slots=True)
class Entry:
    """A match of a rule in its table: what is left to check once it was found. A smaller ``rank`` goes first."""

    rank: int
    client: str | None
    exact: tuple[tuple[str, str], ...]
    patterns: tuple[tuple[str, PatternSet], ...]
    route: Route

    def admits(self, request: Request) -> bool:
        """Whether all that was left holds."""
        if self.client is not None and self.client != request.client:
            return False
        for subject, value in self.exact:
            if request.text(subject) != value:
                return False
        for subject, pattern in self.patterns:
            text = request.text(subject)
            if text is None or not pattern.matching(octets(subject, text)):
                return False
        return True


_NEVER = sys.maxsize


@dataclass(frozen=True, slots=True)
class _Drawer:
    """The entries filed under one subject; each list goes by rank, and so do the lists of ``by_pattern``."""

    by_value: Mapping[str, Sequence[Entry]]
    patterns: PatternSet | None
    by_pattern: Sequence[Sequence[Entry]]
    first_pattern_rank: int

    def better(self, best: Entry | None, subject: str, request: Request) -> Entry | None:
        """The first entry here that admits the request, if it goes before ``best``; else ``best``."""
        value = request.text(subject)
        if value is None:
            return best
        best = _first(best, self.by_value.get(value, ()), request)
        if self.patterns is None or _rank(best) < self.first_pattern_rank:
            return best
        for i in sorted(self.patterns.matching(octets(subject, value))):
            entries = self.by_pattern[i]
            if _rank(best) < entries[0].rank:
                break
            best = _first(best, entries, request)
        return best


def _rank(entry: Entry | None) -> int:
    return _NEVER if entry is None else entry.rank


def _first(best: Entry | None, entries: Sequence[Entry], request: Request) -> Entry | None:
    for entry in entries:
        if _rank(best) < entry.rank:
            break
        if entry.admits(request):
            return entry
    return best


class Table:
    """All entries of one host name."""

    __slots__ = ("_drawers", "_model", "_others")

    def __init__(self, candidates: Sequence[Candidate], patterns: "PatternPool") -> None:
        filing = _Filing(candidates, patterns)
        self._drawers = filing.drawers()
        self._model = self._drawers.pop(MODEL, None)
        self._others = tuple(filing.unconditional)

    def maybe_entry(self, request: Request) -> Entry | None:
        """The first entry, by precedence, that admits the request."""
        best = None if self._model is None else self._model.better(None, MODEL, request)
        if self._drawers:
            for subject in self._drawers.keys() & request.headers.keys():
                best = self._drawers[subject].better(best, subject, request)
        return best if best is not None else _first(None, self._others, request)


class PatternPool:
    """Single patterns, each compiled once for a whole configuration."""

    def __init__(self) -> None:
        self._compiled: dict[str, PatternSet] = {}

    def pattern(self, text: str) -> PatternSet:
        """The compiled pattern."""
        if text not in self._compiled:
            self._compiled[text] = PatternSet([text])
        return self._compiled[text]


class _Filing:
    """Sorts candidates into drawers."""

    def __init__(self, candidates: Sequence[Candidate], patterns: PatternPool) -> None:
        self.unconditional: list[Entry] = []
        self._pool = patterns
        self._by_value: dict[str, dict[str, list[Entry]]] = defaultdict(lambda: defaultdict(list))
        self._by_pattern: dict[str, dict[str, list[Entry]]] = defaultdict(lambda: defaultdict(list))
        self._shared = Counter(key for c in candidates for key in c.conditions.exact.items())
        self._shared_patterns = Counter(key for c in candidates for key in c.conditions.patterns)
        for rank, candidate in enumerate(sorted(candidates, key=lambda c: c.order)):
            self._file(rank, candidate)

    def _file(self, rank: int, candidate: Candidate) -> None:
        exact, patterns = tuple(candidate.conditions.exact.items()), candidate.conditions.patterns
        if exact:
            key = min(exact, key=lambda pair: (self._shared[pair], pair[0] != MODEL))
            shelf = self._by_value[key[0]][key[1]]
            exact = tuple(pair for pair in exact if pair != key)
        elif patterns:
            key = min(patterns, key=lambda pair: (self._shared_patterns[pair], pair[0] != MODEL))
            shelf = self._by_pattern[key[0]][key[1]]
            patterns = tuple(pair for pair in patterns if pair != key)
        else:
            shelf = self.unconditional
        left = tuple((subject, self._pool.pattern(text)) for subject, text in patterns)
        shelf.append(Entry(rank, candidate.client, exact, left, candidate.route))

    def drawers(self) -> dict[str, _Drawer]:
        """The drawers by subject."""
        return {subject: self._drawer(subject) for subject in self._by_value.keys() | self._by_pattern.keys()}

    def _drawer(self, subject: str) -> _Drawer:
        by_value = {value: tuple(entries) for value, entries in self._by_value[subject].items()}
        by_pattern = self._by_pattern[subject]
        return _Drawer(
            by_value=by_value,
            patterns=PatternSet(list(by_pattern)) if by_pattern else None,
            by_pattern=tuple(map(tuple, by_pattern.values())),
            first_pattern_rank=min((entries[0].rank for entries in by_pattern.values()), default=_NEVER),
        )
