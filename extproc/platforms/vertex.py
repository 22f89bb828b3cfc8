"""Gemini on Vertex AI: ``{location}-aiplatform.googleapis.com``, project, location and model in the path.

Facts: google-genai 3.4 ``_api_client`` (2026-11-22). Without a project the short path of API keys is used.
"""

import re
from typing import Final
from urllib.parse import quote

from extproc.conversation.errors import ClientError
from extproc.platforms.contract import Place, Platform
from extproc.platforms.google import maybe_method, quoted_id
from extproc.platforms.google_embeddings import maybe_embedding_method, maybe_vertex_embeddings
from extproc.platforms.segments import check_name

_PUBLISHED: Final = "publishers/google/models/"
#: Whole names. A tuned model is reached through the endpoint that it was deployed to, under that or its number.
_WHOLE: Final = re.compile(
    r"projects/(?P<project>[\w:.-]+)/locations/(?P<location>[\w-]+)"
    r"/(?:endpoints/\d+|publishers/google/models/[\w.@-]+)",
    re.ASCII,
)
_PROJECTS: Final = "projects/"
_NUMBER: Final = re.compile(r"(?:endpoints/)?(\d+)", re.ASCII)


class VertexPlatform(Platform):
    """See ``extproc.platforms.contract.Platform``."""

    provider = "gcp.vertex_ai"
    dialect = "gemini"
    fetches_urls = True
    hosted = True

    def path(self, operation: str, place: Place) -> str | None:
        """``/v1/projects/{p}/locations/{l}/publishers/google/models/{model}:generateContent`` and its siblings.

        ``version`` replaces ``v1``; a backend that names a project and no location means ``global``. Raises
        ``ClientError`` for a client's name of something in another project or location.
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
    if place.model.startswith(_PROJECTS):
        return _whole_name(place)
    published = f"{_PUBLISHED}{quoted_id(place.model, _PUBLISHED, 'models/', 'google/')}"
    if place.project is None:
        return published
    parent = f"projects/{quote(place.project, safe=':')}/locations/{quote(place.location or 'global', safe='')}"
    number = _NUMBER.fullmatch(place.model)
    return f"{parent}/endpoints/{number[1]}" if number else f"{parent}/{published}"


def _whole_name(place: Place) -> str:
    """The name as it is: of the backend's own project and location, as its credential may reach others as well."""
    check_name(place.model)
    named = _WHOLE.fullmatch(place.model)
    if named is None:
        raise ClientError(f"model: a whole name ends in endpoints/ and a number, or in {_PUBLISHED}", param="model")
    own = place.project, place.location or "global"
    if not place.configured and named.group("project", "location") != own:
        raise ClientError("model: names another project or location than this backend has", param="model")
    return place.model


PLATFORM: Final[Platform] = VertexPlatform()
