"""Who is watched and how often the others are asked for, so that no namespace's wishes cost another's. Pure.

Turn by turn each namespace gets one watch more, for as long as there are any; what exists comes before what does not.
What is not watched is asked for, and each namespace has an equal part of those questions.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from controller.translate.secrets import Place

#: Seconds between two questions about what is not watched, at the least.
POLL_S: Final = 10.0
#: Such questions in a second, of all together: half of them about what does not exist, of which anybody may name much.
POLLS_PER_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Shares:
    """``watched``: what is to be watched. ``missing``: what is known not to exist."""

    watched: frozenset[Place] = frozenset()
    missing: frozenset[Place] = frozenset()
    polls_s: Mapping[tuple[str, bool], float] = field(default_factory=dict)

    def poll_s(self, place: Place) -> float:
        """Seconds until this one is to be asked for again, if it is not watched."""
        return self.polls_s.get((place[1], place in self.missing), POLL_S)


def shares(places: Collection[Place], missing: frozenset[Place], watches: int) -> Shares:
    """How so many watches are shared between these places."""
    there = _in_turns(place for place in places if place not in missing)
    absent = _in_turns(place for place in places if place in missing)
    watched = frozenset(islice((place for row in (there, absent) for place in row), watches))
    polled = Counter((place[1], place in missing) for place in places if place not in watched)
    namespaces, per_s = len({namespace for namespace, _ in polled}), POLLS_PER_S / 2
    polls_s = {key: max(POLL_S, count * namespaces / per_s) for key, count in polled.items()}
    return Shares(watched, missing, polls_s)


def _in_turns(places: Iterator[Place]) -> list[Place]:
    """One of each namespace, then another one of each, and so on."""
    turns: dict[str, int] = defaultdict(int)
    rows: list[tuple[int, Place]] = []
    for place in sorted(places):
        rows.append((turns[place[1]], place))
        turns[place[1]] += 1
    return [place for _, place in sorted(rows)]
