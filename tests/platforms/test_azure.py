"""Azure OpenAI's two forms of every path."""

import pytest

from extproc.platforms.azure import PLATFORM
from extproc.platforms.contract import Place


@pytest.mark.parametrize(
    ("operation", "path"),
    [
        ("chat", "/openai/v1/chat/completions"),
        ("embeddings", "/openai/v1/embeddings"),
        ("responses", "/openai/v1/responses"),
        ("audio/transcriptions", "/openai/v1/audio/transcriptions"),
        ("moderations", None),
        ("rerank", None),
        ("count_tokens", None),
    ],
)
@pytest.mark.parametrize("version", [None, "", "v1"])
def test_without_an_api_version_the_model_stays_in_the_body(
    operation: str, path: str | None, version: str | None
) -> None:
    """The v1 form has no version and no deployment in its paths."""
    assert PLATFORM.path(operation, Place("gpt-4o", version=version)) == path


@pytest.mark.parametrize(
    ("operation", "path"),
    [
        ("chat", "/openai/deployments/my%20gpt%2F4/chat/completions?api-version=2024-10-21"),
        ("completions", "/openai/deployments/my%20gpt%2F4/completions?api-version=2024-10-21"),
        ("embeddings", "/openai/deployments/my%20gpt%2F4/embeddings?api-version=2024-10-21"),
        ("images/generations", "/openai/deployments/my%20gpt%2F4/images/generations?api-version=2024-10-21"),
        ("audio/speech", "/openai/deployments/my%20gpt%2F4/audio/speech?api-version=2024-10-21"),
        ("responses", "/openai/responses?api-version=2024-10-21"),
        ("moderations", None),
        ("count_tokens", None),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_with_an_api_version_the_model_is_a_deployment(operation: str, path: str | None, *, stream: bool) -> None:
    """The deployment is percent-encoded in the path, but for the Responses API, which has none."""
    assert PLATFORM.path(operation, Place("my gpt/4", stream, "2024-10-21")) == path


def test_a_version_cannot_add_to_the_query() -> None:
    """What stands in the configuration is one value of one parameter."""
    assert PLATFORM.path("responses", Place("m", version="a&b=c")) == "/openai/responses?api-version=a%26b%3Dc"


@pytest.mark.parametrize(
    ("version", "path"),
    [
        (None, "/openai/v1/images/edits"),
        ("preview", "/openai/v1/images/edits?api-version=preview"),
        ("2025-04-01-preview", "/openai/deployments/d/images/edits?api-version=2025-04-01-preview"),
    ],
)
def test_images_are_edited_in_every_form(version: str | None, path: str) -> None:
    """Edits are a deployment's; ``preview`` is the v1 form with its opt-in."""
    assert PLATFORM.path("images/edits", Place("d", version=version)) == path
