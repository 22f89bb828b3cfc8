"""Tools through real Envoy, in two rounds, as the official SDK plays them."""

import json
from typing import Any, cast

import openai
import pytest
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam
from pydantic import BaseModel

from tests.support.gateway import RunningGateway
from tests.support.sdk import DEMO_MODELS, WEATHER, identified, text_of, user

pytestmark = [pytest.mark.envoy, pytest.mark.xdist_group("demo")]
each_model = pytest.mark.parametrize("model", DEMO_MODELS)

QUESTION = "What is the weather in Paris?"


class Search(BaseModel):
    """A tool's arguments."""

    query: str
    limit: int


def second_turn(call: Any, result: str) -> list[ChatCompletionMessageParam]:
    """The conversation with the call as the SDK shows it and the tool's answer to it."""
    function = {"name": call.function.name, "arguments": call.function.arguments}
    said = {"role": "assistant", "tool_calls": [{"id": call.id, "type": "function", "function": function}]}
    answered = {"role": "tool", "tool_call_id": call.id, "content": result}
    return [
        *user(QUESTION),
        cast("ChatCompletionMessageParam", said),
        cast("ChatCompletionMessageParam", answered),
    ]


@each_model
def test_a_tool_is_called_and_its_result_used(client: openai.OpenAI, demo: RunningGateway, model: str) -> None:
    """The first answer is a call whose arguments fit the schema, the second one speaks of the result."""
    first = client.chat.completions.create(model=model, messages=user(QUESTION), tools=[WEATHER]).choices[0]
    [call] = first.message.tool_calls or []
    assert call.type == "function"
    headers = identified()
    second = client.chat.completions.create(
        model=model, messages=second_turn(call, "18 degrees"), tools=[WEATHER], extra_headers=headers
    )

    assert (first.finish_reason, first.message.content) == ("tool_calls", None)
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": "Paris", "days": 1}
    assert second.choices[0].message.content == "The tool says: 18 degrees"
    assert second.choices[0].finish_reason == "stop"
    assert second.usage is not None
    assert demo.records.access_of(headers["x-request-id"])["total_tokens"] == second.usage.total_tokens


@each_model
def test_tools_work_while_streaming(client: openai.OpenAI, model: str) -> None:
    """Both rounds streamed, by the SDK's helper: the accumulated call can be sent back as it is."""
    with client.chat.completions.stream(model=model, messages=user(QUESTION), tools=[WEATHER]) as events:
        first = events.get_final_completion().choices[0]
    [call] = first.message.tool_calls or []
    with client.chat.completions.stream(
        model=model, messages=second_turn(call, "18 degrees"), tools=[WEATHER]
    ) as events:
        second = events.get_final_completion().choices[0]

    assert first.finish_reason == "tool_calls"
    assert json.loads(call.function.arguments) == {"city": "Paris", "days": 1}
    assert (second.message.content, second.finish_reason) == ("The tool says: 18 degrees", "stop")


@each_model
def test_a_streamed_call_comes_in_pieces_of_one_index(client: openai.OpenAI, model: str) -> None:
    """Id and name come once and first, the arguments follow in pieces under the same index."""
    chunks = list(client.chat.completions.create(model=model, messages=user(QUESTION), tools=[WEATHER], stream=True))
    pieces = pieces_of(chunks)

    assert {piece.index for piece in pieces} == {0}
    assert [bool(piece.id) for piece in pieces] == [True] + [False] * (len(pieces) - 1)
    assert [piece.function.name for piece in pieces] == ["get_weather"] + [None] * (len(pieces) - 1)
    assert len(pieces) > 2
    assert json.loads("".join(piece.function.arguments or "" for piece in pieces)) == {"city": "Paris", "days": 1}
    assert text_of(chunks) == ""
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def pieces_of(chunks: list[ChatCompletionChunk]) -> list[Any]:
    """The pieces of tool calls in their order."""
    return [piece for chunk in chunks for piece in chunk.choices[0].delta.tool_calls or ()]


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
@each_model
def test_a_forced_call_is_made(client: openai.OpenAI, model: str, choice: Any) -> None:
    """``required`` and a named tool reach the backend: it calls although the result is already there."""
    first = client.chat.completions.create(model=model, messages=user(QUESTION), tools=[WEATHER]).choices[0]
    [call] = first.message.tool_calls or []
    again = client.chat.completions.create(
        model=model, messages=second_turn(call, "18 degrees"), tools=[WEATHER], tool_choice=choice
    )

    assert again.choices[0].finish_reason == "tool_calls"


@each_model
def test_tools_that_may_not_be_used_are_not(client: openai.OpenAI, model: str) -> None:
    """``tool_choice: none`` gives text, though Bedrock has no such choice."""
    done = client.chat.completions.create(model=model, messages=user(QUESTION), tools=[WEATHER], tool_choice="none")

    assert done.choices[0].message.tool_calls is None
    assert (done.choices[0].message.content or "").startswith(f"You said: {QUESTION}")


@each_model
def test_arguments_are_parsed_by_the_strict_helper(client: openai.OpenAI, model: str) -> None:
    """``.parse()`` with a pydantic tool gives its arguments as an instance."""
    tool = openai.pydantic_function_tool(Search)
    done = client.chat.completions.parse(model=model, messages=user("Look for Rome"), tools=[tool])
    [call] = done.choices[0].message.tool_calls or []

    assert call.function.parsed_arguments == Search(query="Rome", limit=1)
