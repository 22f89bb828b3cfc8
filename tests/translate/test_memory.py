"""A translation that remembers the last one comes to the same as one that does not."""

import itertools
from typing import Any

import pytest

from controller.translate import Memory, ReadRoute, Snapshot, read_backend, read_route, translate
from tests.support.api_objects import backend, route, rule

_MOVED: dict[str, Any] = {"endpoint": {"hostname": "moved.example.com"}}
_BROKEN: dict[str, Any] = {"endpoint": {"hostname": "not a host"}}

CHAT = read_route(route(rule("a", "one"), rule("b", "one", "two"), name="chat"))
OTHER = read_route(route(rule("c", "one"), name="other"))
FORMER = read_route(route(rule("a", "one"), name="former"))

#: Each with its routes and backends; the routes are the same ones whenever they are in several.
WORLDS: list[tuple[list[ReadRoute], list[dict[str, Any]]]] = [
    ([CHAT, OTHER], [backend("one"), backend("two")]),
    ([CHAT, OTHER], [backend("one"), backend("two", **_MOVED)]),
    ([CHAT, OTHER], [backend("one"), backend("two", **_BROKEN)]),
    ([CHAT, OTHER], [backend("one"), backend("twoo")]),
    ([CHAT, OTHER], [backend("one")]),
    ([CHAT], []),
    ([CHAT, FORMER], [backend("one"), backend("two")]),
    ([FORMER], [backend("one"), backend("two")]),
]


def _snapshot(world: tuple[list[ReadRoute], list[dict[str, Any]]]) -> Snapshot:
    routes, backends = world
    return Snapshot(routes=tuple(routes), backends=tuple(map(read_backend, backends)))


@pytest.mark.parametrize(("before", "after"), list(itertools.permutations(range(len(WORLDS)), 2)))
def test_what_was_before_leaves_no_trace(before: int, after: int) -> None:
    """From any world to any other and back."""
    memory = Memory()
    for world in (WORLDS[before], WORLDS[after], WORLDS[before]):
        assert translate(_snapshot(world), memory) == translate(_snapshot(world))


def test_what_does_not_change_is_not_made_anew() -> None:
    """A route keeps its rules and its status while a backend that it does not name comes and goes."""
    memory = Memory()
    first, second = (translate(_snapshot(world), memory) for world in (WORLDS[0], WORLDS[4]))

    statuses = [{s.subject.name: s for s in each.statuses} for each in (first, second)]
    assert statuses[0]["other"] is statuses[1]["other"]
    assert statuses[0]["chat"] is not statuses[1]["chat"]
    assert first.config.rules[2] is second.config.rules[2]
