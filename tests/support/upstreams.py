"""Scripted upstreams: they answer exactly what a test says, byte by byte if need be, and keep what they were sent.

One loopback port speaks HTTP/1.1 and HTTP/2 without TLS (``upstream_http2``); a connection's first bytes decide.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Self

from tests.support.background import held_open
from tests.support.upstream_http2 import PREFACE, serve_http2
from tests.support.upstream_replies import Encoding, Received, Reply, compressed, json_reply, sse_reply

__all__ = [
    "Encoding",
    "Received",
    "Reply",
    "Upstream",
    "compressed",
    "json_reply",
    "running_upstream",
    "sse_reply",
]

_HEAD_BYTES = 1 << 20


class Upstream:
    """Listens while the context is open. Requests beyond the script get the last reply again."""

    def __init__(self, *replies: Reply) -> None:
        self.received: list[Received] = []
        #: When each part of a body was handed to the kernel, ``time.monotonic``.
        self.sent: list[float] = []
        self.connections = 0
        #: Responses that could not be finished because the other side was gone.
        self.abandoned = 0
        #: Bytes that were no request: what follows a body whose length was a lie.
        self.malformed: list[bytes] = []
        self.port = 0
        self._replies = list(replies or (Reply(),))
        self._gate = asyncio.Semaphore(0)
        self._script: Callable[[Received], Reply] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def answer(self, *replies: Reply) -> None:
        """What comes next. Releases are for the parts of these replies, not for what still waits from before."""
        self._replies, self._script, self._gate = list(replies), None, asyncio.Semaphore(0)

    def answer_with(self, script: Callable[[Received], Reply]) -> None:
        """What comes next depends on the request."""
        self._script = script

    def release(self, parts: int = 1) -> None:
        """Let that many gated parts go. From any thread."""
        for _ in range(parts):
            self._loop.call_soon_threadsafe(self._gate.release)

    def forget(self) -> None:
        """Empty all records, and take back what ``release`` gave to parts that were never written."""
        self._gate = asyncio.Semaphore(0)
        self.received.clear()
        self.sent.clear()
        self.malformed.clear()
        self.abandoned = 0

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, limit=_HEAD_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def reply_to(self, request: Received) -> Reply:
        """Record a request and say what it gets."""
        self.received.append(request)
        if self._script is not None:
            return self._script(request)
        return self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]

    async def before_part(self, reply: Reply) -> None:
        """The waiting that a reply asks for."""
        if reply.gated:
            await self._gate.acquire()
        if reply.delay_s:
            await asyncio.sleep(reply.delay_s)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer, self.connections))
        self.connections += 1
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        try:
            with contextlib.suppress(asyncio.IncompleteReadError):
                head = await reader.readuntil(b"\r\n\r\n")
                if PREFACE.startswith(head):
                    await serve_http2(self, reader, writer, head, number)
                else:
                    await self._serve_http1(reader, writer, head, number)
        except ConnectionError:
            self.abandoned += 1
        finally:
            writer.close()

    async def _serve_http1(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes, number: int
    ) -> None:
        while True:
            line, *lines = head[:-4].split(b"\r\n")
            if len(line.split(b" ")) != 3 or not line.endswith(b"HTTP/1.1"):
                self.malformed.append(head)
                return
            pairs = [text.decode("latin-1").split(":", 1) for text in lines]
            headers = tuple((name, value.strip()) for name, value in pairs)
            body = await _body(reader, {name.lower(): value for name, value in headers})
            reply = self.reply_to(Received(line, headers, body, connection=number))
            await self._write(writer, reply, has_body=not line.startswith(b"HEAD ") and reply.status not in {204, 304})
            if reply.exact is not None or reply.framing == "close" or reply.ending == "reset":
                return
            head = await reader.readuntil(b"\r\n\r\n")

    async def _write(self, writer: asyncio.StreamWriter, reply: Reply, *, has_body: bool) -> None:
        if reply.exact is not None:
            for part in reply.exact:
                await self._part(writer, reply, part)
            return
        writer.write(_head(reply))
        await writer.drain()
        for part in reply.parts if has_body else ():
            chunk = b"%x\r\n%b\r\n" % (len(part), part) if reply.framing == "chunked" else part
            await self._part(writer, reply, chunk if part else b"")
        if reply.ending == "reset":
            writer.transport.abort()
        elif reply.framing == "chunked" and has_body:
            trailers = "".join(f"{name}: {value}\r\n" for name, value in reply.trailers.items())
            writer.write(f"0\r\n{trailers}\r\n".encode())
            await writer.drain()

    async def _part(self, writer: asyncio.StreamWriter, reply: Reply, part: bytes) -> None:
        await self.before_part(reply)
        if writer.transport.is_closing():
            raise ConnectionResetError
        writer.write(part)
        await writer.drain()
        self.sent.append(time.monotonic())


@contextlib.contextmanager
def running_upstream(*replies: Reply) -> Iterator[Upstream]:
    """An upstream on a loop of its own, for tests and fixtures that are not asynchronous."""
    with held_open(Upstream(*replies)) as upstream:
        yield upstream


def _head(reply: Reply) -> bytes:
    headers = dict(reply.headers)
    match reply.framing:
        case "length":
            headers.setdefault("content-length", str(sum(map(len, reply.parts))))
        case "chunked":
            headers["transfer-encoding"] = "chunked"
        case "close":
            headers["connection"] = "close"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {reply.status} Scripted\r\n{lines}\r\n".encode("latin-1")


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    body = bytearray()
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass
    return bytes(body)
