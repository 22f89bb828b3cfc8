"""Gemini on both of its hosts, from end to end of an exchange: paths, counts, streams and errors."""

import json

import pytest

from extproc.config.loader import load
from extproc.exchange.gateway import Gateway
from extproc.exchange.messages import ResponseBody
from tests.support.exchange_driver import chat, error_of, proceed, response_headers, sent, whole

GATEWAY = Gateway.compile(
    load(b"""
rules:
- headers: [{name: x-ai-eg-model, value: vertex}]
  backends: [{name: vertex, modelNameOverride: gemini-3-flash-preview}]
- headers: [{name: x-ai-eg-model, value: gemini}]
  backends: [{name: gemini, modelNameOverride: gemini-2.5-flash}]
backends:
- {name: vertex, outputSchema: {schema: GCPVertexAI}, gcp: {project: acme, location: europe-west4}}
- {name: gemini, outputSchema: {schema: Gemini}}
""")
)
VERTEX = "/v1/projects/acme/locations/europe-west4/publishers/google/models/gemini-3-flash-preview"
PATHS = {"vertex": VERTEX, "gemini": "/v1beta/models/gemini-2.5-flash"}
ANSWER = {
    "candidates": [{"content": {"parts": [{"text": "Hello"}]}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 1},
    "responseId": "r1",
}


@pytest.mark.parametrize("model", PATHS)
def test_an_answer(model: str) -> None:
    """The request goes to the model's path without the client's model, and the answer is the client's."""
    made, action = sent(chat(model), gateway=GATEWAY)

    assert dict(proceed(action).set_headers)[":path"] == f"{PATHS[model]}:generateContent"
    assert json.loads(action.body or b"") == {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    answered = json.loads(whole(made, json.dumps(ANSWER).encode()).body or b"")
    assert answered["choices"][0]["message"]["content"] == "Hello"
    assert answered["usage"]["total_tokens"] == 4


@pytest.mark.parametrize("model", PATHS)
def test_a_stream(model: str) -> None:
    """The end of the bytes is the end of the client's stream."""
    made, action = sent(chat(model, stream=True), gateway=GATEWAY)

    assert dict(proceed(action).set_headers)[":path"] == f"{PATHS[model]}:streamGenerateContent?alt=sse"
    proceed(made.receive(response_headers(kind="text/event-stream")))
    piece = b"data: " + json.dumps(ANSWER).encode() + b"\r\n\r\n"
    out = (proceed(made.receive(ResponseBody(piece, end=False))).body or b"") + (
        proceed(made.receive(ResponseBody(b"", end=True))).body or b""
    )
    assert b'"content":"Hello"' in out
    assert out.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("model", PATHS)
def test_a_count_of_tokens(model: str) -> None:
    """Anthropic's question is asked of Gemini, and answered in Anthropic's form."""
    question = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    made, action = sent(
        json.dumps(question).encode(),
        path="/v1/messages/count_tokens",
        gateway=GATEWAY,
        anthropic_version="2023-06-01",
    )

    assert dict(proceed(action).set_headers)[":path"] == f"{PATHS[model]}:countTokens"
    assert whole(made, b'{"totalTokens": 7}').body == b'{"input_tokens":7}'


def test_googles_word_on_when_to_come_back() -> None:
    """It is in the body, and becomes the header that SDKs wait by."""
    made, _ = sent(chat("vertex"), gateway=GATEWAY)
    error = {
        "code": 429,
        "message": "Resource exhausted.",
        "status": "RESOURCE_EXHAUSTED",
        "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7.2s"}],
    }
    made.receive(response_headers(429))
    action = proceed(made.receive(ResponseBody(json.dumps({"error": error}).encode(), end=True)))

    assert error_of(action)["type"] == "rate_limit_error"
    assert dict(action.set_headers)["retry-after"] == "8"
