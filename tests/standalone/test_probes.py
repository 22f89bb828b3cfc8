"""The small client for admin ports."""

import asyncio
import socket

import pytest

from controller.standalone.faults import CannotListen, NotReady
from controller.standalone.probes import ask, check_bind, free_port, wait_until


async def served(answer: bytes) -> tuple[int, bytes]:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(reply, "127.0.0.1", 0)
    async with server:
        return await ask(server.sockets[0].getsockname()[1], "/x")


async def test_plain_and_chunked_bodies_are_read() -> None:
    """Both framings give the body itself."""
    plain = await served(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    chunked = await served(b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n")

    assert plain == (200, b"ok")
    assert chunked == (503, b"abc")


async def test_what_is_no_http_is_an_os_error() -> None:
    """Silence, nonsense and closed ports are all one kind of failure."""
    with pytest.raises(ConnectionError, match="does not speak HTTP"):
        await served(b"SSH-2.0\r\n")
    with pytest.raises(OSError, match="Connect call failed"):
        await ask(free_port(), "/")


async def test_waiting_ends_with_what_it_waited_for() -> None:
    """Errors count as no; the time limit names what did not happen."""
    answers = iter([False, None, True])

    async def no_no_yes() -> bool:
        answer = next(answers)
        if answer is None:
            raise ConnectionRefusedError
        return answer

    async def never() -> bool:
        return False

    await wait_until(no_no_yes, "it did not", 5)
    with pytest.raises(NotReady, match=r"it did not within 0\.02 s"):
        await wait_until(never, "it did not", 0.02)


def test_a_port_in_use_is_not_free_even_when_it_may_be_shared() -> None:
    """SO_REUSEPORT would let two gateways split the requests between them."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(CannotListen, match=rf"port {port} is taken by another program; choose one with --port"):
            check_bind(port, "--port")
    check_bind(port, "--port")


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_an_address_of_another_machine_is_told_from_a_port_that_is_taken(host: str) -> None:
    """The fault is the address and its flag, also when any port would do."""
    with pytest.raises(CannotListen, match=f"this machine does not have the address {host}; .* --address"):
        check_bind(0, "--port", host)
