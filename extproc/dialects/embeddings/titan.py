"""Amazon Titan text embeddings on Bedrock (InvokeModel): one text a request.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html (2026-11-22).
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from extproc.conversation.embeddings import EmbeddingsRequest, EmbeddingsResponse
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

_WORDS: Final = "Titan"
_V2: Final = "titan-embed-text-v2"
_V1_SIZES: Final = (1536,)
_V2_SIZES: Final = (256, 512, 1024)


class _ByType(msgspec.Struct):
    float_: list[float] | None = msgspec.field(name="float", default=None)


class _Answer(msgspec.Struct, rename="camel"):
    embedding: list[float] | None = None
    embeddings_by_type: _ByType | None = None
    input_text_token_count: Any = None


_DECODER: Final = msgspec.json.Decoder(_Answer)


class Titan:
    """See ``extproc.dialects.contract.EmbeddingsDialect``. Version 1 has one length of vectors and no settings."""

    name = "titan"

    def write_request(self, request: EmbeddingsRequest, model: str) -> UpstreamRequest:
        """An InvokeModel body."""
        newer = _V2 in model
        check_limit(request, 1, _WORDS)
        check_dimensions(request, _V2_SIZES if newer else _V1_SIZES, _WORDS)
        losses = common_losses(request, _WORDS)
        if request.purpose != "unspecified":
            losses.append(Loss(request.purpose_path, "drop", "Titan makes the same vector for every purpose"))
        if request.truncate is not None:
            losses.append(Loss("truncate", "drop", "Titan does not say what it does with a text that is too long"))
        body: dict[str, Any] = {"inputText": request.inputs[0]}
        if newer and request.dimensions is not None:
            body["dimensions"] = request.dimensions
        return UpstreamRequest(msgspec.json.encode(body), tuple(losses))

    def read_response(self, body: bytes, headers: Mapping[str, str], request: EmbeddingsRequest) -> EmbeddingsResponse:
        """The vector, and the tokens of the text."""
        answer = decoded(_DECODER, body)
        vector = answer.embedding or (answer.embeddings_by_type and answer.embeddings_by_type.float_)
        if not vector:
            raise bad_answer("its body has no embedding")
        tokens = answer.input_text_token_count
        return answered(request, [vector], bedrock_tokens(headers) if tokens is None else tokens)


DIALECT: Final[EmbeddingsDialect] = Titan()
