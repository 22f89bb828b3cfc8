"""Matches in the two forms that are needed of them, worked out once for each object that changes."""

from controller.api.route import RouteMatch, RouteRule
from extproc.config.names import MODEL_HEADERS
from extproc.config.schema import HeaderMatch, Match

_MODEL = MODEL_HEADERS[0]

#: A match without the accidents of its spelling: header, type and value of each condition.
Conditions = frozenset[tuple[str, str, str]]


def conditions(match: RouteMatch) -> Conditions:
    """A match in the form in which equal ones are equal."""
    names = ((header.name.lower(), header) for header in match.headers)
    return frozenset((_MODEL if name in MODEL_HEADERS else name, h.type, h.value) for name, h in names)


def config_matches(rule: RouteRule) -> tuple[Match, ...] | None:
    """What the processor's configuration has of them; None for a rule without."""
    return (
        tuple(
            Match(headers=tuple(HeaderMatch(name=h.name, value=h.value, type=h.type) for h in match.headers))
            for match in rule.matches
        )
        or None
    )
