"""A processor behind a real gRPC channel, and someone who talks to it as Envoy does."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from extproc.exchange.gateway import Gateway
from extproc.exchange.messages import (
    Event,
    RequestBody,
    RequestHeaders,
    RequestTrailers,
    ResponseBody,
    ResponseHeaders,
)
from extproc.exchange.record import Record
from extproc.server.proto import extproc_pb2 as pb
from extproc.server.servicer import SERVICE, Processor, handler
from extproc.server.worker import SERVER_OPTIONS

#: Nothing here takes longer; hitting it means a hang.
LIMIT_S = 10


@dataclass
class Source:
    """The configuration of the moment."""

    gateway: Gateway | None


@dataclass
class Observed:
    """What the processor told."""

    streams: int = 0
    failures: int = 0
    records: list[Record] = field(default_factory=list)
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    _finished: asyncio.Event = field(default_factory=asyncio.Event)

    def started(self) -> None:
        self.streams += 1
        self.opened.set()

    def failed(self) -> None:
        self.failures += 1

    def finished(self, record: Record) -> None:
        self.records.append(record)
        self._finished.set()

    async def record(self) -> Record:
        """The only record there is, once it is there."""
        await asyncio.wait_for(self._finished.wait(), LIMIT_S)
        (record,) = self.records
        return record


def message(event: Event) -> bytes:
    """The message in which Envoy tells ``event``."""
    request = pb.ProcessingRequest()
    match event:
        case RequestHeaders():
            _fill(request.request_headers, event)
        case ResponseHeaders():
            _fill(request.response_headers, event)
            for name, value in event.attributes.items():
                fields = request.attributes["envoy.filters.http.ext_proc"].fields
                fields[name].string_value = value.encode("latin-1")
        case RequestBody():
            request.request_body.body, request.request_body.end_of_stream = event.body, event.end
        case ResponseBody():
            request.response_body.body, request.response_body.end_of_stream = event.body, event.end
        case RequestTrailers():
            request.request_trailers.SetInParent()
        case _:
            request.response_trailers.SetInParent()
    return request.SerializeToString()


def _fill(target: pb.HttpHeaders, event: RequestHeaders | ResponseHeaders) -> None:
    target.end_of_stream = event.end
    for name, value in event.headers.items():
        target.headers.headers.add(key=name, raw_value=value.encode("latin-1"))


class Talk:
    """One stream: one HTTP request as Envoy tells it."""

    def __init__(self, call: "grpc.aio.StreamStreamCall[bytes, bytes]") -> None:
        self._call = call

    async def say(self, told: Event | bytes) -> pb.ProcessingResponse:
        """Tell one event; the answer, which must come."""
        await self._call.write(told if isinstance(told, bytes) else message(told))
        answer = await asyncio.wait_for(self._call.read(), LIMIT_S)
        assert isinstance(answer, bytes), f"no answer to {told!r}: {await self.status()}"
        return pb.ProcessingResponse.FromString(answer)

    async def say_all(self, events: Iterable[Event | bytes]) -> list[pb.ProcessingResponse]:
        """Tell events one after another."""
        return [await self.say(event) for event in events]

    async def half_close(self) -> None:
        """Say no more, and wait for the end of the stream; at most an answer that says nothing comes before it."""
        await self._call.done_writing()
        rest = [await asyncio.wait_for(self._call.read(), LIMIT_S)]
        while rest[-1] is not grpc.aio.EOF:
            rest.append(await asyncio.wait_for(self._call.read(), LIMIT_S))
        assert rest in ([grpc.aio.EOF], [b"", grpc.aio.EOF])

    async def is_open(self) -> bool:
        """Whether the server has not closed the stream, now that it had the time to."""
        done, _ = await asyncio.wait([asyncio.ensure_future(self._call.code())], timeout=0.2)
        return not done

    def cancel(self) -> None:
        """Leave."""
        self._call.cancel()

    async def status(self) -> grpc.StatusCode:
        """How the stream ended, once it did."""
        return await asyncio.wait_for(self._call.code(), LIMIT_S)


@dataclass
class Client:
    """A channel to a processor, and what that told its observer."""

    channel: grpc.aio.Channel
    source: Source
    observed: Observed
    processor: Processor

    def talk(self) -> Talk:
        """Open a stream."""
        return Talk(self.channel.stream_stream(f"/{SERVICE}/Process")())


@asynccontextmanager
async def serving(gateway: Gateway | None, directory: Path) -> AsyncIterator[Client]:
    """A processor on a socket in ``directory``."""
    source, observed = Source(gateway), Observed()
    server = grpc.aio.server(options=SERVER_OPTIONS)
    processor = Processor(source, observed)
    server.add_generic_rpc_handlers((handler(processor),))
    address = f"unix:{directory / 's'}"
    server.add_insecure_port(address)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(address, options=SERVER_OPTIONS) as channel:
            yield Client(channel, source, observed, processor)
    finally:
        await server.stop(None)
