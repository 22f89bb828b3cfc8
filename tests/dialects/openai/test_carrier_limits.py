"""The carrier in hostile hands: what a client may have put together, or cut, or written by hand."""

import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest

from extproc.conversation.request import Cache, Text, Thinking, ToolCall
from extproc.dialects.openai import DIALECT
from extproc.dialects.openai.carrier import Seal, maybe_arranged
from extproc.dialects.openai.thinking import MAX_CARRIED, MAX_THOUGHTS
from tests.support.openai_chat import USER, body, chat, refusal
from tests.support.wire_costs import assert_linear


def piece(index: int, text: str = "", **members: Any) -> dict[str, Any]:
    """A piece of an entry of reasoning."""
    return {"index": index, "type": "reasoning.text", "text": text, **members}


def sealed_by_hand(layout: str, content: str = "") -> str:
    """A seal that nobody gave out."""
    return f"llmr1.{layout}.{sha256(json.dumps([content]).encode()).hexdigest()[:16]}"


def test_pieces_of_an_entry_are_put_together() -> None:
    """Texts are joined in order, and of every other member the last word that is not null counts."""
    details = [
        piece(0, "a", signature=None),
        piece(1, "x", signature="t"),
        piece(0, "b", signature="s"),
        piece(0, "c", signature=None),
    ]
    request = chat(USER, {"role": "assistant", "content": "b", "reasoning_details": details}, USER)

    told = [(block.text, block.signature) for block in request.turns[1].blocks if isinstance(block, Thinking)]
    assert told == [("abc", "s"), ("x", "t")]


def test_many_pieces_cost_no_square() -> None:
    """A client that left each fragment of a thought apart is read in linear time."""

    def job(count: int) -> Callable[[], object]:
        details = [piece(0, "x" * 60) for _ in range(count)]
        raw = body(messages=[USER, {"role": "assistant", "content": "b", "reasoning_details": details}, USER])
        return lambda: DIALECT.read_request(raw)

    assert_linear(job, 2_000)


@pytest.mark.parametrize("member", ["reasoning_details", "thinking_blocks"])
def test_carried_reasoning_is_bounded(member: str) -> None:
    """More reasoning than any answer holds is refused by the name of its member, in pieces as well as characters."""
    kind = "reasoning.text" if member == "reasoning_details" else "thinking"
    name = "text" if member == "reasoning_details" else "thinking"
    many = [{"type": kind, name: "", "signature": "s"} for _ in range(MAX_THOUGHTS + 1)]
    long = [{"type": kind, name: "x" * MAX_CARRIED, "signature": "s"}]

    for details in (many, long):
        error = refusal(body(messages=[USER, {"role": "assistant", "content": "b", member: details}, USER]))
        assert error.param == f"messages[1].{member}"
        assert str(MAX_THOUGHTS if details is many else MAX_CARRIED) in error.message


@pytest.mark.parametrize("layout", ["rt0", "t0", "rt00", "rt0t0"])
def test_a_seal_of_no_text_is_no_seal(layout: str) -> None:
    """A seal that claims an empty text is none of ours: the reasoning is lost, and nothing breaks."""
    details = [piece(0, "t", signature="s", id=sealed_by_hand(layout))]
    request = chat(USER, {"role": "assistant", "content": None, "reasoning_details": details}, USER)

    assert request.turns[1].blocks == (Thinking("messages[1].reasoning_details[0]"),)


def test_arguments_behind_a_seal_are_not_built() -> None:
    """Arguments of more values than we build are compared as text, and what was said of them still holds."""
    arguments = '{"a":[' + "{}," * 200_000 + "{}]}"
    call = ToolCall("", "c", "f", arguments)
    seal = Seal()
    seal.thought()
    seal.call("c", "f").append(arguments)

    thought = Thinking("", "t", "s")
    assert maybe_arranged(seal.sealed(), [thought], [], [call], legacy=False) == [thought, call]
    respelled = ToolCall("", "c", "f", arguments.replace(",", ", "))
    assert maybe_arranged(seal.sealed(), [thought], [], [respelled], legacy=False) is None


def test_the_place_of_a_text_costs_no_square() -> None:
    """Asking where each piece of a long text stands costs the same for each."""

    def job(count: int) -> Callable[[], object]:
        def work() -> object:
            seal = Seal()
            for _ in range(count):
                seal.text(0, "word ")
                assert seal.place(0)[0] == 0
            return seal

        return work

    assert_linear(job, 1_000)


def test_the_place_of_a_text_counts_those_before_it() -> None:
    """A place is counted over all texts, and only the open block has one."""
    seal = Seal()
    seal.text(0, "abc")
    seal.thought()
    seal.text(2, "de")
    seal.text(2, "f")

    assert [seal.place(0), seal.place(2)] == [(0, 0), (3, 6)]


def test_cache_marks_outlive_the_arranging() -> None:
    """A mark within a turn stays on the piece that reaches it, as does the one at its end."""
    five, hour = Cache("5m"), Cache("1h")
    seal = Seal()
    seal.text(0, "abc")
    seal.thought()
    seal.text(1, "defg")
    texts = [Text("abc", "p", cache=hour), Text("de", "q"), Text("fg", "r", cache=five)]
    thought = Thinking("", "t", "s")

    assert maybe_arranged(seal.sealed(), [thought], texts, [], legacy=False) == [
        Text("abc", "p", cache=hour),
        thought,
        Text("defg", "p", cache=five),
    ]
