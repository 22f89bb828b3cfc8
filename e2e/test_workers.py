"""Two workers under load: told to end, nothing is lost; killed, no more than they held."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Self

import pytest

from e2e.conftest import Tell
from tests.support.deployed import Deployed, deployed
from tests.support.gateway import backend, route, rule
from tests.support.load import Streamed, Tally, numbered, short_requests, stream
from tests.support.plane import chat
from tests.support.upstreams import running_upstream
from tests.support.waiting import eventually, is_alive

MODELS = ("plain", "bedrock")
#: A stream lasts six seconds: longer than a worker's whole farewell.
PARTS, PAUSE_S = 60, 0.1
CLIENTS, STREAMS = 8, 20


@pytest.fixture
def deployment() -> Iterator[Deployed]:
    with running_upstream() as upstream:
        upstream.answer_with(numbered(PARTS, PAUSE_S))
        documents = [
            route(*(rule(model, model) for model in MODELS)),
            backend("plain", upstream.port),
            backend("bedrock", upstream.port, "AWSBedrock"),
        ]
        with deployed(documents) as made:
            yield made


class Load:
    """Short requests and streams that have begun."""

    def __init__(self, port: int) -> None:
        self.tally = Tally()
        self._port = port
        self._stack = AsyncExitStack()
        self._streams: list[asyncio.Task[Streamed]] = []

    async def __aenter__(self) -> Self:
        bodies = [chat(model) for model in MODELS]
        self.tally = await self._stack.enter_async_context(short_requests(self._port, bodies, CLIENTS))
        # Streams that come before Envoy has a connection to each worker would all go to the same one.
        await asyncio.sleep(1)
        self._streams = [
            asyncio.create_task(stream(self._port, chat(MODELS[i % 2], stream=True), PARTS)) for i in range(STREAMS)
        ]
        await asyncio.sleep(1)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def streamed(self) -> list[Streamed]:
        """All streams, once they have ended."""
        return await asyncio.gather(*self._streams)


async def test_a_worker_that_is_told_to_end_loses_nothing(deployment: Deployed, tell: Tell) -> None:
    """SIGTERM of one of two: no request fails, no stream is cut, and another worker takes its place."""
    [first, second] = pids(deployment)
    async with Load(deployment.envoy.port) as load:
        held = deployment.active()
        os.kill(first, signal.SIGTERM)
        streams = await load.streamed()
        await eventually(lambda: first not in pids(deployment) and ready(deployment), "no successor")
        await asyncio.sleep(1)

    tell(
        short_requests=load.tally.done,
        failed=len(load.tally.failures),
        streams=len(streams),
        cut=sum(bool(s.fault) for s in streams),
        on_the_worker=held[0],
    )
    assert held[0] > 0
    assert load.tally.failures == []
    assert [s.fault for s in streams if s.fault] == []
    assert pids(deployment)[1] == second
    assert not is_alive(first)
    demand_clean(deployment)


async def test_a_worker_that_is_killed_takes_only_its_own_along(deployment: Deployed, tell: Tell) -> None:
    """SIGKILL for one of two: at most what it held fails, and it is back within a second."""
    [first, second] = pids(deployment)
    async with Load(deployment.envoy.port) as load:
        held = deployment.active()
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: pids(deployment) != [first, second] and ready(deployment), "no successor")
        streams = await load.streamed()
        after = deployment.active()

    cut = sum(bool(s.fault) for s in streams)
    respawned_s = said_at(deployment, "listening on", -1) - said_at(deployment, "died: killed by SIGKILL")
    tell(
        short_requests=load.tally.done,
        failed=len(load.tally.failures),
        streams=len(streams),
        cut=cut,
        on_the_worker=held[0],
        respawned_s=respawned_s,
        on_its_successor=after[0],
    )
    assert 0 < cut <= held[0]
    assert len(load.tally.failures) <= CLIENTS
    assert respawned_s < 1
    assert pids(deployment)[1] == second
    demand_clean(deployment)


async def test_the_processor_drains_before_it_ends(deployment: Deployed, tell: Tell) -> None:
    """SIGTERM of the whole processor: streams that have begun come to their end, then it exits with 0."""
    port = deployment.envoy.port
    streams = [asyncio.create_task(stream(port, chat(MODELS[i % 2], stream=True), PARTS)) for i in range(STREAMS)]
    await asyncio.sleep(1)
    told = time.monotonic()
    deployment.processor.terminate()

    ended = await asyncio.gather(*streams)
    await eventually(lambda: deployment.processor.poll() is not None, "it does not end")

    tell(streams=len(ended), cut=sum(bool(s.fault) for s in ended), ended_after_s=time.monotonic() - told)
    assert [s.fault for s in ended if s.fault] == []
    assert deployment.processor.returncode == 0
    assert "Traceback" not in deployment.log


def said_at(deployment: Deployed, words: str, which: int = 0) -> float:
    """When the processor's log said so, in seconds."""
    lines = [json.loads(line) for line in deployment.log.splitlines()]
    times = [line["time"] for line in lines if words in line["message"]]
    return datetime.fromisoformat(times[which]).timestamp()


def pids(deployment: Deployed) -> list[int]:
    return [worker["pid"] for worker in deployment.workers()]


def ready(deployment: Deployed) -> bool:
    return all(worker["ready"] for worker in deployment.workers())


def demand_clean(deployment: Deployed) -> None:
    """Nothing went wrong inside the processor."""
    assert deployment.metric("llmroute_internal_errors_total") == 0
    assert "Traceback" not in deployment.log
