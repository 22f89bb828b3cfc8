"""Load on a gateway: short requests without a pause, and streams that are checked to their last event."""

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from tests.support.upstreams import Received, Reply, json_reply, sse_reply
from tests.support.vendor_answers import converse_frames, stream_of_frames

CHAT = "/v1/chat/completions"
_LIMIT_S = 60.0
_HEAD_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Got:
    """An answer. ``fault``: what was wrong with how it came; empty for a whole one."""

    status: int
    body: bytes
    fault: str
    began: float
    ended: float


class Client:
    """One kept connection; opened again when it was lost."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._drop()

    async def ask(self, body: bytes, path: str = CHAT, **headers: str) -> Got:
        """One request. Nothing that happens to it raises: it is in the answer's ``fault``."""
        began, status, got, fault = time.monotonic(), 0, bytearray(), ""
        try:
            async with asyncio.timeout(_LIMIT_S):
                reader, writer = await self._connection()
                writer.write(_request(self._port, path, body, headers))
                await writer.drain()
                head = await reader.readuntil(b"\r\n\r\n")
                status = int(head.split(b" ", 2)[1])
                await _read_body(reader, head.lower(), got)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            fault = f"{type(error).__name__} after {len(got)} bytes"
            self._drop()
        return Got(status, bytes(got), fault, began, time.monotonic())

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=_HEAD_BYTES)
        return self._reader, self._writer

    def _drop(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


@dataclass(slots=True)
class Tally:
    """What became of many requests. ``failures`` says why, for each that failed."""

    done: int = 0
    failures: list[str] = field(default_factory=list)


@contextlib.asynccontextmanager
async def _until_left(work: Callable[[asyncio.Event], Awaitable[None]], count: int) -> Any:
    """Run ``count`` of them until the context is left; each ends what it has begun."""
    enough = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(_run(work, enough))
        try:
            yield
        finally:
            enough.set()


async def _run(work: Callable[[asyncio.Event], Awaitable[None]], enough: asyncio.Event) -> None:
    await work(enough)


@contextlib.asynccontextmanager
async def short_requests(port: int, bodies: Sequence[bytes], clients: int, pause_s: float = 0.0) -> Any:
    """``clients`` connections that ask one after another for the time of the context; a ``Tally``."""
    tally = Tally()

    async def client(enough: asyncio.Event) -> None:
        async with Client(port) as connection:
            while not enough.is_set():
                got = await connection.ask(bodies[tally.done % len(bodies)])
                tally.done += 1
                if got.fault or got.status != 200:
                    tally.failures.append(f"{got.status} {got.fault} {got.body[:300].decode(errors='replace')}")
                await asyncio.sleep(pause_s)

    async with _until_left(client, clients):
        yield tally
