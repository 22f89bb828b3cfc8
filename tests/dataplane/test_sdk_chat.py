"""Chat through real Envoy, as the official SDK sees it: the same for a backend that is passed and one translated."""

import json
from typing import cast

import openai
import pytest
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessage, ChatCompletionMessageParam
from pydantic import BaseModel, ConfigDict

from tests.support.gateway import RunningGateway
from tests.support.sdk import DEMO_MODELS, extra, identified, text_of, user

pytestmark = [pytest.mark.envoy, pytest.mark.xdist_group("demo")]
each_model = pytest.mark.parametrize("model", DEMO_MODELS)

#: "words 5" as the demo answers it.
#: What upstreams that name their models call those of the demo.
UPSTREAM_NAMES = {"demo-anthropic": "claude-sonnet-4-5"}
FIVE_WORDS = "every request finds its model"


class Forecast(BaseModel):
    """What a structured answer holds."""

    model_config = ConfigDict(extra="forbid")

    city: str
    celsius: float
    days: list[str]


class Place(BaseModel):
    """Open: more members than these may come, so that no backend can enforce it."""

    city: str
    limits: dict[str, str]


def streamed(client: openai.OpenAI, model: str, text: str, headers: dict[str, str]) -> list[ChatCompletionChunk]:
    stream = client.chat.completions.create(model=model, messages=user(text), stream=True, extra_headers=headers)
    return list(stream)


@each_model
def test_a_chat_is_answered(client: openai.OpenAI, model: str) -> None:
    """A plain chat gives the text, why it ended, the model's name, and its usage."""
    done = client.chat.completions.create(model=model, messages=user("words 5"))

    [choice] = done.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", FIVE_WORDS, "stop")
    assert (done.object, done.model) == ("chat.completion", UPSTREAM_NAMES.get(model, model))
    assert done.id.startswith("chatcmpl-")
    assert done.created > 1_700_000_000
    assert done.usage is not None
    assert (done.usage.prompt_tokens, done.usage.completion_tokens, done.usage.total_tokens) == (2, 5, 7)


@each_model
def test_an_answer_that_ran_out_of_room_says_so(client: openai.OpenAI, model: str) -> None:
    """The limit on tokens reaches the backend, and its stop reason comes back."""
    done = client.chat.completions.create(model=model, messages=user("words 5"), max_completion_tokens=2)

    assert (done.choices[0].message.content, done.choices[0].finish_reason) == ("every request", "length")


@each_model
def test_a_stream_has_no_usage_chunk_that_was_not_asked_for(
    client: openai.OpenAI, demo: RunningGateway, model: str
) -> None:
    """Without include_usage every chunk has a choice and no usage, and the access log has the tokens all the same."""
    headers = identified()
    chunks = streamed(client, model, "words 5", headers)

    assert [len(chunk.choices) for chunk in chunks] == [1] * len(chunks)
    assert [chunk.usage for chunk in chunks] == [None] * len(chunks)
    line = demo.records.access_of(headers["x-request-id"])
    assert (line["input_tokens"], line["output_tokens"], line["total_tokens"]) == (2, 5, 7)
    assert (line["model"], line["backend"], line["status"]) == (model, f"default/{model}", 200)


@each_model
def test_a_stream_ends_with_the_usage_that_was_asked_for(
    client: openai.OpenAI, demo: RunningGateway, model: str
) -> None:
    """With include_usage the last chunk has usage and no choice, the others choices and no usage."""
    headers = identified()
    *chunks, last = client.chat.completions.create(
        model=model,
        messages=user("words 5"),
        stream=True,
        stream_options={"include_usage": True},
        extra_headers=headers,
    )

    assert last.choices == []
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens, last.usage.total_tokens) == (2, 5, 7)
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    assert demo.records.access_of(headers["x-request-id"])["total_tokens"] == 7


@each_model
def test_a_stream_is_one_well_formed_answer(client: openai.OpenAI, model: str) -> None:
    """The role comes once and first, the finish reason once and last, the id never changes, a word is a chunk."""
    chunks = streamed(client, model, "words 5", {})

    assert text_of(chunks) == FIVE_WORDS
    assert [chunk.choices[0].delta.role for chunk in chunks] == ["assistant"] + [None] * (len(chunks) - 1)
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert chunks[0].model == UPSTREAM_NAMES.get(model, model)
    assert len([chunk for chunk in chunks if chunk.choices[0].delta.content]) == 5


@each_model
def test_the_streaming_helper_accumulates_the_answer(client: openai.OpenAI, model: str) -> None:
    """``.stream()`` sees its events and ends with a completion like the one that was not streamed."""
    options: openai.types.chat.ChatCompletionStreamOptionsParam = {"include_usage": True}
    with client.chat.completions.stream(model=model, messages=user("words 5"), stream_options=options) as events:
        kinds = {event.type for event in events}
        done = events.get_final_completion()

    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert (done.choices[0].message.content, done.choices[0].finish_reason) == (FIVE_WORDS, "stop")
    assert done.usage is not None
    assert done.usage.total_tokens == 7


@each_model
def test_a_structured_answer_is_parsed(client: openai.OpenAI, model: str) -> None:
    """``.parse()`` with a pydantic model gives an instance of it."""
    done = client.chat.completions.parse(model=model, messages=user("The weather in Paris"), response_format=Forecast)

    [choice] = done.choices
    assert isinstance(choice.message.parsed, Forecast)
    assert choice.message.parsed.city == "Paris"
    assert choice.message.tool_calls in (None, [])
    assert choice.finish_reason == "stop"


@each_model
def test_a_structured_answer_is_parsed_while_it_streams(client: openai.OpenAI, model: str) -> None:
    """The same streamed: the content is the JSON, piece by piece, and no tool call shows."""
    question = user("The weather in Paris")
    with client.chat.completions.stream(model=model, messages=question, response_format=Forecast) as events:
        kinds = [event.type for event in events]
        [choice] = events.get_final_completion().choices

    assert choice.message.parsed == Forecast.model_validate_json(choice.message.content or "")
    assert kinds.count("content.delta") > 1
    assert not [kind for kind in kinds if kind.startswith("tool_calls")]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["demo-openai", "demo-bedrock"])
def test_a_schema_that_cannot_be_enforced_is_fulfilled_all_the_same(
    client: openai.OpenAI, model: str, stream: bool
) -> None:
    """An open schema, which Bedrock takes only as a tool, still gives the JSON as the content.

    Claude at Anthropic's is told it in words, which the demo's does not read.
    """
    wanted: openai.types.shared_params.ResponseFormatJSONSchema = {
        "type": "json_schema",
        "json_schema": {"name": "place", "schema": Place.model_json_schema()},
    }
    question = user("The weather in Paris")
    if stream:
        chunks = list(
            client.chat.completions.create(model=model, messages=question, response_format=wanted, stream=True)
        )
        text, reason = text_of(chunks), chunks[-1].choices[0].finish_reason
        assert not [chunk for chunk in chunks if chunk.choices[0].delta.tool_calls]
    else:
        choice = client.chat.completions.create(model=model, messages=question, response_format=wanted).choices[0]
        text, reason = choice.message.content or "", choice.finish_reason
        assert not choice.message.tool_calls

    assert Place.model_validate_json(text).city == "Paris"
    assert reason == "stop"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["demo-openai", "demo-bedrock"])
def test_a_json_object_is_an_object(client: openai.OpenAI, model: str, stream: bool) -> None:
    """``json_object`` without a schema gives a JSON object as the content, where the API can be held to it."""
    question = user("Say something as JSON")
    if stream:
        text = text_of(
            client.chat.completions.create(
                model=model, messages=question, response_format={"type": "json_object"}, stream=True
            )
        )
    else:
        done = client.chat.completions.create(model=model, messages=question, response_format={"type": "json_object"})
        text = done.choices[0].message.content or ""

    assert isinstance(json.loads(text), dict)


@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_goes_there_and_back(client: openai.OpenAI, stream: bool) -> None:
    """Reasoning of an answer can be sent back in the next turn, where the provider checks their signatures."""
    messages = user("Why is the sky blue?")
    answer: ChatCompletionMessage
    if stream:
        with client.chat.completions.stream(model="demo-bedrock", messages=messages, reasoning_effort="high") as events:
            answer = events.get_final_completion().choices[0].message
    else:
        done = client.chat.completions.create(model="demo-bedrock", messages=messages, reasoning_effort="high")
        answer = done.choices[0].message
    blocks = extra(answer, "reasoning_details")

    assert extra(answer, "reasoning_content") == "The user said 'Why is the sky blue?', so a short answer will do."
    assert "".join(block["text"] for block in blocks) == extra(answer, "reasoning_content")
    assert (answer.content or "").startswith("You said: Why is the sky blue?")
    turns = next_turn(messages, answer.content, [dict(block) for block in blocks])
    again = client.chat.completions.create(model="demo-bedrock", messages=turns, reasoning_effort="high")
    assert (again.choices[0].message.content or "").startswith("You said: Go on.")


def test_reasoning_that_was_tampered_with_is_refused(client: openai.OpenAI) -> None:
    """The reasoning really reaches the provider: it refuses one whose text does not fit its signature."""
    messages = user("Why?")
    done = client.chat.completions.create(model="demo-bedrock", messages=messages, reasoning_effort="high")
    [block] = extra(done.choices[0].message, "reasoning_details")
    turns = next_turn(messages, done.choices[0].message.content, [{**block, "text": "Because."}])

    with pytest.raises(openai.BadRequestError, match="signature"):
        client.chat.completions.create(model="demo-bedrock", messages=turns, reasoning_effort="high")


def next_turn(
    messages: list[ChatCompletionMessageParam], content: str | None, blocks: list[dict[str, object]]
) -> list[ChatCompletionMessageParam]:
    """The conversation one turn on, with the assistant's reasoning as it is."""
    said = {"role": "assistant", "content": content, "reasoning_details": blocks}
    return [*messages, cast("ChatCompletionMessageParam", said), *user("Go on.")]


@each_model
async def test_the_asynchronous_client_sees_the_same(demo: RunningGateway, model: str) -> None:
    """The asynchronous client gets a whole answer and a stream."""
    async with openai.AsyncOpenAI(base_url=f"{demo.base_url}/v1", api_key="none", max_retries=0) as client:
        done = await client.chat.completions.create(model=model, messages=user("words 5"))
        stream = await client.chat.completions.create(model=model, messages=user("words 5"), stream=True)
        chunks = [chunk async for chunk in stream]

    assert done.choices[0].message.content == text_of(chunks) == FIVE_WORDS


@pytest.mark.parametrize("model", DEMO_MODELS)
def test_a_raw_response_names_the_request(client: openai.OpenAI, model: str) -> None:
    """The SDK finds an id that a log knows.

    The vendor's own where bytes pass; ours where the answer is rewritten, with the vendor's beside it.
    """
    sent = identified()
    raw = client.chat.completions.with_raw_response.create(model=model, messages=user("words 1"), extra_headers=sent)

    assert raw.headers["content-type"] == "application/json"
    assert raw.parse()._request_id == raw.headers["x-request-id"]
    passed = model == "demo-openai"
    assert (raw.headers["x-request-id"] == sent["x-request-id"]) == (not passed)
    assert passed or raw.headers.keys() & {"x-amzn-requestid", "request-id"}
    assert sent["x-request-id"] != raw.headers.get("request-id") or model == "demo-bedrock"
