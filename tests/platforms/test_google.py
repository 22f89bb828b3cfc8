"""Where Gemini answers, on both of its hosts."""

import json

import pytest

from extproc.conversation.embeddings import EmbeddingsRequest
from extproc.conversation.errors import ClientError
from extproc.conversation.request import Request, Text, Turn
from extproc.dialects.contract import Destination
from extproc.platforms.contract import Place
from extproc.registry import embeddings_dialect, platform, upstream_dialect

MODEL = "gemini-3-flash-preview"
ASK = Request("m", (Turn("user", (Text("Hi"),), "messages[0]"),))
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
            Place("projects/p/locations/us-central1/endpoints/9", project="p", location="us-central1"),
            "/v1/projects/p/locations/us-central1/endpoints/9:generateContent",
        ),
        (
            Place(f"projects/p/locations/global/{PUBLISHED}", project="p"),
            f"/v1/projects/p/locations/global/{PUBLISHED}:generateContent",
        ),
        (
            Place("projects/q/locations/us-central1/endpoints/9", project="p", configured=True),
            "/v1/projects/q/locations/us-central1/endpoints/9:generateContent",
        ),
        (
            Place("a/b c%2F", project="p", location="l"),
            "/v1/projects/p/locations/l/publishers/google/models/a%2Fb%20c%252F:generateContent",
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
        (Place(f"google/{MODEL}"), f"/v1beta/models/{MODEL}:generateContent"),
        (Place("a/b"), "/v1beta/models/a%2Fb:generateContent"),
    ],
)
def test_paths_on_the_gemini_api(place: Place, path: str) -> None:
    """The model is in the path, tuned ones in a collection of their own."""
    assert platform("Gemini").path("chat", place) == path


@pytest.mark.parametrize(
    "model",
    [
        "projects/evil/locations/us/endpoints/1",
        f"projects/evil/locations/us/{PUBLISHED}",
        "projects/p/locations/eu/endpoints/1",
        "projects/p/locations/us/endpoints/1:x",
        "projects/p/locations/us/cachedContents/1",
        "projects/../locations/us/endpoints/1",
    ],
)
@pytest.mark.parametrize("project", ["p", None])
def test_a_client_stays_in_the_backends_project(model: str, project: str | None) -> None:
    """A whole name of something elsewhere is refused: the backend's credential may reach it."""
    with pytest.raises(ClientError) as refused:
        platform("GCPVertexAI").path("chat", Place(model, project=project, location="us"))

    assert (refused.value.error.status, refused.value.error.param) == (400, "model")


@pytest.mark.parametrize("model", [MODEL, f"models/{MODEL}", f"google/{MODEL}", "tunedModels/mine"])
def test_the_gemini_api_has_one_name_for_a_model(model: str) -> None:
    """Where tokens are counted and texts embedded the body repeats the model: as the path names it."""
    path = platform("Gemini").path("count_tokens", Place(model))
    to = Destination(model)
    counted = json.loads(upstream_dialect("gemini").write_count(ASK, to).body)["generateContentRequest"]["model"]
    embedded = json.loads(embeddings_dialect("gemini").write_request(EmbeddingsRequest(model, ("a",)), model).body)

    assert path == f"/v1beta/{counted}:countTokens"
    assert embedded["requests"][0]["model"] == counted


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
