"""The servicer: one gRPC stream is one HTTP request, and one ``Exchange`` decides on it.

1. gRPC hands over bytes in both directions, and the handler reads and writes by itself: of what ``grpc.aio`` offers
   this costs the least, about a tenth less than an async generator of messages (behind Envoy 1.40, grpcio 1.85).
2. The last answer of an exchange is what the handler returns, instead of waiting for Envoy to close the stream: answer
   and status leave together, two wake-ups less, and a complete exchange always ends the same way. For that the method
   is registered as one that answers once, which writes what it likes before; on the wire nobody can tell. Not so in a
   server that drains: gRPC closes a connection with its last stream, and what Envoy has not read by then is lost with
   it: one drain under load in twenty cut a stream before its last event. There, Envoy closes first.
3. Every other end (half-close, cancellation, a write to a peer that left) is no error of anybody here.
4. A failure of ours is counted, logged once, and answered with what ``Exchange.fail`` says, which ends the exchange.
"""

import logging
import secrets
import time
from random import random
from typing import Final, Protocol

import grpc
import msgspec

from extproc.exchange.edges import Edges
from extproc.exchange.gateway import Gateway
from extproc.exchange.machine import Exchange
from extproc.exchange.messages import (
    PASS,
    Action,
    Event,
    Reply,
    RequestHeaders,
    RequestTrailers,
    ResponseBody,
    ResponseHeaders,
    ResponseTrailers,
)
from extproc.exchange.record import Record
from extproc.registry import load_all
from extproc.server.logs import withhold_texts
from extproc.server.mapping import read, write

#: The service as Envoy calls it.
SERVICE: Final = "envoy.service.ext_proc.v3.ExternalProcessor"

#: The world without credentials, which a worker adds.
#: ``random`` is one generator for all threads, and Python seeds it anew in every forked child
#: (``random.py`` registers with ``os.register_at_fork``), so two workers do not draw the same backends.
EDGES: Final = Edges(draw=random, now=time.monotonic, wall=time.time, new_id=lambda: secrets.token_hex(8))


# Before the workers fork, so that they share the memory and their first requests do not wait for imports.
load_all()

_ENDING: Final = (ResponseBody, ResponseHeaders)

_logger = logging.getLogger(__name__)
_logger.addFilter(withhold_texts)


class Stream(Protocol):
    """What the servicer uses of ``grpc.aio.ServicerContext``. ``read`` answers ``grpc.aio.EOF`` at the end."""

    async def read(self) -> object:
        """The next message's bytes."""

    async def write(self, message: bytes, /) -> None:
        """Send a message; returns when gRPC took it."""


class GatewaySource(Protocol):
    """Where a stream finds the configuration of its first moment; ``reload.ConfigState`` is one."""

    @property
    def gateway(self) -> Gateway | None:
        """None before the first good configuration."""


class Observer(Protocol):
    """Who is told what happens: metrics and the access log."""

    def started(self) -> None:
        """A stream was opened."""

    def finished(self, record: Record) -> None:
        """A stream ended. Called exactly once for each that was opened."""

    def failed(self) -> None:
        """There was an internal error."""


class Processor:
    """Answers Envoy's streams; any number of them at a time, on one event loop."""

    def __init__(self, source: GatewaySource, observer: Observer, edges: Edges = EDGES) -> None:
        self._source = source
        self._edges = edges
        self._observer = observer
        self._draining = False

    def drain(self) -> None:
        """To be called before the server is stopped; streams go on as before."""
        self._draining = True

    async def process(self, _: object, stream: Stream) -> bytes:
        """Drive one exchange, on the configuration of this moment, to its end; the last answer.

        An empty one where Envoy has ended the stream before: it has nobody left there to tell it to.
        """
        gateway = self._source.gateway
        exchange = _Unconfigured() if gateway is None else Exchange(gateway, self._edges)
        self._observer.started()
        try:
            while isinstance(message := await stream.read(), bytes):
                answer, last = self._answer(exchange, message)
                if last and not self._draining:
                    return answer
                await stream.write(answer)
            return b""
        finally:
            self._observer.finished(exchange.finish())

    def _answer(self, exchange: "Exchange | _Unconfigured", message: bytes) -> tuple[bytes, bool]:
        """The bytes to answer with, and whether they are the last of this exchange."""
        # A Reply fits any phase, so a message that cannot be read is answered as if it were this one.
        event: Event = RequestTrailers()
        try:
            event = read(message)
            action = exchange.receive(event)
            return write(event, action), _is_last(event, action)
        except Exception:
            self._observer.failed()
            _logger.exception("internal error at %s of request %s", type(event).__name__, exchange.record.request_id)
        action = exchange.fail()
        return write(event, action), _is_last(event, action)


def handler(processor: Processor) -> grpc.GenericRpcHandler:
    """What a ``grpc.aio`` server needs to serve ``processor``."""
    process: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_unary_rpc_method_handler(processor.process)
    return grpc.method_handlers_generic_handler(SERVICE, {"Process": process})


def _is_last(event: Event, action: Action) -> bool:
    if isinstance(action, Reply):
        return True
    if isinstance(event, _ENDING):
        return event.end
    return isinstance(event, ResponseTrailers)


class _Unconfigured:
    """Stands in for an exchange while there is no configuration: requests get a 503, everything else passes.

    Rare: the health check keeps Envoy away then.
    """

    def __init__(self) -> None:
        self.record = Record(
            started=time.monotonic(), outcome="gateway_error", error="no configuration has been loaded yet"
        )

    def receive(self, event: Event) -> Action:
        """A 503 for a request, and nothing to change in replies of Envoy's own."""
        if isinstance(event, RequestHeaders):
            self.record.request_id = event.headers.get("x-request-id", "")
            self.record.method = event.headers.get(":method", "")
            return self.fail()
        return PASS

    def fail(self) -> Reply:
        """The 503."""
        self.record.status = 503
        error = {"message": self.record.error, "type": "server_error", "param": None, "code": "not_ready"}
        return Reply(
            503,
            msgspec.json.encode({"error": error}),
            "llmroute_no_configuration",
            (("content-type", "application/json"), ("retry-after", "1")),
        )

    def finish(self) -> Record:
        """The end of it."""
        self.record.ended = time.monotonic()
        return self.record
