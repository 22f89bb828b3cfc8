"""Reasoning of earlier answers: what comes back to its maker."""

from typing import Any

import pytest

from extproc.conversation.request import Block, Extra, Text, Thinking, ToolCall
from tests.support.openai_chat import USER, body, call, chat, refusal


def blocks_of(**members: object) -> tuple[Block, ...]:
    """The blocks of the assistant's message in a conversation."""
    return chat(USER, {"role": "assistant", **members}, USER).turns[1].blocks


SIGNED = {"type": "thinking", "thinking": "hm", "signature": "sig=="}
REDACTED = {"type": "redacted_thinking", "data": "cmVk"}


def test_thinking_blocks_come_first() -> None:
    """Thinking blocks stand before text and calls, in their order, with signature and redacted data as they were."""
    request = chat(
        USER,
        {"role": "assistant", "content": "a", "tool_calls": [call()], "thinking_blocks": [SIGNED, REDACTED]},
        {"role": "tool", "tool_call_id": "c1", "content": "x"},
    )

    path = "messages[1].thinking_blocks"
    assert request.turns[1].blocks == (
        Thinking(f"{path}[0]", text="hm", signature="sig=="),
        Thinking(f"{path}[1]", redacted="cmVk"),
        Text("a", "messages[1].content"),
        ToolCall("messages[1].tool_calls[0]", "c1", "f", "{}"),
    )


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"type": "thinking", "thinking": "", "signature": "s"}, {"text": "", "signature": "s"}),
        ({"type": "thinking", "thinking": "t", "signature": None, "index": 0}, {"text": "t"}),
        ({"type": "thinking", "thinking": "t", "cache_control": None}, {"text": "t"}),
    ],
)
def test_odd_thinking_blocks(block: dict[str, Any], expected: dict[str, Any]) -> None:
    """Empty text with a signature is a block as good as any; a missing signature stays missing."""
    assert blocks_of(thinking_blocks=[block]) == (Thinking("messages[1].thinking_blocks[0]", **expected),)


def test_reasoning_details() -> None:
    """OpenRouter's form is read the same way when it holds Claude's blocks."""
    details = [
        {"type": "reasoning.text", "text": "hm", "signature": "s", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.encrypted", "data": "cmVk", "format": None, "index": 1},
        {"type": "reasoning.text", "signature": "s2"},
    ]

    path = "messages[1].reasoning_details"
    assert blocks_of(reasoning_details=details) == (
        Thinking(f"{path}[0]", text="hm", signature="s", origin="anthropic"),
        Thinking(f"{path}[1]", redacted="cmVk"),
        Thinking(f"{path}[2]", signature="s2"),
    )


def test_foreign_reasoning_details_are_listed() -> None:
    """Another maker's blocks and mere summaries never go on as Claude's; they are listed."""
    details = [
        {"type": "reasoning.encrypted", "data": "x", "format": "openai-responses-v1"},
        {"type": "reasoning.summary", "summary": "x"},
    ]
    request = chat(USER, {"role": "assistant", "content": "a", "reasoning_details": details}, USER)

    assert [type(block) for block in request.turns[1].blocks] == [Text]
    path = "messages[1].reasoning_details"
    assert request.extras == (Extra(f"{path}[0]", details[0]), Extra(f"{path}[1]", details[1]))


def test_thinking_blocks_win() -> None:
    """When both forms are there, the gateway's own counts."""
    [block] = blocks_of(thinking_blocks=[SIGNED], reasoning_details=[{"type": "reasoning.text", "text": "other"}])

    assert block == Thinking("messages[1].thinking_blocks[0]", text="hm", signature="sig==")


@pytest.mark.parametrize("members", [{"reasoning_content": "hm"}, {"reasoning": "hm"}, {"thinking_blocks": []}])
def test_displayed_reasoning_is_never_read(members: dict[str, Any]) -> None:
    """Reasoning for display has no signature: it is dropped, and nobody has to hear of it."""
    request = chat(USER, {"role": "assistant", "content": "a", **members}, USER)

    assert request.turns[1].blocks == (Text("a", "messages[1].content"),)
    assert request.extras == ()


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"thinking_blocks": "x"}, "thinking_blocks"),
        ({"thinking_blocks": ["x"]}, "thinking_blocks[0]"),
        ({"thinking_blocks": [{"thinking": "x"}]}, "thinking_blocks[0].type"),
        ({"thinking_blocks": [{"type": "text"}]}, "thinking_blocks[0].type"),
        ({"thinking_blocks": [{"type": "thinking"}]}, "thinking_blocks[0].thinking"),
        ({"thinking_blocks": [SIGNED, {**SIGNED, "signature": 1}]}, "thinking_blocks[1].signature"),
        ({"thinking_blocks": [{"type": "redacted_thinking", "data": ""}]}, "thinking_blocks[0].data"),
        ({"reasoning_details": {}}, "reasoning_details"),
        ({"reasoning_details": [{"text": "x"}]}, "reasoning_details[0].type"),
        ({"reasoning_details": [{"type": "reasoning.encrypted"}]}, "reasoning_details[0].data"),
    ],
)
def test_wrong_blocks(members: dict[str, Any], param: str) -> None:
    """What is no block is refused by its path: it comes from outside like everything else."""
    error = refusal(body(messages=[USER, {"role": "assistant", **members}]))

    assert f"messages[1].{param}" == error.param
