"""What a decision looks at does not grow with the rules. Time is for ``make bench``; here the looks are counted."""

import tracemalloc
from collections.abc import Callable, Mapping
from typing import Literal

import pytest

from extproc.config.schema import Config, HeaderMatch, OutputSchema, Rule, WeightedBackend
from extproc.routing.automata import PatternSet
from extproc.routing.conditions import Request
from extproc.routing.index import compile_index
from extproc.routing.table import Entry

MANY = 3_000

Kind = Literal["Exact", "RegularExpression"]
Conditions = tuple[tuple[str, str, Kind], ...]


def config(conditions: Callable[[int], Conditions]) -> Config:
    """Many rules, each with one match."""
    backend = WeightedBackend(name="b", output_schema=OutputSchema(schema_="OpenAI"))
    return Config(
        rules=tuple(
            Rule(
                headers=tuple(HeaderMatch(name=name, value=value, type=kind) for name, value, kind in conditions(i)),
                backends=(backend,),
                source=f"team/{i}@1#rules[0]",
            )
            for i in range(MANY)
        )
    )


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many entries were checked and how many automata were run."""
    counted = {"entries": 0, "automata": 0}
    admits, matching = Entry.admits, PatternSet.matching

    def count_entry(self: Entry, request: Request) -> bool:
        counted["entries"] += 1
        return admits(self, request)

    def count_automaton(self: PatternSet, text: bytes) -> list[int]:
        counted["automata"] += 1
        return matching(self, text)

    monkeypatch.setattr(Entry, "admits", count_entry)
    monkeypatch.setattr(PatternSet, "matching", count_automaton)
    return counted


MODEL = "x-ai-eg-model"
SHAPES: dict[str, tuple[Callable[[int], Conditions], str, Mapping[str, str], tuple[int, int]]] = {
    "models": (lambda i: ((MODEL, f"m{i}", "Exact"),), "m1234", {}, (1, 0)),
    "tenants of a model": (
        lambda i: ((MODEL, "m", "Exact"), ("x-tenant", f"t{i}", "Exact")),
        "m",
        {"x-tenant": "t1234"},
        (1, 0),
    ),
    "models of a tenant": (
        lambda i: ((MODEL, f"m{i}", "Exact"), ("x-tenant", "t", "Exact")),
        "m1234",
        {"x-tenant": "t"},
        (1, 0),
    ),
    "headers": (lambda i: ((f"x-{i}", "v", "Exact"),), "m", {"x-1234": "v"}, (1, 0)),
    "patterns": (lambda i: ((MODEL, f"m{i}-.*", "RegularExpression"),), "m1234-x", {}, (1, 1)),
    "patterns of a header": (lambda i: (("x-a", f"m{i}-.*", "RegularExpression"),), "m", {"x-a": "m1234-x"}, (1, 1)),
    "tenants by name, models by pattern": (
        lambda i: ((MODEL, "m.*", "RegularExpression"), ("x-tenant", f"t{i}", "Exact")),
        "m",
        {"x-tenant": "t1234"},
        (1, 1),
    ),
    "one pattern, many tenants by pattern": (
        lambda i: ((MODEL, "m.*", "RegularExpression"), ("x-tenant", f"t{i}|u{i}", "RegularExpression")),
        "m",
        {"x-tenant": "u1234"},
        (1, 2),
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_decision_does_not_walk_through_the_rules(shape: str, looks: dict[str, int]) -> None:
    """Whatever the many rules differ in, the one that fits is found with one look, and the lack of one with fewer."""
    conditions, model, headers, (entries, automata) = SHAPES[shape]
    index = compile_index(config(conditions))
    looks.update(entries=0, automata=0)
    route = index.match("gw", {"user-agent": "x", **headers}, model, "OpenAI")

    assert route is not None
    assert route.index == 1234
    assert looks == {"entries": entries, "automata": automata}

    looks.update(entries=0, automata=0)

    assert index.match("gw", {"user-agent": "x"}, "other", "OpenAI") is None
    assert looks["entries"] == 0
    assert looks["automata"] <= automata


def test_a_rule_costs_little_memory() -> None:
    """An index takes less than 600 bytes for each rule beyond the configuration itself."""
    made = config(lambda i: ((MODEL, f"m{i}", "Exact"),))
    tracemalloc.start()
    try:
        index = compile_index(made)
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()

    assert index.has_model("gw", "m0")
    assert taken / MANY < 600
