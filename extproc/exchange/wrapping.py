"""What stands around a dialect's bytes on the way: content encodings, and a platform's own framing."""

from extproc.conversation.errors import ApiError, Kind, UpstreamError
from extproc.exchange.attempt import MAX_DECODED_BYTES
from extproc.platforms.contract import Platform, Unframer
from extproc.wire.encoding import StreamDecoder, decode_all
from extproc.wire.errors import WireError


class Unwrapper:
    """Takes both off a stream. Its methods raise ``WireError`` when the encoding is broken."""

    __slots__ = ("_decoder", "_unframer")

    def __init__(self, decoder: StreamDecoder | None, unframer: Unframer | None) -> None:
        self._decoder = decoder
        self._unframer = unframer

    def feed(self, chunk: bytes) -> bytes:
        """The dialect's bytes that this chunk completes."""
        plain = chunk if self._decoder is None else self._decoder.feed(chunk)
        return plain if self._unframer is None else self._unframer.feed(plain)

    def finish(self) -> bytes:
        """What is left at the end."""
        if self._decoder is not None:
            self._decoder.finish()
        return b"" if self._unframer is None else self._unframer.finish()


def maybe_unwrapper(encoding: str, host: Platform) -> Unwrapper | None:
    """What a stream with this ``content-encoding`` needs, None for nothing.

    Raises ``WireError`` for an encoding that nobody here knows.
    """
    decoder = None if encoding in {"", "identity"} else StreamDecoder(encoding, MAX_DECODED_BYTES)
    unframer = host.maybe_unframer()
    return None if decoder is None and unframer is None else Unwrapper(decoder, unframer)


def decoded(body: bytes, encoding: str) -> bytes:
    """A whole body without its encodings. Raises ``UpstreamError`` when it cannot be decoded."""
    try:
        return decode_all(body, encoding, MAX_DECODED_BYTES)
    except WireError as error:
        raise bad_gateway(f"the upstream's body cannot be decoded: {error}") from error


def bad_gateway(message: str) -> UpstreamError:
    """The upstream answered what is none."""
    return UpstreamError(ApiError(502, Kind.SERVER, message))


def undecodable(error: WireError) -> ApiError:
    """A stream whose encoding is broken."""
    return ApiError(502, Kind.SERVER, f"the upstream's stream cannot be decoded: {error}")
