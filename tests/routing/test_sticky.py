"""Which backend a conversation belongs to."""

from collections import Counter

import pytest

from extproc.config.loader import load
from extproc.routing.index import compile_index
from extproc.routing.route import Route

OPENAI = "outputSchema: {schema: OpenAI}"
KEYS = [f"conversation {i}".encode() for i in range(4000)]


def sticky(*weights: int, names: str = "abcdef", more: str = "stickiness: Conversation") -> Route:
    """A route to backends of these weights."""
    backends = ", ".join(f"{{name: {name}, weight: {w}, {OPENAI}}}" for name, w in zip(names, weights, strict=False))
    found = compile_index(load(f"rules: [{{{more}, backends: [{backends}]}}]".encode())).match("gw", {}, "m", "OpenAI")
    assert found is not None
    return found


def chosen(route: Route, keys: list[bytes] = KEYS) -> list[str]:
    """The backend of each key, by its name."""
    choices = [route.choose_for(key) for key in keys]
    return [choice.name for choice in choices if choice is not None]


def test_only_a_rule_that_says_so_is_sticky() -> None:
    """Without the word each request is drawn anew."""
    assert sticky(1, 1).sticky
    assert not sticky(1, 1, more="name: r").sticky


def test_a_conversation_always_finds_its_backend() -> None:
    """The same key gives the same backend, in every process: these four are written down."""
    assert chosen(sticky(1, 1, 1)) == chosen(sticky(1, 1, 1))
    assert chosen(sticky(1, 1, 1), [b"", b"x", b"y", b"z"]) == WRITTEN_DOWN


@pytest.mark.parametrize("weights", [(1, 1), (1, 3), (5, 0, 5), (1, 2, 3, 4)])
def test_each_backend_gets_its_share(weights: tuple[int, ...]) -> None:
    """Over many conversations the weights hold, within four standard deviations; weight 0 gets nothing."""
    counted = Counter(chosen(sticky(*weights)))

    for name, weight in zip("abcdef", weights, strict=False):
        share = weight / sum(weights)
        assert abs(counted[name] - len(KEYS) * share) <= 4 * (len(KEYS) * share * (1 - share)) ** 0.5


def test_a_name_that_stands_twice_has_both_weights() -> None:
    """Two entries of one backend are two chances."""
    counted = Counter(chosen(sticky(1, 1, 2, names="aab")))

    assert abs(counted["a"] - counted["b"]) <= 4 * len(KEYS) ** 0.5


def test_only_those_move_that_must() -> None:
    """A backend that goes takes only its own conversations with it; more weight only draws some towards it."""
    before = chosen(sticky(1, 1, 1))
    gone = chosen(sticky(1, 1, 0))
    heavier = chosen(sticky(2, 1, 1))

    assert [now for old, now in zip(before, gone, strict=True) if old != "c"] == [b for b in before if b != "c"]
    assert {now for old, now in zip(before, heavier, strict=True) if old != now} == {"a"}


def test_nobody_to_choose_is_none() -> None:
    """Weights of 0 alone, and refused rules, serve nobody."""
    assert sticky(0, 0).choose_for(b"x") is None
    assert sticky(1, 1, more="stickiness: Conversation, refusal: down").choose_for(b"x") is None


#: By this very hash; another one would scatter every conversation on the day of an upgrade.
WRITTEN_DOWN = ["a", "b", "c", "c"]
