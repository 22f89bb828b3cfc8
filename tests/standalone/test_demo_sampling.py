"""Instances for JSON schemas, and the words of the script."""

from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.standalone.demo.sampling import sample
from controller.standalone.demo.script import Wishes, pieces, read_wishes, subject

LEAVES = st.one_of(
    st.just({"type": "string"}),
    st.just({"type": "string", "format": "date"}),
    st.just({"type": "boolean"}),
    st.just({"type": ["string", "null"]}),
    st.builds(
        lambda low, span: {"type": "integer", "minimum": low, "maximum": low + span},
        st.integers(-9, 9),
        st.integers(0, 9),
    ),
    st.builds(lambda low: {"type": "number", "exclusiveMinimum": low, "exclusiveMaximum": low + 1}, st.integers(-9, 9)),
    st.builds(lambda fewest: {"type": "string", "minLength": fewest, "maxLength": fewest + 2}, st.integers(0, 20)),
    st.builds(lambda value: {"enum": [value, "other"]}, st.text()),
)


def _nested(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    properties = st.dictionaries(st.text(min_size=1, max_size=5), inner, max_size=3)
    return st.one_of(
        st.builds(lambda items, n: {"type": "array", "items": items, "minItems": n}, inner, st.integers(0, 3)),
        st.builds(
            lambda p: {"type": "object", "properties": p, "required": list(p), "additionalProperties": False},
            properties,
        ),
        st.builds(lambda one, two: {"anyOf": [one, two]}, inner, inner),
    )


@given(st.recursive(LEAVES, _nested, max_leaves=8))
def test_a_sample_is_an_instance_of_its_schema(schema: dict[str, Any]) -> None:
    """Whatever the schema, its sample validates against it."""
    jsonschema.validate(sample(schema, "Paris"), schema)


def test_references_and_recursion_are_followed_to_an_end() -> None:
    """A schema that refers to itself gives a finite instance."""
    schema = {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                },
                "required": ["name", "children"],
            }
        },
    }

    jsonschema.validate(sample(schema, "leaf"), schema)


def test_parts_of_all_of_are_merged() -> None:
    """``allOf`` asks for the members of all its parts."""
    schema = {
        "allOf": [
            {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]},
            {"properties": {"b": {"type": "string"}}, "required": ["b"]},
        ]
    }

    assert sample(schema, "x") == {"a": 1, "b": "x"}


@pytest.mark.parametrize(
    ("header", "message", "wishes"),
    [
        ("", "error 429", Wishes(error=429)),
        ("", "Error 429; delay 5 ms", Wishes(error=429, delay_s=0.005)),
        ("error 500", "words 7", Wishes(error=500, words=7)),
        ("error 500", "error 429", Wishes(error=429)),
        ("", "break cut;think", Wishes(broken="cut", think=True)),
        ("", "an error 429 occurred", Wishes()),
        ("", "error 429; and more", Wishes()),
        ("", "error 200", Wishes()),
        ("", "", Wishes()),
    ],
)
def test_wishes_are_read_only_from_texts_of_nothing_else(header: str, message: str, wishes: Wishes) -> None:
    """A text is a list of wishes or it is a prompt; the message wins over the header."""
    assert read_wishes(header, message) == wishes


@given(st.text())
def test_pieces_join_to_the_text(text: str) -> None:
    """No character but white space at the end is lost between the tokens."""
    assert "".join(pieces(text)) == text.rstrip()


@pytest.mark.parametrize(
    ("text", "about"),
    [
        ("What is the weather in Paris?", "Paris"),
        ("tell me of whales", "whales"),
        ("Hello. Where is Oslo today?", "Oslo"),
        ("", "nothing"),
    ],
)
def test_a_sentence_is_about_its_last_name(text: str, about: str) -> None:
    """Arguments and answers use the name in the question."""
    assert subject(text) == about
