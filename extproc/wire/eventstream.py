"""The AWS binary event stream (`application/vnd.amazon.eventstream`): bytes to messages, both checksums verified.

A frame, big-endian (https://smithy.io/2.0/aws/amazon-eventstream.html and botocore.eventstream, read Nov 2026):

    u32 total length | u32 headers length | u32 CRC32 of these 8 bytes | headers | payload | u32 CRC32 of all before it

A header is `u8 length, name, u8 type, value`; strings and byte values have a u16 length before them.
"""

import struct
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final, TypeAlias
from uuid import UUID
from zlib import crc32

import msgspec

from extproc.wire.errors import FrameError

MAX_HEADERS_BYTES: Final = 128 * 1024
"""Of one frame; the limit of the format, the same as in botocore."""

MAX_PAYLOAD_BYTES: Final = 24 * 1024 * 1024
"""Of one frame; the limit of the format, the same as in botocore."""

HeaderValue: TypeAlias = bool | int | bytes | str | UUID
"""All ten header types. A timestamp is the integer that was sent: milliseconds since 1970."""

_PRELUDE: Final = struct.Struct(">III")
_CHECKSUM: Final = struct.Struct(">I")
_CHECKED_PRELUDE_BYTES: Final = 8
_OVERHEAD_BYTES: Final = _PRELUDE.size + _CHECKSUM.size

# Together at most 256 KiB. Converse uses some ten header blocks, so both are a guess with a margin.
_MAX_CACHED_BLOCKS: Final = 256
_MAX_CACHED_BLOCK_BYTES: Final = 1024

_TRUE, _FALSE, _BYTES, _STRING, _UUID = 0, 1, 6, 7, 9
_INTEGERS: Final = {kind: struct.Struct(code) for kind, code in ((2, ">b"), (3, ">h"), (4, ">i"), (5, ">q"), (8, ">q"))}


class Message(msgspec.Struct, frozen=True, gc=False):
    """One frame: a msgspec struct, as one is built per chunk and a frozen dataclass costs ten times more.

    Attributes:
        headers: read-only, shared by all messages with the same header bytes.
        payload: as sent; for Converse a JSON object, for `error` messages empty.
    """

    headers: Mapping[str, HeaderValue]
    payload: bytes

    @property
    def message_type(self) -> str:
        """`event`, `exception` or `error`; empty when the frame does not say."""
        return self._text(":message-type")

    @property
    def event_type(self) -> str:
        """The name of an `event`, such as `contentBlockDelta`; else empty."""
        return self._text(":event-type")

    @property
    def exception_type(self) -> str:
        """The name of an `exception`, such as `throttlingException`; else empty."""
        return self._text(":exception-type")

    @property
    def error_code(self) -> str:
        """The code of an `error`; else empty."""
        return self._text(":error-code")

    @property
    def error_message(self) -> str:
        """The text of an `error`; else empty."""
        return self._text(":error-message")

    def _text(self, name: str) -> str:
        value = self.headers.get(name, "")
        return value if isinstance(value, str) else ""


class EventStreamDecoder:
    """Cuts a byte stream into messages, whatever the pieces it arrives in; the total cost is linear.

    A frame that breaks the format, in a checksum, a length or a header, ends the stream with a `FrameError`. Messages
    that came before it in the same chunk are returned first; the error is raised by the next call then, which is
    `finish` at the latest. `failed` tells a caller who does not want to wait for more bytes to learn of it.
    """

    __slots__ = ("_error", "_held", "_needed")

    def __init__(self) -> None:
        self._held = bytearray()  # one unfinished frame
        self._needed = _PRELUDE.size  # nothing can be decided before so many bytes are held
        self._error: FrameError | None = None

    @property
    def failed(self) -> bool:
        """Whether the next call will raise what the last one had to leave for later, or raised."""
        return self._error is not None

    def feed(self, chunk: bytes) -> list[Message]:
        """The messages that `chunk` completes, in order. Raises `FrameError` as the class says."""
        if self._error is not None:
            raise self._error
        if self._held:
            self._held += chunk
            if len(self._held) < self._needed:
                return []
            chunk = bytes(self._held)
            self._held.clear()
        messages: list[Message] = []
        try:
            self._cut(chunk, messages)
        except FrameError as error:
            self._error = error
            if not messages:
                raise
        return messages

    def finish(self) -> None:
        """Raises `FrameError` if the stream ended inside a frame, or for what `feed` left to be raised."""
        if self._error is not None:
            raise self._error
        if self._held:
            raise FrameError(f"the event stream ended inside a frame, after {len(self._held)} bytes of it")

    def _cut(self, data: bytes, messages: list[Message]) -> None:
        pos, size = 0, len(data)
        needed = _PRELUDE.size
        while size - pos >= needed:
            total, headers_length = _read_prelude(data, pos)
            end = pos + total
            if end > size:
                needed = total
            else:
                messages.append(_read_message(data, pos, end, headers_length))
                pos = end
        self._needed = needed
        if pos < size:
            self._held += data[pos:]


def _read_prelude(data: bytes, pos: int) -> tuple[int, int]:
    """The total length and the headers length of the frame at `pos`, checked."""
    total, headers_length, checksum = _PRELUDE.unpack_from(data, pos)
    if crc32(data[pos : pos + _CHECKED_PRELUDE_BYTES]) != checksum:
        raise FrameError("the checksum of an event stream prelude is wrong; is this an event stream at all?")
    payload_length = total - headers_length - _OVERHEAD_BYTES
    if payload_length < 0:
        raise FrameError(f"an event stream frame of {total} bytes cannot hold {headers_length} bytes of headers")
    if headers_length > MAX_HEADERS_BYTES:
        raise FrameError(f"event stream headers of {headers_length} bytes exceed {MAX_HEADERS_BYTES}")
    if payload_length > MAX_PAYLOAD_BYTES:
        raise FrameError(f"an event stream payload of {payload_length} bytes exceeds {MAX_PAYLOAD_BYTES}")
    return total, headers_length


def _read_message(data: bytes, pos: int, end: int, headers_length: int) -> Message:
    payload_end = end - _CHECKSUM.size
    if crc32(data[pos:payload_end]) != int.from_bytes(data[payload_end:end], "big"):
        raise FrameError("the checksum of an event stream frame is wrong")
    headers_end = pos + _PRELUDE.size + headers_length
    block = data[pos + _PRELUDE.size : headers_end]
    cached = headers_length <= _MAX_CACHED_BLOCK_BYTES
    headers = _read_headers_cached(block) if cached else _read_headers(block)
    return Message(headers, data[headers_end:payload_end])


def _read_headers(block: bytes) -> Mapping[str, HeaderValue]:
    headers: dict[str, HeaderValue] = {}
    pos = 0
    while pos < len(block):
        name_end = pos + 1 + block[pos]
        name = _decode(_slice(block, pos + 1, name_end))
        kind = _slice(block, name_end, name_end + 1)[0]
        value, pos = _read_value(block, name_end + 1, kind)
        if name in headers:
            raise FrameError(f"the event stream header {name!r} appears twice in one frame")
        headers[name] = value
    return MappingProxyType(headers)


# The few header blocks of a stream come again in all of its frames, and in all other streams.
_read_headers_cached = lru_cache(_MAX_CACHED_BLOCKS)(_read_headers)


def _read_value(block: bytes, pos: int, kind: int) -> tuple[HeaderValue, int]:
    """The header value at `pos` and where it ends."""
    if kind in {_TRUE, _FALSE}:
        return kind == _TRUE, pos
    if kind in {_BYTES, _STRING}:
        start = pos + 2
        end = start + int.from_bytes(_slice(block, pos, start), "big")
        content = _slice(block, start, end)
        return (content if kind == _BYTES else _decode(content)), end
    if kind == _UUID:
        end = pos + 16
        return UUID(bytes=_slice(block, pos, end)), end
    integer = _INTEGERS.get(kind)
    if integer is None:
        raise FrameError(f"an event stream header has the unknown type {kind}")
    end = pos + integer.size
    (number,) = integer.unpack(_slice(block, pos, end))
    return int(number), end


def _slice(block: bytes, start: int, end: int) -> bytes:
    if end > len(block):
        raise FrameError("an event stream header ends after the header block")
    return block[start:end]


def _decode(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise FrameError("an event stream header is not UTF-8") from None
