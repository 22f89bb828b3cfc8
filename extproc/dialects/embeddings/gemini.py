"""The Gemini API's ``:batchEmbedContents``: up to 100 texts a request.

https://ai.google.dev/api/embeddings#method:-models.batchembedcontents (2026-11-22); the limit is from
lancedb/lancedb #3618.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from extproc.conversation.embeddings import EmbeddingsRequest, EmbeddingsResponse
from extproc.conversation.errors import Loss
from extproc.dialects.contract import EmbeddingsDialect, UpstreamRequest
from extproc.dialects.embeddings.answers import answered, check_limit, decoded
from extproc.dialects.embeddings.google import google_losses, maybe_task
from extproc.dialects.google_models import resource_name

MAX_TEXTS: Final = 100

_WORDS: Final = "the Gemini API"


class _Embedding(msgspec.Struct):
    values: list[float]


class _Usage(msgspec.Struct, rename="camel"):
    prompt_token_count: Any = None


class _Answer(msgspec.Struct, rename="camel"):
    embeddings: list[_Embedding]
    usage_metadata: _Usage | None = None


_DECODER: Final = msgspec.json.Decoder(_Answer)


class Gemini:
    """See ``extproc.dialects.contract.EmbeddingsDialect``."""

    name = "gemini"

    def write_request(self, request: EmbeddingsRequest, model: str) -> UpstreamRequest:
        """One request for each text, each with the model's name, which must be the path's."""
        check_limit(request, MAX_TEXTS, _WORDS)
        losses = google_losses(request, model, _WORDS)
        if request.truncate is not None:
            losses.append(Loss("truncate", "drop", "the Gemini API does not say what it does with too long a text"))
        settings = {"taskType": maybe_task(request), "outputDimensionality": request.dimensions}
        known = {name: value for name, value in settings.items() if value is not None}
        requests = [
            {"model": resource_name(model), "content": {"parts": [{"text": text}]}, **known} for text in request.inputs
        ]
        return UpstreamRequest(msgspec.json.encode({"requests": requests}), tuple(losses))

    def read_response(self, body: bytes, headers: Mapping[str, str], request: EmbeddingsRequest) -> EmbeddingsResponse:
        """The vectors; older models do not tell their tokens."""
        del headers
        answer = decoded(_DECODER, body)
        usage = answer.usage_metadata
        vectors = [embedding.values for embedding in answer.embeddings]
        return answered(request, vectors, usage and usage.prompt_token_count)


DIALECT: Final[EmbeddingsDialect] = Gemini()
