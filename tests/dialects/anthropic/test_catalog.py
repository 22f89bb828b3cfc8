"""Models in Anthropic's form, what keeps a conversation together, the bundled table, and the platform."""

import json
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest

from extproc.conversation.errors import ClientError
from extproc.dialects.anthropic import DIALECT
from extproc.dialects.anthropic.models import capabilities_of
from extproc.dialects.contract import MAX_STICKY_BYTES, Listed
from extproc.platforms.anthropic import PLATFORM
from extproc.platforms.contract import Place
from tests.support import anthropic_oracle
from tests.support.anthropic_messages import USER, body_of

MODELS = [Listed(f"model-{i:02}", 1_700_000_000 * (i > 0), "team") for i in range(45)]


def listed(**query: Any) -> dict[str, Any]:
    written = DIALECT.write_models(MODELS, None, urlencode(query, doseq=True))
    assert written is not None
    page: dict[str, Any] = json.loads(written)
    for model in page["data"]:
        anthropic_oracle.check_model(model)
    return page


def test_models_pagination_followed_to_the_end() -> None:
    """The SDK turns page after page until it has every model once."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=DIALECT.write_models(MODELS, None, request.url.query.decode()))

    client = anthropic_oracle.client(answer)
    assert [model.id for model in client.models.list(limit=7)] == [model.id for model in MODELS]
    assert [model.id for model in client.models.list()] == [model.id for model in MODELS]


def test_models_pages_backwards() -> None:
    """The page before a model ends right before it."""
    page = listed(limit=3, before_id="model-05")
    assert [model["id"] for model in page["data"]] == ["model-02", "model-03", "model-04"]
    assert (page["first_id"], page["last_id"], page["has_more"]) == ("model-02", "model-04", True)
    assert listed(limit=3, before_id="model-02")["has_more"] is False


def test_models_by_lifecycle() -> None:
    """All are active; who asks for others gets none."""
    assert listed(**{"lifecycle[]": "retired"}) == {"data": [], "has_more": False, "first_id": None, "last_id": None}
    assert len(listed(**{"lifecycle[]": ["retired", "active"]})["data"]) == 20


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"limit": "-5"}, "limit"),
        ({"limit": "9" * 5000}, "limit"),
        ({"after_id": "nobody"}, "after_id"),
        ({"before_id": "nobody"}, "before_id"),
    ],
)
def test_models_of_no_page(query: dict[str, str], param: str) -> None:
    """A page that cannot be is the client's mistake."""
    with pytest.raises(ClientError) as caught:
        DIALECT.write_models(MODELS, None, urlencode(query))
    assert caught.value.error.param == param


def test_one_model() -> None:
    """A model is shown by its name, and a missing one is not there."""
    shown = DIALECT.write_models(MODELS, "model-03", "")
    assert shown is not None
    anthropic_oracle.check_model(json.loads(shown))
    assert json.loads(shown)["created_at"] == "2023-11-14T22:13:20Z"
    assert DIALECT.write_models(MODELS, "nobody", "") is None


def test_sticky_key_stays_over_a_conversation() -> None:
    """Later turns and moving cache marks change nothing; another beginning does."""
    mark = {"cache_control": {"type": "ephemeral"}}
    first = DIALECT.sticky_key(body_of(system="s", messages=[USER]))
    marked = {"role": "user", "content": [{"type": "text", "text": "hi", **mark}]}
    later = [marked, {"role": "assistant", "content": "yes"}, USER]
    assert DIALECT.sticky_key(body_of(system=[{"type": "text", "text": "s", **mark}], messages=later)) == first
    assert DIALECT.sticky_key(body_of(system="other", messages=[USER])) != first
    assert DIALECT.sticky_key(body_of(system="s", messages=[{"role": "user", "content": "ho"}])) != first


def test_sticky_key_of_odd_bodies() -> None:
    """A body without a conversation has a key all the same; one that cannot be read has none."""
    assert DIALECT.sticky_key(b"{}") == DIALECT.sticky_key(b'{"messages":[]}')
    for body in (b"", b"[]", b'{"messages":5}', b'{"messages":[5]}', b'{"messages":[1e999]}', b'{"system":1e999}'):
        assert DIALECT.sticky_key(body) == b""


def test_a_sticky_key_is_short_and_quickly_read() -> None:
    """Of the system text and of the first message the beginning counts, however much there is of either."""
    block = {"type": "text", "text": "x"}
    long = {"system": "y" * 2_000_000, "messages": [{"role": "user", "content": [block] * 50_000}, 1]}
    said = json.dumps(long).encode()
    other = json.dumps({**long, "messages": [{"role": "user", "content": [{**block, "text": "z"}, block]}]}).encode()

    assert len(DIALECT.sticky_key(said)) <= 2 * MAX_STICKY_BYTES + 1
    assert DIALECT.sticky_key(said) != DIALECT.sticky_key(other)
    assert DIALECT.sticky_key(said) == DIALECT.sticky_key(said.replace(b"yy", b"yyyy", 1))


@pytest.mark.parametrize(
    "name",
    [
        "{}",
        "anthropic.{}-v1:0",
        "us.anthropic.{}-v1:0",
        "us-gov.anthropic.{}",
        "arn:aws:bedrock:x:1:p/eu.anthropic.{}",
        "{}@20250929",
    ],
)
@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "claude-opus-4-8", "claude-3-haiku", "claude-fable-5-1"])
def test_models_by_every_name(name: str, model: str) -> None:
    """A Claude is known by Anthropic's name for it and by every cloud's."""
    assert capabilities_of(name.format(model)) == capabilities_of(model)
    assert capabilities_of(model).maker == "anthropic"


def test_models_differ_in_what_matters() -> None:
    """The table tells apart who thinks how, who takes what, and how much each can say."""
    able = capabilities_of
    assert able("claude-3-haiku-20240307").reasoning == "none"
    assert able("claude-opus-4-20250514").reasoning == "budget"
    assert able("claude-opus-4-20250514").max_output_tokens == 32_000
    assert able("claude-opus-4-1-20250805").sampling == "one"
    assert (able("claude-opus-4-6").sampling, able("claude-opus-4-7").sampling) == ("one", "none")
    assert (able("claude-sonnet-4-5").prefill, able("claude-sonnet-4-6").prefill) == (True, False)
    assert able("claude-opus-4-8").system_in_messages
    assert not able("claude-sonnet-5").system_in_messages
    assert able("claude-sonnet-5-5").thinking_between_tools
    assert not able("claude-opus-5-5").thinking_off
    assert not able("claude-mythos-5").forced_tool_choice
    assert able("claude-opus-9").system_in_messages
    assert able("our-alias").maker == "anthropic"
    assert able("our-alias").max_output_tokens is None


@pytest.mark.parametrize(
    ("version", "path", "spoken"),
    [
        (None, "/v1/messages", None),
        ("v1", "/v1/messages", None),
        ("2026-10-21", "/v1/messages", "2026-10-21"),
        ("anthropic/v1", "/anthropic/v1/messages", None),
        ("/anthropic/v1/2026-10-21/", "/anthropic/v1/messages", "2026-10-21"),
    ],
)
def test_platform_version(version: str | None, path: str, spoken: str | None) -> None:
    """The version of a backend is a path, a date, or both."""
    assert PLATFORM.path("chat", Place("m", version=version)) == path
    assert PLATFORM.path("count_tokens", Place("m", version=version)) == path + "/count_tokens"
    assert PLATFORM.path("embeddings", Place("m", version=version)) is None
    assert PLATFORM.version(version) == spoken


@pytest.mark.parametrize(
    ("version", "client", "sent"),
    [
        (None, None, "2023-06-01"),
        (None, "2026-10-21", None),
        ("2026-10-21", None, "2026-10-21"),
        ("2026-10-21", "2023-06-01", "2026-10-21"),
        ("2026-10-21", "2026-10-21", None),
    ],
)
def test_platform_dress(version: str | None, client: str | None, sent: str | None) -> None:
    """The backend's version wins over the client's, and somebody's is always sent."""
    headers = {} if client is None else {"anthropic-version": client}
    body = b"{}"
    dressed = PLATFORM.dress(body, headers, "chat", Place("m", version=version))
    assert dressed.body is body
    assert dict(dressed.set_headers) == ({} if sent is None else {"anthropic-version": sent})
