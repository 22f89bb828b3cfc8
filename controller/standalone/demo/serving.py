"""A small HTTP/1.1 server: whole requests in, whole or streamed answers out. h11 does the framing."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote, urlsplit

import h11

from controller.standalone.demo.script import Cut

#: The 50 MiB that the gateway itself lets through and a little more.
MAX_BODY_BYTES = 64 * 1024 * 1024
_READ_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """One request, read to its end. Header names are lower-case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def segments(self) -> list[str]:
        """The path, split first and decoded after: ``/model/a%3Ab/converse`` is ``["model", "a:b", "converse"]``."""
        return [unquote(segment) for segment in urlsplit(self.path).path.strip("/").split("/")]


@dataclass(frozen=True, slots=True)
class Answer:
    """One response. Bytes are sent with their length, an iterator in chunks as they come."""

    body: bytes | AsyncGenerator[bytes, None]
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Request], Awaitable[Answer]]


class Server:
    """Listens on loopback while the context is open; ``port`` is known inside it."""

    def __init__(self, handler: Handler, port: int = 0) -> None:
        self.port = port
        self._handler = handler
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, h11.ProtocolError):
                await _Connection(reader, writer, self._handler).run()
        except Cut:
            writer.transport.abort()
        finally:
            writer.close()


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler) -> None:
        self._reader = reader
        self._writer = writer
        self._handler = handler
        self._http = h11.Connection(h11.SERVER)

    async def run(self) -> None:
        """Request after request until either side is done."""
        while True:
            request = await self._request()
            if request is None:
                return
            await self._answer(request, await self._handler(request))
            if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                return
            self._http.start_next_cycle()

    async def _request(self) -> Request | None:
        head = await self._event()
        if not isinstance(head, h11.Request):
            return None
        body = bytearray()
        while isinstance(part := await self._event(), h11.Data):
            body += part.data
            if len(body) > MAX_BODY_BYTES:
                raise Cut
        if not isinstance(part, h11.EndOfMessage):
            return None
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
        return Request(head.method.decode(), head.target.decode("latin-1"), headers, bytes(body))

    async def _event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                return event
            if self._http.they_are_waiting_for_100_continue:
                await self._send(h11.InformationalResponse(status_code=100, headers=[]))
            self._http.receive_data(await self._reader.read(_READ_BYTES))

    async def _answer(self, request: Request, answer: Answer) -> None:
        headers = {"content-type": answer.content_type, **answer.headers}
        if isinstance(answer.body, bytes):
            headers["content-length"] = str(len(answer.body))
            body = answer.body if request.method != "HEAD" else b""
            await self._send(_head(answer.status, headers), h11.Data(data=body), h11.EndOfMessage())
            return
        headers["transfer-encoding"] = "chunked"
        await self._send(_head(answer.status, headers))
        async with contextlib.aclosing(answer.body):
            async for chunk in answer.body:
                await self._send(h11.Data(data=chunk))
        await self._send(h11.EndOfMessage())

    async def _send(self, *events: h11.Event) -> None:
        """One write for all of them: two would wait for each other's acknowledgement."""
        self._writer.write(b"".join(self._http.send(event) or b"" for event in events))
        await self._writer.drain()


def _head(status: int, headers: Mapping[str, str]) -> h11.Response:
    return h11.Response(
        status_code=status, headers=[(name.encode(), value.encode()) for name, value in headers.items()]
    )
