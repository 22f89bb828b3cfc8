"""The Gemini API: ``generativelanguage.googleapis.com``, the model in the path, an API key in a header.

``v1beta`` serves every field that we send; ``v1``, google-genai's default since 3.4, gets new ones later.
"""

from typing import Final

from extproc.dialects.google_models import resource_name
from extproc.platforms.contract import Place, Platform
from extproc.platforms.google import maybe_method, quoted_id
from extproc.platforms.google_embeddings import maybe_embedding_method, maybe_gemini_embeddings


class GeminiPlatform(Platform):
    """See ``extproc.platforms.contract.Platform``."""

    provider = "gcp.gemini"
    dialect = "gemini"
    fetches_urls = True
    key_header = "x-goog-api-key"
    takes_bearer = False

    def path(self, operation: str, place: Place) -> str | None:
        """``/v1beta/models/{model}:generateContent`` and its siblings; ``version`` replaces ``v1beta``."""
        method = maybe_method(operation, place) or maybe_embedding_method(
            operation, self.embeddings_dialect(place.model)
        )
        if method is None:
            return None
        collection, _, model = resource_name(place.model).partition("/")
        return f"/{(place.version or 'v1beta').strip('/')}/{collection}/{quoted_id(model)}:{method}"

    def embeddings_dialect(self, model: str) -> str | None:
        """By the name of the model."""
        return maybe_gemini_embeddings(model)


PLATFORM: Final[Platform] = GeminiPlatform()
