"""The Bedrock side of the demo provider, as boto3 sees it."""

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import boto3
import httpx2
import jsonschema
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

from controller.standalone.demo import DemoProvider
from tests.support.background import held_open

MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
WEATHER: dict[str, Any] = {
    "toolSpec": {
        "name": "get_weather",
        "inputSchema": {"json": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}},
    }
}


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with held_open(DemoProvider(wishes="delay 0")) as provider:
        yield f"http://127.0.0.1:{provider.port}"


@pytest.fixture(scope="module")
def client(base_url: str) -> Iterator[Any]:
    made = boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=base_url,
        aws_access_key_id="none",
        aws_secret_access_key="none",
        config=Config(retries={"total_max_attempts": 1}),
    )
    yield made
    made.close()


def ask(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"text": text}]}]


def streamed(client: Any, messages: list[dict[str, Any]], **asked: object) -> list[dict[str, Any]]:
    """The events of a stream. botocore leaves the connection of one that breaks open."""
    with closing(client.converse_stream(modelId=MODEL, messages=messages, **asked)["stream"]) as events:
        return list(events)


def test_converse_answers_and_counts_in_words(client: Any) -> None:
    """Converse gives text, a stop reason and usage."""
    done = client.converse(modelId=MODEL, messages=ask("Hello there"), system=[{"text": "Be brief"}])

    assert done["output"]["message"]["content"][0]["text"].startswith(f"You said: Hello there This is {MODEL}")
    assert done["stopReason"] == "end_turn"
    assert done["usage"]["inputTokens"] == 4
    assert done["usage"]["totalTokens"] == 4 + done["usage"]["outputTokens"]


def test_the_stream_gives_the_same_words_and_metadata_last(client: Any) -> None:
    """ConverseStream adds up to Converse's answer; frames and both CRCs satisfy botocore."""
    whole = client.converse(modelId=MODEL, messages=ask("Hello"))
    events = streamed(client, ask("Hello"))
    text = "".join(e["contentBlockDelta"]["delta"]["text"] for e in events if "contentBlockDelta" in e)

    assert text == whole["output"]["message"]["content"][0]["text"]
    assert not [e for e in events if "contentBlockStart" in e]
    assert [next(iter(e)) for e in events[-3:]] == ["contentBlockStop", "messageStop", "metadata"]
    assert events[-1]["metadata"]["usage"] == whole["usage"]


def test_a_tool_is_used_and_its_result_spoken_of(client: Any) -> None:
    """Two rounds of tool use, the first one streamed."""
    tools = {"tools": [WEATHER]}
    events = streamed(client, ask("Weather in Paris?"), toolConfig=tools)
    start = next(e["contentBlockStart"]["start"]["toolUse"] for e in events if "contentBlockStart" in e)
    arguments = "".join(e["contentBlockDelta"]["delta"]["toolUse"]["input"] for e in events if "contentBlockDelta" in e)
    use = {**start, "input": json.loads(arguments)}
    result = {"toolUseId": start["toolUseId"], "content": [{"json": {"degrees": 18}}]}
    messages = [
        *ask("Weather in Paris?"),
        {"role": "assistant", "content": [{"toolUse": use}]},
        {"role": "user", "content": [{"toolResult": result}]},
    ]
    second = client.converse(modelId=MODEL, messages=messages, toolConfig=tools)

    assert (start["name"], use["input"]) == ("get_weather", {"city": "Paris"})
    assert next(e["messageStop"]["stopReason"] for e in events if "messageStop" in e) == "tool_use"
    assert second["output"]["message"]["content"] == [{"text": 'The tool says: {"degrees": 18}'}]


def test_structured_output_comes_either_way(client: Any) -> None:
    """A text format gives JSON text, a forced tool gives its arguments: instances of the schema both."""
    schema = WEATHER["toolSpec"]["inputSchema"]["json"]
    output = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": json.dumps(schema)}}}}
    text = client.converse(modelId=MODEL, messages=ask("In Rome"), outputConfig=output)
    forced = {"tools": [WEATHER], "toolChoice": {"tool": {"name": "get_weather"}}}
    called = client.converse(modelId=MODEL, messages=ask("In Rome"), toolConfig=forced)
    by_text = json.loads(text["output"]["message"]["content"][0]["text"])

    jsonschema.validate(by_text, schema)
    assert by_text == called["output"]["message"]["content"][0]["toolUse"]["input"] == {"city": "Rome"}


@pytest.mark.parametrize("altered", [False, True])
def test_reasoning_is_signed_and_its_signature_checked(client: Any, altered: bool) -> None:
    """Reasoning asked for comes first, streamed with its signature, and returns unaltered or not at all."""
    fields = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
    events = streamed(client, ask("Why?"), additionalModelRequestFields=fields)
    deltas = [e["contentBlockDelta"]["delta"].get("reasoningContent", {}) for e in events if "contentBlockDelta" in e]
    text = "".join(delta.get("text", "") for delta in deltas)
    signature = next(delta["signature"] for delta in deltas if "signature" in delta)
    thoughts = {"reasoningText": {"text": text + "!" * altered, "signature": signature}}
    turn = {"role": "assistant", "content": [{"reasoningContent": thoughts}, {"text": "So."}]}
    messages = [*ask("Why?"), turn, *ask("And?")]

    assert text.startswith("The user said 'Why?'")
    if altered:
        with pytest.raises(ClientError, match="signature"):
            client.converse(modelId=MODEL, messages=messages)
    else:
        assert client.converse(modelId=MODEL, messages=messages)["stopReason"] == "end_turn"


def test_a_cache_point_is_written_then_read(client: Any) -> None:
    """What a cache point covers is counted as written on the first turn and as read on the next, never as input."""
    system = [{"text": "one two three"}, {"cachePoint": {"type": "default"}}]
    first = client.converse(modelId=MODEL, system=system, messages=ask("four"))["usage"]
    turn = {"role": "assistant", "content": [{"text": "five"}]}
    second = client.converse(modelId=MODEL, system=system, messages=[*ask("four"), turn, *ask("six seven")])["usage"]

    assert (first["inputTokens"], first["cacheWriteInputTokens"], first["cacheReadInputTokens"]) == (1, 3, 0)
    assert (second["inputTokens"], second["cacheWriteInputTokens"], second["cacheReadInputTokens"]) == (2, 0, 5)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "ValidationException"),
        (403, "AccessDeniedException"),
        (408, "ModelTimeoutException"),
        (424, "ModelErrorException"),
        (429, "ThrottlingException"),
        (500, "InternalServerException"),
        (503, "ServiceUnavailableException"),
    ],
)
def test_errors_come_on_demand(client: Any, status: int, kind: str) -> None:
    """``error STATUS`` gives the exception that Bedrock has for it."""
    with pytest.raises(ClientError) as raised:
        client.converse(modelId=MODEL, messages=ask(f"error {status}"))

    assert raised.value.response["Error"]["Code"] == kind
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_a_stream_breaks_in_an_exception_frame_or_in_nothing(client: Any) -> None:
    """``break error`` is an exception frame, ``break end`` ends the frames early."""
    with pytest.raises(EventStreamError, match="modelStreamErrorException"):
        streamed(client, ask("break error; words 9"))
    ended = streamed(client, ask("break end; words 9"))

    assert not [e for e in ended if "messageStop" in e]


USE = {"toolUse": {"toolUseId": "a", "name": "get_weather", "input": {}}}
RESULT = {"toolResult": {"toolUseId": "a", "content": [{"text": "x"}]}}


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ({"messages": []}, "messages"),
        ({"messages": ask("x"), "unknown": 1}, "unknown"),
        ({"messages": ask(" ")}, "blank"),
        ({"messages": [*ask("x"), *ask("y")]}, "alternate"),
        ({"messages": [{"role": "assistant", "content": [{"text": "x"}]}]}, "alternate"),
        ({"messages": [{"role": "user", "content": []}]}, "content"),
        (
            {"messages": [{"role": "user", "content": [{"text": "x", "cachePoint": {"type": "default"}}]}]},
            "exactly one",
        ),
        ({"messages": ask("x"), "inferenceConfig": {"temperature": 1.5}}, "temperature"),
        ({"messages": ask("x"), "toolConfig": {"tools": []}}, "tools"),
        (
            {"messages": ask("x"), "toolConfig": {"tools": [WEATHER], "toolChoice": {"tool": {"name": "no"}}}},
            "toolChoice",
        ),
        (
            {"messages": [*ask("x"), {"role": "assistant", "content": [USE]}, {"role": "user", "content": [RESULT]}]},
            "toolConfig",
        ),
        (
            {
                "messages": [*ask("x"), {"role": "assistant", "content": [USE]}, *ask("y")],
                "toolConfig": {"tools": [WEATHER]},
            },
            "toolResult",
        ),
        ({"messages": [{"role": "user", "content": [USE]}], "toolConfig": {"tools": [WEATHER]}}, "toolUse"),
        ({"messages": ask("x"), "outputConfig": {"textFormat": {"type": "json_schema", "structure": {}}}}, "structure"),
    ],
)
def test_wrong_requests_are_refused(base_url: str, body: dict[str, object], part: str) -> None:
    """What Bedrock would refuse gives a ValidationException that names the part."""
    response = httpx2.post(f"{base_url}/model/m/converse", json=body)

    assert response.status_code == 400
    assert response.headers["x-amzn-errortype"].startswith("ValidationException")
    assert part in response.json()["message"]


def test_an_unknown_operation_is_not_found(base_url: str) -> None:
    """Anything but the two operations is a 404 in Bedrock's shape."""
    response = httpx2.post(f"{base_url}/model/m/invoke", json={})

    assert response.status_code == 404
    assert response.headers["x-amzn-errortype"].startswith("UnknownOperationException")
