"""A canned upstream: answers in every vendor's format with bytes made beforehand, streams paced chunk by chunk.

Run as ``python -m bench.upstream PORT``; paths choose the answer. One write a chunk, so that each reaches Envoy on
its own.
"""

import asyncio
import sys
from typing import cast

import uvloop

from bench.answers import BY_PATH

PACE_S = 0.004


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
        where = path.decode().partition("?")[0]
        canned = next(answer for ending, answer in BY_PATH if where.endswith(ending))
        streams = "stream" in where.rpartition("/")[2].lower() or b'"stream":true' in body
        if streams:
            head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-type: %b\r\n\r\n"
            self._write(head % canned.stream_type)
            asyncio.get_running_loop().create_task(self._pace(canned.stream))
            return
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        self._write(head % len(canned.whole) + canned.whole)

    async def _pace(self, chunks: list[bytes]) -> None:
        for chunk in chunks:
            await asyncio.sleep(PACE_S)
            self._write(b"%x\r\n" % len(chunk) + chunk + b"\r\n")
        self._write(b"0\r\n\r\n")

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=1024)
    print("listening", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
