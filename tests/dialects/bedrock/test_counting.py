"""CountTokens, and what else of an answer is new: the stop sequence, the guardrail's reason, the hour's cache."""

import base64
import json
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from extproc.conversation.errors import Kind, Refusal, UpstreamError
from extproc.conversation.request import Document, Reasoning, Text, Tool
from extproc.conversation.response import Response, Stop, Usage
from extproc.dialects.bedrock import DIALECT
from extproc.dialects.contract import Destination, UpstreamRequest
from extproc.platforms.bedrock import PLATFORM
from extproc.platforms.contract import Place
from tests.dialects.bedrock.converse import ABLE, ask, conversation
from tests.support.bedrock_oracle import check_operation, check_response

MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
TO = Destination(MODEL, replace(ABLE, maker="anthropic"))


def answered(**members: Any) -> Response:
    answer = {
        "output": {"message": {"role": "assistant", "content": [{"text": "x"}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
        "metrics": {"latencyMs": 1},
        **members,
    }
    body = msgspec.json.encode(answer)
    check_response(body)
    return DIALECT.read_response(body, {}, UpstreamRequest(b""))


def test_count_tokens() -> None:
    """What has tokens is counted: messages, system, tools and thinking, and nothing that CountTokens does not take."""
    request = ask(
        system=(Text("Rules"),),
        tools=(Tool("t", "f"),),
        max_output_tokens=9,
        stop=("END",),
        reasoning=Reasoning(mode="enabled", budget=2000, path="thinking"),
        metadata={"a": "b"},
    )
    with pytest.raises(Refusal):
        DIALECT.write_count(request, TO)
    sent = DIALECT.write_count(replace(request, max_output_tokens=None), TO)
    told = json.loads(sent.body)
    assert told["input"]["converse"].keys() == {"toolConfig", "system", "additionalModelRequestFields", "messages"}
    path = PLATFORM.path("count_tokens", Place(MODEL))
    assert path == "/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/count-tokens"
    check_operation("CountTokens", {"modelId": "anthropic.claude-sonnet-4-5-20250929-v1:0", **told}, path)


def test_count_of_what_cannot_be_sent() -> None:
    """A request that would be refused has no tokens."""
    with pytest.raises(Refusal) as refused:
        DIALECT.write_count(conversation(("user", [Document("d", file_id="f"), "x"])), TO)
    assert refused.value.error.param == "d"


def test_counted_tokens() -> None:
    """The count is a number, or the upstream's failure."""
    assert DIALECT.read_count(b'{"inputTokens": 12}') == 12
    for odd in (b"", b"{}", b"[]", b'{"inputTokens":-1}', b'{"inputTokens":"1"}', b"\xff"):
        with pytest.raises(UpstreamError) as failed:
            DIALECT.read_count(odd)
        assert (failed.value.error.status, failed.value.error.kind) == (502, Kind.SERVER)


@pytest.mark.parametrize(
    ("model", "counted"),
    [
        ("global.amazon.nova-2-lite-v1:0", "amazon.nova-2-lite-v1%3A0"),
        ("anthropic.claude-opus-5", "anthropic.claude-opus-5"),
        (
            "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-opus-5",
            "anthropic.claude-opus-5",
        ),
        (
            "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/a1",
            "arn%3Aaws%3Abedrock%3Aeu-west-1%3A123456789012%3Aapplication-inference-profile%2Fa1",
        ),
    ],
)
def test_tokens_are_counted_for_the_bare_model(model: str, counted: str) -> None:
    """CountTokens knows no profiles; of a profile that hides its model nothing can be taken away."""
    assert PLATFORM.path("count_tokens", Place(model)) == f"/model/{counted}/count-tokens"


def test_converse_stop_sequence_value() -> None:
    """The sequence that was met is in the answer's own fields."""
    met = answered(stopReason="stop_sequence", additionalModelResponseFields={"stop_sequence": "END"})
    assert (met.stop, met.stop_sequence) == (Stop.STOP_SEQUENCE, "END")
    for fields in ({}, {"stop_sequence": None}, {"stop_sequence": ""}):
        assert answered(additionalModelResponseFields=fields).stop_sequence is None


def test_guardrails_say_why() -> None:
    """A filtered answer carries the guardrail's reason, and none of its assessments, which quote the conversation."""
    trace = {"guardrail": {"actionReason": "Guardrail blocked.", "modelOutput": ["secret"]}}
    filtered = answered(stopReason="guardrail_intervened", trace=trace)
    assert (filtered.stop, filtered.explanation) == (Stop.FILTERED, "Guardrail blocked.")
    assert filtered.vendor is None
    assert answered(trace=trace).explanation is None


@pytest.mark.parametrize(
    ("details", "hour"),
    [
        ([{"ttl": "1h", "inputTokens": 15}, {"ttl": "5m", "inputTokens": 5}], 15),
        ([{"ttl": "5m", "inputTokens": 20}], 0),
        ([], None),
    ],
)
def test_converse_usage_cache_by_lifetime(details: list[dict[str, Any]], hour: int | None) -> None:
    """What was written for an hour is told apart from the rest, where the answer tells it."""
    usage = {"inputTokens": 10, "outputTokens": 5, "totalTokens": 35, "cacheWriteInputTokens": 20}
    expected = Usage(30, 5, 35, None, 20, cache_write_1h_tokens=hour)
    assert answered(usage={**usage, "cacheDetails": details}).usage == expected


def test_the_oracle_sees_a_wrong_count() -> None:
    """The judge does refuse what is no CountTokens request, so that its silence means something."""
    body = {"invokeModel": {"body": base64.b64decode("AAAA")}, "converse": {}}
    with pytest.raises(AssertionError):
        check_operation("CountTokens", {"modelId": "m", "input": body}, "/model/m/count-tokens")
