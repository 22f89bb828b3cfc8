"""A schema of any form is written, described or refused; none of them breaks a writer of requests."""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from extproc.conversation.errors import GatewayError
from extproc.dialects.contract import Destination
from extproc.registry import client_dialect, upstream_dialect

UPSTREAMS = {
    "claude-opus-4-6": "anthropic",
    "gpt-5.6": "openai",
    "anthropic.claude-sonnet-4-5": "bedrock",
    "amazon.nova-pro-v1:0": "bedrock",
    "gemini-3-pro": "gemini",
}
TEXT = {"type": "string"}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "$defs": {"a": TEXT},
    "properties": {
        "p": {**TEXT, "enum": ["a"], "minLength": 1, "format": "date", "pattern": "a", "const": 1, "default": 2},
        "q": {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "null"}], "description": "d"},
        "r": {"type": "array", "items": {"type": "number", "minimum": 1}, "minItems": 2},
        "s": {"oneOf": [TEXT], "allOf": [TEXT], "not": {}},
        "t": {"type": ["string", "null"]},
    },
    "required": ["p"],
    "additionalProperties": False,
}
#: Apart, as a map keeps the rest from being lowered.
MAP: dict[str, Any] = {
    "type": "object",
    "properties": {"u": {"type": "object", "additionalProperties": TEXT, "patternProperties": {"a": TEXT}}},
}
ODD: list[Any] = [
    None,
    True,
    -1,
    1.5,
    "",
    "#/a",
    [],
    [None],
    ["x"],
    [[]],
    [{}],
    {},
    {"a": 1},
    {"type": {}},
    {"$ref": "#"},
]


def places(node: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a schema."""
    entries = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in entries:
        yield (*place, key)
        yield from places(value, (*place, key))


def mutants() -> Iterator[Any]:
    """The schemas with one thing in them made odd, or as a whole."""
    for schema in (SCHEMA, MAP):
        for place in places(schema):
            for odd in ODD:
                copy: Any = json.loads(json.dumps(schema))
                node = copy
                for key in place[:-1]:
                    node = node[key]
                node[place[-1]] = odd
                yield copy
    yield from (odd for odd in ODD if isinstance(odd, dict))


@pytest.mark.parametrize("model", UPSTREAMS)
def test_no_schema_breaks_a_writer(model: str) -> None:
    """As the schema of the answer and of a tool, it is sent as JSON or refused in the gateway's own words."""
    upstream = upstream_dialect(UPSTREAMS[model])
    destination = Destination(model, upstream.capabilities(model))
    for schema in mutants():
        output = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
        tool = {"type": "function", "function": {"name": "f", "parameters": schema, "strict": True}}
        for asked in ({"response_format": output}, {"tools": [tool]}):
            body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "a"}], **asked})
            with suppress(GatewayError):
                request = client_dialect("OpenAI").read_request(body.encode())
                json.loads(upstream.write_request(request, destination).body)
