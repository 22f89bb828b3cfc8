"""Embeddings for the official SDK from every platform that makes them, through real Envoy."""

from collections.abc import Iterator, Mapping
from typing import Any

import openai
import pytest

from tests.support.gateway import backend, route, rule, running_gateway
from tests.support.sdk import sdk
from tests.support.upstreams import Received, Reply, Upstream, json_reply, running_upstream

pytestmark = [pytest.mark.envoy, pytest.mark.xdist_group("hosts")]

VECTOR = [0.5, -0.25]
_VERTEX = "/v1/projects/acme/locations/global/publishers/google/models"
_GCP = {"gcp": {"project": "acme", "location": "global"}}
#: The model, its platform and path, what it answers, and the tokens that it counts.
MODELS: Mapping[str, tuple[str, str, Mapping[str, Any], int]] = {
    "amazon.titan-embed-text-v2:0": (
        "AWSBedrock",
        "/model/amazon.titan-embed-text-v2%3A0/invoke",
        {"embedding": VECTOR, "inputTextTokenCount": 4},
        4,
    ),
    "cohere.embed-english-v3": (
        "AWSBedrock",
        "/model/cohere.embed-english-v3/invoke",
        {"id": "1", "embeddings": [VECTOR], "response_type": "embeddings_floats", "texts": ["hello"]},
        4,
    ),
    "text-embedding-005": (
        "GCPVertexAI",
        f"{_VERTEX}/text-embedding-005:predict",
        {"predictions": [{"embeddings": {"values": VECTOR, "statistics": {"token_count": 4}}}]},
        4,
    ),
    "gemini-embedding-2": (
        "GCPVertexAI",
        f"{_VERTEX}/gemini-embedding-2:embedContent",
        {"embedding": {"values": VECTOR}, "usageMetadata": {"promptTokenCount": 4}},
        4,
    ),
    "gemini-embedding-001": (
        "Gemini",
        "/v1beta/models/gemini-embedding-001:batchEmbedContents",
        {"embeddings": [{"values": VECTOR}], "usageMetadata": {"promptTokenCount": 4}},
        4,
    ),
}
each_model = pytest.mark.parametrize("model", MODELS)


def _answer(request: Received) -> Reply:
    told = next((value for _, path, value, _ in MODELS.values() if path == request.path), None)
    if told is None:
        return json_reply({"message": f"no such path: {request.path}"}, 404)
    return json_reply(told, x_amzn_bedrock_input_token_count="4", x_amzn_requestid="aws-1")


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[openai.OpenAI, Upstream]]:
    """The SDK on a gateway, and the upstream behind all backends."""
    with running_upstream() as upstream:
        upstream.answer_with(_answer)
        schemas = {schema for schema, *_ in MODELS.values()}
        backends = [
            backend(schema.lower(), upstream.port, schema, **(_GCP if schema == "GCPVertexAI" else {}))
            for schema in sorted(schemas)
        ]
        rules = [rule(model, schema.lower()) for model, (schema, *_) in MODELS.items()]
        with running_gateway([route(*rules), *backends]) as gateway, sdk(gateway.base_url) as client:
            yield client, upstream


@each_model
@pytest.mark.parametrize("encoding", ["float", "base64", None])
def test_a_text_becomes_a_vector(world: tuple[openai.OpenAI, Upstream], model: str, encoding: Any) -> None:
    """One vector with its tokens, in numbers or, as the SDK asks by default, in base64 that it unpacks itself."""
    client, upstream = world
    upstream.forget()
    form: Any = {} if encoding is None else {"encoding_format": encoding}
    done = client.embeddings.create(model=model, input="hello", **form)

    given: Any = done.data[0].embedding
    assert given == ("AAAAPwAAgL4=" if encoding == "base64" else VECTOR)
    assert (done.model, done.data[0].index, done.data[0].object) == (model, 0, "embedding")
    assert done.usage.prompt_tokens == done.usage.total_tokens == MODELS[model][3]
    [received] = upstream.received
    assert received.path == MODELS[model][1]


def test_a_batch_that_the_model_does_not_take_is_refused(world: tuple[openai.OpenAI, Upstream]) -> None:
    """Titan takes one text; two are refused with the limit, and nothing is sent."""
    client, upstream = world
    upstream.forget()

    with pytest.raises(openai.BadRequestError, match="Titan takes one text a request, and this one holds 2") as caught:
        client.embeddings.create(model="amazon.titan-embed-text-v2:0", input=["one", "two"])
    assert caught.value.param == "input"
    assert upstream.received == []


def test_a_vendors_refusal_is_told_as_openai_would(world: tuple[openai.OpenAI, Upstream]) -> None:
    """An AWS error on embeddings is the SDK's exception for its status."""
    client, upstream = world
    upstream.answer(json_reply({"message": "slow down"}, 429, x_amzn_errortype="ThrottlingException"))
    try:
        with pytest.raises(openai.RateLimitError, match="slow down") as caught:
            client.embeddings.create(model="cohere.embed-english-v3", input="hello")
    finally:
        upstream.answer_with(_answer)
    assert caught.value.code == "rate_limit_exceeded"
