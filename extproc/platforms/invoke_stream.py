"""InvokeModelWithResponseStream: Messages events out of AWS frames.

A frame of the type ``chunk`` holds ``{"bytes": <base64 of one event's JSON>, "p": <padding>}``; there is no name of the
event but the JSON's own ``type``. The last one, ``message_stop``, brings metrics of AWS's, which no client of
Anthropic's knows: they repeat what the events before have said, and are taken out (BerriAI/litellm #34373, #36878).
"""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from extproc.conversation.errors import ApiError, Kind
from extproc.dialects.bedrock.errors import read_error_frame, read_exception
from extproc.wire import sse
from extproc.wire.errors import FrameError
from extproc.wire.eventstream import EventStreamDecoder, Message


class _Chunk(msgspec.Struct, gc=False):
    content: bytes = msgspec.field(name="bytes")


class _Typed(msgspec.Struct, gc=False):
    type: str


_CHUNK: Final = msgspec.json.Decoder(_Chunk)
_TYPED: Final = msgspec.json.Decoder(_Typed)
_STOP: Final = b'{"type":"message_stop"}'

_ERROR_TYPES: Final[Mapping[Kind, str]] = {
    Kind.INVALID_REQUEST: "invalid_request_error",
    Kind.CONTEXT_LENGTH: "invalid_request_error",
    Kind.PERMISSION: "permission_error",
    Kind.NOT_FOUND: "not_found_error",
    Kind.MODEL_NOT_FOUND: "not_found_error",
    Kind.RATE_LIMIT: "rate_limit_error",
    Kind.OVERLOADED: "overloaded_error",
    Kind.TIMEOUT: "timeout_error",
}


class InvokeUnframer:
    """See ``extproc.platforms.contract.Unframer``: server-sent events as Anthropic itself sends them."""

    def __init__(self) -> None:
        self._decoder = EventStreamDecoder()
        self._over = False

    def feed(self, chunk: bytes) -> bytes:
        """The events that the chunk completes; nothing after an error."""
        if self._over:
            return b""
        try:
            messages = self._decoder.feed(chunk)
        except FrameError as error:
            return self._broken(f"the stream from Bedrock is damaged: {error}")
        out = b"".join(self._events(messages))
        # What is broken behind these would only be told with the next chunk.
        return out + self.finish() if self._decoder.failed and not self._over else out

    def finish(self) -> bytes:
        """An error event when the bytes end inside a frame. Whether the answer was whole is the dialect's to see."""
        if self._over:
            return b""
        try:
            self._decoder.finish()
        except FrameError as error:
            return self._broken(f"the stream from Bedrock is damaged: {error}")
        return b""

    def _events(self, messages: list[Message]) -> Iterator[bytes]:
        for message in messages:
            try:
                yield self._event(message)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
                yield self._broken(f"Bedrock sent an event that cannot be read: {error}")
            if self._over:
                return

    def _event(self, message: Message) -> bytes:
        kind = message.message_type
        if kind == "exception":
            return self._fault(read_exception(message.exception_type, message.payload))
        if kind == "error":
            return self._fault(read_error_frame(message.error_code, message.error_message))
        if kind != "event" or message.event_type != "chunk":
            return b""
        data = _CHUNK.decode(message.payload).content
        name = _TYPED.decode(data).type
        return sse.encode(_STOP if name == "message_stop" else data, name.encode())

    def _broken(self, problem: str) -> bytes:
        return self._fault(ApiError(502, Kind.SERVER, problem))

    def _fault(self, error: ApiError) -> bytes:
        self._over = True
        told = {"type": _ERROR_TYPES.get(error.kind, "api_error"), "message": error.message}
        return sse.encode(msgspec.json.encode({"type": "error", "error": told}), b"error")
