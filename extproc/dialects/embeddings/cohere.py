"""Cohere Embed 3 and 4 on Bedrock (InvokeModel): up to 96 texts a request.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-embed-v3.html and the page of v4 beside it
(2026-11-22). Both demand to know what the vectors are for; where a client does not say, they are for documents.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from extproc.conversation.embeddings import EmbeddingsRequest, EmbeddingsResponse, Purpose
from extproc.conversation.errors import Loss
from extproc.dialects.contract import EmbeddingsDialect, UpstreamRequest
from extproc.dialects.embeddings.answers import (
    answered,
    bad_answer,
    bedrock_tokens,
    check_dimensions,
    check_limit,
    common_losses,
    decoded,
)

MAX_TEXTS: Final = 96

_WORDS: Final = "Cohere Embed"
_V4: Final = "embed-v4"
_LIGHT: Final = "light"
_V3_SIZES: Final = (1024,)
_V3_LIGHT_SIZES: Final = (384,)
_V4_SIZES: Final = (256, 512, 1024, 1536)
_TYPES: Final[Mapping[Purpose, str]] = {
    "query": "search_query",
    "document": "search_document",
    "unspecified": "search_document",
    "classification": "classification",
    "clustering": "clustering",
    "question": "search_query",
    "fact": "search_query",
    "code": "search_query",
    "similarity": "clustering",
}
#: Purposes of other vendors', which have but a neighbour here.
_NEAREST: Final = frozenset({"question", "fact", "code", "similarity"})
_V3_TRUNCATIONS: Final = {"none": "NONE", "start": "START", "end": "END"}
_V4_TRUNCATIONS: Final = {"none": "NONE", "start": "LEFT", "end": "RIGHT"}


class _ByType(msgspec.Struct):
    float_: list[list[float]] | None = msgspec.field(name="float", default=None)


class _Answer(msgspec.Struct):
    embeddings: list[list[float]] | _ByType


_DECODER: Final = msgspec.json.Decoder(_Answer)


class Cohere:
    """See ``extproc.dialects.contract.EmbeddingsDialect``."""

    name = "cohere"

    def write_request(self, request: EmbeddingsRequest, model: str) -> UpstreamRequest:
        """An InvokeModel body."""
        newer = _V4 in model
        check_limit(request, MAX_TEXTS, _WORDS)
        check_dimensions(request, _sizes(model), _WORDS)
        losses = common_losses(request, _WORDS)
        kind = _TYPES[request.purpose]
        if request.purpose in _NEAREST:
            losses.append(Loss(request.purpose_path, "approx", f"Cohere knows no such purpose; sent as {kind}"))
        body: dict[str, Any] = {"input_type": kind, "texts": request.inputs, "embedding_types": ["float"]}
        if request.truncate is not None:
            body["truncate"] = (_V4_TRUNCATIONS if newer else _V3_TRUNCATIONS)[request.truncate]
        if newer and request.dimensions is not None:
            body["output_dimension"] = request.dimensions
        return UpstreamRequest(msgspec.json.encode(body), tuple(losses))

    def read_response(self, body: bytes, headers: Mapping[str, str], request: EmbeddingsRequest) -> EmbeddingsResponse:
        """The vectors, by type or not; their tokens are told in a header only."""
        told = decoded(_DECODER, body).embeddings
        vectors = told.float_ if isinstance(told, _ByType) else told
        if vectors is None:
            raise bad_answer("its body has no vectors of the type float")
        return answered(request, vectors, bedrock_tokens(headers))


def _sizes(model: str) -> tuple[int, ...]:
    if _V4 in model:
        return _V4_SIZES
    return _V3_LIGHT_SIZES if _LIGHT in model else _V3_SIZES


DIALECT: Final[EmbeddingsDialect] = Cohere()
