"""Finds dialects and platforms by the names in ``extproc.config.names``: the one place that imports by name.

Adding a dialect or a platform is a new package and one line there; nothing else names it.
"""

from functools import cache
from importlib import import_module
from typing import cast

from extproc.config.names import CLIENT_DIALECTS, PLATFORMS
from extproc.dialects.contract import ClientDialect, EmbeddingsClient, EmbeddingsDialect, UpstreamDialect
from extproc.platforms.contract import Platform

#: Every word of ``Platform.embeddings_dialect``.
EMBEDDINGS = ("titan", "cohere", "vertex_predict", "vertex_content", "gemini")


@cache
def client_dialect(schema: str) -> ClientDialect:
    """The front end for an ``inputSchema.schema``; raises ``KeyError`` for an unknown one."""
    return cast("ClientDialect", import_module(f"extproc.dialects.{CLIENT_DIALECTS[schema]}").DIALECT)


@cache
def platform(schema: str) -> Platform:
    """The platform for an ``outputSchema.schema``; raises ``KeyError`` for an unknown one."""
    return cast("Platform", import_module(f"extproc.platforms.{PLATFORMS[schema]}").PLATFORM)


@cache
def upstream_dialect(name: str) -> UpstreamDialect:
    """The back end that a platform names as its dialect."""
    return cast("UpstreamDialect", import_module(f"extproc.dialects.{name}").DIALECT)


@cache
def embeddings_client(name: str) -> EmbeddingsClient:
    """The client's side of embeddings, by the name of its dialect."""
    return cast("EmbeddingsClient", import_module(f"extproc.dialects.embeddings.{name}").CLIENT)


@cache
def embeddings_dialect(name: str) -> EmbeddingsDialect:
    """The upstream's side of embeddings, by the word of ``Platform.embeddings_dialect``."""
    return cast("EmbeddingsDialect", import_module(f"extproc.dialects.embeddings.{name}").DIALECT)


def load_all() -> None:
    """Import every dialect and platform now, so that no request pays for it."""
    for schema in CLIENT_DIALECTS:
        client_dialect(schema)
    for schema in PLATFORMS:
        host = platform(schema)
        upstream_dialect(host.dialect)
    embeddings_client("openai")
    for name in EMBEDDINGS:
        embeddings_dialect(name)
