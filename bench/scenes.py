"""What is compared: for each scene, what the yardsticks are sent and what the gateway is sent."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bench.answers import CHUNKS
from bench.load import Shot

TEXT = "Tell me about the weather in the mountains. " * 20
Client = Literal["OpenAI", "Anthropic"]

#: Budgets against the echo: per request and per chunk, for bodies that pass, for Bedrock's first cell, and for all
#: other cells that translate.
_PASSED = (1.3, 1.3)
_FIRST = (1.6, 1.6)
_TRANSLATED = (2.0, 1.6)


@dataclass(frozen=True, slots=True)
class Scene:
    """One comparison and its budget against the echo. ``chunks`` of a stream; ``full``: on all yardsticks."""

    name: str
    yardstick: Shot
    gateway: Shot
    budget: float
    chunks: int = 0
    full: bool = False


#: ``outputSchema.schema`` -> the upstream's paths, whole and streamed.
_PATHS: Mapping[str, tuple[str, str]] = {
    "OpenAI": ("/v1/chat/completions", "/v1/chat/completions"),
    "AzureOpenAI": ("/v1/chat/completions", "/v1/chat/completions"),
    "Anthropic": ("/v1/messages", "/v1/messages"),
    "AWSBedrock": ("/model/m/converse", "/model/m/converse-stream"),
    "AWSAnthropic": ("/model/m/invoke", "/model/m/invoke-with-response-stream"),
    "GCPVertexAI": ("/v1/models/m:generateContent", "/v1/models/m:streamGenerateContent?alt=sse"),
    "Gemini": ("/v1beta/models/m:generateContent", "/v1beta/models/m:streamGenerateContent?alt=sse"),
    "GCPAnthropic": ("/v1/models/m:rawPredict", "/v1/models/m:streamRawPredict"),
}
_ENDPOINTS: Mapping[Client, str] = {"OpenAI": "/v1/chat/completions", "Anthropic": "/v1/messages"}
_CHAT = {"messages": [{"role": "user", "content": TEXT}], "max_tokens": 64}
_USAGE = {"stream": True, "stream_options": {"include_usage": True}}


def _shot(path: str, body: Mapping[str, Any]) -> Shot:
    return Shot(path, json.dumps(body, separators=(",", ":")).encode())


def model_of(schema: str) -> str:
    """The client's name for the model of the backend of this schema."""
    return f"bench-{schema.lower()}"


def _upstream_body(schema: str) -> Mapping[str, Any]:
    if schema == "AWSBedrock":
        return {"messages": [{"role": "user", "content": [{"text": TEXT}]}], "inferenceConfig": {"maxTokens": 64}}
    if schema in {"GCPVertexAI", "Gemini"}:
        return {
            "contents": [{"role": "user", "parts": [{"text": TEXT}]}],
            "generationConfig": {"maxOutputTokens": 64},
        }
    return {"model": "m", **_CHAT}


def _cell(client: Client, schema: str) -> Iterator[Scene]:
    passes = client == schema
    first = (client, schema) == ("OpenAI", "AWSBedrock")
    budgets = _PASSED if passes else _FIRST if first else _TRANSLATED
    whole, streamed = _PATHS[schema]
    body = {"model": model_of(schema), **_CHAT}
    told = _upstream_body(schema)
    full = client == "OpenAI" and schema in {"OpenAI", "AWSBedrock"}
    yield Scene(f"{client} to {schema}", _shot(whole, told), _shot(_ENDPOINTS[client], body), budgets[0], full=full)
    asked = {**body, **(_USAGE if client == "OpenAI" else {"stream": True})}
    yardstick = _shot(streamed, told if streamed != whole else {**told, "stream": True})
    yield Scene(
        f"{client} to {schema}, stream", yardstick, _shot(_ENDPOINTS[client], asked), budgets[1], CHUNKS, full=full
    )


#: Every cell whose body is read, or edited where both ends speak one dialect; Azure passes an OpenAI client's.
SCENES: tuple[Scene, ...] = tuple(
    scene
    for client in _ENDPOINTS
    for schema in _PATHS
    if (client, schema) != ("OpenAI", "AzureOpenAI")
    for scene in _cell(client, schema)
)
SCHEMAS = tuple(_PATHS)
