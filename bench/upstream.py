"""A canned upstream: answers OpenAI chat and Bedrock Converse with bytes made beforehand, streams paced chunk by chunk.

Run as ``python -m bench.upstream PORT``; paths choose the answer. One write a chunk, so that each reaches Envoy on
its own.
"""

import asyncio
import json
import sys
from typing import cast

import uvloop

from tests.support.eventstream_frames import frame

CHUNKS = 100
PACE_S = 0.004
WORD = "lorem ipsum"


def _openai_chat() -> bytes:
    return json.dumps(
        {
            "id": "chatcmpl-bench",
            "object": "chat.completion",
            "created": 1,
            "model": "bench",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": WORD * 40}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 200, "completion_tokens": 80, "total_tokens": 280},
        }
    ).encode()


def _openai_chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    body = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "bench",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        "usage": None,
    }
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def _openai_stream() -> list[bytes]:
    usage = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1, "model": "bench", "choices": []}
    counts = {"prompt_tokens": 200, "completion_tokens": 100, "total_tokens": 300}
    return [
        *(_openai_chunk({"content": WORD}) for _ in range(CHUNKS - 2)),
        _openai_chunk({}, "stop"),
        b"data: " + json.dumps({**usage, "usage": counts}).encode() + b"\n\ndata: [DONE]\n\n",
    ]


def _bedrock_chat() -> bytes:
    return json.dumps(
        {
            "output": {"message": {"role": "assistant", "content": [{"text": WORD * 40}]}},
            "stopReason": "end_turn",
            "usage": {"inputTokens": 200, "outputTokens": 80, "totalTokens": 280},
            "metrics": {"latencyMs": 1},
        }
    ).encode()


def _bedrock_event(kind: str, payload: object) -> bytes:
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return frame(headers, json.dumps(payload).encode())


def _bedrock_stream() -> list[bytes]:
    usage = {"usage": {"inputTokens": 200, "outputTokens": 100, "totalTokens": 300}, "metrics": {"latencyMs": 1}}
    delta = {"contentBlockIndex": 0, "delta": {"text": WORD}, "p": "abcdefgh"}
    return [
        _bedrock_event("messageStart", {"role": "assistant"}),
        *(_bedrock_event("contentBlockDelta", delta) for _ in range(CHUNKS - 4)),
        _bedrock_event("contentBlockStop", {"contentBlockIndex": 0}),
        _bedrock_event("messageStop", {"stopReason": "end_turn"}),
        _bedrock_event("metadata", usage),
    ]


class Upstream(asyncio.Protocol):
    """One keep-alive HTTP/1.1 connection."""

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer when the whole request is there."""
        self._buffer += data
        head, sep, rest = self._buffer.partition(b"\r\n\r\n")
        if not sep:
            return
        length = next(
            (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        self._answer(head.split(b" ", 2)[1], rest[:length])

    def _answer(self, path: bytes, body: bytes) -> None:
        bedrock = path.startswith(b"/model/")
        if path.endswith(b"-stream") or b'"stream":true' in body:
            kind = b"application/vnd.amazon.eventstream" if bedrock else b"text/event-stream"
            self._write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-type: " + kind + b"\r\n\r\n")
            asyncio.get_running_loop().create_task(self._pace(BEDROCK_STREAM if bedrock else OPENAI_STREAM))
            return
        answer = BEDROCK_CHAT if bedrock else OPENAI_CHAT
        self._write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(answer) + answer
        )

    async def _pace(self, chunks: list[bytes]) -> None:
        for chunk in chunks:
            await asyncio.sleep(PACE_S)
            self._write(b"%x\r\n" % len(chunk) + chunk + b"\r\n")
        self._write(b"0\r\n\r\n")

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


OPENAI_CHAT, OPENAI_STREAM = _openai_chat(), _openai_stream()
BEDROCK_CHAT, BEDROCK_STREAM = _bedrock_chat(), _bedrock_stream()


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=1024)
    print("listening", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
