"""The demo as a whole: SDK, Envoy, extproc and the demo backends."""

import json
from collections.abc import Iterator

import openai
import pytest
from openai.types.chat import ChatCompletionFunctionToolParam, ChatCompletionMessageParam
from pydantic import BaseModel

from controller.standalone.demo import MANIFEST
from tests.support.gateway import RunningGateway, running_demo

pytestmark = pytest.mark.envoy

BOTH = pytest.mark.parametrize("model", ["demo-openai", "demo-anthropic", "demo-bedrock"])
WEATHER: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class Person(BaseModel):
    """What structured output is asked for."""

    name: str
    age: int
    tags: list[str]


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    with running_demo() as gateway:
        yield gateway


@pytest.fixture(scope="module")
def client(gateway: RunningGateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.base_url}/v1", api_key="none", max_retries=0) as client:
        yield client


def say(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


@BOTH
def test_both_models_answer_and_stream_the_same(client: openai.OpenAI, model: str) -> None:
    """A chat and its stream give the same text and the same usage."""
    whole = client.chat.completions.create(model=model, messages=say("Hello out there"))
    stream = list(
        client.chat.completions.create(
            model=model, messages=say("Hello out there"), stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(choice.delta.content or "" for chunk in stream for choice in chunk.choices)

    assert text == whole.choices[0].message.content
    assert text.startswith("You said: Hello out there")
    assert whole.usage is not None
    assert stream[-1].usage is not None
    assert stream[-1].usage.total_tokens == whole.usage.total_tokens == 3 + len(text.split())


@BOTH
def test_both_models_use_tools_in_two_rounds(client: openai.OpenAI, model: str) -> None:
    """The call of the first round and its result make a conversation that the strict backends accept."""
    messages = say("What is the weather in Paris?")
    with client.chat.completions.stream(model=model, messages=messages, tools=[WEATHER]) as stream:
        [call] = stream.get_final_completion().choices[0].message.tool_calls or []
    name, arguments = call.function.name, call.function.arguments
    messages += [
        {
            "role": "assistant",
            "tool_calls": [{"id": call.id, "type": "function", "function": {"name": name, "arguments": arguments}}],
        },
        {"role": "tool", "tool_call_id": call.id, "content": "18 degrees"},
    ]
    second = client.chat.completions.create(model=model, messages=messages, tools=[WEATHER])

    assert (name, json.loads(arguments)) == ("get_weather", {"city": "Paris"})
    assert second.choices[0].message.content == "The tool says: 18 degrees"


@BOTH
def test_both_models_fill_in_a_schema(client: openai.OpenAI, model: str) -> None:
    """Structured output comes back as the object that was asked for."""
    done = client.chat.completions.parse(model=model, messages=say("Who is Ada?"), response_format=Person)

    assert done.choices[0].message.parsed == Person(name="Ada", age=1, tags=["Ada"])


@BOTH
@pytest.mark.parametrize(
    ("status", "error"),
    [(400, openai.BadRequestError), (429, openai.RateLimitError), (500, openai.InternalServerError)],
)
def test_both_models_fail_on_demand(
    client: openai.OpenAI, model: str, status: int, error: type[openai.APIStatusError]
) -> None:
    """Errors of either vendor reach the SDK as its own exceptions."""
    with pytest.raises(error) as raised:
        client.chat.completions.create(model=model, messages=say(f"error {status}"))

    assert raised.value.status_code == status
    assert "was asked for an error" in raised.value.message


@BOTH
def test_both_streams_break_with_an_error_event(client: openai.OpenAI, model: str) -> None:
    """A vendor's error in the middle of a stream is an exception, after the words before it."""
    stream = client.chat.completions.create(model=model, messages=say("break error; words 9"), stream=True)
    words: list[str] = []
    with pytest.raises(openai.APIError, match="broke off"):
        words.extend(chunk.choices[0].delta.content or "" for chunk in stream)

    assert "".join(words) == "every request"


def test_bedrock_reasons_when_asked(client: openai.OpenAI) -> None:
    """A reasoning effort makes the Bedrock model think, and its thoughts arrive beside the answer."""
    done = client.chat.completions.create(
        model="demo-bedrock", messages=say("Why?"), reasoning_effort="low", max_completion_tokens=4096
    )
    message = done.choices[0].message.model_dump()

    assert message["reasoning_content"].startswith("The user said 'Why?'")
    assert message["content"].startswith("You said: Why?")


def test_other_endpoints_pass_through(client: openai.OpenAI) -> None:
    """Embeddings and moderations reach the OpenAI backend; the models are the gateway's own."""
    vectors = client.embeddings.create(model="demo-embedding", input=["a", "b"]).data
    verdict = client.moderations.create(model="demo-moderation", input="kill").results[0]

    assert len(vectors) == 2
    assert verdict.flagged
    assert {model.id for model in client.models.list()} >= {"demo-openai", "demo-bedrock"}


def test_the_wheel_has_the_manifest() -> None:
    """The demo's manifest is read from the package, wherever that is installed."""
    assert MANIFEST.is_file()
    assert MANIFEST.read_text().count("apiVersion:") == 4
