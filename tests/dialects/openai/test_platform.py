"""Paths of OpenAI and of servers like it."""

import pytest

from extproc.platforms.contract import Place
from extproc.platforms.openai import PLATFORM


@pytest.mark.parametrize(
    ("operation", "version", "expected"),
    [
        ("chat", None, "/v1/chat/completions"),
        ("chat", "", "/v1/chat/completions"),
        ("embeddings", "v2", "/v2/embeddings"),
        ("responses", "/api/v1/", "/api/v1/responses"),
        ("audio/transcriptions", "openai/v1", "/openai/v1/audio/transcriptions"),
        ("models", "/", "/models"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_paths(operation: str, version: str | None, expected: str, *, stream: bool) -> None:
    """Every operation lies under the version, v1 by default; neither model nor stream shows in the path."""
    assert expected == PLATFORM.path(operation, Place("a/b?c", stream, version))


def test_names() -> None:
    """The platform is openai in metrics, and speaks the dialect of that name."""
    assert (PLATFORM.provider, PLATFORM.dialect) == ("openai", "openai")
