"""Whose objects are watched, and how often the others are asked for."""

from controller.operator.shares import POLL_S, POLLS_PER_S, Shares, shares
from controller.translate.secrets import Place


def places(namespace: str, count: int) -> list[Place]:
    """So many names in a namespace."""
    return [("Secret", namespace, f"s{i:05}") for i in range(count)]


def watched_in(found: Shares, namespace: str) -> int:
    """How many of a namespace's are watched."""
    return len([place for place in found.watched if place[1] == namespace])


def test_everything_is_watched_while_there_is_room() -> None:
    """Whoever wants it, and whether it exists or not."""
    wanted = [*places("a", 3), *places("b", 2)]

    assert shares(wanted, frozenset(wanted[:2]), 5).watched == set(wanted)


def test_namespaces_get_equal_parts_and_what_others_leave() -> None:
    """One that wants little has all of it."""
    found = shares([*places("greedy", 5000), *places("large", 100), *places("small", 2)], frozenset(), 20)

    assert [watched_in(found, name) for name in ("greedy", "large", "small")] == [9, 9, 2]


def test_what_exists_comes_before_what_does_not() -> None:
    """A key that is rotated matters more than one that may come one day."""
    absent = places("a", 100)
    found = shares([*absent, *places("b", 9)], frozenset(absent), 10)

    assert (watched_in(found, "b"), watched_in(found, "a")) == (9, 1)


def test_questions_are_shared_as_well() -> None:
    """Thousands of names in one namespace cost another none of its turns, and all together have a bound."""
    absent = places("greedy", 5000)
    wanted = [*absent, *places("greedy-too", 1000), *places("victim", 1)]
    found = shares(wanted, frozenset(absent), 0)

    assert found.poll_s(("Secret", "victim", "s00000")) == POLL_S
    assert found.poll_s(absent[0]) > 1000
    assert sum(1 / found.poll_s(place) for place in wanted) <= POLLS_PER_S
