"""Where Gemini answers, on both of its hosts."""

import pytest

from extproc.platforms.contract import Place
from extproc.registry import platform, upstream_dialect

MODEL = "gemini-3-flash-preview"
PUBLISHED = f"publishers/google/models/{MODEL}"


@pytest.mark.parametrize(
    ("place", "path"),
    [
        (Place(MODEL), f"/v1/{PUBLISHED}:generateContent"),
        (Place(MODEL, project="p"), f"/v1/projects/p/locations/global/{PUBLISHED}:generateContent"),
        (
            Place(MODEL, stream=True, version="v1beta1", project="example.com:p", location="europe-west4"),
            f"/v1beta1/projects/example.com:p/locations/europe-west4/{PUBLISHED}:streamGenerateContent?alt=sse",
        ),
        (Place(f"google/{MODEL}"), f"/v1/{PUBLISHED}:generateContent"),
        (Place(PUBLISHED), f"/v1/{PUBLISHED}:generateContent"),
        (
            Place("123", project="p", location="us-central1"),
            "/v1/projects/p/locations/us-central1/endpoints/123:generateContent",
        ),
        (
            Place("projects/q/locations/us-central1/endpoints/9", project="p"),
            "/v1/projects/q/locations/us-central1/endpoints/9:generateContent",
        ),
        (
            Place("../../x?a=1&b#c", project="p", location="l"),
            "/v1/projects/p/locations/l/publishers/google/models/..%2F..%2Fx%3Fa%3D1%26b%23c:generateContent",
        ),
    ],
)
def test_paths_on_vertex_ai(place: Place, path: str) -> None:
    """Project, location and model are in the path, and nothing in a name leads anywhere else."""
    assert platform("GCPVertexAI").path("chat", place) == path


@pytest.mark.parametrize(
    ("place", "path"),
    [
        (Place(MODEL), f"/v1beta/models/{MODEL}:generateContent"),
        (Place(f"models/{MODEL}", stream=True), f"/v1beta/models/{MODEL}:streamGenerateContent?alt=sse"),
        (Place(MODEL, version="v1"), f"/v1/models/{MODEL}:generateContent"),
        (Place("tunedModels/mine"), "/v1beta/tunedModels/mine:generateContent"),
        (Place("a/../b?c"), "/v1beta/models/a%2F..%2Fb%3Fc:generateContent"),
    ],
)
def test_paths_on_the_gemini_api(place: Place, path: str) -> None:
    """The model is in the path, tuned ones in a collection of their own."""
    assert platform("Gemini").path("chat", place) == path


@pytest.mark.parametrize("schema", ["GCPVertexAI", "Gemini"])
def test_what_both_hosts_do(schema: str) -> None:
    """They count tokens, speak one dialect, and serve none of OpenAI's other paths."""
    host = platform(schema)
    counting = host.path("count_tokens", Place(MODEL, project="p"))

    assert counting is not None
    assert counting.endswith(f"models/{MODEL}:countTokens")
    assert host.path("responses", Place(MODEL)) is None
    assert upstream_dialect(host.dialect).name == "gemini"
    assert host.fetches_urls
    assert (host.provider, host.hosted) == {"GCPVertexAI": ("gcp.vertex_ai", True), "Gemini": ("gcp.gemini", False)}[
        schema
    ]
