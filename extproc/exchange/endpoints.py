"""Which paths are served, and what they are.

Paths are OpenAI's (https://platform.openai.com/docs/api-reference, read 2026-11-22). A query string is ignored.
"""

from dataclasses import dataclass
from urllib.parse import unquote


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One served path.

    ``operation`` is a platform's word (see ``platforms.contract.Platform.path``), for most of them the path below the
    version; ``path`` is that path where it is not. ``translated`` endpoints can reach any upstream dialect; the others
    only one that speaks the client's. ``metered_stream`` ones take ``stream_options.include_usage``.
    """

    operation: str
    client: str = "OpenAI"
    methods: tuple[str, ...] = ("POST",)
    multipart: bool = False
    translated: bool = False
    metered_stream: bool = False
    path: str = ""

    @property
    def below(self) -> str:
        """The path below the version."""
        return self.path or self.operation


@dataclass(frozen=True, slots=True)
class Found:
    """An endpoint and, for ``/v1/models/{id}``, the id."""

    endpoint: Endpoint
    model_id: str | None = None


MODELS = Endpoint("models", methods=("GET", "HEAD"))

_ENDPOINTS = {
    f"/v1/{endpoint.below}": Found(endpoint)
    for endpoint in (
        Endpoint("chat", path="chat/completions", translated=True, metered_stream=True),
        Endpoint("completions", metered_stream=True),
        Endpoint("embeddings"),
        Endpoint("responses"),
        Endpoint("images/generations"),
        Endpoint("audio/speech"),
        Endpoint("audio/transcriptions", multipart=True),
        Endpoint("audio/translations", multipart=True),
        Endpoint("moderations"),
        Endpoint("rerank"),
        MODELS,
    )
}

_MODEL_PREFIX = "/v1/models/"


def maybe_endpoint(path: str, prefix: str) -> Found | None:
    """The endpoint at ``path`` (``:path``, query included), or None. ``prefix`` is the gateway's own path prefix."""
    path = path.partition("?")[0]
    if prefix:
        if not path.startswith(prefix):
            return None
        path = path[len(prefix) :]
    found = _ENDPOINTS.get(path)
    if found is None and path.startswith(_MODEL_PREFIX) and len(path) > len(_MODEL_PREFIX):
        return Found(MODELS, unquote(path[len(_MODEL_PREFIX) :]))
    return found


def client_of(path: str) -> str:
    """The client dialect an unserved path is answered in."""
    del path
    return "OpenAI"
