"""AWS event stream frames for tests, written from the format's description and not from our decoder."""

import struct
from binascii import crc32
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Integer:
    """A header value of one of the sized types: 8, 16, 32 or 64 bits."""

    value: int
    bits: int


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A header value in milliseconds since 1970."""

    milliseconds: int


FrameHeader: TypeAlias = str | bytes | bool | UUID | Integer | Timestamp


def frame(headers: Mapping[str, FrameHeader], payload: bytes) -> bytes:
    """One frame with both checksums right."""
    block = b"".join(_header(name, value) for name, value in headers.items())
    return raw_frame(block, payload)


def event(event_type: str, payload: bytes) -> bytes:
    """A frame as Bedrock sends it for an event with a JSON payload."""
    headers = {
        ":event-type": event_type,
        ":content-type": "application/json",
        ":message-type": "event",
    }
    return frame(headers, payload)


def exception(exception_type: str, payload: bytes) -> bytes:
    """A frame as Bedrock sends it for an exception in mid-stream."""
    headers = {
        ":exception-type": exception_type,
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return frame(headers, payload)


def raw_frame(block: bytes, payload: bytes) -> bytes:
    """One frame with both checksums right around a header block that need not be."""
    prelude = (16 + len(block) + len(payload)).to_bytes(4, "big") + len(block).to_bytes(4, "big")
    return sealed(prelude, block + payload)


def sealed(lengths: bytes, content: bytes) -> bytes:
    """The two lengths as given, right or wrong, and the content, with checksums that fit them."""
    message = lengths + crc32(lengths).to_bytes(4, "big") + content
    return message + crc32(message).to_bytes(4, "big")


def _header(name: str, value: FrameHeader) -> bytes:
    encoded = name.encode()
    return bytes([len(encoded)]) + encoded + _typed(value)


def _typed(value: FrameHeader) -> bytes:
    match value:
        case bool():
            return b"\x00" if value else b"\x01"
        case Integer(number, bits):
            kind, code = {8: (2, "b"), 16: (3, "h"), 32: (4, "i"), 64: (5, "q")}[bits]
            return struct.pack(f">B{code}", kind, number)
        case bytes():
            return struct.pack(">BH", 6, len(value)) + value
        case str():
            encoded = value.encode()
            return struct.pack(">BH", 7, len(encoded)) + encoded
        case Timestamp(milliseconds):
            return struct.pack(">Bq", 8, milliseconds)
        case UUID():
            return b"\x09" + value.bytes
