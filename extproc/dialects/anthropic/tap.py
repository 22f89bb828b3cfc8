"""Watching a stream of Anthropic events that passes through: usage, the model, an in-band error, the end.

The bytes are the upstream's own. Only the events that can hold one of these are decoded; which they are is told by
their name, or by their ``type`` where a server leaves the name away.
"""

from typing import Any, Final

import msgspec

from extproc.conversation.errors import ApiError, Kind
from extproc.conversation.response import Usage
from extproc.dialects.anthropic.errors import error_event, read_error_object
from extproc.dialects.anthropic.usage import Counts, read_counts
from extproc.wire.errors import FrameError
from extproc.wire.sse import Event, SseParser

#: Ends the unfinished line of a block that the client has already received. The error event's lines then belong to that
#: block and name it: what was cut off would not parse, and a block named ``error`` raises all the same.
_LINE_END: Final = b"\n"
_PASSING: Final = frozenset({b"content_block_delta", b"content_block_start", b"content_block_stop", b"ping"})


class _Message(msgspec.Struct):
    model: Any = None
    usage: Any = None


class _Envelope(msgspec.Struct):
    type: str = ""
    message: msgspec.Raw = msgspec.Raw()
    usage: Any = None
    error: Any = None


_envelope: Final = msgspec.json.Decoder(_Envelope)
_message: Final = msgspec.json.Decoder(_Message)


class Tap:
    """Watches one stream.

    Attributes:
        usage: what is known so far; the last word of each count.
        model: the model that the upstream names.
        fault: the upstream's in-band error, or that the stream was cut.
        ended: whether ``message_stop`` has passed; nothing but the end of the bytes is due then.
    """

    __slots__ = ("_counts", "_parser", "ended", "fault", "model", "usage")

    def __init__(self) -> None:
        self._counts = Counts()
        self.usage: Usage = self._counts.neutral()
        self.model: str | None = None
        self.fault: ApiError | None = None
        self.ended = False
        self._parser = SseParser()

    def feed(self, chunk: bytes) -> bytes:
        """The chunk itself. After an event beyond all measure watching ends, and the bytes go on."""
        try:
            events = self._parser.feed(chunk)
        except FrameError:
            self.ended = True
            return chunk
        for event in events:
            self._see(event)
        return chunk

    def finish(self) -> bytes:
        """An error event when the stream ended without ``message_stop``: no SDK raises by itself then."""
        try:
            events = self._parser.finish()
        except FrameError:
            events = []
        for event in events:
            self._see(event)
        if self.ended or self.fault is not None:
            return b""
        message = "the upstream closed the stream before its end; the answer is incomplete"
        self.fault = ApiError(status=502, kind=Kind.SERVER, message=message)
        unfinished = any(not event.complete for event in events)
        return (_LINE_END if unfinished else b"") + error_event(self.fault)

    def _see(self, event: Event) -> None:
        if event.data is None or event.event in _PASSING or not event.complete:
            return
        try:
            envelope = _envelope.decode(event.data)
            message = _message.decode(envelope.message) if bytes(envelope.message) else _Message()
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        match envelope.type:
            case "message_start":
                self.model = message.model if isinstance(message.model, str) and message.model else None
                self._count(message.usage)
            case "message_delta":
                self._count(envelope.usage)
            case "message_stop":
                self.ended = True
            case "error":
                self.fault = read_error_object(envelope.error)
            case _:
                pass

    def _count(self, usage: Any) -> None:
        self._counts = self._counts.updated(read_counts(usage))
        self.usage = self._counts.neutral()
