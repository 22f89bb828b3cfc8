"""Bodies of one anthropic-version at backends that are asked by another."""

import json
from typing import Any

import pytest

from extproc.conversation.errors import ClientError, Refusal
from extproc.platforms.anthropic import PLATFORM as ANTHROPIC
from extproc.platforms.aws_anthropic import PLATFORM as AWS
from extproc.platforms.contract import Place, Platform
from extproc.platforms.gcp_anthropic import PLATFORM as GCP

OLD, NEW = "2023-06-01", "2026-10-21"
PLAIN: dict[str, Any] = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "a"}]}
SAMPLED = {**PLAIN, "temperature": 1.0, "top_k": None}
SOURCE = {"type": "text", "media_type": "text/plain", "data": "d"}
DOCUMENT = {"type": "document", "source": SOURCE, "citations": {"enabled": True}}
CITED = {"type": "text", "text": "t", "citations": [{"type": "char_location"}]}


def said(role: str, block: dict[str, Any]) -> dict[str, Any]:
    return {**PLAIN, "messages": [{"role": "user", "content": "a"}, {"role": role, "content": [block]}]}


PLACES = [(ANTHROPIC, "v1/{}"), (AWS, "{}"), (GCP, "{}")]


@pytest.mark.parametrize(("platform", "version"), PLACES)
@pytest.mark.parametrize("client", [OLD, None])
def test_newer_backend_gets_no_sampling(platform: Platform, version: str, client: str | None) -> None:
    """An older client's sampling values are cut out and listed; the rest keeps its bytes."""
    headers = {} if client is None else {"anthropic-version": client}
    dressed = platform.dress(json.dumps(SAMPLED).encode(), headers, "chat", Place("m", version=version.format(NEW)))
    assert not json.loads(dressed.body).keys() & {"temperature", "top_k", "top_p"}
    assert b'"messages":[{"role": "user", "content": "a"}]' in dressed.body
    assert [loss.path for loss in dressed.losses] == ["temperature"]


@pytest.mark.parametrize(("platform", "version"), PLACES)
@pytest.mark.parametrize(
    ("body", "path"),
    [
        (said("assistant", DOCUMENT), "messages[1].content[0]"),
        (said("user", CITED), "messages[1].content[0].citations"),
    ],
)
def test_newer_backend_refuses_by_path(platform: Platform, version: str, body: dict[str, Any], path: str) -> None:
    """What cannot be cut out without changing what was said is refused."""
    place = Place("m", version=version.format(NEW))
    with pytest.raises(Refusal) as refused:
        platform.dress(json.dumps(body).encode(), {"anthropic-version": OLD}, "chat", place)
    assert refused.value.error.param == path


@pytest.mark.parametrize(("platform", "version"), [(ANTHROPIC, f"v1/{OLD}"), (AWS, None), (GCP, None)])
@pytest.mark.parametrize(
    ("body", "path"),
    [
        (SAMPLED, "temperature"),
        (said("assistant", DOCUMENT), "messages[1].content[0]"),
        (said("user", CITED), "messages[1].content[0].citations"),
    ],
)
def test_newer_client_is_refused_as_by_the_vendor(
    platform: Platform, version: str | None, body: dict[str, Any], path: str
) -> None:
    """Who names the newer version gets its rules, whatever the backend is asked by."""
    with pytest.raises(ClientError) as refused:
        platform.dress(json.dumps(body).encode(), {"anthropic-version": NEW}, "chat", Place("m", version=version))
    assert (refused.value.error.status, refused.value.error.param) == (400, path)


@pytest.mark.parametrize("body", [PLAIN, said("user", DOCUMENT), said("assistant", CITED)])
@pytest.mark.parametrize(("client", "version"), [(OLD, f"v1/{NEW}"), (NEW, f"v1/{OLD}"), (NEW, f"v1/{NEW}")])
def test_what_both_take_passes(body: dict[str, Any], client: str, version: str) -> None:
    """A body without what the versions differ in is the same object."""
    written = json.dumps(body).encode()
    dressed = ANTHROPIC.dress(written, {"anthropic-version": client}, "chat", Place("m", version=version))
    assert dressed.body is written
    assert dressed.losses == ()
