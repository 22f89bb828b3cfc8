"""A gateway in front of two scripted upstreams: routes of every kind, answers and requests byte by byte."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.eventstream_frames import event
from tests.support.gateway import Document, RunningGateway, backend, route, rule, running_gateway
from tests.support.upstreams import Reply, Upstream, json_reply, running_upstream

#: What the translated backend calls its model: a reserved character shows whether the path is encoded.
BEDROCK_MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
#: The translated backend's path for a whole answer; a stream's ends with ``-stream``.
CONVERSE = "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse"


@dataclass(frozen=True, slots=True)
class Scripted:
    """The gateway and what stands behind it. All backends but ``other`` are at ``up``."""

    gateway: RunningGateway
    up: Upstream
    other: Upstream

    def forget(self) -> None:
        """Empty the records of both upstreams; they answer 200 to everything."""
        for upstream in (self.up, self.other):
            upstream.answer(json_reply(COMPLETION))
            upstream.forget()


COMPLETION: Mapping[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "upstream-model",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
}

CONVERSE_ANSWER: Mapping[str, Any] = {
    "output": {"message": {"role": "assistant", "content": [{"text": "hello"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 3, "outputTokens": 5, "totalTokens": 8},
    "metrics": {"latencyMs": 1},
}


def chunk(content: str | None = None, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """One chunk of a chat completion."""
    delta = {} if content is None else {"content": content}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "upstream-model",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **fields,
    }


def frame(kind: str, **payload: Any) -> bytes:
    """One frame of a ConverseStream answer."""
    return event(kind, json.dumps(payload).encode())


def frames_reply(*frames: bytes, delay_s: float = 0, gated: bool = False) -> Reply:
    """A ConverseStream answer, one part for each frame."""
    headers = {"content-type": "application/vnd.amazon.eventstream", "x-amzn-requestid": "aws-1"}
    return Reply(frames, headers=headers, framing="chunked", delay_s=delay_s, gated=gated)


def documents(up: int, other: int) -> list[Document]:
    """The routes and backends, with the upstreams on these ports.

    Models of the first route say what is special about them; those of the other routes are on hosts of their own.
    """
    renamed = {"name": "up", "modelNameOverride": "upstream-name"}
    return [
        route(
            rule("plain", "up"),
            rule("renamed", renamed),
            rule("converse", {"name": "rock", "modelNameOverride": BEDROCK_MODEL}),
            rule("over-http2", "up2"),
            rule("versioned", "versioned"),
            rule("never-up", {"name": "up", "weight": 0}, {"name": "other", "weight": 1}),
            rule("nobody", {"name": "up", "weight": 0}, {"name": "other", "weight": 0}, name="empty"),
            rule("tiered", "other", headers={"x-tier": "gold"}),
            rule("tiered", "up"),
            rule("elsewhere", "other"),
            rule("hasty", "up", timeouts={"request": "300ms"}),
            name="chat",
        ),
        route(_hosted("exact"), rule("only-there", "up"), name="exact", hostnames=["api.example.com"]),
        route(_hosted("wildcard"), name="wildcard", hostnames=["*.example.com"]),
        route(_hosted("any"), name="any"),
        backend("up", up),
        backend("up2", up),
        backend("rock", up, "AWSBedrock"),
        backend("versioned", up, outputSchema={"schema": "OpenAI", "version": "api/v2"}),
        backend("other", other),
    ]


def _hosted(kind: str) -> Document:
    return rule("hosted", {"name": "up", "modelNameOverride": f"{kind}-host"})


@contextmanager
def running_scripted() -> Iterator[Scripted]:
    """Both upstreams and the gateway, running."""
    with running_upstream() as up, running_upstream() as other:
        sound = documents(up.port, other.port)
        broken = route(rule("broken", "missing", name="broken"), name="faulty")
        with running_gateway(sound, http2_backends=["default/up2"]) as gateway:
            gateway.reload([*sound, broken], faulty=True)
            yield Scripted(gateway, up, other)
