"""Which path is whose, for both families of clients on one address."""

import pytest

from extproc.exchange.endpoints import client_of, maybe_endpoint

CLAUDE = {"anthropic-version": "2026-10-21"}


@pytest.mark.parametrize(
    ("path", "client", "operation"),
    [
        ("/v1/chat/completions", "OpenAI", "chat"),
        ("/openai/v1/chat/completions?api-version=1", "OpenAI", "chat"),
        ("/openai/v1/audio/speech", "OpenAI", "audio/speech"),
        ("/v1/images/edits", "OpenAI", "images/edits"),
        ("/v1/messages", "Anthropic", "chat"),
        ("/v1/messages?beta=true", "Anthropic", "chat"),
        ("/anthropic/v1/messages", "Anthropic", "chat"),
        ("/v1/messages/count_tokens?beta=true", "Anthropic", "count_tokens"),
        ("/anthropic/v1/messages/count_tokens", "Anthropic", "count_tokens"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "/llm"])
@pytest.mark.parametrize("headers", [{}, CLAUDE], ids=["bare", "versioned"])
def test_a_path_says_whose_it_is(path: str, client: str, operation: str, prefix: str, headers: dict[str, str]) -> None:
    """Every path but the list of models is one vendor's alone, whatever the headers say."""
    found = maybe_endpoint(prefix + path, prefix, headers)

    assert found is not None
    assert (found.endpoint.client, found.endpoint.operation, found.model_id) == (client, operation, None)
    assert "POST" in found.endpoint.methods


@pytest.mark.parametrize(
    ("path", "headers", "client", "model"),
    [
        ("/v1/models", {}, "OpenAI", None),
        ("/v1/models", CLAUDE, "Anthropic", None),
        ("/openai/v1/models?limit=3", CLAUDE, "OpenAI", None),
        ("/anthropic/v1/models", {}, "Anthropic", None),
        ("/v1/models/a%2Fb", {}, "OpenAI", "a/b"),
        ("/v1/models/claude", CLAUDE, "Anthropic", "claude"),
        ("/anthropic/v1/models/claude?x", {}, "Anthropic", "claude"),
    ],
)
def test_the_models_are_listed_for_whoever_asks(
    path: str, headers: dict[str, str], client: str, model: str | None
) -> None:
    """One path has two shapes: Anthropic's when the request names its version, or comes below /anthropic."""
    found = maybe_endpoint(path, "", headers)

    assert found is not None
    assert (found.endpoint.client, found.model_id) == (client, model)
    assert found.endpoint.methods == ("GET", "HEAD")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/v1",
        "/v1/models/",
        "/v1/messages/",
        "/v1/messages/batches",
        "/anthropic/v1/chat/completions",
        "/openai/v1/messages",
        "/v2/messages",
    ],
)
def test_everything_else_is_nowhere(path: str) -> None:
    """A vendor's prefix serves that vendor's paths only, and there are no others."""
    assert maybe_endpoint(path, "", {}) is None


@pytest.mark.parametrize(
    ("path", "headers", "client"),
    [
        ("/v1/nothing", {}, "OpenAI"),
        ("/v1/nothing", CLAUDE, "Anthropic"),
        ("/v1/messages/batches", {}, "Anthropic"),
        ("/anthropic/v1/files", {}, "Anthropic"),
        ("/openai/v1/files", CLAUDE, "OpenAI"),
    ],
)
def test_an_unserved_path_is_refused_in_its_dialect(path: str, headers: dict[str, str], client: str) -> None:
    """Who asks for a path that is not served is told so in the form that its SDK reads."""
    assert client_of(f"/llm{path}", "/llm", headers) == client
