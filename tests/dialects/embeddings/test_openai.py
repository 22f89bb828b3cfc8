"""The client's side of embeddings, judged by the official SDK's types."""

import base64
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse

from extproc.conversation.embeddings import EmbeddingsRequest, EmbeddingsResponse
from extproc.conversation.errors import ClientError, UpstreamError
from extproc.conversation.request import Extra
from extproc.conversation.response import Usage
from extproc.dialects.contract import Identity
from extproc.registry import embeddings_client

CLIENT = embeddings_client("openai")
ME = Identity("0", "alias", 0)


def read(**members: Any) -> EmbeddingsRequest:
    return CLIENT.read_request(json.dumps({"model": "m", "input": "a", **members}).encode())


def test_plain_request() -> None:
    """One text is a list of one; what is not said is left to the model."""
    assert read() == EmbeddingsRequest("m", ("a",))
    assert read(input=["a", "b"], dimensions=256, encoding_format="base64", user="u") == EmbeddingsRequest(
        "m", ("a", "b"), 256, base64=True, user="u"
    )
    assert read(encoding_format="float", dimensions=None) == EmbeddingsRequest("m", ("a",))


@pytest.mark.parametrize(
    ("members", "purpose", "path"),
    [
        ({"input_type": "search_query"}, "query", "input_type"),
        ({"input_type": "passage"}, "document", "input_type"),
        ({"task_type": "SEMANTIC_SIMILARITY"}, "similarity", "task_type"),
        ({"task_type": "RETRIEVAL_QUERY", "input_type": "query"}, "query", "task_type"),
    ],
)
def test_purposes(members: dict[str, str], purpose: str, path: str) -> None:
    """The words of two vendors say the same in two ways."""
    request = read(**members)
    assert (request.purpose, request.purpose_path) == (purpose, path)


@pytest.mark.parametrize(
    ("members", "truncate"),
    [
        ({"truncate": "START"}, "start"),
        ({"truncate": "RIGHT"}, "end"),
        ({"auto_truncate": True}, "end"),
        ({"auto_truncate": False}, "none"),
        ({"truncate": "NONE", "auto_truncate": True}, "none"),
        ({}, None),
    ],
)
def test_truncation(members: dict[str, Any], truncate: str | None) -> None:
    """Which end may be cut off, in either vendor's word."""
    assert read(**members).truncate == truncate


def test_unknown_members_are_kept_for_the_list() -> None:
    """What nobody knows is not dropped in silence."""
    assert read(colour="red").extras == (Extra("colour", "red"),)


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"model": None}, "model"),
        ({"input": None}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": [1, 2]}, "input"),
        ({"input": [[1, 2], [3]]}, "input[0]"),
        ({"input": ["a", [3]]}, "input[1]"),
        ({"input": ["a", 3]}, "input[1]"),
        ({"input": [True]}, "input"),
        ({"input": {"text": "a"}}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"dimensions": 0}, "dimensions"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"input_type": "image"}, "input_type"),
        ({"task_type": "CLUSTERING", "input_type": "query"}, "task_type"),
        ({"truncate": "MIDDLE"}, "truncate"),
        ({"auto_truncate": "yes"}, "auto_truncate"),
    ],
)
def test_refused_requests(members: dict[str, Any], param: str) -> None:
    """Token ids, and everything malformed, are refused under their own path."""
    with pytest.raises(ClientError) as refused:
        read(**members)
    assert (refused.value.error.status, refused.value.error.param) == (400, param)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff"])
def test_no_json(body: bytes) -> None:
    """A body that is no JSON object is the client's mistake."""
    with pytest.raises(ClientError):
        CLIENT.read_request(body)


def test_answer_in_numbers() -> None:
    """The SDK's own type takes the answer, in order and with the client's name of the model."""
    response = EmbeddingsResponse(([0.5, -1.25], [1e-7, 2.0]), Usage(input_tokens=3, total_tokens=3))
    body = CLIENT.write_response(response, EmbeddingsRequest("m", ("a", "b")), ME)
    read_back = CreateEmbeddingResponse.model_validate_json(body)
    assert [(entry.index, entry.embedding) for entry in read_back.data] == [(0, [0.5, -1.25]), (1, [1e-7, 2.0])]
    assert (read_back.model, read_back.usage.prompt_tokens, read_back.usage.total_tokens) == ("alias", 3, 3)


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_answer_in_base64(vector: list[float]) -> None:
    """Base64 holds little-endian float32, which the SDK unpacks into the same numbers."""
    body = CLIENT.write_response(EmbeddingsResponse((vector,)), EmbeddingsRequest("m", ("a",), base64=True), ME)
    packed = base64.b64decode(json.loads(body)["data"][0]["embedding"], validate=True)
    assert list(struct.unpack(f"<{len(vector)}f", packed)) == vector
    assert json.loads(body)["usage"] == {"prompt_tokens": 0, "total_tokens": 0}


def test_numbers_beyond_float32() -> None:
    """A number that base64 cannot carry is the upstream's failure, not an infinity."""
    with pytest.raises(UpstreamError):
        CLIENT.write_response(EmbeddingsResponse(([1e300],)), EmbeddingsRequest("m", ("a",), base64=True), ME)
