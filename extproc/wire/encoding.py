"""Content encodings: gzip, deflate, br, zstd and lists of them, decoded piece by piece and with a bound on the output.

Every decoder takes its input in slices and hands out pieces of bounded size, so a decompression bomb costs little more
memory than the limit: at most 1 MiB more for gzip, deflate and br, and 16 MiB for zstd, whose library has no output
limit (a 4-byte zstd block can stand for 128 KiB, https://www.rfc-editor.org/rfc/rfc8878#section-3.1.1.2).
"""

import zlib
from collections.abc import Callable, Iterator
from typing import Final, Protocol

import brotli
import zstandard

from extproc.wire.errors import EncodingError, TooLargeError, UnsupportedEncodingError

MAX_LAYERS: Final = 4
"""How many codings may be stacked. A guess: more than one is rare, and each multiplies the cost of a bomb."""

ZSTD_MAX_WINDOW_BYTES: Final = 8 * 1024 * 1024
"""What a zstd frame may ask us to hold; https://www.rfc-editor.org/rfc/rfc9659 sets it for this use."""

_PIECE_BYTES: Final = 256 * 1024
_SLICE_BYTES: Final = 16 * 1024
_ZSTD_SLICE_BYTES: Final = 512
_GZIP_WBITS, _ZLIB_WBITS, _RAW_WBITS = 31, 15, -15

# The defaults of gzip and zstd; brotli's own, 11, is meant for files that are compressed once and served often.
_GZIP_LEVEL, _BROTLI_QUALITY, _ZSTD_LEVEL = 6, 4, 3


class StreamDecoder:
    """Undoes a content-encoding while the body arrives; all that can be decoded comes out at once.

    `max_feed_bytes` bounds what one `feed` may return, not the sum, as a stream of events has no natural size.
    After an exception the decoder is of no further use.
    """

    __slots__ = ("_layers", "_max_feed_bytes")

    def __init__(self, encodings: str, max_feed_bytes: int) -> None:
        """`encodings` is the header's value: empty, one name, or several with commas in the order they were applied.

        Raises:
            UnsupportedEncodingError: one of them is not known.
            EncodingError: there are more than `MAX_LAYERS`.
        """
        names = _split(encodings)
        for name in names:
            if name not in _LAYERS:
                raise UnsupportedEncodingError(name)
        self._layers = [(name, _LAYERS[name]()) for name in reversed(names)]
        self._max_feed_bytes = max_feed_bytes

    def feed(self, chunk: bytes) -> bytes:
        """The bytes that `chunk` completes, maybe none. Raises `EncodingError` or `TooLargeError`."""
        for name, layer in self._layers:
            chunk = self._decode(name, layer, chunk)
        if len(chunk) > self._max_feed_bytes:
            raise TooLargeError(self._max_feed_bytes)
        return chunk

    def finish(self) -> None:
        """Raises `EncodingError` if a compressed stream was begun and not ended; a body of no bytes is fine."""
        for name, layer in self._layers:
            if not layer.at_end():
                raise EncodingError(f"the {name} body ends too early")

    def _decode(self, name: str, layer: "_Layer", data: bytes) -> bytes:
        pieces: list[bytes] = []
        room = self._max_feed_bytes
        try:
            for piece in layer.decode(data):
                room -= len(piece)
                if room < 0:
                    raise TooLargeError(self._max_feed_bytes)
                pieces.append(piece)
        except (zlib.error, brotli.error, zstandard.ZstdError) as error:
            raise EncodingError(f"the {name} body is corrupt: {error}") from None
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def decode_all(body: bytes, encodings: str, limit: int) -> bytes:
    """The whole decoded body, of at most `limit` bytes. Raises as `StreamDecoder` and its methods do."""
    if not encodings and len(body) <= limit:
        return body
    decoder = StreamDecoder(encodings, limit)
    decoded = decoder.feed(body)
    decoder.finish()
    return decoded


def encode_all(body: bytes, encodings: str) -> bytes:
    """The body with the codings applied in the order named; equal input gives equal bytes.

    Raises `UnsupportedEncodingError`, or `EncodingError` for more than `MAX_LAYERS`.
    """
    for name in _split(encodings):
        if name not in _ENCODERS:
            raise UnsupportedEncodingError(name)
        body = _ENCODERS[name](body)
    return body


class _Layer(Protocol):
    """One coding being undone."""

    def decode(self, data: bytes) -> Iterator[bytes]:
        """All that can be decoded now, in pieces of bounded size."""

    def at_end(self) -> bool:
        """Whether the input could stop here."""


class _Gzip:
    """One or more gzip members (https://www.rfc-editor.org/rfc/rfc1952#section-2.2)."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP_WBITS)
        self._started = False

    def decode(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), _SLICE_BYTES):
            rest = data[start : start + _SLICE_BYTES]
            while rest:
                if self._member.eof:
                    self._member = zlib.decompressobj(_GZIP_WBITS)
                self._started = True
                yield from _inflate(self._member, rest)
                rest = self._member.unused_data

    def at_end(self) -> bool:
        return self._member.eof or not self._started


class _Deflate:
    """A zlib stream, as the name means, or raw deflate, as some senders understand it.

    They are told apart by the first two bytes: a zlib header is a multiple of 31 that names method 8. Raw deflate that
    looks the same would begin with a stored block whose padding bits are set, which no compressor writes.
    """

    def __init__(self) -> None:
        self._head = b""
        self._stream = zlib.decompressobj(_ZLIB_WBITS)
        self._started = False

    def decode(self, data: bytes) -> Iterator[bytes]:
        if not self._started:
            data = self._head + data
            if len(data) < 2:
                self._head = data
                return
            self._started = True
            if data[0] & 0x0F != 8 or (data[0] << 8 | data[1]) % 31:
                self._stream = zlib.decompressobj(_RAW_WBITS)
        for start in range(0, len(data), _SLICE_BYTES):
            yield from _inflate(self._stream, data[start : start + _SLICE_BYTES])
            if self._stream.unused_data:
                raise zlib.error("there are bytes after its end")

    def at_end(self) -> bool:
        return self._stream.eof if self._started else not self._head


class _Brotli:
    """One brotli stream (https://www.rfc-editor.org/rfc/rfc7932).

    A piece that reaches the limit may have left output inside the library, which `can_accept_more_data` does not tell:
    it speaks of input only (https://github.com/google/brotli/pull/1234, read Nov 2026; seen in brotli 1.2.1). The
    limit is not exact: up to twice as much comes out (https://github.com/google/brotli/issues/1396).
    """

    def __init__(self) -> None:
        self._stream = brotli.Decompressor()
        self._started = False

    def decode(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), _SLICE_BYTES):
            self._started = True
            piece = self._stream.process(data[start : start + _SLICE_BYTES], output_buffer_limit=_PIECE_BYTES)
            yield piece
            while len(piece) >= _PIECE_BYTES and not self._stream.is_finished():
                piece = self._stream.process(b"", output_buffer_limit=_PIECE_BYTES)
                yield piece

    def at_end(self) -> bool:
        return not self._started or bool(self._stream.is_finished())


class _Zstd:
    """One or more zstd frames, skippable ones among them (https://www.rfc-editor.org/rfc/rfc8878#section-3.1)."""

    def __init__(self) -> None:
        self._library = zstandard.ZstdDecompressor(max_window_size=ZSTD_MAX_WINDOW_BYTES)
        self._frame = self._library.decompressobj()
        self._started = False

    def decode(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), _ZSTD_SLICE_BYTES):
            rest = data[start : start + _ZSTD_SLICE_BYTES]
            while rest:
                if self._frame.eof:
                    self._frame = self._library.decompressobj()
                self._started = True
                yield self._frame.decompress(rest)
                rest = self._frame.unused_data

    def at_end(self) -> bool:
        return self._frame.eof or not self._started


def _inflate(stream: "zlib._Decompress", data: bytes) -> Iterator[bytes]:
    """All output of `data`: an output that is full may leave input unread, or output inside the library."""
    piece = stream.decompress(data, _PIECE_BYTES)
    yield piece
    while len(piece) == _PIECE_BYTES and not stream.eof:
        piece = stream.decompress(stream.unconsumed_tail, _PIECE_BYTES)
        yield piece


def _split(encodings: str) -> list[str]:
    """The names in a content-encoding header, lower case; identity means nothing and is left out."""
    names = [name for part in encodings.split(",") if (name := part.strip(" \t").lower()) not in {"", "identity"}]
    if len(names) > MAX_LAYERS:
        raise EncodingError(f"{len(names)} content encodings are stacked; at most {MAX_LAYERS} are read")
    return names


def _gzip(body: bytes) -> bytes:
    stream = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WBITS)  # unlike `gzip`, it writes no time
    return stream.compress(body) + stream.flush()


def _brotli(body: bytes) -> bytes:
    return bytes(brotli.compress(body, quality=_BROTLI_QUALITY))


def _zstd(body: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(body)


_LAYERS: Final[dict[str, Callable[[], _Layer]]] = {
    "gzip": _Gzip,
    "x-gzip": _Gzip,
    "deflate": _Deflate,
    "br": _Brotli,
    "zstd": _Zstd,
}

_ENCODERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": zlib.compress,
    "br": _brotli,
    "zstd": _zstd,
}
