"""Vertex AI's ``:embedContent``: the newer Gemini embedding models and partners' ones, one text a request.

Source: google-genai 3.4 ``_EmbedContentParametersPrivate_to_vertex`` (2026-11-22). The SDK has
``:batchEmbedContents`` for several texts as well; which of the two it is
stands in the path, which is chosen before the texts are read.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from extproc.conversation.embeddings import EmbeddingsRequest, EmbeddingsResponse
from extproc.dialects.contract import EmbeddingsDialect, UpstreamRequest
from extproc.dialects.embeddings.answers import answered, check_limit, decoded
from extproc.dialects.embeddings.google import google_losses, maybe_automatic, maybe_task

_WORDS: Final = "Vertex AI"


class _Embedding(msgspec.Struct):
    values: list[float]


class _Usage(msgspec.Struct, rename="camel"):
    prompt_token_count: Any = None


class _Answer(msgspec.Struct, rename="camel"):
    embedding: _Embedding
    usage_metadata: _Usage | None = None


_DECODER: Final = msgspec.json.Decoder(_Answer)


class VertexContent:
    """See ``extproc.dialects.contract.EmbeddingsDialect``."""

    name = "vertex_content"

    def write_request(self, request: EmbeddingsRequest, model: str) -> UpstreamRequest:
        """One content and its settings."""
        check_limit(request, 1, "this model on Vertex AI")
        losses = google_losses(request, model, _WORDS)
        body: dict[str, Any] = {"content": {"parts": [{"text": request.inputs[0]}]}}
        settings = {
            "taskType": maybe_task(request),
            "outputDimensionality": request.dimensions,
            "autoTruncate": maybe_automatic(request, losses),
        }
        if known := {name: value for name, value in settings.items() if value is not None}:
            body["embedContentConfig"] = known
        return UpstreamRequest(msgspec.json.encode(body), tuple(losses))

    def read_response(self, body: bytes, headers: Mapping[str, str], request: EmbeddingsRequest) -> EmbeddingsResponse:
        """The vector, and the tokens of the text."""
        del headers
        answer = decoded(_DECODER, body)
        usage = answer.usage_metadata
        return answered(request, [answer.embedding.values], usage and usage.prompt_token_count)


DIALECT: Final[EmbeddingsDialect] = VertexContent()
