"""Clouds that host another maker's API, and embeddings: whole exchanges, without Envoy."""

import base64
import json
from typing import Any

import pytest
from openai.types import CreateEmbeddingResponse

from extproc.config.loader import load
from extproc.exchange.gateway import Gateway
from extproc.exchange.messages import ResponseBody
from tests.support.anthropic_oracle import check_error, check_stream
from tests.support.eventstream_frames import event, exception
from tests.support.exchange_driver import error_of, proceed, reply, response_headers, sent, whole

MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
CONFIG = f"""
rules:
- headers: [{{name: x-ai-eg-model, value: invoked}}]
  backends: [{{name: aws, outputSchema: {{schema: AWSAnthropic}}, modelNameOverride: "{MODEL}"}}]
- headers: [{{name: x-ai-eg-model, value: conversed}}]
  backends: [{{name: converse, outputSchema: {{schema: AWSBedrock}}, modelNameOverride: "{MODEL}"}}]
- headers: [{{name: x-ai-eg-model, value: vertex}}]
  backends: [{{name: gcp, outputSchema: {{schema: GCPAnthropic}}, modelNameOverride: "claude-opus-4-6"}}]
- headers: [{{name: x-ai-eg-model, value: titan}}]
  backends: [{{name: titan, outputSchema: {{schema: AWSBedrock}}, modelNameOverride: "amazon.titan-embed-text-v2:0"}}]
"""
GATEWAY = Gateway.compile(load(CONFIG.encode()))
HEADERS = {
    "anthropic_version": "2026-10-21",
    "anthropic_beta": "context-1m-2025-08-07,unheard-of",
    "authorization": "Bearer k",
}


def asked(model: str, **members: Any) -> bytes:
    return json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}], **members}).encode()


def chunk(**told: Any) -> bytes:
    return event("chunk", json.dumps({"bytes": base64.b64encode(json.dumps(told).encode()).decode()}).encode())


def outgoing(body: bytes, path: str) -> tuple[Any, dict[str, str], dict[str, Any], tuple[str, ...]]:
    """The exchange, and what goes upstream: headers, body, and the headers that do not."""
    made, action = sent(body, path=path, gateway=GATEWAY, **HEADERS)
    going = proceed(action)
    return made, dict(going.set_headers), json.loads(going.body or b""), going.remove_headers


def test_anthropic_version_isolated() -> None:
    """The client speaks the new version; the body says the backend's own, and no header says any."""
    for model, version in (("invoked", "bedrock-2023-05-31"), ("vertex", "vertex-2023-10-16")):
        _, headers, body, removed = outgoing(asked(model, max_tokens=5), "/v1/messages")
        assert body["anthropic_version"] == version
        assert "anthropic-version" in removed
        assert "anthropic-version" not in headers


def test_invoke_model() -> None:
    """An Anthropic client's stream at InvokeModel: betas in the body, frames taken off, usage seen."""
    made, headers, body, removed = outgoing(asked("invoked", max_tokens=5, stream=True), "/v1/messages")
    assert headers[":path"] == f"/model/{MODEL.replace(':', '%3A')}/invoke-with-response-stream"
    assert body == {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": "hi"}],
        "anthropic_beta": ["context-1m-2025-08-07"],
    }
    assert "anthropic-beta" in removed
    typed = proceed(made.receive(response_headers(200, "application/vnd.amazon.eventstream")))
    assert dict(typed.set_headers)["content-type"] == "text/event-stream"
    usage = {"input_tokens": 3, "output_tokens": 1}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "c", "content": [], "usage": usage}
    begun = proceed(
        made.receive(
            ResponseBody(
                chunk(type="message_start", message={**message, "stop_reason": None, "stop_sequence": None}), end=False
            )
        )
    )
    assert begun.metadata is not None
    assert begun.metadata["input_tokens"] == 3
    broken = proceed(made.receive(ResponseBody(exception("throttlingException", b'{"message":"slow"}'), end=True)))
    told = check_stream((begun.body or b"") + (broken.body or b""))
    assert [one["type"] for one in told] == ["message_start", "error"]


def test_errors_of_a_cloud_in_the_clients_dialect() -> None:
    """AWS's error is Anthropic's for an Anthropic client, though the API behind it is the same."""
    made, *_ = outgoing(asked("invoked", max_tokens=5), "/v1/messages")
    answer = whole(made, b'{"message":"slow"}', status=429, x_amzn_errortype="ThrottlingException")
    assert check_error(answer.body or b"")["type"] == "rate_limit_error"


@pytest.mark.parametrize(("model", "form"), [("invoked", "invokeModel"), ("conversed", "converse")])
def test_tokens_are_counted_at_bedrock(model: str, form: str) -> None:
    """Both of Bedrock's APIs count by CountTokens, each in its own form, and the client sees Anthropic's."""
    made, headers, body, _ = outgoing(asked(model), "/v1/messages/count_tokens")
    assert headers[":path"] == "/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/count-tokens"
    assert body["input"].keys() == {form}
    assert json.loads(whole(made, b'{"inputTokens": 12}').body or b"") == {"input_tokens": 12}


def test_tokens_are_counted_at_vertex() -> None:
    """Vertex AI counts by a model of that name, which is told the one that is meant."""
    made, headers, body, _ = outgoing(asked("vertex"), "/v1/messages/count_tokens")
    assert headers[":path"].endswith("/publishers/anthropic/models/count-tokens:rawPredict")
    assert body["model"] == "claude-opus-4-6"
    answer = whole(made, b'{"input_tokens": 12}')
    assert answer.body is None or json.loads(answer.body) == {"input_tokens": 12}


def test_embeddings() -> None:
    """An OpenAI client's text at Titan, in base64, with its tokens."""
    body = json.dumps({"model": "titan", "input": "hi", "encoding_format": "base64"}).encode()
    made, headers, going, _ = outgoing(body, "/v1/embeddings")
    assert headers[":path"] == "/model/amazon.titan-embed-text-v2%3A0/invoke"
    assert going == {"inputText": "hi"}
    answer = whole(made, b'{"embedding":[0.5,1],"inputTextTokenCount":2}')
    told = json.loads(answer.body or b"")
    assert told["data"][0]["embedding"] == "AAAAPwAAgD8="
    told["data"][0]["embedding"] = [0.5, 1.0]
    assert CreateEmbeddingResponse.model_validate(told).usage.prompt_tokens == 2


def test_embeddings_beyond_the_limit() -> None:
    """A batch for an upstream that takes one text is refused, and the message names the limit."""
    body = json.dumps({"model": "titan", "input": ["a", "b"]}).encode()
    _, action = sent(body, path="/v1/embeddings", gateway=GATEWAY)
    refused = reply(action)
    assert refused.status == 400
    assert "one text a request" in error_of(refused)["message"]
