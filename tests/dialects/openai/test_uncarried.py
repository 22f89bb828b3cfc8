"""Bodies that stay in the dialect lose the reasoning that the gateway has marked, and nothing else."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from extproc.conversation.request import Text, Thinking, ToolCall
from extproc.conversation.response import NO_USAGE, Response, Stop
from extproc.dialects.openai import DIALECT
from tests.support.openai_chat import IDENTITY, USER, body, read

BLOCKS = (Thinking("", "hm", "c2ln"), Text("a"), ToolCall("", "c1", "f", '{"n":1.0}'))
PLAIN = {
    "role": "assistant",
    "content": "a",
    "refusal": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"n":1.0}'}}],
}


def edited(raw: bytes) -> bytes:
    """The body as it passes."""
    return DIALECT.edit(raw, model=None, include_usage=False)


@pytest.mark.parametrize("origin", ["anthropic.01234567", "google.01234567"])
def test_what_we_carried_is_taken_out(origin: str) -> None:
    """An answer of ours is sent on as if its model had never thought aloud."""
    identity = replace(IDENTITY, origin=origin)
    written = DIALECT.write_response(Response(BLOCKS, Stop.TOOL_CALLS, "x", NO_USAGE), read(), identity)
    message = json.loads(written)["choices"][0]["message"]
    passed = json.loads(edited(body(messages=[USER, message, USER], temperature=1)))

    assert "reasoning_details" in message
    assert passed == {"model": "m", "messages": [USER, PLAIN, USER], "temperature": 1}


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": "a", "reasoning_content": "hm"},
        {"role": "assistant", "content": "a", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
        {"role": "assistant", "content": "a", "extra_content": {"google": {"thought_signature": "x"}}},
        {"role": "user", "content": "What is llmr1.anthropic.01234567.x?"},
        {"role": "assistant", "content": "llmr1.", "reasoning_content": "llmr1."},
        {"role": "assistant", "tool_calls": "llmr1."},
        "llmr1.",
    ],
)
def test_what_is_not_ours_stays(message: Any) -> None:
    """Other reasoning, and talk of marks, pass byte for byte."""
    raw = body(messages=[USER, message])

    assert edited(raw) is raw


def test_other_messages_keep_their_bytes() -> None:
    """Only the message that carried something is written again."""
    odd = '{ "role":"user" , "content":"\\u0061", "n":1.0 }'
    carried = '{"role":"assistant","content":"a" ,"reasoning_details":[{"signature":"llmr1.x.00000000.y"}]}'
    raw = f'{{"messages": [{odd}, {carried}],  "model":"m"}}'

    left = f'[{odd},{{"role":"assistant","content":"a"}}]'
    assert edited(raw.encode()).decode() == f'{{"messages": {left},  "model":"m"}}'


@given(st.text(st.sampled_from('{}[]",:lmr1. a'), max_size=40))
def test_any_text_that_has_a_mark(text: str) -> None:
    """Whatever stands around a mark, it passes or is refused by the dialect's own error, and never breaks."""
    raw = f'{{"model":"m","messages":{json.dumps([{"content": text + "llmr1."}])},"x":"llmr1."}}'.encode()

    assert edited(raw) is raw


def test_calls_within_calls_without_end() -> None:
    """A body that is nested as deep as JSON may be costs no more than any other."""
    depth = 400
    nested = '{"tool_calls":[' * depth + '{"extra_content":"llmr1."}' + "]}" * depth
    raw = f'{{"model":"m","messages":[{nested}]}}'.encode()

    assert edited(raw) is raw
