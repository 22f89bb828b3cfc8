from dataclasses import replace
from random import Random

import pytest

from extproc.config.schema import CapabilityOverrides
from extproc.routing.index import Choice, Route
from tests.support.routing_configs import index_of, route_of

#: The largest number below 1, the last draw there is.
LAST = 1 - 2**-53

#: Chi-squared with 3 degrees of freedom lies above this once in 1,000 (any table of its distribution).
CRITICAL_3 = 16.266


OPENAI = "outputSchema: {schema: OpenAI}"


def route(*weights: int, refusal: str | None = None) -> Route:
    """A rule with backends b0, b1, ... of these weights."""
    backends = ", ".join(f"{{name: b{i}, weight: {weight}, {OPENAI}}}" for i, weight in enumerate(weights))
    reason = f", refusal: {refusal}" if refusal else ""
    made = route_of(f"rules: [{{backends: [{backends}]{reason}}}]")
    assert made is not None
    return made


def name(choice: Choice | None) -> str | None:
    """The chosen backend's name."""
    return None if choice is None else choice.name


def test_ten_thousand_draws_follow_the_weights() -> None:
    """The counts of a seeded run are as near to the weights as chance makes them, by the chi-squared test."""
    weights = (1, 10, 5, 84)
    made, random = route(*weights), Random(20261122)
    counts = dict.fromkeys((f"b{i}" for i in range(4)), 0)
    for _ in range(10_000):
        counts[name(made.choose(random.random())) or ""] += 1
    expected = [10_000 * w / sum(weights) for w in weights]

    assert sum((seen - due) ** 2 / due for seen, due in zip(counts.values(), expected, strict=True)) < CRITICAL_3


def test_every_draw_falls_where_the_weights_say() -> None:
    """A backend's share of [0, 1) is exactly its weight, in the file's order."""
    made = route(1, 2, 1)

    chosen = [name(made.choose(draw)) for draw in (0.0, 0.2499, 0.25, 0.7499, 0.75, LAST)]

    assert chosen == ["b0", "b0", "b1", "b1", "b2", "b2"]


@pytest.mark.parametrize("draw", [0.0, 5e-324, 0.5, 0.999999, LAST])
@pytest.mark.parametrize("weights", [(0, 1, 0), (0, 0, 3), (7, 0, 0), (0, 1_000_000, 0)])
def test_weight_0_is_never_chosen(weights: tuple[int, ...], draw: float) -> None:
    """No draw falls on a backend of weight 0, first, last or between."""
    assert name(route(*weights).choose(draw)) == f"b{weights.index(max(weights))}"


@pytest.mark.parametrize("made", [route(), route(0), route(0, 0), route(5, refusal="down")], ids=range(4))
def test_nothing_to_choose_is_none(made: Route) -> None:
    """Without backends, with weights of 0 alone and when refused, there is no choice."""
    assert [made.choose(d) for d in (0.0, 0.5, LAST)] == [None, None, None]


@pytest.mark.parametrize("draw", [-0.1, 1.0, float("nan")])
def test_a_draw_outside_its_range_is_a_bug(draw: float) -> None:
    """A caller that draws wrongly is told so, whatever the weights."""
    with pytest.raises(ValueError, match=r"a draw lies in \[0, 1\)"):
        route(1).choose(draw)


def test_the_weight_is_1_unless_given() -> None:
    """Backends without a weight share alike."""
    made = route_of(f"rules: [{{backends: [{{name: a, {OPENAI}}}, {{name: b, {OPENAI}}}]}}]")

    assert made is not None
    assert made.cumulative == (1, 2)


def test_a_choice_has_all_that_is_known_of_its_backend() -> None:
    """What stands at the rule and what stands in ``backends`` is one; an inline schema wins."""
    made = route_of(
        "backends:\n- name: a\n  outputSchema: {schema: AWSBedrock, version: v3}\n  host: h.example\n"
        "  capabilities: {reasoning: budget, promptCache: false}\n"
        "rules:\n- backends:\n  - {name: a, weight: 2, modelNameOverride: up, routeKey: a@5s}\n"
        f"  - {{name: a, {OPENAI}}}\n"
    )
    known = CapabilityOverrides(reasoning="budget", prompt_cache=False)
    named = Choice(
        name="a",
        weight=2,
        schema="AWSBedrock",
        version="v3",
        model_name_override="up",
        route_key="a@5s",
        host="h.example",
        capabilities=known,
    )
    inline = replace(named, weight=1, schema="OpenAI", version=None, model_name_override=None, route_key="a")

    assert made is not None
    assert made.backends == (named, inline)


def test_rules_with_the_same_backends_share_them() -> None:
    """Ten thousand rules for one backend hold it once."""
    rule = f"backends: [{{name: a, {OPENAI}}}]"
    index = index_of(f"rules: [{{{rule}, headers: [{{name: x, value: y}}]}}, {{{rule}}}]")
    one, other = index.match("gw", {}, "m", "OpenAI"), index.match("gw", {"x": "y"}, "m", "OpenAI")

    assert one is not None
    assert other is not None
    assert one.index != other.index
    assert one.backends is other.backends
