"""Names of models in paths: one segment, or a refusal."""

import pytest

from extproc.conversation.errors import ClientError
from extproc.platforms.contract import Place
from extproc.registry import platform

#: Every platform whose paths hold a model's name, with the version that makes it so.
HOSTS = {
    "AzureOpenAI": "2024-10-21",
    "AWSBedrock": None,
    "AWSAnthropic": None,
    "GCPVertexAI": None,
    "GCPAnthropic": None,
    "Gemini": None,
}


@pytest.mark.parametrize("schema", HOSTS)
@pytest.mark.parametrize(
    ("model", "problem"),
    [
        ("", "empty"),
        (".", "'..'"),
        ("..", "'..'"),
        ("a/../b", "'..'"),
        ("../../x", "'..'"),
        ("a\\..\\b", "'..'"),
        ("a?b=c", r"'\?'"),
        ("a&b", "'&'"),
        ("a#b", "'#'"),
        ("a\nb", "control character"),
        ("a\x7f", "control character"),
        ("\ud800", "surrogate"),
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(schema: str, model: str, problem: str) -> None:
    """On each platform alike, naming the problem and not the name."""
    with pytest.raises(ClientError, match=problem) as refused:
        platform(schema).path("chat", Place(model, version=HOSTS[schema], project="p", location="l"))

    assert (refused.value.error.status, refused.value.error.param) == (400, "model")


@pytest.mark.parametrize("schema", ["GCPVertexAI", "Gemini"])
@pytest.mark.parametrize("model", ["models/", "google/", "models/.."])
def test_nothing_is_left_of_a_name(schema: str, model: str) -> None:
    """What stands before the name is taken away first."""
    with pytest.raises(ClientError):
        platform(schema).path("chat", Place(model))


@pytest.mark.parametrize("schema", HOSTS)
@pytest.mark.parametrize(
    ("model", "segment"),
    [("a b", "a%20b"), ("é", "%C3%A9"), ("a%2Fb", "a%252Fb"), ("a..b", "a..b"), ("a/b", "a%2Fb")],
)
def test_any_other_name_is_one_segment(schema: str, model: str, segment: str) -> None:
    """Whatever is reserved in a path is encoded."""
    path = platform(schema).path("chat", Place(model, version=HOSTS[schema], project="p", location="l"))

    assert path is not None
    assert f"/{segment}" in path
