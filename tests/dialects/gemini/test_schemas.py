"""JSON Schema in both forms that Gemini takes; each row of the notes' table of rules (5.5)."""

import json
from itertools import pairwise
from typing import Any

import pytest
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st

from extproc.conversation.errors import Loss, Refusal
from extproc.dialects.gemini.openapi import write_openapi_schema
from extproc.dialects.gemini.schemas import write_json_schema
from tests.support.gemini_oracle import check_json_schema

#: A case: the client's schema, what the newer form makes of it, what the older; None where that refuses it.
Case = tuple[Any, dict[str, Any] | None, dict[str, Any] | None]


def both(schema: Any) -> tuple[Any, Any]:
    """The two forms of a schema of an answer, None for a refusal; the client's own is never changed."""
    written: list[Any] = []
    for write in (write_json_schema, write_openapi_schema):
        losses: list[Loss] = []
        try:
            written.append(write(json.dumps(schema), "p", losses, root_object=False))
        except Refusal:
            written.append(None)
    if written[0] is not None:
        check_json_schema(written[0])
    if written[1] is not None:
        types.Schema.model_validate_json(json.dumps(written[1]))
    return written[0], written[1]


def dropped(schema: Any, *, older: bool = False) -> str:
    """What is listed as left out."""
    losses: list[Loss] = []
    (write_openapi_schema if older else write_json_schema)(json.dumps(schema), "p", losses, root_object=False)
    return losses[0].reason.partition("left out: ")[2] if losses else ""


def holding(inner: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": inner}}


def held(inner: Any) -> dict[str, Any]:
    return {"type": "OBJECT", "properties": {"a": inner}}


NODE = {"type": "object", "properties": {"next": {"$ref": "#/$defs/N"}}}

TABLE: dict[str, Case] = {
    "additionalProperties": (
        {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False},
        {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False},
        held({"type": "STRING"}),
    ),
    "ref": (
        {**holding({"$ref": "#/$defs/N", "description": "d"}), "$defs": {"N": {"type": "string"}}},
        {**holding({"$ref": "#/$defs/N"}), "$defs": {"N": {"type": "string"}}},
        held({"type": "STRING", "description": "d"}),
    ),
    "ref, as it was written before 2019": (
        {**holding({"$ref": "#/definitions/N"}), "definitions": {"N": {"type": "string"}}},
        {**holding({"$ref": "#/$defs/N"}), "$defs": {"N": {"type": "string"}}},
        held({"type": "STRING"}),
    ),
    "recursion in an optional property": (
        {**holding({"$ref": "#/$defs/N"}), "$defs": {"N": NODE}},
        {**holding({"$ref": "#/$defs/N"}), "$defs": {"N": NODE}},
        None,
    ),
    "recursion in a required property": (
        {**holding({"$ref": "#/$defs/N"}), "$defs": {"N": {**NODE, "required": ["next"]}}},
        None,
        None,
    ),
    "recursion of the root": (holding({"$ref": "#"}), holding({"$ref": "#"}), None),
    "ref to nothing": (holding({"$ref": "#/$defs/N"}), None, None),
    "ref to elsewhere": (holding({"$ref": "https://a.example/s.json"}), None, None),
    "anyOf": (
        holding({"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        holding({"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        held({"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]}),
    ),
    "anyOf null": (
        holding({"anyOf": [{"type": "string"}, {"type": "null"}], "description": "d"}),
        holding({"anyOf": [{"type": "string"}, {"type": "null"}], "description": "d"}),
        held({"type": "STRING", "description": "d", "nullable": True}),
    ),
    "oneOf": (
        holding({"oneOf": [{"type": "string"}, {"type": "integer"}]}),
        holding({"oneOf": [{"type": "string"}, {"type": "integer"}]}),
        held({"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]}),
    ),
    "allOf of one ref": (
        {**holding({"allOf": [{"$ref": "#/$defs/N"}], "title": "t"}), "$defs": {"N": {"type": "string"}}},
        {**holding({"$ref": "#/$defs/N"}), "$defs": {"N": {"type": "string"}}},
        held({"type": "STRING", "title": "t"}),
    ),
    "allOf that agrees": (
        {"allOf": [holding({"type": "string"}), {"properties": {"b": {"type": "null"}}, "required": ["b"]}]},
        {
            "type": "object",
            "properties": {"a": {"type": "string"}, "b": {"type": "null"}},
            "required": ["b"],
            "propertyOrdering": ["a", "b"],
        },
        {
            "type": "OBJECT",
            "properties": {"a": {"type": "STRING"}, "b": {"type": "NULL"}},
            "required": ["b"],
            "propertyOrdering": ["a", "b"],
        },
    ),
    "allOf that disagrees": ({"allOf": [{"type": "string"}, {"type": "integer"}]}, None, None),
    "type list with null": (
        holding({"type": ["string", "null"]}),
        holding({"type": ["string", "null"]}),
        held({"type": "STRING", "nullable": True}),
    ),
    "type list": (
        holding({"type": ["string", "integer"]}),
        holding({"type": ["string", "integer"]}),
        held({"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]}),
    ),
    "enum of numbers": (
        holding({"type": "integer", "enum": [1, 2]}),
        holding({"type": "integer", "enum": [1, 2]}),
        held({"type": "INTEGER", "enum": ["1", "2"]}),
    ),
    "enum with null": (
        holding({"type": "string", "enum": ["a", None]}),
        holding({"type": ["string", "null"], "enum": ["a"]}),
        held({"type": "STRING", "enum": ["a"], "nullable": True}),
    ),
    "const": (
        holding({"const": "x"}),
        holding({"enum": ["x"]}),
        held({"type": "STRING", "enum": ["x"]}),
    ),
    "const that is neither text nor number": (
        holding({"type": "boolean", "const": True}),
        holding({"type": "boolean"}),
        held({"type": "BOOLEAN", "enum": ["true"]}),
    ),
    "bounds": (
        holding({"type": "number", "minimum": 1, "maximum": 2.5}),
        holding({"type": "number", "minimum": 1, "maximum": 2.5}),
        held({"type": "NUMBER", "minimum": 1, "maximum": 2.5}),
    ),
    "exclusive bounds of integers": (
        holding({"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 9}),
        holding({"type": "integer", "minimum": 2, "maximum": 8}),
        held({"type": "INTEGER", "minimum": 2, "maximum": 8}),
    ),
    "exclusive bounds of numbers": (
        holding({"type": "number", "exclusiveMinimum": 1}),
        holding({"type": "number"}),
        held({"type": "NUMBER"}),
    ),
    "lengths and patterns": (
        holding({"type": "string", "minLength": 1, "maxLength": 3, "pattern": "^a"}),
        holding({"type": "string"}),
        held({"type": "STRING", "minLength": 1, "maxLength": 3, "pattern": "^a"}),
    ),
    "array": (
        holding({"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": True}),
        holding({"type": "array", "items": {"type": "string"}, "minItems": 1}),
        held({"type": "ARRAY", "minItems": 1, "items": {"type": "STRING"}}),
    ),
    "tuple": (
        holding({"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False}),
        holding({"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}]}),
        held({"type": "ARRAY", "items": {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]}}),
    ),
    "conditions": (
        {**holding({"type": "string"}), "if": {}, "then": {}, "not": {}, "patternProperties": {}, "contains": {}},
        holding({"type": "string"}),
        held({"type": "STRING"}),
    ),
    "annotations": (
        holding({"type": "string", "title": "t", "default": "x", "examples": ["y"], "$comment": "c"}),
        holding({"type": "string", "title": "t"}),
        held({"type": "STRING", "title": "t", "default": "x", "example": "y"}),
    ),
    "format": (
        holding({"type": "string", "format": "email"}),
        holding({"type": "string", "format": "email"}),
        held({"type": "STRING"}),
    ),
    "property order": (
        {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "string"}}},
        {
            "type": "object",
            "properties": {"b": {"type": "string"}, "a": {"type": "string"}},
            "propertyOrdering": ["b", "a"],
        },
        {
            "type": "OBJECT",
            "properties": {"b": {"type": "STRING"}, "a": {"type": "STRING"}},
            "propertyOrdering": ["b", "a"],
        },
    ),
    "true": (holding(True), holding({}), None),
    "empty": (holding({}), holding({}), None),
    "false": (holding(False), None, None),
    "array of anything": (holding({"type": "array"}), holding({"type": "array"}), None),
}


@pytest.mark.parametrize("case", TABLE.values(), ids=TABLE)
def test_gemini_schema_table(case: Case) -> None:
    """Each row becomes what each form has for it, or a refusal."""
    schema, newer, older = case
    assert both(schema) == (newer, older)


@pytest.mark.parametrize(
    ("name", "older", "listed"),
    [
        ("additionalProperties", True, "additionalProperties"),
        ("lengths and patterns", False, "maxLength, minLength, pattern"),
        ("array", False, "uniqueItems"),
        ("tuple", True, "prefixItems"),
        ("conditions", False, "contains, if, not, patternProperties, then"),
        ("conditions", True, "contains, if, not, patternProperties, then"),
        ("exclusive bounds of numbers", False, "exclusiveMinimum"),
        ("const that is neither text nor number", False, "const"),
        ("format", True, "format"),
        ("annotations", False, ""),
        ("annotations", True, ""),
    ],
)
def test_gemini_schema_table_losses(name: str, listed: str, *, older: bool) -> None:
    """What is not enforced is listed by its keyword, once for a schema."""
    assert dropped(TABLE[name][0], older=older) == listed


@pytest.mark.parametrize(
    "name",
    [
        "anyOf",
        "anyOf null",
        "type list with null",
        "type list",
        "ref",
        "bounds",
        "lengths and patterns",
        "property order",
    ],
)
def test_gemini_schema_table_agrees_with_genai(name: str) -> None:
    """Where google-genai's own conversion is known to be right, the older form is the same."""
    schema, _, older = TABLE[name]
    theirs = types.Schema.from_json_schema(json_schema=types.JSONSchema.model_validate(schema), api_option="VERTEX_AI")
    expected = theirs.model_dump(mode="json", by_alias=True, exclude_none=True)

    ours = types.Schema.model_validate_json(json.dumps(older)).model_dump(mode="json", by_alias=True, exclude_none=True)
    for one in (ours, expected):
        one.pop("propertyOrdering", None)
        one["properties"]["a"].pop("description", None)
    assert ours == expected


@pytest.mark.parametrize(
    ("schema", "newer", "older"),
    [
        ({"type": "object", "properties": {}}, {"type": "object", "properties": {}}, None),
        ({}, None, None),
        (
            {"$ref": "#/$defs/A", "$defs": {"A": {"type": "object", "properties": {"x": {"type": "string"}}}}},
            {"type": "object", "properties": {"x": {"type": "string"}}},
            {"type": "OBJECT", "properties": {"x": {"type": "STRING"}}},
        ),
    ],
)
def test_parameters_of_a_function(schema: Any, newer: Any, older: Any) -> None:
    """The root is an object, whose definition is not left behind a reference; without parameters it is left out."""
    text = json.dumps(schema)

    assert write_json_schema(text, "p", [], root_object=True) == newer
    assert write_openapi_schema(text, "p", [], root_object=True) == older


@pytest.mark.parametrize("schema", [{"type": "string"}, {"anyOf": [{"type": "object"}]}, {"oneOf": []}, [], True, 3])
def test_parameters_that_are_no_object_are_refused(schema: Any) -> None:
    """A function takes an object in both forms."""
    for write in (write_json_schema, write_openapi_schema):
        with pytest.raises(Refusal):
            write(json.dumps(schema), "p", [], root_object=True)


def test_references_cannot_multiply_without_end() -> None:
    """A small schema whose references double at each step is refused, not written out."""
    names = [f"d{at}" for at in range(16)]
    defs = {
        name: holding(
            {"type": "object", "properties": {"x": {"$ref": f"#/$defs/{then}"}, "y": {"$ref": f"#/$defs/{then}"}}}
        )
        for name, then in pairwise(names)
    }
    schema = {"$ref": "#/$defs/d0", "$defs": {**defs, names[-1]: {"type": "string"}}}
    with pytest.raises(Refusal, match="too large once its references are followed"):
        write_openapi_schema(json.dumps(schema), "p", [], root_object=False)


_KEYS = st.sampled_from(
    [
        *("type", "properties", "items", "anyOf", "oneOf", "allOf", "enum", "const", "$ref", "$defs", "required"),
        *(
            "additionalProperties",
            "prefixItems",
            "minimum",
            "exclusiveMinimum",
            "format",
            "nullable",
            "examples",
            "not",
        ),
    ]
)
_LEAVES = st.one_of(
    st.sampled_from(["string", "object", "array", "null", "integer", "#", "#/$defs/a", "#/$defs/b", "#/x"]),
    st.integers(-3, 3),
    st.booleans(),
    st.none(),
)
_SCHEMAS = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(_KEYS, st.sampled_from(["a", "b"])), inner, max_size=4),
    ),
    max_leaves=12,
)


@given(schema=_SCHEMAS, root_object=st.booleans())
def test_any_schema_is_written_or_refused(schema: Any, *, root_object: bool) -> None:
    """No schema raises anything but a refusal, whatever stands where."""
    for write in (write_json_schema, write_openapi_schema):
        try:
            write(json.dumps(schema), "p", [], root_object=root_object)
        except Refusal:
            continue
