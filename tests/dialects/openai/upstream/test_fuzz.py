"""No upstream can break a reader: what makes no sense is an error of the dialect's own."""

import json
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from extproc.conversation.errors import ClientError, UpstreamError
from extproc.conversation.events import Ended, Fault
from extproc.conversation.response import Response
from extproc.dialects.contract import UpstreamRequest
from extproc.dialects.openai import DIALECT
from tests.support.golden_dialects import read_events

NAMES = [
    "id",
    "choices",
    "index",
    "delta",
    "message",
    "content",
    "tool_calls",
    "function",
    "name",
    "arguments",
    "custom",
    "input",
    "finish_reason",
    "usage",
    "error",
    "type",
    "logprobs",
    "token",
    "logprob",
    "bytes",
    "top_logprobs",
    "refusal",
    "reasoning",
    "text",
    "thinking",
    "prompt_tokens",
    "annotations",
    "object",
    "stop_reason",
]
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text('{}a"', max_size=3)
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
)
SENT = UpstreamRequest(b"")


def chosen(member: str) -> st.SearchStrategy[Any]:
    """Something like an answer, with anything in the places of one choice."""
    fields = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4)
    pieces = st.fixed_dictionaries(
        {member: fields}, optional={"finish_reason": VALUES, "logprobs": VALUES, "index": VALUES}
    )
    return st.fixed_dictionaries({"choices": st.lists(pieces, max_size=2)}, optional={"id": VALUES, "usage": VALUES})


@given(chosen("message") | VALUES)
def test_any_answer(value: Any) -> None:
    """Any JSON is an answer or an upstream error."""
    with suppress(UpstreamError):
        assert isinstance(DIALECT.read_response(json.dumps(value).encode(), {}, SENT), Response)


@given(st.lists(chosen("delta") | VALUES, max_size=4), st.booleans())
def test_any_stream(values: list[Any], done: bool) -> None:
    """Any events end in one end."""
    stream = b"".join(b"data: " + json.dumps(value).encode() + b"\n\n" for value in values)
    events = read_events(DIALECT.stream_reader({}, SENT), [stream + (b"data: [DONE]\n\n" if done else b"")])

    assert [isinstance(event, Ended | Fault) for event in events] == [False] * (len(events) - 1) + [True]


@given(VALUES)
def test_any_error(value: Any) -> None:
    """Any JSON is an error that can be told."""
    assert DIALECT.read_error(500, {}, json.dumps(value).encode()).message


@given(st.dictionaries(st.sampled_from(["reasoning_details", "thinking_blocks", "extra_content", "content"]), VALUES))
def test_any_carrier(members: dict[str, Any]) -> None:
    """Whatever a client says that it was told passes or is refused, and never breaks."""
    raw = json.dumps({"model": "m", "messages": [{"role": "assistant", **members}]}).encode()
    with suppress(ClientError):
        DIALECT.read_request(raw)
    assert json.loads(DIALECT.edit(raw, model="n", include_usage=False))["model"] == "n"
