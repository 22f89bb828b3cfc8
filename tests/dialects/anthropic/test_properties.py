"""No input makes the dialect raise anything but its own errors."""

import copy
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.conversation.errors import ClientError, UpstreamError
from extproc.dialects.anthropic import DIALECT
from extproc.registry import client_dialect
from tests.support import anthropic_oracle
from tests.support.anthropic_messages import NEWEST, OLDEST, OPUS_4_8, PNG, SENT, SONNET_4_5, destination

MARK = {"type": "ephemeral", "ttl": "1h"}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
CITATION = {"type": "char_location", "cited_text": "q", "document_index": 0, "start_char_index": 0, "end_char_index": 1}
CLOSED = {"type": "object", "properties": {}, "additionalProperties": False}
REQUEST: dict[str, Any] = {
    "model": "m",
    "max_tokens": 4000,
    "system": [{"type": "text", "text": "s", "cache_control": MARK}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "hi"},
                IMAGE,
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}, "title": "T"},
                {"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "x"}]},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "t", "signature": "s"},
                {"type": "text", "text": "a", "citations": [CITATION]},
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": [1.0]}},
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "t1", "content": [IMAGE], "is_error": True}],
        },
        {"role": "system", "content": "late"},
    ],
    "tools": [{"name": "f", "input_schema": {"type": "object", "properties": {"a": {}}}, "strict": True}],
    "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 2000},
    "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": CLOSED}},
    "metadata": {"user_id": "u"},
    "stop_sequences": ["x"],
    "temperature": 0.5,
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container in the value with each of its keys."""
    found: list[tuple[Any, Any]] = []
    entries = list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ())
    for key, inner in entries:
        found += [(value, key), *places(inner)]
    return found


@given(st.integers(0, 10_000), VALUES, st.sampled_from(["set", "drop", "double"]))
def test_requests_of_any_shape(where: int, value: Any, how: str) -> None:
    """A request with anything in any place is read and sent on, or refused with 400 in both directions."""
    request = copy.deepcopy(REQUEST)
    within = places(request)
    container, key = within[where % len(within)]
    if how == "set":
        container[key] = value
    elif how == "drop":
        del container[key]
    elif isinstance(container, list):
        container.append(container[key])
    for headers in (OLDEST, NEWEST):
        with suppress(ClientError):
            read = DIALECT.read_request(json.dumps(request).encode(), headers)
            for model in (SONNET_4_5, OPUS_4_8):
                with suppress(ClientError):
                    body = DIALECT.write_request(read, destination(model)).body
                    assert anthropic_oracle.check_request(body)


def test_the_request_itself_is_taken() -> None:
    """What the property begins with is no wrong request."""
    read = DIALECT.read_request(json.dumps({**REQUEST, "tool_choice": {"type": "auto"}}).encode(), OLDEST)
    assert DIALECT.write_request(read, destination(OPUS_4_8)).body
    assert client_dialect("Anthropic") is DIALECT


ANSWER: dict[str, Any] = {
    "id": "msg_1",
    "model": "claude-x",
    "content": [
        {"type": "thinking", "thinking": "t", "signature": "s"},
        {"type": "text", "text": "a", "citations": [CITATION]},
        {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
    ],
    "stop_reason": "tool_use",
    "stop_details": {"type": "refusal", "explanation": "x"},
    "usage": {"input_tokens": 1, "output_tokens": 2, "cache_creation": {"ephemeral_1h_input_tokens": 1}},
}


@given(st.integers(0, 10_000), VALUES)
def test_answers_of_any_shape(where: int, value: Any) -> None:
    """An answer with anything in any place is read, or is a bad gateway."""
    answer = copy.deepcopy(ANSWER)
    within = places(answer)
    container, key = within[where % len(within)]
    container[key] = value
    with suppress(UpstreamError):
        DIALECT.read_response(json.dumps(answer).encode(), {}, SENT)
    DIALECT.read_usage(json.dumps(answer).encode())


@given(st.binary(max_size=50), st.sampled_from(["llmr1.", ""]))
def test_bodies_of_any_bytes(noise: bytes, mark: str) -> None:
    """Bytes that are no request are the client's mistake wherever they are looked at."""
    for body in (noise, json.dumps({"model": "m", "messages": [mark, noise.decode("latin-1")]}).encode()):
        for look in (DIALECT.read_request, DIALECT.peek, DIALECT.sticky_key, _edited):
            with suppress(ClientError):
                look(body)


def _edited(body: bytes) -> bytes:
    return DIALECT.edit(body, model="other", include_usage=False)


@pytest.mark.parametrize("depth", [200, 5000])
def test_deep_bodies(depth: int) -> None:
    """Nesting ends in an error, never in a crash."""
    body = b'{"model":"m","messages":' + b"[" * depth + b"]" * depth + b"}"
    with pytest.raises(ClientError):
        DIALECT.read_request(body)
    schema = b'{"type":"object","properties":{"a":' * depth + b"{}" + b"}}" * depth
    tools = b'[{"name":"f","strict":true,"input_schema":' + schema + b"}]"
    request = b'{"model":"m","messages":[{"role":"user","content":"x"}],"tools":' + tools + b"}"
    with suppress(ClientError):
        DIALECT.write_request(DIALECT.read_request(request), destination(SONNET_4_5))
