"""A cluster's DNS, as far as pods need it: the names of Services, and nothing of the world outside (RFC 1035)."""

import asyncio
import ipaddress
import struct
from collections.abc import Callable, Sequence
from typing import cast

_HEAD = struct.Struct("!6H")
_A, _IN = 1, 1
_ANSWER, _NO_SUCH_NAME = 0x8580, 0x8583
_POINTER_TO_QUESTION = 0xC00C
#: As kubeadm sets CoreDNS up, in seconds: long, for clients that keep answers.
_KEPT_S = 30

#: A full name's IPv4 addresses; None for a name that nobody has.
Lookup = Callable[[str], Sequence[str] | None]


class Dns(asyncio.DatagramProtocol):
    """Answers each question from ``lookup``."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(answer(data, self._lookup), addr)


def answer(question: bytes, lookup: Lookup) -> bytes:
    """The response to a message with one question."""
    number, _, _, _, _, _ = _HEAD.unpack_from(question)
    name, end = _name(question, _HEAD.size)
    kind, _ = struct.unpack_from("!2H", question, end)
    found = lookup(name)
    addresses = (found or ()) if kind == _A else ()
    head = _HEAD.pack(number, _NO_SUCH_NAME if found is None else _ANSWER, 1, len(addresses), 0, 0)
    return head + question[_HEAD.size : end + 4] + b"".join(map(_record, addresses))


def _record(address: str) -> bytes:
    packed = ipaddress.IPv4Address(address).packed
    return struct.pack("!3HIH", _POINTER_TO_QUESTION, _A, _IN, _KEPT_S, len(packed)) + packed


def _name(message: bytes, start: int) -> tuple[str, int]:
    labels, at = [], start
    while length := message[at]:
        labels.append(message[at + 1 : at + 1 + length].decode())
        at += 1 + length
    return ".".join(labels).lower(), at + 1
