"""Sockets that outlive workers: kept, adopted by a real gRPC server, and given up when gRPC is not as expected."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from controller.standalone.probes import free_port
from extproc.server import listener
from extproc.server.address import AddressError
from extproc.server.listener import AdoptionError, adopt, answers, forsake, keep
from tests.support.waiting import eventually


async def _echo(request: bytes, _: object) -> bytes:
    return request


def _server() -> grpc.aio.Server:
    server = grpc.aio.server()
    method: Any = grpc.unary_unary_rpc_method_handler(_echo)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", {"Echo": method}),))
    return server


@asynccontextmanager
async def _adopting(kept: socket.socket) -> AsyncIterator[grpc.aio.Server]:
    server = _server()
    adopt(kept, server.add_insecure_port)
    await server.start()
    yield server
    await server.stop(None)


async def _ask(address: str) -> bytes:
    async with grpc.aio.insecure_channel(address) as channel:
        echo: Any = channel.unary_unary("/t.T/Echo")
        return bytes(await asyncio.wait_for(echo(b"hello"), 10))


def _accepts(family: int, name: Any) -> bool:
    with socket.socket(family) as late:
        try:
            late.connect(name)
        except OSError:
            return False
    return True


@pytest.fixture(params=["unix", "ipv4", "any"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An address of each kind."""
    if request.param == "unix":
        return f"unix://{tmp_path}/w.0"
    return f"{'127.0.0.1' if request.param == 'ipv4' else '0.0.0.0'}:{free_port()}"


async def test_adopted_socket_is_served(address: str) -> None:
    """A gRPC client reaches the server at the kept address, and so does the probe."""
    with keep(address) as kept:
        async with _adopting(kept):
            await answers(kept.getsockname())

            assert await _ask(address) == b"hello"


async def test_connection_made_before_the_worker_lives_is_served(address: str) -> None:
    """What connects while nobody accepts waits in the queue and is answered by the process that comes."""
    with keep(address) as kept:
        asking = asyncio.create_task(_ask(address))
        await asyncio.sleep(0.2)
        assert not asking.done()
        async with _adopting(kept):
            assert await asking == b"hello"


async def test_stopped_server_and_dropped_socket_refuse(address: str) -> None:
    """When the server has stopped and the keeper has closed its copy, nobody waits in vain."""
    kept = keep(address)
    name = kept.getsockname()
    async with _adopting(kept):
        kept.close()
        assert await _ask(address) == b"hello"
    await eventually(lambda: not _accepts(kept.family, name))


@pytest.mark.parametrize("reason", ["taken", "no directory", "no socket"])
def test_address_that_cannot_be_kept_is_told(tmp_path: Path, reason: str) -> None:
    """The error names the address and says what is wrong."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        (tmp_path / "file").touch()
        bad, words = {
            "taken": (f"127.0.0.1:{other.getsockname()[1]}", "in use"),
            "no directory": (f"unix://{tmp_path}/none/w", "no directory"),
            "no socket": (f"unix://{tmp_path}/file", "no socket"),
        }[reason]
        with pytest.raises(AddressError, match=words) as error:
            keep(bad)

    assert bad.removeprefix("unix://") in str(error.value)


def test_forsaking_removes_dead_socket_files_only(tmp_path: Path) -> None:
    """A socket that somebody listens on stays, and so does a file that is none."""
    live = keep(f"unix://{tmp_path}/live")
    keep(f"unix://{tmp_path}/dead").close()
    (tmp_path / "file").touch()
    for name in ("live", "dead", "file", "missing"):
        forsake(f"unix://{tmp_path}/{name}")

    assert {path.name for path in tmp_path.iterdir()} == {"live", "file"}
    live.close()


def test_unknown_ways_of_listening_are_refused(tmp_path: Path) -> None:
    """A gRPC that listens otherwise, or watches otherwise, is not tampered with."""
    opened: list[socket.socket] = []

    def listen_without_watching(address: str) -> None:
        opened.append(socket.socket(socket.AF_UNIX))
        opened[0].bind("\0" + address.removeprefix("unix-abstract:"))
        opened[0].listen()

    with keep(f"unix://{tmp_path}/w") as kept:
        with pytest.raises(AdoptionError, match="not found"):
            adopt(kept, lambda _: None)
        with pytest.raises(AdoptionError, match="watched 0 times"):
            adopt(kept, listen_without_watching)
    opened[0].close()


async def test_probe_notices_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that nobody accepts on is not adopted."""
    monkeypatch.setattr(listener, "_ANSWER_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(AdoptionError, match="does not answer"):
        await answers(silent.getsockname())


async def test_probe_notices_another_protocol() -> None:
    """A first word that is not HTTP/2's is no adoption either."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        probing = asyncio.create_task(answers(server.getsockname()))
        connection, _ = await asyncio.to_thread(server.accept)
        with connection:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            with pytest.raises(AdoptionError, match="not HTTP/2"):
                await probing
