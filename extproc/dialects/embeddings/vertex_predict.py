"""Vertex AI's ``:predict``: the text models, and ``gemini-embedding-001``, which takes one text a request.

https://cloud.google.com/vertex-ai/generative-ai/docs/embeddings/get-text-embeddings (250 texts a request) and
google-genai 3.4 ``_EmbedContentParametersPrivate_to_vertex`` (2026-11-22).
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from extproc.conversation.embeddings import EmbeddingsRequest, EmbeddingsResponse
from extproc.conversation.response import maybe_count
from extproc.dialects.contract import EmbeddingsDialect, UpstreamRequest
from extproc.dialects.embeddings.answers import answered, check_limit, decoded
from extproc.dialects.embeddings.google import GEMINI_1, google_losses, maybe_automatic, maybe_task

MAX_TEXTS: Final = 250

_WORDS: Final = "Vertex AI"


class _Statistics(msgspec.Struct):
    token_count: Any = None


class _Embeddings(msgspec.Struct):
    values: list[float]
    statistics: _Statistics = msgspec.field(default_factory=_Statistics)


class _Prediction(msgspec.Struct):
    embeddings: _Embeddings


class _Answer(msgspec.Struct):
    predictions: list[_Prediction]


_DECODER: Final = msgspec.json.Decoder(_Answer)


class VertexPredict:
    """See ``extproc.dialects.contract.EmbeddingsDialect``."""

    name = "vertex_predict"

    def write_request(self, request: EmbeddingsRequest, model: str) -> UpstreamRequest:
        """Instances and parameters."""
        check_limit(request, 1 if GEMINI_1 in model else MAX_TEXTS, "this model on Vertex AI")
        losses = google_losses(request, model, _WORDS)
        task = maybe_task(request)
        tasked = {} if task is None else {"task_type": task}
        body: dict[str, Any] = {"instances": [{"content": text, **tasked} for text in request.inputs]}
        parameters = {"outputDimensionality": request.dimensions, "autoTruncate": maybe_automatic(request, losses)}
        if known := {name: value for name, value in parameters.items() if value is not None}:
            body["parameters"] = known
        return UpstreamRequest(msgspec.json.encode(body), tuple(losses))

    def read_response(self, body: bytes, headers: Mapping[str, str], request: EmbeddingsRequest) -> EmbeddingsResponse:
        """A vector for each prediction, and the sum of their tokens."""
        del headers
        told = [prediction.embeddings for prediction in decoded(_DECODER, body).predictions]
        counts = [_tokens(embeddings.statistics.token_count) for embeddings in told]
        known = [count for count in counts if count is not None]
        total = sum(known) if len(known) == len(told) else None
        return answered(request, [embeddings.values for embeddings in told], total)


def _tokens(value: Any) -> int | None:
    """Google writes the count as 4 or as 4.0."""
    return int(value) if isinstance(value, float) and value.is_integer() and value >= 0 else maybe_count(value)


DIALECT: Final[EmbeddingsDialect] = VertexPredict()
