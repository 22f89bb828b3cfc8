"""Drives an Exchange without gRPC: fixed clock, fixed draw, real configuration, real dialects."""

import json
from collections.abc import Mapping
from typing import Any

from extproc.config.loader import load
from extproc.exchange.edges import Edges
from extproc.exchange.gateway import Gateway
from extproc.exchange.machine import Exchange
from extproc.exchange.messages import (
    Action,
    Proceed,
    Reply,
    RequestBody,
    RequestHeaders,
    ResponseBody,
    ResponseHeaders,
)

CONFIG = """
rules:
- source: t/chat@1#rules[0]
  headers: [{name: x-ai-eg-model, value: gpt}]
  backends: [{name: openai, outputSchema: {schema: OpenAI}}]
- source: t/chat@1#rules[1]
  headers: [{name: x-ai-eg-model, value: claude}]
  backends: [{name: bedrock, outputSchema: {schema: AWSBedrock}, modelNameOverride: "anthropic.claude-x-v1:0"}]
- source: t/chat@1#rules[2]
  headers: [{name: x-ai-eg-model, value: renamed}]
  backends: [{name: openai, outputSchema: {schema: OpenAI, version: v9}, modelNameOverride: real}]
- source: t/chat@1#rules[3]
  headers: [{name: x-ai-eg-model, value: zero}]
  backends: [{name: openai, weight: 0, outputSchema: {schema: OpenAI}}]
- source: t/chat@1#rules[4]
  headers: [{name: x-ai-eg-model, value: broken}]
  refusal: 'LLMBackend "nope" not found'
"""
GATEWAY = Gateway.compile(load(CONFIG.encode()))
EDGES = Edges(draw=lambda: 0.5, now=lambda: 10.0, wall=lambda: 1_700_000_000.0, new_id=lambda: "id1")


def exchange(gateway: Gateway = GATEWAY) -> Exchange:
    """A fresh exchange at the edges of a still world."""
    return Exchange(gateway, EDGES)


def chat(model: str = "gpt", **fields: Any) -> bytes:
    """A small chat request."""
    return json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}], **fields}).encode()


def request_headers(
    path: str = "/v1/chat/completions", *, method: str = "POST", end: bool = False, **more: Any
) -> RequestHeaders:
    """Request headers as Envoy sends them; ``more`` uses ``_`` for ``-``."""
    base = {":method": method, ":path": path, ":authority": "gw.example:80", "content-type": "application/json"}
    return RequestHeaders({**base, **{k.replace("_", "-"): v for k, v in more.items()}}, end)


def response_headers(
    status: int = 200, kind: str = "application/json", *, end: bool = False, details: str = "via_upstream", **more: str
) -> ResponseHeaders:
    """Response headers as Envoy sends them."""
    headers = {":status": str(status), "content-type": kind, **{k.replace("_", "-"): v for k, v in more.items()}}
    return ResponseHeaders(headers, end, {"response.code_details": details})


def sent(
    body: bytes, *, path: str = "/v1/chat/completions", gateway: Gateway = GATEWAY, **more: Any
) -> tuple[Exchange, Action]:
    """An exchange whose request went out, and the action that sent it."""
    made = exchange(gateway)
    made.receive(request_headers(path, **more))
    return made, made.receive(RequestBody(body, end=True))


def proceed(action: Action) -> Proceed:
    """The action, which must be to go on."""
    assert isinstance(action, Proceed), action
    return action


def reply(action: Action) -> Reply:
    """The action, which must be an answer."""
    assert isinstance(action, Reply), action
    return action


def error_of(action: Action) -> Mapping[str, Any]:
    """The OpenAI error object of a reply or of a replaced body."""
    body = action.body
    assert body is not None
    error = json.loads(body)["error"]
    assert isinstance(error, dict)
    return error


def whole(made: Exchange, body: bytes, **headers: Any) -> Proceed:
    """The action that answers a buffered response."""
    proceed(made.receive(response_headers(**headers)))
    return proceed(made.receive(ResponseBody(body, end=True)))
