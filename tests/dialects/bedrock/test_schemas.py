"""Which JSON Schemas the service compiles, and which are carried another way."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.dialects.bedrock.schemas import maybe_unsupported


def closed(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def problem(schema: Any) -> str | None:
    return maybe_unsupported(msgspec.json.encode(schema).decode())


@pytest.mark.parametrize(
    "schema",
    [
        closed(),
        closed(a={"type": "string", "format": "date-time", "enum": ["x"]}, b={"type": ["integer", "null"]}),
        closed(a={"type": "array", "items": closed(b={"type": "string"}), "minItems": 1}),
        closed(a={"anyOf": [{"type": "string"}, closed()]}),
        {
            **closed(a={"$ref": "#/$defs/p"}, b={"$ref": "#/$defs/p"}),
            "$defs": {"p": closed(c={"$ref": "#/$defs/q"}), "q": closed()},
        },
        {**closed(a={"$ref": "#/$defs/x~1y"}), "$defs": {"x/y": {"type": "string", "pattern": "^[a-z]+(?:-[a-z]+)*$"}}},
    ],
)
def test_schemas_that_compile(schema: dict[str, Any]) -> None:
    """Closed objects, local references, unions and plain patterns are the service's own subset."""
    assert problem(schema) is None


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "array"}, "root"),
        ([], "root"),
        ({"type": "object"}, "open"),
        (closed(a={"type": "object", "additionalProperties": True}), "open"),
        (closed(a={"type": ["object", "null"], "properties": {}}), "open"),
        (closed(a={"type": "array", "maxItems": 3}), "maxItems"),
        (closed(a={"type": "array", "minItems": 2}), "minItems"),
        (closed(a={"type": "integer", "minimum": 0}), "minimum"),
        (closed(a={"type": "string", "format": "phone"}), "format"),
        (closed(a={"type": "string", "format": ["date"]}), "format"),
        (closed(a={"type": "string", "pattern": "(?=x)"}), "pattern"),
        (closed(a={"type": "string", "pattern": r"(a)\1"}), "pattern"),
        (closed(a={"allOf": [closed()]}), "allOf"),
        (closed(a=True), "schema is due"),
        (closed(a={"anyOf": [{"type": "string"}, {"type": "object"}]}), "open"),
        (closed(a={"$ref": "#"}), "recursive"),
        ({**closed(a={"$ref": "#/$defs/p"}), "$defs": {"p": closed(a={"$ref": "#/$defs/p"})}}, "recursive"),
        (closed(a={"$ref": "https://example.com/s.json"}), "outside"),
        (closed(a={"$ref": 5}), "outside"),
        (closed(a={"$ref": "#/$defs/none"}), "schema is due"),
    ],
)
def test_schemas_that_do_not(schema: Any, words: str) -> None:
    """What is outside the subset is named in words for the loss list."""
    assert words in (problem(schema) or "")


def test_depth_is_bounded() -> None:
    """A schema nested beyond reason is an answer, not a crash."""
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(300):
        schema = closed(a=schema)
    assert "nests deeper" in (problem(schema) or "")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["object", "string", "#/$defs/a", "date"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "properties", "items", "anyOf", "$ref", "$defs", "a", "additionalProperties", "minItems"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_judged(schema: Any) -> None:
    """A schema is the client's: whatever it holds, it is judged and never raises."""
    root = {**schema, "type": "object", "additionalProperties": False} if isinstance(schema, dict) else schema
    assert problem(root) is None or isinstance(problem(root), str)
