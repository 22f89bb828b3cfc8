"""A load generator small enough to read: keep-alive HTTP/1.1 connections on raw asyncio protocols."""

import asyncio
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shot:
    """One kind of request, whole."""

    path: str
    body: bytes

    def wire(self, port: int) -> bytes:
        """The bytes on the wire."""
        head = (
            f"POST {self.path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer bench\r\ncontent-length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body


@dataclass(frozen=True, slots=True)
class Times:
    """Whole-response times in seconds, sorted."""

    seconds: tuple[float, ...]

    def at(self, quantile: float) -> float:
        """The quantile in milliseconds."""
        return self.seconds[min(len(self.seconds) - 1, int(quantile * len(self.seconds)))] * 1e3


async def _read_response(reader: asyncio.StreamReader) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if not head.startswith(b"http/1.1 200"):
        raise RuntimeError(head.decode("latin-1") + (await reader.read(500)).decode("latin-1"))
    if b"transfer-encoding: chunked" in head:
        while size := int(await reader.readuntil(b"\r\n"), 16):
            await reader.readexactly(size + 2)
        await reader.readexactly(2)
        return
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(length)


async def fire(port: int, shot: Shot, *, requests: int, clients: int) -> Times:
    """Send ``requests`` in all over ``clients`` connections; raises on any answer that is not 200."""
    wire, seconds, left = shot.wire(port), [], iter(range(requests))

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        for _ in left:
            start = time.perf_counter()
            writer.write(wire)
            await _read_response(reader)
            seconds.append(time.perf_counter() - start)
        writer.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    return Times(tuple(sorted(seconds)))
