"""Watching a stream that passes through: chat completions, completions, and the typed events of newer APIs.

The bytes are the upstream's own. They are framed to find usage, the model, an in-band error and the end; only events
that can hold one of these are decoded. Chunks that say ``"usage": null`` because the gateway asked for usage stay as
they are: clients take it for absent.

How streams end (openai-python 3.54 ``_streaming.py``; Responses API reference, read 2026-11-22): chat completions and
completions with ``data: [DONE]``; the Responses API with a ``response.completed``, ``.failed`` or ``.incomplete``
event, whose ``response`` holds model and usage; other typed streams (images, audio) with an event of their own.
"""

from enum import Enum, auto
from typing import Final

import msgspec

from extproc.conversation.errors import ApiError, Kind
from extproc.conversation.response import NO_USAGE, Usage
from extproc.dialects.openai.errors import error_event, read_stream_error
from extproc.dialects.openai.passthrough import maybe_text, maybe_value, usage_of
from extproc.wire.errors import FrameError
from extproc.wire.sse import Event, SseParser

_RESPONSES_ENDS: Final = frozenset({"response.completed", "response.failed", "response.incomplete"})
#: Ends an unfinished block that the client has already received, so that an error event stands alone.
_BLOCK_END: Final = b"\n\n"


class _Api(Enum):
    """Whose events these are, by what the first ones hold."""

    UNSEEN = auto()
    CHOICES = auto()
    RESPONSES = auto()
    OTHER = auto()


class _Envelope(msgspec.Struct):
    choices: msgspec.Raw = msgspec.Raw()
    usage: msgspec.Raw = msgspec.Raw()
    model: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()
    type: msgspec.Raw = msgspec.Raw()
    response: msgspec.Raw = msgspec.Raw()


_envelope: Final = msgspec.json.Decoder(_Envelope)


class Tap:
    """Watches one stream.

    Attributes:
        usage: what is known so far; the last word of each count.
        model: the model that the upstream names.
        fault: the upstream's in-band error, or that the stream was cut.
        ended: whether the answer's own end has passed; nothing but the end of the bytes is due then.
    """

    __slots__ = ("_api", "_held_bytes", "_parser", "_plain", "_strip", "ended", "fault", "model", "usage")

    def __init__(self, *, strip_usage: bool) -> None:
        self.usage: Usage = NO_USAGE
        self.model: str | None = None
        self.fault: ApiError | None = None
        self._strip = strip_usage
        self._parser = SseParser()
        self._api = _Api.UNSEEN
        self.ended = False
        #: A stream of chunks whose model is known: only usage and errors are still of interest.
        self._plain = False
        #: With ``strip_usage``: how much of an unfinished event the client has not got yet.
        self._held_bytes = 0

    def feed(self, chunk: bytes) -> bytes:
        """The bytes for the client: ``chunk`` itself unless an event is stripped or, then only, its tail is held."""
        try:
            events = self._parser.feed(chunk)
        except FrameError as error:
            return self._unwatchable(chunk, error)
        if not self._strip:
            for event in events:
                self._see(event)
            return chunk
        if len(events) == 1 and not self._held_bytes and len(events[0].raw) == len(chunk):
            return b"" if self._see(events[0]) else chunk
        return self._stripped(chunk, events)

    def finish(self) -> bytes:
        """What was held, and an error event when a stream of chunks lacks its ``[DONE]``.

        A block that the stream ended in the middle of is nothing to a client: it is left out before an error event
        where it can be. A Responses stream without its last event is a ``fault``, and gets no event of ours.
        """
        try:
            events = self._parser.finish()
        except FrameError:
            events = []
        kept = b"".join([event.raw for event in events if not self._see(event) and self._strip])
        if self.ended or self.fault is not None or self._api is _Api.OTHER:
            return kept
        message = "the upstream closed the stream before its end; the answer is incomplete"
        self.fault = ApiError(status=502, kind=Kind.SERVER, message=message)
        if self._api is _Api.RESPONSES:
            return kept
        unfinished = any(not event.complete for event in events)
        if self._strip:
            return (b"" if unfinished else kept) + error_event(self.fault)
        return (_BLOCK_END if unfinished else b"") + error_event(self.fault)

    def _stripped(self, chunk: bytes, events: list[Event]) -> bytes:
        kept = [event.raw for event in events if not self._see(event)]
        held_before = self._held_bytes
        self._held_bytes += len(chunk) - sum([len(event.raw) for event in events])
        untouched = len(kept) == len(events) and held_before == 0 == self._held_bytes
        return chunk if untouched else b"".join(kept)

    def _unwatchable(self, chunk: bytes, error: FrameError) -> bytes:
        """An event beyond all measure: watching ends. What was held of it is gone, so then the stream ends too."""
        first, self.ended = not self.ended, True
        if not self._strip:
            return chunk
        if not first:
            return b""
        self.fault = ApiError(status=502, kind=Kind.SERVER, message=str(error))
        return error_event(self.fault)

    def _see(self, event: Event) -> bool:
        """Takes note of an event; True when it is the usage chunk that only the gateway wanted."""
        data = event.data
        if data is None:
            return False
        if data.startswith(b"[DONE]"):
            self.ended = True
            return False
        # Content cannot look like a member here: in a JSON string every quote is escaped.
        if self._plain and b'"error"' not in data and (b'"usage"' not in data or _says_null(data)):
            return False
        return self._read(data)

    def _read(self, data: bytes) -> bool:
        try:
            envelope = _envelope.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        event_type = maybe_text(envelope.type)
        if error := maybe_value(envelope.error):
            self.fault = read_stream_error(error)
        elif event_type == "error":
            self.fault = read_stream_error(maybe_value(msgspec.Raw(data)))
        self._classify(envelope, event_type)
        if self._api is _Api.RESPONSES and (response := bytes(envelope.response)):
            return self._read_response(response)
        usage = usage_of(maybe_value(envelope.usage))
        if usage is not NO_USAGE:
            self.usage = self.usage.updated(usage)
        self.model = self.model or maybe_text(envelope.model)
        self._plain = self._api is _Api.CHOICES and self.model is not None
        return self._strip and usage != NO_USAGE and maybe_value(envelope.choices) == []

    def _read_response(self, response: bytes) -> bool:
        """The ``response`` of a Responses event: model and usage as in a whole answer, and its error if it failed."""
        try:
            envelope = _envelope.decode(response)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        if error := maybe_value(envelope.error):
            self.fault = read_stream_error(error)
        self.usage = self.usage.updated(usage_of(maybe_value(envelope.usage)))
        self.model = self.model or maybe_text(envelope.model)
        return False

    def _classify(self, envelope: _Envelope, event_type: str | None) -> None:
        if bytes(envelope.choices):
            self._api = _Api.CHOICES
        elif event_type is not None and event_type.startswith("response."):
            self._api = _Api.RESPONSES
            self.ended = self.ended or event_type in _RESPONSES_ENDS
        elif self._api is _Api.UNSEEN:
            self._api = _Api.OTHER


def _says_null(data: bytes) -> bool:
    """Whether every ``usage`` in the text is null, as servers write it with and without a space."""
    return data.count(b'"usage"') == data.count(b'"usage":null') + data.count(b'"usage": null')
