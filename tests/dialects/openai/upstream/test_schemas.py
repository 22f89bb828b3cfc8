"""Which schemas OpenAI enforces."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from extproc.dialects.openai.upstream.schemas import maybe_unenforceable
from tests.support.wire_costs import assert_linear

TEXT = {"type": "string"}


def closed(required: list[Any] | None = None, /, **properties: Any) -> dict[str, Any]:
    """A closed object that requires all of its properties, or what is said."""
    names = list(properties) if required is None else required
    return {"type": "object", "properties": properties, "required": names, "additionalProperties": False}


@pytest.mark.parametrize(
    "schema",
    [
        closed(a=TEXT),
        closed(a={"type": ["string", "null"]}, b={"type": "array", "items": TEXT}),
        closed(a={"anyOf": [TEXT, {"type": "null"}]}),
        {**closed(a={"$ref": "#/$defs/x"}), "$defs": {"x": closed(b={"$ref": "#"})}},
        {**closed(a={"$ref": "#/$defs/a~1b~0c"}), "$defs": {"a/b~c": TEXT}},
    ],
)
def test_enforced(schema: dict[str, Any]) -> None:
    """Closed objects, choices, and references into the schema itself are enforced."""
    assert maybe_unenforceable(json.dumps(schema)) is None


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ([], "root"),
        ({"type": "object", "anyOf": []}, "root"),
        (closed(a={}), "says no type"),
        (closed(a={"enum": ["a"]}), "says no type"),
        (closed(a={"$ref": "#/$defs/x"}), "leads nowhere"),
        (closed(a={"$ref": "https://example.com/x"}), "leads nowhere"),
        (closed(a={"$ref": 5}), "leads nowhere"),
        (closed(a={"anyOf": "abc"}), "anyOf that is no list"),
        (closed(["a", "b"], a=TEXT), "requires a property that it does not have"),
        (closed([], a=TEXT), "optional properties"),
        (closed([["a"]], a=TEXT), "optional properties"),
        ({**closed(a=TEXT), "required": "a"}, "wrong type"),
        ({**closed(a=TEXT), "$defs": []}, "other than an object"),
        (closed(a={"type": "array", "items": [TEXT]}), "other than an object"),
        (closed(a={"type": "string", "enum": [str(n) for n in range(1_001)]}), "1000 enum values"),
        (closed(**{f"p{n}": TEXT for n in range(5_001)}), "5000 properties"),
    ],
)
def test_not_enforced(schema: Any, problem: str) -> None:
    """What OpenAI would refuse is found out before, in words."""
    assert problem in (maybe_unenforceable(json.dumps(schema)) or "")


def test_a_long_list_of_required_names_costs_no_square() -> None:
    """Properties are looked up among the required ones, not searched for."""

    def job(count: int) -> Callable[[], object]:
        schema = json.dumps(closed(**{f"p{n}": TEXT for n in range(count)}))
        return lambda: maybe_unenforceable(schema)

    assert_linear(job, 2_000)
