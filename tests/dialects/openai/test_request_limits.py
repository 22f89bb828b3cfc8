"""Requests that would cost more than they can be worth."""

import json
from typing import Any

import pytest

from extproc.conversation.errors import Kind
from extproc.dialects.openai import DIALECT
from extproc.dialects.openai.parts import MAX_PARTS
from extproc.dialects.openai.request import MAX_MESSAGES
from extproc.wire.jsontext import MAX_MEMBERS, MAX_VALUES
from tests.support.openai_chat import USER, body, refusal


def test_messages_are_bounded() -> None:
    """As many messages as the limit says are read; one more is an error that names them."""
    assert len(DIALECT.read_request(body(messages=[USER] * MAX_MESSAGES)).turns) == MAX_MESSAGES

    error = refusal(body(messages=[USER] * (MAX_MESSAGES + 1)))
    assert (error.status, error.param, error.code) == (400, "messages", "invalid_value")
    assert str(MAX_MESSAGES) in error.message


@pytest.mark.parametrize("role", ["user", "system", "assistant"])
def test_content_parts_are_bounded(role: str) -> None:
    """As many parts as the limit says are read; one more is an error that names the message."""
    part = {"type": "text", "text": "a"}
    assert DIALECT.read_request(body(messages=[USER, {"role": role, "content": [part] * MAX_PARTS}])).model

    error = refusal(body(messages=[USER, {"role": role, "content": [part] * (MAX_PARTS + 1)}]))
    assert (error.status, error.param, error.code) == (400, "messages[1].content", "invalid_value")
    assert str(MAX_PARTS) in error.message


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({f"k{n}": 1 for n in range(MAX_MEMBERS)}, None),
        ({"messages": [{**USER, **{f"k{n}": 1 for n in range(MAX_MEMBERS)}}]}, "messages[0]"),
    ],
    ids=["body", "message"],
)
def test_unknown_members_are_bounded(fields: dict[str, Any], param: str | None) -> None:
    """An object of more members than any API has is an error, not a list of as many losses."""
    error = refusal(body(**fields))

    assert (error.status, error.param, error.code) == (400, param, "invalid_value")
    assert str(MAX_MEMBERS) in error.message


@pytest.mark.parametrize("value", ["{}", "1.5", '"ab"'])
def test_values_are_bounded(value: str) -> None:
    """A small upload that would be large in memory is a 413, wherever its values stand."""
    for raw in (
        body(x=["VALUES"]),
        body(tools=[{"type": "function", "function": {"name": "f", "parameters": "VALUES"}}]),
    ):
        error = refusal(raw.replace(b'"VALUES"', f"[{','.join([value] * MAX_VALUES)}]".encode()))

        assert (error.status, error.kind, error.param) == (413, Kind.TOO_LARGE, None)


def test_text_is_not_counted() -> None:
    """Brackets and commas inside a prompt are no values."""
    text = json.dumps([{"a": [1, 2]}] * MAX_VALUES)

    assert len(DIALECT.read_request(body(messages=[{"role": "user", "content": text}])).turns) == 1
