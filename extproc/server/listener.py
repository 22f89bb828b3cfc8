"""Listening sockets that outlive the workers which accept on them.

The supervisor makes the socket and keeps it; a worker accepts on its copy. While a crashed worker is being replaced,
connections wait in the kernel's queue instead of being refused: Envoy sees a slow answer, not a dead endpoint.

gRPC's Python API can only bind by itself (https://github.com/grpc/grpc/issues/3250 and 19133, 2026-11), so the worker
lets it listen on a throw-away address and puts the kept socket in that listener's place, before anyone can have
connected: ``dup2`` over its descriptor, then the same epoll registration once more, because registrations belong to the
open file and not to its number (epoll(7)). What gRPC registered is read from ``/proc/self/fdinfo`` (proc(5)). All of it
is Linux's documented interface, but that gRPC works so is not promised: hence ``adopt`` refuses what it does not
recognise, ``answers`` tries the result before anyone relies on it, and the supervisor can do without.
See docs/decisions/0002-worker-sockets.md.
"""

import asyncio
import ctypes
import os
import platform
import re
import secrets
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from extproc.server.address import AddressError, claim, maybe_path, share
from extproc.server.settings import host_port

#: As gRPC asks for; the kernel cuts it to net.core.somaxconn.
_BACKLOG: Final = 4096
_EPOLL_CTL_ADD: Final = 1
_WATCHED: Final = re.compile(r"tfd:\s*(\d+) events:\s*([0-9a-f]+) data:\s*([0-9a-f]+)")
#: RFC 9113, 3.4: what a client says first; the server's first frame is SETTINGS too.
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
_SETTINGS: Final = 4
_ANSWER_S: Final = 5.0


class AdoptionError(Exception):
    """This gRPC does not let its listener be replaced; the text says at which step."""


def keep(address: str) -> socket.socket:
    """A socket that listens on ``address`` (``host:port`` or ``unix:path``), for workers to adopt.

    As gRPC does, 0.0.0.0 listens on IPv6 as well where there is any. Raises ``AddressError``.
    """
    claim(address)
    path = maybe_path(address)
    try:
        if path is None:
            return _keep_port(*host_port(address))
        kept = socket.socket(socket.AF_UNIX)
        kept.bind(str(path))
        share(address)
        kept.listen(_BACKLOG)
    except OSError as error:
        raise AddressError(f"cannot listen on {address}: {error.strerror or error}") from None
    return kept


def forsake(address: str) -> None:
    """Remove the file of a Unix socket that nobody listens on any more; one that somebody does stays."""
    with suppress(AddressError):
        claim(address)


def _keep_port(host: str, port: int) -> socket.socket:
    if _is_wildcard(host) and socket.has_dualstack_ipv6():
        kept = socket.create_server(("::", port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True)
    else:
        family, _, _, _, bound = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        kept = socket.create_server((str(bound[0]), port), family=family, backlog=_BACKLOG)
    # Inherited by what is accepted, as gRPC would set it.
    kept.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return kept


def _is_wildcard(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        return False


def adopt(kept: socket.socket, bind: Callable[[str], object]) -> None:
    """Make the server whose ``add_insecure_port`` is ``bind`` accept on ``kept``. Raises ``AdoptionError``.

    After an ``AdoptionError`` the server is of no use; ``kept`` is as it was.
    """
    name = f"extproc-{os.getpid()}-{secrets.token_hex(8)}"
    bind(f"unix-abstract:{name}")
    number = _descriptor_of(b"\0" + name.encode())
    watched = _watched(number)
    kept.setblocking(False)
    os.dup2(kept.fileno(), number, inheritable=False)
    _watch(watched, number)


async def answers(name: str | tuple[Any, ...]) -> None:
    """Connect to ``name`` (what ``getsockname`` said) and wait for an HTTP/2 server's first word.

    Raises ``AdoptionError`` when there is none within five seconds.
    """
    family = socket.AF_UNIX if isinstance(name, str) else (socket.AF_INET6 if len(name) == 4 else socket.AF_INET)
    loop = asyncio.get_running_loop()
    with socket.socket(family) as probe:
        probe.setblocking(False)
        try:
            async with asyncio.timeout(_ANSWER_S):
                await loop.sock_connect(probe, name)
                await loop.sock_sendall(probe, _PREFACE)
                word = await loop.sock_recv(probe, 64)
        except (OSError, TimeoutError) as error:
            raise AdoptionError(f"the adopted socket does not answer: {type(error).__name__}") from None
    if len(word) < 4 or word[3] != _SETTINGS:
        raise AdoptionError("the adopted socket's first word is not HTTP/2")


@dataclass(frozen=True, slots=True)
class _Watched:
    epoll: int
    events: int
    data: int


def _descriptor_of(name: bytes) -> int:
    """The listening socket that is bound to an abstract name."""
    for entry in Path("/proc/self/fd").iterdir():
        number = int(entry.name)
        try:
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            with socket.socket(fileno=os.dup(number)) as found:
                if found.family == socket.AF_UNIX and found.getsockname() == name:
                    return number
        except OSError:
            continue
    raise AdoptionError("gRPC's listening socket was not found")


def _watched(number: int) -> _Watched:
    """The one registration of a descriptor among all epoll instances of this process."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            if str(entry.readlink()) != "anon_inode:[eventpoll]":
                continue
            text = (Path("/proc/self/fdinfo") / entry.name).read_text()
        except OSError:
            continue
        found += [
            _Watched(int(entry.name), int(events, 16), int(data, 16))
            for watched, events, data in _WATCHED.findall(text)
            if int(watched) == number
        ]
    if len(found) != 1:
        raise AdoptionError(f"gRPC's listening socket is watched {len(found)} times, not once, by epoll")
    return found[0]


class _Event(ctypes.Structure):
    """``struct epoll_event``: packed on x86-64 alone (epoll_ctl(2), the kernel's eventpoll.h)."""

    _pack_ = 1 if platform.machine() == "x86_64" else 8
    _fields_ = (("events", ctypes.c_uint32), ("data", ctypes.c_uint64))


def _watch(watched: _Watched, number: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    event = _Event(watched.events, watched.data)
    if libc.epoll_ctl(watched.epoll, _EPOLL_CTL_ADD, number, ctypes.byref(event)) != 0:
        raise AdoptionError(f"epoll_ctl: {os.strerror(ctypes.get_errno())}")
