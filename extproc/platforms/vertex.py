"""Gemini on Vertex AI: ``{location}-aiplatform.googleapis.com``, project, location and model in the path.

Facts: google-genai 3.4 ``_api_client`` (2026-11-22). Without a project the short path of API keys is used.
"""

import re
from typing import Final
from urllib.parse import quote

from extproc.platforms.contract import Place, Platform
from extproc.platforms.google import maybe_method, quoted_id
from extproc.platforms.google_embeddings import maybe_embedding_method, maybe_vertex_embeddings

_PUBLISHED: Final = "publishers/google/models/"
#: A tuned model is reached through the endpoint that it was deployed to, under its whole name or its number.
_ENDPOINT: Final = re.compile(r"projects/[\w:.-]+/locations/[\w-]+/endpoints/\d+", re.ASCII)
_NUMBER: Final = re.compile(r"(?:endpoints/)?(\d+)", re.ASCII)


class VertexPlatform(Platform):
    """See ``extproc.platforms.contract.Platform``."""

    provider = "gcp.vertex_ai"
    dialect = "gemini"
    fetches_urls = True
    hosted = True

    def path(self, operation: str, place: Place) -> str | None:
        """``/v1/projects/{p}/locations/{l}/publishers/google/models/{model}:generateContent`` and its siblings.

        ``version`` replaces ``v1``; a backend that names a project and no location means ``global``.
        """
        method = maybe_method(operation, place) or maybe_embedding_method(
            operation, self.embeddings_dialect(place.model)
        )
        if method is None:
            return None
        return f"/{(place.version or 'v1').strip('/')}/{_resource(place)}:{method}"

    def embeddings_dialect(self, model: str) -> str | None:
        """By the name of the model."""
        return maybe_vertex_embeddings(model)


def _resource(place: Place) -> str:
    if _ENDPOINT.fullmatch(place.model):
        return place.model
    published = f"{_PUBLISHED}{quoted_id(place.model, _PUBLISHED, 'models/', 'google/')}"
    if place.project is None:
        return published
    parent = f"projects/{quote(place.project, safe=':')}/locations/{quote(place.location or 'global', safe='')}"
    number = _NUMBER.fullmatch(place.model)
    return f"{parent}/endpoints/{number[1]}" if number else f"{parent}/{published}"


PLATFORM: Final[Platform] = VertexPlatform()
