"""A longer conversation begins with the bytes of the shorter one: caches and signed reasoning are checked by them."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.dialects.anthropic import DIALECT
from tests.support.anthropic_messages import OPUS_4_8, SONNET_4_5, destination, openai_request

TOOLS = [{"type": "function", "function": {"name": name}} for name in ("f", "g")]
TEXT = st.sampled_from(["a", "b c", "é\u2028", ""])
SAID = st.sampled_from(["a", "b c", "é\u2028"])


@st.composite
def user_sides(draw: st.DrawFn) -> list[dict[str, Any]]:
    """What stands between two answers: at least one word of the user's, and system messages around it."""
    late = [{"role": draw(st.sampled_from(["system", "developer"])), "content": draw(TEXT)}]
    before, after = draw(st.booleans()), draw(st.booleans())
    return [*late * before, {"role": "user", "content": draw(SAID)}, *late * after]


@st.composite
def exchanges(draw: st.DrawFn) -> list[dict[str, Any]]:
    """An answer, the results of its calls, and what the client says then."""
    ids = draw(st.lists(st.sampled_from(["a", "functions.B:0", "c"]), unique=True, max_size=3))
    calls = [{"id": i, "type": "function", "function": {"name": "f", "arguments": '{"n": 1.0}'}} for i in ids]
    content = draw(TEXT if calls else SAID)
    answer = {"role": "assistant", "content": content, **({"tool_calls": calls} if calls else {})}
    results = [{"role": "tool", "tool_call_id": i, "content": draw(TEXT)} for i in draw(st.permutations(ids))]
    follow = draw(user_sides()) if not calls or draw(st.booleans()) else []
    return [answer, *results, *follow]


def prefix(messages: list[dict[str, Any]], model: str) -> bytes:
    """The body up to the end of its last message."""
    body = DIALECT.write_request(openai_request(messages=messages, tools=TOOLS), destination(model)).body
    assert body.endswith(b"]}")
    return body.removesuffix(b"]}")


@pytest.mark.parametrize("model", [SONNET_4_5, OPUS_4_8])
@given(st.lists(TEXT, max_size=2), user_sides(), st.lists(exchanges(), min_size=1, max_size=4))
@settings(max_examples=100)
def test_append_only(
    model: str, system: list[str], first: list[dict[str, Any]], rest: list[list[dict[str, Any]]]
) -> None:
    """Each turn adds bytes at the end, and changes none before."""
    messages = [*({"role": "system", "content": text} for text in system), {"role": "user", "content": "hi"}, *first]
    before = prefix(messages, model)
    for turn in rest:
        messages += turn
        longer = prefix(messages, model)
        assert longer.startswith(before)
        before = longer


@given(
    st.lists(exchanges(), max_size=2), st.lists(st.sampled_from(["user", "system"]), min_size=1, max_size=6), st.data()
)
@settings(max_examples=100)
def test_append_only_before_an_answer(
    earlier: list[list[dict[str, Any]]], roles: list[str], data: st.DataObject
) -> None:
    """Whoever speaks on without an answer changes no byte before the last one, and none of the user's blocks after it.

    A system message that was the last is the one thing that may move: into the user's message, where it stood.
    """
    begun = [{"role": "user", "content": "hi"}, *(one for turn in earlier for one in turn)]
    said = [{"role": role, "content": f"{role} {position}"} for position, role in enumerate(roles)]
    end = data.draw(st.integers(1, len(said)))
    shorter, longer = (
        messages_of([*begun, {"role": "assistant", "content": "a"}, *said[:n]]) for n in (end, len(said))
    )
    last = max(position for position, message in enumerate(shorter) if message["role"] == "assistant")
    assert longer[: last + 1] == shorter[: last + 1]
    if "user" not in roles[:end]:
        return
    user, grown = shorter[last + 1], longer[last + 1]
    assert (user["role"], grown["role"]) == ("user", "user")
    assert grown["content"][: len(user["content"])] == user["content"]


def test_a_system_message_keeps_its_place_when_the_user_goes_on() -> None:
    """What was said in order stays in order, before an answer as well."""
    said = [{"role": "user", "content": "q"}, {"role": "system", "content": "s"}, {"role": "user", "content": "more"}]
    [message] = messages_of(said)
    texts = [block["text"] for block in message["content"]]
    assert texts == ["q", "<system_message>\ns\n</system_message>", "more"]


def messages_of(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is sent of a conversation to a model that takes system messages."""
    body = DIALECT.write_request(openai_request(messages=messages, tools=TOOLS), destination(OPUS_4_8)).body
    sent: list[dict[str, Any]] = json.loads(body)["messages"]
    return sent


def test_schema_instructions_stand_before_the_messages() -> None:
    """Words that ask for JSON are the same in each turn, so they break no prefix."""
    body = DIALECT.write_request(openai_request(response_format={"type": "json_object"}), destination(SONNET_4_5)).body
    assert list(json.loads(body))[-2:] == ["system", "messages"]
