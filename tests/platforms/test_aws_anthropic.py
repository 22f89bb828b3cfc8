"""InvokeModel: paths, bodies, counting, errors."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest

from extproc.conversation.errors import ClientError
from extproc.platforms.aws_anthropic import PLATFORM
from extproc.platforms.contract import Dressed, Place
from tests.support.bedrock_oracle import check_operation

MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2"
ASKED = b'{"model": "claude", "max_tokens": 5, "stream": true, "messages": [{"role":"user","content":"\\u00e9 1.0"}]}'


def dress(
    body: bytes = ASKED,
    headers: Mapping[str, str] | None = None,
    operation: str = "chat",
    version: str | None = None,
) -> Dressed:
    return PLATFORM.dress(body, headers or {}, operation, Place(MODEL, version=version))


def told(dressed: Dressed) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(dressed.body)
    return parsed


@pytest.mark.parametrize("model", [MODEL, ARN])
@pytest.mark.parametrize(("stream", "operation"), [(False, "InvokeModel"), (True, "InvokeModelWithResponseStream")])
def test_invoke_path_arn_quoting(model: str, operation: str, *, stream: bool) -> None:
    """The path is the one that botocore posts to, whatever is in the model's name."""
    path = PLATFORM.path("chat", Place(model, stream))
    assert path is not None
    check_operation(operation, {"modelId": model, "body": b"{}"}, path)


@pytest.mark.parametrize(
    ("model", "counted"),
    [
        (MODEL, "anthropic.claude-sonnet-4-5-20250929-v1%3A0"),
        ("global.anthropic.claude-opus-4-6", "anthropic.claude-opus-4-6"),
        ("anthropic.claude-opus-4-6", "anthropic.claude-opus-4-6"),
        ("us.claude", "us.claude"),
        (ARN, "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fa1b2"),
    ],
)
def test_tokens_are_counted_for_the_bare_model(model: str, counted: str) -> None:
    """A cross-region profile has no tokens of its own; an ARN says nothing of what is behind it."""
    assert PLATFORM.path("count_tokens", Place(model)) == f"/model/{counted}/count-tokens"


def test_no_other_operation() -> None:
    """Claude embeds nothing, and knows no other path of OpenAI's."""
    assert PLATFORM.path("embeddings", Place(MODEL)) is None
    assert PLATFORM.path("responses", Place(MODEL)) is None


def test_body_less_model_and_stream() -> None:
    """Model and stream are in the path; every other member keeps its bytes."""
    dressed = dress()
    assert dressed.body == (
        b'{"anthropic_version":"bedrock-2023-05-31","max_tokens":5,'
        b'"messages":[{"role":"user","content":"\\u00e9 1.0"}]}'
    )
    assert dressed.remove_headers == ("anthropic-version", "anthropic-beta")


@pytest.mark.parametrize(
    ("configured", "sent", "rules"),
    [
        (None, "bedrock-2023-05-31", "2023-06-01"),
        ("2026-10-21", "2026-10-21", "2026-10-21"),
        ("bedrock-2023-05-31", "bedrock-2023-05-31", "2023-06-01"),
    ],
)
def test_anthropic_version_isolated(configured: str | None, sent: str, rules: str) -> None:
    """Neither the client's header nor its body says which version Bedrock gets: the backend's configuration does."""
    body = b'{"anthropic_version":"2026-10-21","max_tokens":1,"messages":[]}'
    dressed = dress(body, {"anthropic-version": "2026-10-21"}, version=configured)
    assert told(dressed)["anthropic_version"] == sent
    assert PLATFORM.version(configured) == rules


def test_betas_move_into_the_body() -> None:
    """The header's betas become a list: trimmed, each once, by Bedrock's name, and without what it does not know."""
    headers = {"anthropic-beta": " context-1m-2025-08-07 ,advanced-tool-use-2025-11-20,, claude-code-20250219"}
    body = b'{"anthropic_beta":["context-1m-2025-08-07","compact-2026-01-12"],"messages":[]}'
    dressed = dress(body, headers)
    assert told(dressed)["anthropic_beta"] == [
        "context-1m-2025-08-07",
        "compact-2026-01-12",
        "tool-search-tool-2025-10-19",
    ]
    assert [(loss.path, loss.kind, loss.reason) for loss in dressed.losses] == [
        ("anthropic-beta", "drop", "Bedrock does not know 1 of the betas")
    ]


@pytest.mark.parametrize("beta", [b"", b',"anthropic_beta":7', b',"anthropic_beta":["unheard-of"]'])
def test_no_beta_no_member(beta: bytes) -> None:
    """Without a beta that Bedrock knows there is no list of them."""
    assert "anthropic_beta" not in told(dress(b'{"messages":[]' + beta + b"}", {"anthropic-beta": "other"}))


@pytest.mark.parametrize(
    ("asked", "limit"),
    [
        ({}, 1),
        ({"thinking": {"type": "enabled", "budget_tokens": 4000}}, 4001),
        ({"thinking": {"type": "adaptive"}}, 1),
        ({"thinking": {"type": "enabled", "budget_tokens": -1}}, 1),
        ({"thinking": "no object"}, 1),
        ({"max_tokens": 9}, 9),
    ],
)
def test_counting_wants_a_whole_body(asked: dict[str, Any], limit: int) -> None:
    """CountTokens gets the body as InvokeModel would take it: with a limit, which lies above the thinking budget."""
    dressed = dress(json.dumps({"model": "m", "messages": [], **asked}).encode(), operation="count_tokens")
    wrapped = told(dressed)["input"]["invokeModel"]["body"]
    assert json.loads(base64.b64decode(wrapped, validate=True)) == {
        "anthropic_version": "bedrock-2023-05-31",
        "messages": [],
        **asked,
        "max_tokens": limit,
    }
    path = PLATFORM.path("count_tokens", Place(MODEL))
    assert path is not None
    body = {"invokeModel": {"body": base64.b64decode(wrapped)}}
    check_operation("CountTokens", {"modelId": "anthropic.claude-sonnet-4-5-20250929-v1:0", "input": body}, path)


def test_counted_tokens_in_anthropics_words() -> None:
    """The count comes back under Anthropic's name; what is no count, and every other answer, stays as it is."""
    assert PLATFORM.undress(b'{"inputTokens": 12}', "count_tokens") == b'{"input_tokens":12}'
    for odd in (b"{}", b"[1]", b"", b"\xff"):
        assert PLATFORM.undress(odd, "count_tokens") is odd
    answer = b'{"inputTokens": 12}'
    assert PLATFORM.undress(answer, "chat") is answer


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"text"', b'{"a":1}{}'])
def test_no_object_is_the_clients_mistake(body: bytes) -> None:
    """What is no JSON object cannot be dressed, and the client is told so."""
    with pytest.raises(ClientError) as refused:
        dress(body)
    assert refused.value.error.status == 400


@pytest.mark.parametrize(
    ("headers", "body", "dialect"),
    [
        ({"x-amzn-errortype": "ThrottlingException"}, b'{"message":"slow"}', "bedrock"),
        ({}, b'{"message":"slow"}', "bedrock"),
        ({}, b"", "bedrock"),
        ({}, b'{"type":"error","error":{"type":"overloaded_error","message":"busy"}}', "anthropic"),
        ({"x-amzn-errortype": "X"}, b'{"type":"error","error":{"type":"e","message":"m"}}', "bedrock"),
    ],
)
def test_errors_are_awss_own(headers: Mapping[str, str], body: bytes, dialect: str) -> None:
    """An error reply is read in the form that it has."""
    assert PLATFORM.error_dialect(headers, body) == dialect
