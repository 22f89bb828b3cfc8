"""Claude on Vertex AI: paths, bodies, errors."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from extproc.platforms.contract import Place
from extproc.platforms.gcp_anthropic import PLATFORM

MODELS = "/v1/projects/team-a/locations/europe-west1/publishers/anthropic/models/"


def at(model: str, *, stream: bool = False, version: str | None = None) -> Place:
    return Place(model, stream, version, "team-a", "europe-west1")


@pytest.mark.parametrize(
    ("model", "stream", "path"),
    [
        ("claude-sonnet-4-5@20250929", False, f"{MODELS}claude-sonnet-4-5@20250929:rawPredict"),
        ("claude-opus-4-6", True, f"{MODELS}claude-opus-4-6:streamRawPredict"),
        ("a;b/c", False, f"{MODELS}a%3Bb%2Fc:rawPredict"),
    ],
)
def test_paths(model: str, path: str, *, stream: bool) -> None:
    """The date's @ stays as it is, and nothing in a name reaches beyond its segment."""
    assert PLATFORM.path("chat", at(model, stream=stream)) == path


def test_paths_without_a_place() -> None:
    """The location is global unless said; without a project the path has no part for it."""
    assert PLATFORM.path("chat", Place("m", project="example.com:p")) == (
        "/v1/projects/example.com:p/locations/global/publishers/anthropic/models/m:rawPredict"
    )
    assert PLATFORM.path("chat", Place("m")) == "/v1/publishers/anthropic/models/m:rawPredict"
    assert PLATFORM.path("embeddings", at("m")) is None


def test_body_less_model() -> None:
    """The model is in the path; stream and every other member keep their bytes, and betas stay a header."""
    asked = b'{"model":"m","stream":true,"max_tokens":1.0,"messages":[]}'
    dressed = PLATFORM.dress(asked, {"anthropic-beta": "b"}, "chat", at("m", stream=True))
    assert dressed.body == b'{"anthropic_version":"vertex-2023-10-16","stream":true,"max_tokens":1.0,"messages":[]}'
    assert dressed.remove_headers == ("anthropic-version",)
    assert dressed.set_headers == ()


@pytest.mark.parametrize(
    ("configured", "sent", "rules"),
    [(None, "vertex-2023-10-16", "2023-06-01"), ("2026-10-21", "2026-10-21", "2026-10-21")],
)
def test_anthropic_version_isolated(configured: str | None, sent: str, rules: str) -> None:
    """Neither the client's header nor its body says which version Vertex gets: the backend's configuration does."""
    body = b'{"anthropic_version":"2099-01-01","messages":[]}'
    place = at("m", version=configured)
    dressed = PLATFORM.dress(body, {"anthropic-version": "2026-10-21"}, "chat", place)
    assert json.loads(dressed.body)["anthropic_version"] == sent
    assert PLATFORM.version(configured) == rules


@pytest.mark.parametrize(
    ("model", "counted"),
    [("claude-opus-4-6@default", "claude-opus-4-6"), ("c@latest", "c"), ("c@20250929", "c@20250929")],
)
def test_the_counter_is_told_the_model(model: str, counted: str) -> None:
    """Tokens are counted by a model of its own, so the one that is meant is in the body."""
    place = at(model)
    assert PLATFORM.path("count_tokens", place) == f"{MODELS}count-tokens:rawPredict"
    dressed = PLATFORM.dress(b'{"model":"alias","messages":[]}', {}, "count_tokens", place)
    assert json.loads(dressed.body) == {
        "anthropic_version": "vertex-2023-10-16",
        "model": counted,
        "messages": [],
    }


GOOGLE: dict[str, Any] = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "slow"}}
ANTHROPIC = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}


@pytest.mark.parametrize(
    ("body", "dialect"),
    [
        (json.dumps(GOOGLE).encode(), "gemini"),
        (json.dumps([GOOGLE]).encode(), "gemini"),
        (json.dumps(ANTHROPIC).encode(), "anthropic"),
        (b"[]", "anthropic"),
        (b"<html>", "anthropic"),
        (b'{"error":"text"}', "anthropic"),
    ],
)
def test_errors_of_both_houses(body: bytes, dialect: str) -> None:
    """Google's errors, alone or in a list, are told from Anthropic's."""
    headers: Mapping[str, str] = {}
    assert PLATFORM.error_dialect(headers, body) == dialect
