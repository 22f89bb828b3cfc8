"""Load on a gateway: short requests without a pause, streams that are checked to their last event, and their upstream.

The upstream says in every piece of its answer which model it was asked for and the piece's number, so a stream that
lost, doubled or mixed anything up shows.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote

from tests.support.scripted import COMPLETION, CONVERSE_ANSWER, chunk
from tests.support.upstreams import Received, Reply, json_reply, sse_reply
from tests.support.vendor_answers import converse_frames, stream_of_frames

_CHAT = "/v1/chat/completions"
_LIMIT_S = 60.0
_BUFFER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Got:
    """An answer. ``fault``: what was wrong with how it came; empty for a whole one. Times are monotonic seconds."""

    status: int
    body: bytes
    fault: str
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Streamed:
    """A stream that was read to its end. ``model``: what the upstream was asked for."""

    model: str
    fault: str
    began: float
    ended: float


@dataclass(slots=True)
class Tally:
    """What became of many requests. ``failures`` has a line for each that failed."""

    done: int = 0
    failures: list[str] = field(default_factory=list)


class Client:
    """One kept connection; opened again when it was lost."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._drop()

    async def ask(self, body: bytes, path: str = _CHAT) -> Got:
        """One request. Nothing that happens to it raises: it is in the answer's ``fault``."""
        began, status, got, fault = time.monotonic(), 0, bytearray(), ""
        try:
            async with asyncio.timeout(_LIMIT_S):
                reader, writer = self._open = self._open or await self._connect()
                writer.write(_request(self._port, path, body))
                head = await reader.readuntil(b"\r\n\r\n")
                status = int(head.split(b" ", 2)[1])
                await _read_body(reader, head.lower(), got)
                if b"\r\nconnection: close\r\n" in head.lower():
                    self._drop()  # as Envoy does after each 400 of its own
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            fault = f"{type(error).__name__} after {len(got)} bytes"
            self._drop()
        return Got(status, bytes(got), fault, began, time.monotonic())

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._port, limit=_BUFFER_BYTES)

    def _drop(self) -> None:
        if self._open is not None:
            self._open[1].close()
        self._open = None


@contextlib.asynccontextmanager
async def short_requests(
    port: int, bodies: Sequence[bytes], clients: int, pause_s: float = 0.0
) -> AsyncIterator[Tally]:
    """``clients`` connections that ask one thing after another for the time of the context."""
    tally, enough = Tally(), asyncio.Event()

    async def client() -> None:
        async with Client(port) as connection:
            while not enough.is_set():
                got = await connection.ask(bodies[tally.done % len(bodies)])
                tally.done += 1
                if got.fault or got.status != 200:
                    tally.failures.append(
                        f"{got.began:.3f} to {got.ended:.3f}: {got.status} {got.fault} {got.body[:300]!r}"
                    )
                await asyncio.sleep(pause_s)

    async with _until_left([client() for _ in range(clients)], enough):
        yield tally


@contextlib.asynccontextmanager
async def streams(port: int, bodies: Sequence[bytes], clients: int, parts: int) -> AsyncIterator[list[Streamed]]:
    """``clients`` that read one stream of ``parts`` pieces after another for the time of the context.

    The list has all of them afterwards, those included that were under way when it was left.
    """
    seen: list[Streamed] = []
    enough = asyncio.Event()

    async def client(body: bytes) -> None:
        while not enough.is_set():
            seen.append(await stream(port, body, parts))

    async with _until_left([client(bodies[i % len(bodies)]) for i in range(clients)], enough):
        yield seen


async def stream(port: int, body: bytes, parts: int) -> Streamed:
    """One stream of ``parts`` pieces, on a connection of its own."""
    async with Client(port) as connection:
        got = await connection.ask(body)
    if got.fault or got.status != 200:
        return Streamed("", f"{got.status} {got.fault} {got.body[-300:]!r}", got.began, got.ended)
    model, fault = _read_stream(got.body, parts)
    return Streamed(model, fault, got.began, got.ended)


def numbered(parts: int, delay_s: float) -> Callable[[Received], Reply]:
    """An upstream's script: OpenAI's and Bedrock's answers, streams of ``parts`` numbered pieces ``delay_s`` apart."""

    def reply(request: Received) -> Reply:
        folder, _, rest = request.path.removeprefix("/").partition("/")
        if folder == "model":
            name, _, operation = rest.partition("/")
            texts = [_piece(unquote(name), i) for i in range(parts)]
            if operation == "converse-stream":
                return stream_of_frames(converse_frames(*texts), delay_s=delay_s)
            return json_reply(CONVERSE_ANSWER)
        asked = request.json
        if not asked.get("stream"):
            return json_reply(COMPLETION)
        return sse_reply([chunk(_piece(asked["model"], i)) for i in range(parts)], delay_s=delay_s)

    return reply


def _piece(model: str, number: int) -> str:
    return f"{model}#{number} "


def _read_stream(body: bytes, parts: int) -> tuple[str, str]:
    """The model that the pieces speak of, and what is wrong with them."""
    blocks = body.decode().split("\n\n")
    data = [block.removeprefix("data: ") for block in blocks]
    if data[-2:] != ["[DONE]", ""]:
        return "", f"no [DONE] at the end: {data[-2:]}"
    choices = [choice for text in data[:-2] for choice in json.loads(text).get("choices", ())]
    text = "".join(choice["delta"].get("content") or "" for choice in choices)
    model = text.partition("#")[0]
    wanted = "".join(_piece(model, i) for i in range(parts))
    return model, "" if text == wanted else f"wrong pieces: {text}"


@contextlib.asynccontextmanager
async def _until_left(works: Sequence[Coroutine[object, object, None]], enough: asyncio.Event) -> AsyncIterator[None]:
    """Run them in the background; at the end tell them that it is enough, and wait until they have heard."""
    async with asyncio.TaskGroup() as group:
        for work in works:
            group.create_task(work)
        try:
            yield
        finally:
            enough.set()


def _request(port: int, path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
    return head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body


async def _read_body(reader: asyncio.StreamReader, head: bytes, got: bytearray) -> None:
    """Append the body to ``got`` as it comes, so that a cut one leaves what there was."""
    if b"\r\ntransfer-encoding: chunked\r\n" in head:
        while size := int(await reader.readuntil(b"\r\n"), 16):
            got += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
        return
    length = head.partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0]
    got += await reader.readexactly(int(length or b"0"))
