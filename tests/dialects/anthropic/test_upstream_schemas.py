"""The nearest schema that Anthropic enforces, and when there is none."""

import json
from typing import Any

import pytest

from extproc.dialects.anthropic.upstream.schemas import maybe_lowered, maybe_unsupported

TEXT = {"type": "string"}


def lowered(schema: Any) -> Any:
    """The nearest schema, None when there is none."""
    text = maybe_lowered(json.dumps(schema))
    return None if text is None else json.loads(text)


@pytest.mark.parametrize(
    "inner",
    [
        {"type": "object", "additionalProperties": TEXT},
        {"type": "object", "additionalProperties": True},
        {"type": "object"},
        {"type": ["object", "null"]},
        {"type": "object", "properties": {}},
        {"type": "object", "patternProperties": {"a": TEXT}},
        {"type": "object", "properties": {"a": TEXT}, "patternProperties": {"b": TEXT}},
        {"type": "object", "properties": {"a": TEXT}, "additionalProperties": {"type": "integer"}},
        {"allOf": [{"type": "object", "properties": {"a": TEXT}}, {"type": "object", "properties": {"b": TEXT}}]},
        {"properties": {"a": TEXT}, "allOf": [{"properties": {"b": TEXT}}]},
    ],
)
def test_what_closing_would_empty_is_not_lowered(inner: dict[str, Any]) -> None:
    """A map, or an object in several parts, would have no valid value once closed; it is described instead."""
    assert lowered({"type": "object", "properties": {"m": inner}, "additionalProperties": False}) is None


@pytest.mark.parametrize("others", [{}, {"additionalProperties": True}, {"additionalProperties": {}}])
def test_an_open_object_is_closed(others: dict[str, Any]) -> None:
    """An object that lists its properties keeps them, and loses only what nobody has named."""
    assert lowered({"type": "object", "properties": {"a": TEXT}, **others}) == {
        "type": "object",
        "properties": {"a": TEXT},
        "additionalProperties": False,
    }


@pytest.mark.parametrize("key", ["oneOf", "anyOf", "allOf", "properties", "$defs", "definitions"])
@pytest.mark.parametrize("value", ["abc", 5, None, True])
def test_odd_keywords_are_a_problem(key: str, value: object) -> None:
    """A keyword of a wrong type is told, and breaks nothing."""
    schema = {"type": "object", "additionalProperties": False, "properties": {"a": TEXT}, key: value}

    assert lowered(schema) is None
    assert key in (maybe_unsupported(json.dumps(schema)) or "")
