"""What Google's three ways to embed texts have in common.

Task types: https://ai.google.dev/gemini-api/docs/embeddings (2026-11-22). ``gemini-embedding-001`` makes unit vectors
only at their full length of 3072; the newer one and the text models at every length.
"""

from collections.abc import Mapping
from typing import Final

from extproc.conversation.embeddings import EmbeddingsRequest, Purpose
from extproc.conversation.errors import Loss
from extproc.dialects.embeddings.answers import common_losses

_TASKS: Final[Mapping[Purpose, str]] = {
    "query": "RETRIEVAL_QUERY",
    "document": "RETRIEVAL_DOCUMENT",
    "similarity": "SEMANTIC_SIMILARITY",
    "classification": "CLASSIFICATION",
    "clustering": "CLUSTERING",
    "question": "QUESTION_ANSWERING",
    "fact": "FACT_VERIFICATION",
    "code": "CODE_RETRIEVAL_QUERY",
}
GEMINI_1: Final = "gemini-embedding-001"
_FULL_LENGTH: Final = 3072


def maybe_task(request: EmbeddingsRequest) -> str | None:
    """The task type; None leaves it to the model."""
    return _TASKS.get(request.purpose)


def google_losses(request: EmbeddingsRequest, model: str, where: str) -> list[Loss]:
    """What does not arrive, and what does not come back as a client of OpenAI's is used to."""
    losses = common_losses(request, where)
    if GEMINI_1 in model and request.dimensions is not None and request.dimensions < _FULL_LENGTH:
        losses.append(Loss("dimensions", "approx", "shortened vectors of this model are not of length 1"))
    return losses


def maybe_automatic(request: EmbeddingsRequest, losses: list[Loss]) -> bool | None:
    """``autoTruncate``, which cuts off the end; None leaves it to the model."""
    if request.truncate == "start":
        losses.append(Loss("truncate", "approx", "Google cuts off the end of a text, never its start"))
    return None if request.truncate is None else request.truncate != "none"
