"""The servicer: one gRPC stream of Envoy's is one HTTP request, and one ``Exchange`` decides on it.

1. Messages are bytes on both sides of gRPC and the handler reads and writes by itself: of the idioms that ``grpc.aio``
   offers this one costs the least (docs/decisions/0003-grpc-idiom.md).
2. After the last answer of an exchange the handler returns, instead of waiting for Envoy to close: that saves a wake-up
   and makes the end of a whole exchange the same every time.
3. Any other end (half-close, cancellation, a failed write) is Envoy's or a peer's right and no error.
4. A failure of ours is counted, logged once, and answered with what ``Exchange.fail`` says, which ends the exchange.
"""

import logging
import secrets
import time
import traceback
from collections.abc import Callable
from random import SystemRandom
from typing import Final, Protocol

import grpc
import msgspec

from extproc.exchange.gateway import Gateway
from extproc.exchange.machine import Edges, Exchange
from extproc.exchange.messages import (
    PASS,
    Action,
    Event,
    Reply,
    RequestHeaders,
    ResponseBody,
    ResponseHeaders,
    ResponseTrailers,
)
from extproc.exchange.record import Record
from extproc.server.mapping import UnreadableMessageError, read, write

#: The service as Envoy calls it.
SERVICE: Final = "envoy.service.ext_proc.v3.ExternalProcessor"

_EDGES: Final = Edges(draw=SystemRandom().random, now=time.monotonic, wall=time.time, new_id=lambda: secrets.token_hex(8))
_NO_CONFIGURATION: Final = "the gateway has no configuration yet; retry in a moment"
_NOT_READY: Final = Reply(
    503,
    msgspec.json.encode({"error": {"message": _NO_CONFIGURATION, "type": "server_error", "param": None, "code": None}}),
    "llmroute_no_configuration",
    (("content-type", "application/json"), ("retry-after", "1")),
)

_log = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[bytes, bytes]


class GatewaySource(Protocol):
    """Where a stream finds the configuration of the moment; ``reload.ConfigState`` is one."""

    gateway: Gateway | None


class Observer(Protocol):
    """Who is told what happened: the metrics and the access log of this process."""

    def started(self) -> None:
        """A stream was opened."""

    def finished(self, record: Record) -> None:
        """A stream ended; called exactly once for each that was opened."""

    def internal_error(self) -> None:
        """We failed."""
