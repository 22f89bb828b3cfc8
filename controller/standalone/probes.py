"""Questions to the admin ports: small GETs and POSTs on loopback, and waiting for an answer."""

import asyncio
import contextlib
import errno
import re
import socket
import time
from collections.abc import Awaitable, Callable

from controller.standalone.faults import CannotListen, NotReady

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_ANSWER_LIMIT_S = 5.0
_PAUSE_S = 0.01
_CHUNK = re.compile(rb"([0-9a-fA-F]+)[^\r\n]*\r\n")


async def ask(port: int, path: str, method: str = "GET") -> tuple[int, bytes]:
    """Status and body of one request to 127.0.0.1. Raises ``OSError`` when nothing (sensible) answers."""
    try:
        async with asyncio.timeout(_ANSWER_LIMIT_S):
            return await _ask(port, f"{method} {path} HTTP/1.1\r\nhost: localhost:{port}\r\ncontent-length: 0\r\n")
    except TimeoutError:
        raise OSError(f"no answer from port {port} within {_ANSWER_LIMIT_S:g} s") from None


async def _ask(port: int, head: str) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"{head}connection: close\r\n\r\n".encode())
        head_bytes, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    status = _STATUS.match(head_bytes)
    if status is None:
        raise ConnectionError(f"port {port} does not speak HTTP")
    chunked = b"transfer-encoding: chunked" in head_bytes.lower()
    return int(status[1]), _joined(body) if chunked else body


def _joined(chunked: bytes) -> bytes:
    body, at = bytearray(), 0
    while (size := _CHUNK.match(chunked, at)) and int(size[1], 16):
        end = size.end() + int(size[1], 16)
        body += chunked[size.end() : end]
        at = end + 2
    return bytes(body)


async def wait_until(true: Callable[[], Awaitable[bool]], what: str, limit_s: float) -> None:
    """Ask until the answer is yes. Raises ``NotReady`` after ``limit_s`` seconds of no or of silence."""
    deadline = time.monotonic() + limit_s
    while True:
        with contextlib.suppress(OSError):
            if await true():
                return
        if time.monotonic() > deadline:
            raise NotReady(f"{what} within {limit_s:g} s")
        await asyncio.sleep(_PAUSE_S)


def free_port() -> int:
    """A TCP port on loopback that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def check_bind(port: int, flag: str, host: str = "127.0.0.1") -> None:
    """Whether a server could listen there. Raises ``CannotListen``; ``flag`` is what the port was chosen with.

    Asked by us because Envoy would not notice a second server: it shares its port with its like.
    """
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise CannotListen(_why_not(error, port, flag, host)) from None


def _why_not(error: OSError, port: int, flag: str, host: str) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"port {port} is taken by another program; choose one with {flag}"
        case errno.EACCES | errno.EPERM:
            return f"port {port} needs more rights than this user has; choose one above 1023 with {flag}"
        case errno.EADDRNOTAVAIL | errno.EAFNOSUPPORT:
            return f"this machine does not have the address {host}; choose one with --address"
        case _:
            return f"cannot listen on port {port} of {host} ({error.strerror or error}); choose another with {flag}"
