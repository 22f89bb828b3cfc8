"""What others than Envoy's filter ask a worker: ``grpc.health.v1`` and server reflection.

Our own health service instead of ``grpcio-health-checking``'s servicer, of which only the messages are used: there, a
watcher that does not read can delay a change for everyone, and watches stay open through a drain until its timeout.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import grpc
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection

from extproc.server.proto import service_pb2
from extproc.server.servicer import SERVICE

_HEALTH: Final = "grpc.health.v1.Health"
_SERVICES: Final = ("", SERVICE)
_Response = health_pb2.HealthCheckResponse


class Health:
    """Whether this worker takes traffic: no, until told otherwise. Asked for by the names ``""`` and Envoy's."""

    def __init__(self) -> None:
        self._status = _Response.NOT_SERVING
        self._closed = False
        self._changed = asyncio.Event()

    def set_serving(self, *, serving: bool) -> None:
        """Say so to all who ask and all who watch."""
        self._status = _Response.SERVING if serving else _Response.NOT_SERVING
        self._wake()

    def close(self) -> None:
        """End all watches, which a draining server would wait for."""
        self._closed = True
        self._wake()

    def handler(self) -> grpc.GenericRpcHandler:
        """What a ``grpc.aio`` server needs to serve this."""
        codecs = {
            "request_deserializer": health_pb2.HealthCheckRequest.FromString,
            "response_serializer": _Response.SerializeToString,
        }
        return grpc.method_handlers_generic_handler(
            _HEALTH,
            {
                "Check": grpc.unary_unary_rpc_method_handler(self._check, **codecs),
                "Watch": grpc.unary_stream_rpc_method_handler(self._watch, **codecs),
            },
        )

    async def _check(
        self, request: health_pb2.HealthCheckRequest, context: "_Context"
    ) -> health_pb2.HealthCheckResponse:
        if request.service not in _SERVICES:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"unknown service; known: {', '.join(map(repr, _SERVICES))}")
        response: health_pb2.HealthCheckResponse = _Response(status=self._status)
        return response

    async def _watch(
        self, request: health_pb2.HealthCheckRequest, _: "_Context"
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        told = None
        while True:
            changed = self._changed
            status = self._status if request.service in _SERVICES else _Response.SERVICE_UNKNOWN
            if status != told:
                yield _Response(status=status)
                told = status
            elif self._closed:
                return
            else:
                await changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


_Context = grpc.aio.ServicerContext[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse]


def add_reflection(server: grpc.aio.Server) -> None:
    """Let ``grpcurl`` and its like list and call what the server offers."""
    assert SERVICE in {service.full_name for service in service_pb2.DESCRIPTOR.services_by_name.values()}
    reflection.enable_server_reflection((SERVICE, _HEALTH, reflection.SERVICE_NAME), server)
