"""Real worker processes: readiness, draining, and what stops a worker from starting."""

import socket
import stat
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from extproc.exchange.messages import RequestBody, ResponseBody
from extproc.server.servicer import SERVICE
from extproc.server.settings import Settings
from tests.support.exchange_driver import CONFIG, chat, request_headers, response_headers
from tests.support.processor_client import Talk
from tests.support.waiting import eventually
from tests.support.worker_process import LIMIT_S, WorkerProcess, running

CONVERSE = b'{"output":{"message":{"role":"assistant","content":[{"text":"hi"}]}},"stopReason":"end_turn"}'
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A worker on a socket, with a configuration, and a short grace."""
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(metrics))
    (tmp_path / "config.yaml").write_text(CONFIG)
    return Settings(
        config_path=str(tmp_path / "config.yaml"),
        listen=f"unix://{tmp_path / 's'}",
        shutdown_grace=0.5,
        drain_timeout=20.0,
    )


def changed(settings: Settings, **fields: float | str) -> Settings:
    """``settings`` with other fields."""
    old = {name: getattr(settings, name) for name in Settings.__dataclass_fields__}
    return Settings(**{**old, **fields})


@asynccontextmanager
async def channel_to(worker: WorkerProcess) -> AsyncIterator[grpc.aio.Channel]:
    """A connection of its own, as another Envoy would have."""
    options = (("grpc.use_local_subchannel_pool", 1),)
    async with grpc.aio.insecure_channel(worker.address, options=options) as channel:
        yield channel


def talk_over(channel: grpc.aio.Channel) -> Talk:
    """Open an exchange."""
    return Talk(channel.stream_stream(f"/{SERVICE}/Process")())


async def health_of(channel: grpc.aio.Channel) -> int:
    """The answer of the health check."""
    response = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=SERVICE))
    return int(response.status)


async def half_an_exchange(channel: grpc.aio.Channel) -> Talk:
    """A stream whose request went out and whose answer is due."""
    talk = talk_over(channel)
    await talk.say(request_headers())
    await talk.say(RequestBody(chat("claude"), end=True))
    return talk


def mode_of(address: str) -> int | None:
    """The permissions of a socket, None when there is no socket any more."""
    path = Path(address.removeprefix("unix://"))
    return stat.S_IMODE(path.stat().st_mode) if path.exists() else None


async def finish(talk: Talk) -> None:
    """Let the upstream answer, and leave as Envoy does; the exchange must end well."""
    await talk.say(response_headers())
    answer = await talk.say(ResponseBody(CONVERSE, end=True))
    assert b"chat.completion" in answer.response_body.response.body_mutation.body
    await talk.half_close()
    assert await talk.status() is grpc.StatusCode.OK


@pytest.fixture
def delayed_config(settings: Settings) -> Callable[[], None]:
    """Takes the configuration away; the answer brings it."""
    config = Path(settings.config_path)
    away = config.with_suffix(".later")
    config.rename(away)

    def bring() -> None:
        away.rename(config)

    return bring


async def test_a_worker_serves_once_it_has_a_configuration(
    settings: Settings, delayed_config: Callable[[], None]
) -> None:
    """Health turns with the first good file; before, requests get a 503."""
    with running(settings) as worker:
        assert "No such file" in worker.hear("status")["error"]
        worker.hear("listening")
        async with channel_to(worker) as channel:
            assert await health_of(channel) == NOT_SERVING
            refusal = await talk_over(channel).say(request_headers())
            assert refusal.immediate_response.status.code == 503
            delayed_config()
            assert worker.hear("status")["serving"]
            assert await health_of(channel) == SERVING
            await finish(await half_an_exchange(channel))


async def test_sigterm_drains(settings: Settings) -> None:
    """NOT_SERVING first while new streams are taken, then a closed listener, open streams to their end, exit 0."""
    with running(settings) as worker:
        worker.hear("listening")
        assert mode_of(worker.address) == 0o660
        async with channel_to(worker) as channel:
            old = await half_an_exchange(channel)
            worker.terminate()
            worker.hear("draining")
            assert await health_of(channel) == NOT_SERVING
            late = await half_an_exchange(channel)
            await eventually(lambda: mode_of(worker.address) is None)
            await finish(old)
            await finish(late)
        assert worker.exit_code() == 0


async def test_streams_that_do_not_end_are_cut_after_the_drain_timeout(settings: Settings) -> None:
    """A drain takes its time and no longer."""
    with running(changed(settings, shutdown_grace=0.0, drain_timeout=0.3)) as worker:
        worker.hear("listening")
        async with channel_to(worker) as channel:
            talk = await half_an_exchange(channel)
            begin = time.monotonic()
            worker.terminate()
            assert await talk.status() is not grpc.StatusCode.OK
        assert worker.exit_code() == 0
        assert 0.3 <= time.monotonic() - begin < 10


async def test_a_second_sigterm_ends_at_once(settings: Settings) -> None:
    """Neither the grace nor the drain is waited for any longer."""
    with running(changed(settings, shutdown_grace=300.0, drain_timeout=300.0)) as worker:
        worker.hear("listening")
        async with channel_to(worker) as channel:
            talk = await half_an_exchange(channel)
            worker.terminate()
            worker.hear("draining")
            worker.terminate()
            assert await talk.status() is not grpc.StatusCode.OK
        assert worker.exit_code() == 0


def test_a_worker_ends_when_its_supervisor_is_gone(settings: Settings) -> None:
    """An end of the pipe is an order to drain: no orphan keeps an address, here a port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with running(changed(settings, listen=f"127.0.0.1:{port}", shutdown_grace=0.0)) as worker:
        worker.hear("listening")
        with socket.create_connection(("127.0.0.1", port), LIMIT_S):
            worker.control.close()

        assert worker.exit_code() == 0


def test_a_taken_port_is_one_clear_line(settings: Settings, capfd: pytest.CaptureFixture[str]) -> None:
    """An address that is in use ends the worker with 1, its name and the reason, and no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with running(changed(settings, listen=address)) as worker:
            assert worker.exit_code() == 1

    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert f"cannot listen on {address}: Address already in use" in lines[0]
