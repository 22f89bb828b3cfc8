"""Which of Google's models embed, and by which of three methods (google-genai 3.4 ``embed_content``, 2026-11-22)."""

from collections.abc import Mapping
from typing import Final

_METHODS: Final[Mapping[str, str]] = {
    "vertex_predict": "predict",
    "vertex_content": "embedContent",
    "gemini": "batchEmbedContents",
}
#: Gemini's first embedding models are asked as the text models before them are.
_PREDICTED: Final = (
    "text-embedding-",
    "textembedding-",
    "text-multilingual-embedding-",
    "gemini-embedding-001",
    "gemini-embedding-exp",
)


def maybe_vertex_embeddings(model: str) -> str | None:
    """The dialect of the embeddings of a model on Vertex AI, None for one that makes none."""
    bare = model.rsplit("/", 1)[-1]
    if bare.startswith(_PREDICTED):
        return "vertex_predict"
    return "vertex_content" if "embed" in bare and ("gemini" in bare or "maas" in bare) else None


def maybe_gemini_embeddings(model: str) -> str | None:
    """The dialect of the embeddings of a model on the Gemini API, None for one that makes none."""
    return "gemini" if "embedding" in model.rsplit("/", 1)[-1] else None


def maybe_embedding_method(operation: str, dialect: str | None) -> str | None:
    """The method that embeds in that dialect, for the operation that asks for it."""
    return _METHODS[dialect] if operation == "embeddings" and dialect is not None else None
