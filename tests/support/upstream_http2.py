"""The HTTP/2 half of ``upstreams``: prior knowledge, no TLS, trailers, flow control, resets."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RequestReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.settings import SettingCodes, Settings

from tests.support.upstream_replies import Received, Reply, Script

#: What a client sends first (RFC 9113, 3.4); ``upstreams`` reads up to the first empty line and so half of it.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_WINDOW = 1 << 26
_READ_BYTES = 1 << 18


@dataclass(slots=True)
class _Stream:
    headers: list[tuple[str, str]]
    body: bytearray = field(default_factory=bytearray)
    trailers: tuple[tuple[str, str], ...] = ()
    task: asyncio.Task[None] | None = None


async def serve_http2(
    script: Script, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes, number: int
) -> None:
    """One connection, of which ``head`` has been read."""
    await _Connection(script, reader, writer, number).run(head)


class _Connection:
    def __init__(self, script: Script, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self._script = script
        self._reader = reader
        self._writer = writer
        self._number = number
        self._http = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        # Not set one by one: those are only sent with a later frame, and until then both sides count differently.
        self._http.local_settings = Settings(False, {SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW})
        self._streams: dict[int, _Stream] = {}
        self._window_opened = asyncio.Event()

    async def run(self, head: bytes) -> None:
        self._http.initiate_connection()
        self._http.increment_flow_control_window(_WINDOW)
        data = head
        try:
            while data:
                for event in self._http.receive_data(data):
                    self._take(event)
                await self._flush()
                data = await self._reader.read(_READ_BYTES)
        finally:
            tasks = [stream.task for stream in self._streams.values() if stream.task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _take(self, event: Event) -> None:
        match event:
            case RequestReceived(stream_id=int(number), headers=headers):
                self._streams[number] = _Stream([(str(name), str(value)) for name, value in headers or ()])
            case DataReceived(stream_id=int(number), data=data, flow_controlled_length=length):
                self._streams[number].body += data or b""
                self._http.acknowledge_received_data(length or 0, number)
            case TrailersReceived(stream_id=int(number), headers=trailers):
                self._streams[number].trailers = tuple((str(name), str(value)) for name, value in trailers or ())
            case StreamEnded(stream_id=int(number)):
                self._streams[number].task = asyncio.create_task(self._answer(number))
            case StreamReset(stream_id=int(number)):
                self._drop(number)
            case WindowUpdated():
                self._window_opened.set()
            case ConnectionTerminated():
                self._writer.close()
            case _:
                pass

    def _drop(self, number: int) -> None:
        stream = self._streams.pop(number, None)
        if stream is not None and stream.task is not None and not stream.task.done():
            self._script.abandoned += 1
            stream.task.cancel()

    async def _answer(self, number: int) -> None:
        reply = self._script.reply_to(self._received(number))
        has_body = any(reply.parts)
        self._send_headers(
            number, {":status": str(reply.status), **reply.headers}, end=not has_body and not reply.trailers
        )
        await self._flush()
        for i, part in enumerate(reply.parts if has_body else ()):
            await self._script.before_part(reply)
            last = i == len(reply.parts) - 1 and reply.ending == "end" and not reply.trailers
            await self._send_part(number, part, end=last)
            self._script.sent.append(time.monotonic())
        self._finish(number, reply)
        await self._flush()

    def _finish(self, number: int, reply: Reply) -> None:
        if reply.ending == "reset":
            self._http.reset_stream(number, ErrorCodes.INTERNAL_ERROR)
        elif reply.trailers:
            self._send_headers(number, reply.trailers, end=True)

    def _received(self, number: int) -> Received:
        stream = self._streams[number]
        pseudo = {name: value for name, value in stream.headers if name.startswith(":")}
        line = f"{pseudo[':method']} {pseudo[':path']} HTTP/2".encode()
        headers = [(name, value) for name, value in stream.headers if not name.startswith(":")]
        host = [("host", pseudo[":authority"])] if ":authority" in pseudo else []
        return Received(line, (*host, *headers), bytes(stream.body), "HTTP/2", self._number, stream.trailers)

    def _send_headers(self, number: int, headers: Mapping[str, str], *, end: bool) -> None:
        self._http.send_headers(number, list(headers.items()), end_stream=end)

    async def _send_part(self, number: int, part: bytes, *, end: bool) -> None:
        left = memoryview(part)
        while True:
            room = min(self._http.local_flow_control_window(number), self._http.max_outbound_frame_size)
            if room <= 0 and left:
                self._window_opened.clear()
                await self._window_opened.wait()
                continue
            piece, left = left[:room], left[room:]
            self._http.send_data(number, bytes(piece), end_stream=end and not left)
            await self._flush()
            if not left:
                return

    async def _flush(self) -> None:
        if data := self._http.data_to_send():
            self._writer.write(data)
            await self._writer.drain()
