"""Everything of OpenAI's API that is not chat, through real Envoy: routed by model, passed through, accounted."""

import base64
import struct

import openai
import pytest

from tests.support.gateway import RunningGateway
from tests.support.sdk import identified

pytestmark = [pytest.mark.envoy, pytest.mark.xdist_group("demo")]


def test_embeddings_come_as_numbers(client: openai.OpenAI, demo: RunningGateway) -> None:
    """With ``encoding_format: float`` the vectors are the provider's, and the tokens are accounted."""
    headers = identified()
    done = client.embeddings.create(
        model="demo-embedding",
        input=["one two", "three"],
        encoding_format="float",
        dimensions=8,
        extra_headers=headers,
    )

    assert [(item.index, len(item.embedding)) for item in done.data] == [(0, 8), (1, 8)]
    assert [sum(value * value for value in item.embedding) for item in done.data] == pytest.approx([1, 1])
    assert (done.usage.prompt_tokens, done.usage.total_tokens) == (3, 3)
    line = demo.records.access_of(headers["x-request-id"])
    assert (line["model"], line["input_tokens"], line["total_tokens"]) == ("demo-embedding", 3, 3)


def test_embeddings_are_base64_by_default(client: openai.OpenAI) -> None:
    """The SDK asks for base64 by itself and decodes it: the same vectors either way."""
    packed = client.embeddings.create(model="demo-embedding", input="one two", dimensions=8)
    plain = client.embeddings.create(model="demo-embedding", input="one two", dimensions=8, encoding_format="float")
    raw = client.post(
        "/embeddings",
        cast_to=object,
        body={"model": "demo-embedding", "input": "one two", "dimensions": 8, "encoding_format": "base64"},
    )

    assert packed.data[0].embedding == pytest.approx(plain.data[0].embedding)
    assert isinstance(raw, dict)
    unpacked = struct.unpack("<8f", base64.b64decode(raw["data"][0]["embedding"]))
    assert list(unpacked) == packed.data[0].embedding


def test_models_are_listed(client: openai.OpenAI) -> None:
    """``models.list()`` gives the models of the configuration, sorted, each once."""
    listed = client.models.list()

    assert [model.id for model in listed] == [
        "demo-anthropic",
        "demo-bedrock",
        "demo-embedding",
        "demo-moderation",
        "demo-openai",
    ]
    assert {model.object for model in listed.data} == {"model"}


def test_a_model_is_retrieved(client: openai.OpenAI) -> None:
    """``models.retrieve()`` gives one that is listed."""
    assert client.models.retrieve("demo-bedrock") in client.models.list().data


def test_an_unknown_model_is_not_retrieved(client: openai.OpenAI) -> None:
    """``models.retrieve()`` of a model that is not served is a 404 with OpenAI's code."""
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("org/unheard-of")

    assert caught.value.code == "model_not_found"


def test_completions_are_served(client: openai.OpenAI) -> None:
    """The legacy endpoint answers."""
    done = client.completions.create(model="demo-openai", prompt="hello", max_tokens=3)

    assert (done.choices[0].text, done.choices[0].finish_reason) == ("You said: hello", "length")


@pytest.mark.parametrize("asked", [True, False])
def test_completions_are_streamed_and_counted(client: openai.OpenAI, demo: RunningGateway, asked: bool) -> None:
    """Here, too, the usage chunk comes when it was asked for and is accounted in any case."""
    headers = identified()
    options: openai.types.chat.ChatCompletionStreamOptionsParam = {"include_usage": asked}
    chunks = list(
        client.completions.create(
            model="demo-openai",
            prompt="hello",
            max_tokens=3,
            stream=True,
            stream_options=options,
            extra_headers=headers,
        )
    )

    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == "You said: hello"
    assert [chunk.usage is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [asked]
    assert [bool(chunk.choices) for chunk in chunks] == [True] * (len(chunks) - 1) + [not asked]
    assert demo.records.access_of(headers["x-request-id"])["total_tokens"] == 4


def test_responses_are_served_and_counted(client: openai.OpenAI, demo: RunningGateway) -> None:
    """The Responses API passes, and its usage, which has other names, is accounted."""
    headers = identified()
    done = client.responses.create(model="demo-openai", input="words 5", extra_headers=headers)

    assert done.output_text == "every request finds its model"
    assert done.status == "completed"
    line = demo.records.access_of(headers["x-request-id"])
    assert (line["input_tokens"], line["output_tokens"], line["total_tokens"]) == (2, 5, 7)


def test_responses_are_streamed_and_counted(client: openai.OpenAI, demo: RunningGateway) -> None:
    """The typed events of the Responses API pass as they are, and the last one's usage is accounted."""
    headers = identified()
    with client.responses.stream(model="demo-openai", input="words 5", extra_headers=headers) as events:
        kinds = [event.type for event in events]
        done = events.get_final_response()

    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    assert kinds.count("response.output_text.delta") == 5
    assert done.output_text == "every request finds its model"
    assert demo.records.access_of(headers["x-request-id"])["total_tokens"] == 7


def test_moderations_are_served(client: openai.OpenAI) -> None:
    """Moderations pass."""
    done = client.moderations.create(model="demo-moderation", input=["kill it", "be nice"])

    assert [result.flagged for result in done.results] == [True, False]


@pytest.mark.parametrize("operation", ["embeddings", "completions", "responses", "moderations"])
def test_a_backend_that_speaks_another_api_cannot_serve_it(client: openai.OpenAI, operation: str) -> None:
    """Only chat is translated: anything else at Bedrock is a 400 that names the backend and the endpoint."""
    with pytest.raises(openai.BadRequestError, match=f"default/demo-bedrock.*cannot serve /v1/{operation}") as caught:
        client.post(f"/{operation}", cast_to=object, body={"model": "demo-bedrock", "input": "x", "prompt": "x"})

    assert (caught.value.param, caught.value.code) == ("model", "unsupported_operation")
