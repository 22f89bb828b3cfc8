"""Each upstream's own form of embeddings: bodies, limits, losses, answers."""

import json
from typing import Any

import google.genai.models as genai
import pytest
from google.auth.credentials import AnonymousCredentials
from google.genai import Client, types
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from extproc.conversation.embeddings import EmbeddingsRequest, EmbeddingsResponse
from extproc.conversation.errors import Kind, Refusal, UpstreamError
from extproc.conversation.request import Extra
from extproc.conversation.response import NO_USAGE, Usage
from extproc.platforms.contract import Place
from extproc.registry import EMBEDDINGS, embeddings_dialect, platform
from tests.support.bedrock_oracle import check_operation

ONE = EmbeddingsRequest("m", ("a",))
TWO = EmbeddingsRequest("m", ("a", "b"))
TITAN_1, TITAN_2 = "amazon.titan-embed-text-v1", "amazon.titan-embed-text-v2:0"
COHERE_3, COHERE_LIGHT, COHERE_4 = "cohere.embed-english-v3", "cohere.embed-english-light-v3", "us.cohere.embed-v4:0"
TEXT_5, GEMINI_1, GEMINI_2 = "text-embedding-005", "gemini-embedding-001", "gemini-embedding-2"
NAMES = EMBEDDINGS


def sent(name: str, request: EmbeddingsRequest, model: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(embeddings_dialect(name).write_request(request, model).body)
    return body


def losses(name: str, request: EmbeddingsRequest, model: str) -> list[tuple[str, str]]:
    return [(loss.path, loss.kind) for loss in embeddings_dialect(name).write_request(request, model).losses]


def answered(name: str, body: Any, request: EmbeddingsRequest = ONE, **headers: str) -> EmbeddingsResponse:
    encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return embeddings_dialect(name).read_response(encoded, named, request)


@pytest.mark.parametrize("name", NAMES)
def test_names(name: str) -> None:
    """A dialect is found by its own name."""
    assert embeddings_dialect(name).name == name


@pytest.mark.parametrize(
    ("schema", "model", "dialect", "path"),
    [
        ("AWSBedrock", TITAN_2, "titan", "/model/amazon.titan-embed-text-v2%3A0/invoke"),
        ("AWSBedrock", COHERE_4, "cohere", "/model/us.cohere.embed-v4%3A0/invoke"),
        ("AWSBedrock", "anthropic.claude-opus-5", None, None),
        ("AWSBedrock", "amazon.titan-embed-image-v1", None, None),
        ("GCPVertexAI", TEXT_5, "vertex_predict", f"/v1/publishers/google/models/{TEXT_5}:predict"),
        ("GCPVertexAI", GEMINI_1, "vertex_predict", f"/v1/publishers/google/models/{GEMINI_1}:predict"),
        ("GCPVertexAI", GEMINI_2, "vertex_content", f"/v1/publishers/google/models/{GEMINI_2}:embedContent"),
        ("GCPVertexAI", "gemini-2.5-pro", None, None),
        ("Gemini", GEMINI_1, "gemini", f"/v1beta/models/{GEMINI_1}:batchEmbedContents"),
        ("Gemini", "gemini-2.5-pro", None, None),
        ("OpenAI", "text-embedding-3-small", None, "/v1/embeddings"),
    ],
)
def test_where_embeddings_are_made(schema: str, model: str, dialect: str | None, path: str | None) -> None:
    """The platform knows which models embed, in which form and under which path."""
    host = platform(schema)
    assert (host.embeddings_dialect(model), host.path("embeddings", Place(model))) == (dialect, path)


def test_titan() -> None:
    """One text; the length only where the model has several; the tokens are in the answer."""
    assert sent("titan", ONE, TITAN_1) == {"inputText": "a"}
    assert sent("titan", replace(ONE, dimensions=512), TITAN_2) == {"inputText": "a", "dimensions": 512}
    assert sent("titan", replace(ONE, dimensions=1536), TITAN_1) == {"inputText": "a"}
    body = json.dumps(sent("titan", ONE, TITAN_2)).encode()
    path = platform("AWSBedrock").path("embeddings", Place(TITAN_2))
    assert path is not None
    check_operation("InvokeModel", {"modelId": TITAN_2, "body": body}, path)
    told = {"embedding": [0.5, 1], "inputTextTokenCount": 3, "embeddingsByType": {"float": [0.5, 1]}}
    expected = EmbeddingsResponse(([0.5, 1.0],), Usage(input_tokens=3, total_tokens=3))
    assert answered("titan", told) == expected
    assert (
        answered("titan", {"embeddingsByType": {"float": [0.5, 1]}}, x_amzn_bedrock_input_token_count="3") == expected
    )


def test_cohere() -> None:
    """The purpose is always said, each version has its own words, and the tokens are in a header if anywhere."""
    assert sent("cohere", TWO, COHERE_3) == {
        "input_type": "search_document",
        "texts": ["a", "b"],
        "embedding_types": ["float"],
    }
    query = replace(ONE, purpose="query", truncate="end", dimensions=1024)
    assert sent("cohere", query, COHERE_3)["truncate"] == "END"
    assert "output_dimension" not in sent("cohere", query, COHERE_3)
    newer = sent("cohere", query, COHERE_4)
    assert (newer["truncate"], newer["output_dimension"], newer["input_type"]) == ("RIGHT", 1024, "search_query")
    plain = {"embeddings": [[1, 2], [3, 4]], "response_type": "embeddings_floats"}
    typed = {"embeddings": {"float": [[1, 2], [3, 4]]}, "response_type": "embeddings_by_type"}
    for told in (plain, typed):
        assert answered("cohere", told, TWO) == EmbeddingsResponse(([1.0, 2.0], [3.0, 4.0]), NO_USAGE)
    counted = answered("cohere", plain, TWO, x_amzn_bedrock_input_token_count="7")
    assert counted.usage == Usage(input_tokens=7, total_tokens=7)
    for odd in ("x", "-1", "9" * 30, ""):
        assert answered("cohere", plain, TWO, x_amzn_bedrock_input_token_count=odd).usage == NO_USAGE


def test_vertex_predict() -> None:
    """An instance for each text, settings beside them, and the sum of all tokens."""
    asked = replace(TWO, purpose="query", dimensions=64, truncate="none")
    assert sent("vertex_predict", asked, TEXT_5) == {
        "instances": [{"content": text, "task_type": "RETRIEVAL_QUERY"} for text in "ab"],
        "parameters": {"outputDimensionality": 64, "autoTruncate": False},
    }
    assert sent("vertex_predict", TWO, TEXT_5) == {"instances": [{"content": "a"}, {"content": "b"}]}

    def prediction(tokens: Any) -> dict[str, Any]:
        return {"embeddings": {"values": [1], "statistics": {"token_count": tokens, "truncated": False}}}

    told = {"predictions": [prediction(2), prediction(3.0)], "metadata": {"billableCharacterCount": 2}}
    assert answered("vertex_predict", told, TWO).usage == Usage(input_tokens=5, total_tokens=5)
    untold = {"predictions": [prediction(2), {"embeddings": {"values": [1]}}]}
    assert answered("vertex_predict", untold, TWO) == EmbeddingsResponse(([1.0], [1.0]), NO_USAGE)


def test_vertex_content() -> None:
    """One content with its settings."""
    asked = replace(ONE, purpose="code", dimensions=64, truncate="end")
    assert sent("vertex_content", asked, GEMINI_2) == {
        "content": {"parts": [{"text": "a"}]},
        "embedContentConfig": {"taskType": "CODE_RETRIEVAL_QUERY", "outputDimensionality": 64, "autoTruncate": True},
    }
    assert sent("vertex_content", ONE, GEMINI_2) == {"content": {"parts": [{"text": "a"}]}}
    told = {"embedding": {"values": [1]}, "usageMetadata": {"promptTokenCount": 4}, "truncated": False}
    assert answered("vertex_content", told).usage == Usage(input_tokens=4, total_tokens=4)
    assert answered("vertex_content", {"embedding": {"values": [1]}}).usage == NO_USAGE


def test_gemini_api() -> None:
    """A request for each text, each naming the model in full."""
    asked = replace(TWO, purpose="similarity", dimensions=3072)
    assert sent("gemini", asked, GEMINI_1) == {
        "requests": [
            {
                "model": "models/gemini-embedding-001",
                "content": {"parts": [{"text": text}]},
                "taskType": "SEMANTIC_SIMILARITY",
                "outputDimensionality": 3072,
            }
            for text in "ab"
        ]
    }
    assert sent("gemini", ONE, "models/x")["requests"][0]["model"] == "models/x"
    told = {"embeddings": [{"values": [1]}, {"values": [2]}], "usageMetadata": {"promptTokenCount": 4}}
    assert answered("gemini", told, TWO) == EmbeddingsResponse(([1.0], [2.0]), Usage(input_tokens=4, total_tokens=4))


def test_googles_own_sdk_writes_the_same() -> None:
    """What google-genai's converters make of the same question is what we send."""
    config = types.EmbedContentConfig(task_type="CLUSTERING", output_dimensionality=64)
    asked = replace(ONE, purpose="clustering", dimensions=64)
    content = types.Content(parts=[types.Part(text="a")])

    def converted(kind: types.EmbeddingApiType, **contents: Any) -> dict[str, Any]:
        untyped: Any = AnonymousCredentials
        client = Client(vertexai=True, project="p", location="l", credentials=untyped())
        parameters = types._EmbedContentParametersPrivate(
            model=GEMINI_2, embedding_api_type=kind, config=config, **contents
        )
        made: dict[str, Any] = genai._EmbedContentParametersPrivate_to_vertex(
            client._api_client, parameters, None, parameters
        )
        made.pop("_url")
        return made

    by_content = converted(types.EmbeddingApiType.EMBED_CONTENT, content=content)
    assert sent("vertex_content", asked, GEMINI_2) == by_content
    by_predict = converted(types.EmbeddingApiType.PREDICT, contents=["a"])
    assert sent("vertex_predict", asked, TEXT_5) == by_predict


@pytest.mark.parametrize(
    ("name", "model", "limit"),
    [
        ("titan", TITAN_2, 1),
        ("cohere", COHERE_3, 96),
        ("vertex_predict", GEMINI_1, 1),
        ("vertex_predict", TEXT_5, 250),
        ("vertex_content", GEMINI_2, 1),
        ("gemini", GEMINI_1, 100),
    ],
)
def test_limits(name: str, model: str, limit: int) -> None:
    """A batch up to the limit goes, and a larger one is refused naming it."""
    dialect = embeddings_dialect(name)
    dialect.write_request(EmbeddingsRequest("m", ("a",) * limit), model)
    with pytest.raises(Refusal) as refused:
        dialect.write_request(EmbeddingsRequest("m", ("a",) * (limit + 1)), model)
    assert refused.value.error.param == "input"
    assert ("one text" if limit == 1 else f"{limit} texts") in refused.value.error.message


@pytest.mark.parametrize(
    ("name", "model", "dimensions"),
    [
        ("titan", TITAN_1, 512),
        ("titan", TITAN_2, 1536),
        ("cohere", COHERE_3, 512),
        ("cohere", COHERE_LIGHT, 1024),
        ("cohere", COHERE_4, 2048),
    ],
)
def test_lengths_that_a_model_cannot_make(name: str, model: str, dimensions: int) -> None:
    """A vector of another length would not fit the client's index, so it is refused."""
    with pytest.raises(Refusal) as refused:
        embeddings_dialect(name).write_request(replace(ONE, dimensions=dimensions), model)
    assert refused.value.error.param == "dimensions"


@pytest.mark.parametrize(
    ("name", "model", "request_", "listed"),
    [
        ("titan", TITAN_2, replace(ONE, purpose="query"), [("input_type", "drop")]),
        ("titan", TITAN_2, replace(ONE, truncate="end"), [("truncate", "drop")]),
        ("cohere", COHERE_3, replace(ONE, purpose="fact", purpose_path="task_type"), [("task_type", "approx")]),
        ("vertex_predict", GEMINI_1, replace(ONE, dimensions=768), [("dimensions", "approx")]),
        ("vertex_predict", TEXT_5, replace(ONE, dimensions=64), []),
        ("vertex_predict", TEXT_5, replace(ONE, truncate="start"), [("truncate", "approx")]),
        ("gemini", GEMINI_1, replace(ONE, dimensions=3072), []),
        ("gemini", GEMINI_1, replace(ONE, truncate="end"), [("truncate", "drop")]),
    ],
)
def test_losses(name: str, model: str, request_: EmbeddingsRequest, listed: list[tuple[str, str]]) -> None:
    """What an upstream does not take, or does in another way, is listed."""
    assert losses(name, request_, model) == listed


@pytest.mark.parametrize("name", NAMES)
def test_users_and_unknown_members(name: str) -> None:
    """No upstream has a user; an unknown member is listed, unless it is harmless or may not be left out."""
    extras = (Extra("x", 1), Extra("y", 1, harmless=True))
    assert losses(name, replace(ONE, user="u", extras=extras), "m") == [("user", "drop"), ("x", "drop")]
    with pytest.raises(Refusal) as refused:
        sent(name, replace(ONE, extras=(Extra("z", 1, essential=True),)), "m")
    assert refused.value.error.param == "z"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b'{"embedding":[],"embeddings":[],"predictions":[]}',
        b'{"embedding":{"values":[]},"embeddings":[{"values":[]}],"predictions":[{"embeddings":{"values":[]}}]}',
        b'{"embeddings":{"int8":[[1]]}}',
        b'{"embedding":["a"],"embeddings":[["a"]],"predictions":[{"embeddings":{"values":["a"]}}]}',
    ],
)
def test_answers_that_are_none(name: str, body: bytes) -> None:
    """An answer without a vector for each text is the upstream's failure."""
    with pytest.raises(UpstreamError) as failed:
        answered(name, body)
    assert (failed.value.error.status, failed.value.error.kind) == (502, Kind.SERVER)


@given(st.sampled_from(NAMES), st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_an_answer_or_an_error(name: str, body: bytes) -> None:
    """No bytes make a reader raise anything but the upstream's error."""
    try:
        response = answered(name, body)
    except UpstreamError:
        return
    assert len(response.vectors) == 1
