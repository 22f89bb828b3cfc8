"""Which paths are served, and what they are.

Paths are OpenAI's (https://platform.openai.com/docs/api-reference) and Anthropic's (https://platform.claude.com/docs/
en/api, both read 2026-11-22). They do not clash, but for the list of models, which is Anthropic's when the request
names an ``anthropic-version``; below ``/openai`` and ``/anthropic`` everything is that vendor's. A query string is
ignored.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from extproc.exchange.messages import Headers

#: A header that every request of Anthropic's API carries, and no other's.
_ANTHROPIC = "anthropic-version"


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


_READ = ("GET", "HEAD")
MODELS = {client: Endpoint("models", client, _READ) for client in ("OpenAI", "Anthropic")}

_OPENAI = (
    Endpoint("chat", path="chat/completions", translated=True, metered_stream=True),
    Endpoint("completions", metered_stream=True),
    Endpoint("embeddings", translated=True),
    Endpoint("responses"),
    Endpoint("images/generations"),
    Endpoint("images/edits", multipart=True),
    Endpoint("audio/speech"),
    Endpoint("audio/transcriptions", multipart=True),
    Endpoint("audio/translations", multipart=True),
    Endpoint("moderations"),
    Endpoint("rerank"),
)
_ANTHROPICS = (
    Endpoint("chat", "Anthropic", path="messages", translated=True),
    Endpoint("count_tokens", "Anthropic", path="messages/count_tokens", translated=True),
)
_PREFIXES = {"OpenAI": "/openai", "Anthropic": "/anthropic"}
_MODEL_LISTS = ("/v1/models", *(f"{prefix}/v1/models" for prefix in _PREFIXES.values()))


def _paths() -> Iterator[tuple[str, Found]]:
    for endpoint in (*_OPENAI, *_ANTHROPICS):
        for prefix in ("", _PREFIXES[endpoint.client]):
            yield f"{prefix}/v1/{endpoint.below}", Found(endpoint)


_ENDPOINTS = dict(_paths())


def maybe_endpoint(path: str, prefix: str, headers: Headers) -> Found | None:
    """The endpoint at ``path`` (``:path``, query included), or None. ``prefix`` is the gateway's own path prefix."""
    bare = _below(path, prefix)
    if bare is None:
        return None
    found = _ENDPOINTS.get(bare)
    return found if found is not None else _maybe_models(bare, headers)


def client_of(path: str, prefix: str, headers: Headers) -> str:
    """The client dialect in which the answer to an unserved path is written."""
    bare = _below(path, prefix) or path
    if bare.startswith((f"{_PREFIXES['Anthropic']}/", "/v1/messages")):
        return "Anthropic"
    if bare.startswith(f"{_PREFIXES['OpenAI']}/"):
        return "OpenAI"
    return "Anthropic" if _ANTHROPIC in headers else "OpenAI"


def _below(path: str, prefix: str) -> str | None:
    bare = path.partition("?")[0]
    if not prefix:
        return bare
    return bare.removeprefix(prefix) if bare.startswith(prefix) else None


def _maybe_models(path: str, headers: Headers) -> Found | None:
    for listed in _MODEL_LISTS:
        if path == listed or (path.startswith(f"{listed}/") and len(path) > len(listed) + 1):
            model_id = unquote(path[len(listed) + 1 :]) or None
            return Found(MODELS[client_of(path, "", headers)], model_id)
    return None
