"""Health and reflection over a real channel."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from extproc.server.health import Health, add_reflection
from extproc.server.servicer import SERVICE

LIMIT_S = 10
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVING = health_pb2.HealthCheckResponse.SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


@dataclass
class Served:
    """A health service and the stub to ask it with."""

    health: Health
    server: grpc.aio.Server
    address: str
    stub: Any

    async def check(self, service: str = "") -> int:
        """The answer of Check."""
        response = await self.stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=LIMIT_S)
        return int(response.status)

    def watch(self, service: str) -> Any:
        """A call of Watch."""
        return self.stub.Watch(health_pb2.HealthCheckRequest(service=service), timeout=LIMIT_S)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """A server with nothing but health and reflection."""
    health, server, address = Health(), grpc.aio.server(), f"unix:{tmp_path / 's'}"
    server.add_generic_rpc_handlers((health.handler(),))
    add_reflection(server)
    server.add_insecure_port(address)
    await server.start()
    async with grpc.aio.insecure_channel(address) as channel:
        yield Served(health, server, address, health_pb2_grpc.HealthStub(channel))
    await server.stop(None)


@pytest.mark.parametrize("service", ["", SERVICE])
async def test_check_follows_what_is_said(served: Served, service: str) -> None:
    """A worker does not serve until told so, and stops when told so."""
    assert await served.check(service) == NOT_SERVING
    served.health.set_serving(serving=True)
    assert await served.check(service) == SERVING
    served.health.set_serving(serving=False)
    assert await served.check(service) == NOT_SERVING


async def test_check_of_an_unknown_service_names_the_known_ones(served: Served) -> None:
    """A misspelt service name gets NOT_FOUND and the names there are."""
    with pytest.raises(grpc.aio.AioRpcError, match=SERVICE) as caught:
        await served.check("envoy.Nope")

    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_watch_tells_every_change_to_every_watcher(served: Served) -> None:
    """Each watcher sees the present state at once, and then each change, but no repetition."""
    watchers = [served.watch(service) for service in ("", SERVICE)]
    assert [(await w.read()).status for w in watchers] == [NOT_SERVING] * 2
    served.health.set_serving(serving=False)
    served.health.set_serving(serving=True)
    assert [(await w.read()).status for w in watchers] == [SERVING] * 2


async def test_closing_ends_watches_after_the_last_state(served: Served) -> None:
    """A watcher learns of NOT_SERVING before its stream ends, so that a drain need not wait for it."""
    watcher = served.watch(SERVICE)
    served.health.set_serving(serving=True)
    assert (await watcher.read()).status == SERVING
    served.health.set_serving(serving=False)
    served.health.close()

    assert (await watcher.read()).status == NOT_SERVING
    assert await watcher.read() is grpc.aio.EOF
    assert await watcher.code() is grpc.StatusCode.OK


async def test_watching_an_unknown_service_stays_open(served: Served) -> None:
    """The protocol's SERVICE_UNKNOWN, in case the service is added later."""
    watcher = served.watch("envoy.Nope")
    assert (await watcher.read()).status == SERVICE_UNKNOWN
    served.health.set_serving(serving=True)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(watcher.read(), 0.05)


async def test_a_drain_does_not_wait_for_watchers(served: Served) -> None:
    """Stopping with minutes of grace returns at once when only watches are open."""
    watcher = served.watch("")
    await watcher.read()
    served.health.close()

    await asyncio.wait_for(served.server.stop(600), LIMIT_S)


async def test_reflection_describes_the_service(served: Served) -> None:
    """A tool like grpcurl can list the services and learn the messages of Envoy's."""

    def ask() -> tuple[list[str], str, str]:
        with grpc.insecure_channel(served.address) as channel:
            database = ProtoReflectionDescriptorDatabase(channel)
            method = DescriptorPool(database).FindServiceByName(SERVICE).methods_by_name["Process"]
            return list(database.get_services()), method.input_type.full_name, method.output_type.full_name

    services, request, response = await asyncio.to_thread(ask)

    assert {SERVICE, "grpc.health.v1.Health"} <= set(services)
    assert (request, response) == ("llmroute.wire.v1.ProcessingRequest", "llmroute.wire.v1.ProcessingResponse")
