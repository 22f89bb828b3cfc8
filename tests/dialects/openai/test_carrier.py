"""Reasoning through the official SDK and back: the exact turn, or none of it."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from extproc.conversation.capabilities import Capabilities
from extproc.conversation.provenance import origin_of, without_foreign
from extproc.conversation.replay import events_of
from extproc.conversation.request import Block, Extra, Text, Thinking, ToolCall, Turn
from extproc.conversation.response import NO_USAGE, Response, Stop, Usage
from extproc.dialects.openai import DIALECT
from tests.support.openai_chat import IDENTITY, USER, body, chat, read, sdk, tool

CLAUDE = Capabilities(maker="anthropic", thinking_blocks=True)
GEMINI = Capabilities(maker="google", thinking_blocks=True)
OURS = origin_of(CLAUDE, "claude")
GOOGLES = origin_of(GEMINI, "gemini")
ASK: Any = [{"role": "user", "content": "x"}]
TOOLS: Any = [tool("f", parameters={"type": "object"})]

#: Signed, empty and redacted reasoning, interleaved with split texts and calls.
BLOCKS: tuple[Text | Thinking | ToolCall, ...] = (
    Thinking("", "hm", "c2ln"),
    Text("hel"),
    Text("lo"),
    Thinking("", redacted="cmVk"),
    ToolCall("", "c1", "f", '{"a": 1.0}'),
    Thinking("", "", "c2ln"),
    ToolCall("", "c2", "f", "{}"),
    Text("!"),
)


def answer(blocks: Sequence[Text | Thinking | ToolCall], origin: str, *, stream: bool) -> Any:
    """The SDK's message for an answer of these blocks."""
    response = Response(tuple(blocks), Stop.TOOL_CALLS, "tool_use", Usage(1, 2))
    identity = replace(IDENTITY, origin=origin)
    if not stream:
        client = sdk(DIALECT.write_response(response, read(), identity), "application/json")
        return client.chat.completions.create(model="m", messages=ASK).choices[0].message
    writer = DIALECT.stream_writer(read(stream=True), identity)
    client = sdk(b"".join(writer.write(event) for event in events_of(response)), "text/event-stream")
    with client.chat.completions.stream(model="m", messages=ASK, tools=TOOLS) as events:
        return events.get_final_completion().choices[0].message


def echoed(message: Any) -> tuple[Turn, ...]:
    """The turns that we read when the SDK sends this message back, with the answers to its calls."""
    sent: list[bytes] = []
    calls = message["tool_calls"] if isinstance(message, dict) else message.tool_calls
    ids = [call["id"] if isinstance(call, dict) else call.id for call in calls or ()]
    results: Any = [{"role": "tool", "tool_call_id": call_id, "content": "x"} for call_id in ids]
    ok = DIALECT.write_response(Response((Text("ok"),), Stop.END, "end", NO_USAGE), read(), IDENTITY)
    sdk(ok, "application/json", sent).chat.completions.create(model="m", messages=[*ASK, message, *results])
    return DIALECT.read_request(sent[0]).turns


def bare(blocks: Sequence[Block]) -> list[Block]:
    """The blocks less their paths and origins."""
    return [replace(b, path="", **({"origin": None} if isinstance(b, Thinking) else {})) for b in blocks]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("as_dict", [False, True])
def test_thinking_round_trip(*, stream: bool, as_dict: bool) -> None:
    """Through openai-python, streamed or not, echoed as object or dict, the exact turn comes back as the maker's."""
    message = answer(BLOCKS, OURS, stream=stream)
    turns = echoed(message.model_dump() if as_dict else message)

    assert bare(turns[1].blocks) == list(BLOCKS)
    assert {block.origin for block in turns[1].blocks if isinstance(block, Thinking)} == {OURS}
    assert without_foreign(turns, CLAUDE, "claude") == (turns, ())


@pytest.mark.parametrize("stream", [False, True])
def test_thinking_foreign(*, stream: bool) -> None:
    """Another model or maker gets none of it, and one loss tells so."""
    turns = echoed(answer(BLOCKS, OURS, stream=stream))

    for capabilities, model in ((CLAUDE, "another claude"), (GEMINI, "claude")):
        kept, losses = without_foreign(turns, capabilities, model)
        assert not any(isinstance(block, Thinking) for turn in kept for block in turn.blocks)
        assert [(loss.path, loss.kind) for loss in losses] == [("messages[1].reasoning_details[0]", "drop")]


def edited(message: dict[str, Any], change: str) -> dict[str, Any]:
    """The message after a client's change."""
    details = message["reasoning_details"]
    match change:
        case "text":
            message["content"] = "hello?"
        case "arguments":
            message["tool_calls"][0]["function"]["arguments"] = '{"a":2}'
        case "call gone":
            del message["tool_calls"][1]
        case "first entry gone":
            del details[0]
        case "entry renumbered":
            details[0]["index"] = 7
        case "another's entry":
            details[0] |= {"format": "openai-responses-v1", "signature": "x"}
        case _:
            pytest.fail(change)
    return message


@pytest.mark.parametrize(
    "change", ["text", "arguments", "call gone", "first entry gone", "entry renumbered", "another's entry"]
)
def test_thinking_lost(change: str) -> None:
    """A turn that the client has changed keeps nothing of its reasoning, and takes that of all other turns with it."""
    message = edited(answer(BLOCKS, OURS, stream=False).model_dump(), change)
    other = {
        "role": "assistant",
        "content": "a",
        "thinking_blocks": [{"type": "thinking", "thinking": "t", "signature": "s"}],
    }
    results = [{"role": "tool", "tool_call_id": c["id"], "content": "x"} for c in message["tool_calls"]]
    turns = chat(USER, other, USER, message, *results).turns
    kept, losses = without_foreign(turns, CLAUDE, "claude")

    assert not any(isinstance(block, Thinking) for turn in kept for block in turn.blocks)
    assert [loss.kind for loss in losses] == ["drop"]


@pytest.mark.parametrize("change", ["text as parts", "arguments rewritten", "entries in pieces"])
def test_harmless_changes(change: str) -> None:
    """What clients do to a message without changing what it says does no harm."""
    message = answer(BLOCKS, OURS, stream=False).model_dump()
    match change:
        case "text as parts":
            message["content"] = [{"type": "text", "text": "hello"}, {"type": "text", "text": "!"}]
        case "arguments rewritten":
            message["tool_calls"][0]["function"]["arguments"] = '{ "a" : 1.0 }'
        case "entries in pieces":
            first = message["reasoning_details"][0]
            pieces = [
                {**first, "text": "h", "signature": None},
                {"index": 0, "type": first["type"], "text": "m", "signature": first["signature"]},
            ]
            message["reasoning_details"][:1] = pieces
        case _:
            pytest.fail(change)
    turns = echoed(message)

    assert [type(block) for block in turns[1].blocks] == [type(block) for block in BLOCKS]
    assert without_foreign(turns, CLAUDE, "claude")[1] == ()


def test_a_gap_between_turns() -> None:
    """Reasoning that is only shown is no loss by itself; beside a turn that has its own, it is a gap."""
    shown = {"role": "assistant", "content": "a", "reasoning_content": "hm"}
    whole = answer((Thinking("", "hm", "c2ln"), Text("b")), OURS, stream=False).model_dump()

    assert not any(isinstance(block, Thinking) for turn in chat(USER, shown, USER).turns for block in turn.blocks)
    turns = chat(USER, shown, USER, whole, USER).turns
    kept, [loss] = without_foreign(turns, CLAUDE, "claude")
    assert loss.path == "messages[1].reasoning_content"
    assert not any(isinstance(block, Thinking) for turn in kept for block in turn.blocks)


def test_a_carrier_without_its_seal() -> None:
    """Clients that keep the entries and not their ids give back reasoning before the rest."""
    message = answer(BLOCKS, OURS, stream=False).model_dump()
    del message["reasoning_details"][-1]["id"]

    assert [type(block) for block in echoed(message)[1].blocks] == [Thinking] * 3 + [Text] + [ToolCall] * 2


SIGNED_CALLS = (
    Thinking("", "hm"),
    Thinking("", "", "c2ln"),
    ToolCall("", "c1", "f", "{}"),
    ToolCall("", "c2", "f", "{}"),
)


@pytest.mark.parametrize("stream", [False, True])
def test_thought_signatures(*, stream: bool) -> None:
    """A maker that signs its calls has the signature on the call as well, where Google's own endpoint has it."""
    message = answer(SIGNED_CALLS, GOOGLES, stream=stream).model_dump()
    first, second = message["tool_calls"]
    signature = first["extra_content"]["google"]["thought_signature"]

    assert signature.endswith(".c2ln")
    assert "extra_content" not in second
    del message["reasoning_details"], message["reasoning_content"]
    blocks = echoed(message)[1].blocks
    assert bare(blocks) == list(SIGNED_CALLS[1:])
    assert isinstance(blocks[0], Thinking)
    assert blocks[0].origin == GOOGLES


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("blocks", [(Thinking("", "", "c2ln"), Text("a")), (Text("a"), Thinking("", "", "c2ln"))])
def test_a_signed_text(blocks: tuple[Text | Thinking, ...], *, stream: bool) -> None:
    """The signature of a text, or of nothing that follows, stands on the message."""
    message = answer(blocks, GOOGLES, stream=stream).model_dump()

    assert message["extra_content"]["google"]["thought_signature"].endswith(".c2ln")
    assert bare(echoed(message)[1].blocks) == list(blocks)


@pytest.mark.parametrize("product", ["google", "vertex"])
def test_signatures_of_googles_own_endpoint(product: str) -> None:
    """A signature that passed through unmarked is Google's."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    signed = {**call, "extra_content": {product: {"thought_signature": "c2ln"}}}
    request = chat(
        USER, {"role": "assistant", "tool_calls": [signed]}, {"role": "tool", "tool_call_id": "c1", "content": "x"}
    )

    path = f"messages[1].tool_calls[0].extra_content.{product}.thought_signature"
    assert request.turns[1].blocks[0] == Thinking(path, signature="c2ln", origin="google")
    assert request.extras == ()


def test_other_extra_content_is_listed() -> None:
    """What else stands in extra_content is nobody's, and listed."""
    request = chat(USER, {"role": "assistant", "content": "a", "extra_content": {"x": 1}}, USER)

    assert request.extras == (Extra("messages[1].extra_content", {"x": 1}),)


PIECES = st.lists(
    st.one_of(
        st.builds(
            lambda text, sig: Thinking("", text, sig), st.text(max_size=3), st.text("ab", min_size=1, max_size=3)
        ),
        st.builds(lambda data: Thinking("", redacted=data), st.text("ab", min_size=1, max_size=3)),
        st.builds(Text, st.text(min_size=1, max_size=5)),
        st.builds(lambda number: ToolCall("", "", "f", json.dumps({"n": number})), st.integers(-9, 9)),
    ),
    max_size=8,
)


@given(PIECES, st.booleans())
def test_any_turn_comes_back(pieces: list[Text | Thinking | ToolCall], stream: bool) -> None:
    """Any order of reasoning, texts and calls is the same after a client has echoed it."""
    blocks = [replace(b, id=f"c{i}") if isinstance(b, ToolCall) else b for i, b in enumerate(pieces)]
    response, identity = Response(tuple(blocks), Stop.END, "end", NO_USAGE), replace(IDENTITY, origin=OURS)
    if stream:
        message = accumulated(response, OURS)
    else:
        message = json.loads(DIALECT.write_response(response, read(), identity))["choices"][0]["message"]
    results = [{"role": "tool", "tool_call_id": b.id, "content": "x"} for b in blocks if isinstance(b, ToolCall)]
    turn = DIALECT.read_request(
        body(messages=[USER, {**message, "content": message.get("content") or ""}, *results, USER])
    ).turns[1]

    if any(isinstance(block, Thinking) for block in blocks):
        assert bare(turn.blocks) == blocks
    assert not any(isinstance(block, Thinking) and block.origin != OURS for block in turn.blocks)


def accumulated(response: Response, origin: str) -> dict[str, Any]:
    """The message that a client collects from the stream by the SDK's rules."""
    writer = DIALECT.stream_writer(read(stream=True), replace(IDENTITY, origin=origin))
    stream = b"".join(writer.write(event) for event in events_of(response))
    message: dict[str, Any] = {}
    for block in stream.split(b"\n\n"):
        if block.startswith(b"data: {"):
            merge(message, json.loads(block[6:])["choices"][0]["delta"])
    return message


def merge(into: dict[str, Any], delta: dict[str, Any]) -> None:
    """Adds a delta: strings are joined, lists merged by index, and types replaced."""
    for name, value in delta.items():
        if name in {"index", "type"} or name not in into:
            into[name] = value
        elif isinstance(value, str):
            into[name] += value
        elif isinstance(value, dict):
            merge(into[name], value)
        else:
            for piece in value:
                known = next((old for old in into[name] if old["index"] == piece["index"]), None)
                merge(known, piece) if known is not None else into[name].append(piece)
