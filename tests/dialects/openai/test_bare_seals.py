"""Turns without reasoning among turns with it: a seal says that there was none, its absence that it was lost."""

import json
from typing import Any

import pytest

from extproc.conversation.events import Ended, Started, Stopped, TextDelta
from extproc.conversation.provenance import origin_of, without_foreign
from extproc.conversation.request import Text, Thinking, ToolCall
from extproc.conversation.response import NO_USAGE, Response, Stop
from extproc.dialects.anthropic.models import capabilities_of
from extproc.dialects.contract import Identity
from extproc.dialects.openai import DIALECT

MODEL = "claude-opus-4-6"
CAPABILITIES = capabilities_of(MODEL)
IDENTITY = Identity("i", "m", 1, origin_of(CAPABILITIES, MODEL))
TOOL = {"type": "function", "function": {"name": "f"}}
ASK = {"role": "user", "content": "a"}
Messages = list[dict[str, Any]]


def read(messages: Messages) -> Any:
    return DIALECT.read_request(json.dumps({"model": "m", "messages": messages, "tools": [TOOL]}).encode())


def answered(messages: Messages, *blocks: Text | Thinking | ToolCall) -> dict[str, Any]:
    """The message that a client gets after these."""
    response = Response(blocks, Stop.END, "end_turn", NO_USAGE)
    body = json.loads(DIALECT.write_response(response, read(messages), IDENTITY))
    message: dict[str, Any] = body["choices"][0]["message"]
    return message


def thoughts(messages: Messages) -> int:
    """How many blocks of reasoning go to the maker."""
    turns, _ = without_foreign(read(messages).turns, CAPABILITIES, MODEL)
    return sum(isinstance(block, Thinking) for turn in turns for block in turn.blocks)


def begun() -> Messages:
    return [ASK, answered([ASK], Thinking("", "t", "S"), Text("b")), ASK]


CALL = ToolCall("", "t", "f", "{}")
RESULT = {"role": "tool", "tool_call_id": "t", "content": "x"}


@pytest.mark.parametrize(("blocks", "follow"), [((Text("c"),), ASK), ((CALL,), RESULT), ((Text("c"), CALL), RESULT)])
def test_a_turn_without_reasoning_is_sealed(blocks: tuple[Text | ToolCall, ...], follow: dict[str, Any]) -> None:
    """It comes back as it was, and the reasoning of the others stays; without its seal all reasoning goes."""
    messages = begun()
    said = answered(messages, *blocks)
    assert thoughts([*messages, said, follow]) == 1
    turn = read([*messages, said, follow]).turns[3]
    assert [type(block) for block in turn.blocks] == [type(block) for block in blocks]
    stripped = {name: value for name, value in said.items() if name != "reasoning_details"}
    assert thoughts([*messages, stripped, follow]) == 0
    _, lost = without_foreign(read([*messages, stripped, follow]).turns, CAPABILITIES, MODEL)
    assert [loss.kind for loss in lost] == ["drop"]


def test_a_lost_carrier_with_reasoning_is_found_out() -> None:
    """A framework that leaves out the whole of a later turn's reasoning loses that of all turns, never of one alone."""
    messages = begun()
    said = answered(messages, Thinking("", "u", "T"), CALL)
    assert thoughts([*messages, said, RESULT]) == 2
    assert thoughts([*messages, {"role": "assistant", "tool_calls": said["tool_calls"]}, RESULT]) == 0


def test_turns_before_the_first_seal_and_a_begun_answer_have_none() -> None:
    """What was said before anybody thought, and what is begun for the model, has no seal to lose."""
    early = [ASK, {"role": "assistant", "content": "e"}]
    assert thoughts([*early, *begun()]) == 1
    assert thoughts([*begun(), {"role": "assistant", "content": "I"}]) == 1


def test_no_seal_where_nobody_thinks() -> None:
    """A conversation without reasoning carries nothing."""
    assert "reasoning_details" not in answered([ASK], Text("b"))


def test_a_stream_seals_the_same() -> None:
    """The last chunks hold the same entry as the whole answer."""
    messages = begun()
    asked = DIALECT.read_request(json.dumps({"model": "m", "messages": messages, "stream": True}).encode())
    writer = DIALECT.stream_writer(asked, IDENTITY)
    events = (Started("i", "m"), TextDelta(0, "c"), Stopped(Stop.END, "end_turn"), Ended())
    shown = b"".join(writer.write(event) for event in events).decode()
    [entry] = answered(messages, Text("c"))["reasoning_details"]
    assert json.dumps([entry], separators=(",", ":")) in shown
