"""The pieces of a streamed answer, however Google frames them.

``?alt=sse`` gives server-sent events; without it comes one JSON array, which some proxies in front of Gemini make of
either; and an error may come as bare JSON over many lines in the middle of server-sent events (google-genai 3.4
``_api_client._iter_response_stream``). There is no terminator in any of them.
"""

from typing import Final

from extproc.wire.errors import FrameError
from extproc.wire.jsonobjects import JsonObjectCutter
from extproc.wire.sse import Event, SseParser

_BOM: Final = b"\xef\xbb\xbf"
_BLANK: Final = b" \t\r\n"
#: What servers that imitate OpenAI's end their streams with.
_DONE: Final = b"[DONE]"


class Frames:
    """Cuts one stream. ``error`` is set once its bytes cannot be cut any further; what came before is still given."""

    def __init__(self) -> None:
        self.error: FrameError | None = None
        #: A byte order mark or its beginning, while nothing else but blanks came; None once the form is known.
        self._head: bytes | None = b""
        #: None where the stream is JSON from its first byte on.
        self._events: SseParser | None = SseParser()
        #: In use once JSON was seen where it stands alone.
        self._objects: JsonObjectCutter | None = None

    def feed(self, chunk: bytes) -> list[bytes]:
        """The JSON texts that this chunk completes."""
        if self._head is not None:
            # Blanks are not kept: who sends many of them, one by one, would have them all read again each time.
            chunk = (self._head + chunk).lstrip(_BLANK)
            if _BOM.startswith(chunk):
                self._head = chunk
                return []
            start = chunk.removeprefix(_BOM).lstrip(_BLANK)
            if not start:
                self._head = _BOM
                return []
            self._head, chunk = None, start
            if chunk[:1] in b"[{":
                self._events, self._objects = None, JsonObjectCutter()
        out: list[bytes] = []
        try:
            if self._events is not None:
                self._cut(self._events.feed(chunk), out)
            elif self._objects is not None:
                out += self._objects.feed(chunk)
        except FrameError as error:
            self.error = error
        return out

    def finish(self) -> list[bytes]:
        """What was still held back; an event without its blank line is one all the same."""
        out: list[bytes] = []
        try:
            if self._events is not None:
                self._cut(self._events.finish(), out)
            if self._objects is not None:
                self._objects.finish()
        except FrameError as error:
            self.error = error
        return out

    def _cut(self, events: list[Event], out: list[bytes]) -> None:
        for event in events:
            if self._objects is not None:
                out += self._objects.feed(event.raw)
            elif event.data is not None:
                out += [event.data] if event.data not in (b"", _DONE) else []
            elif event.raw.lstrip(_BLANK)[:1] == b"{":
                self._objects = JsonObjectCutter()
                out += self._objects.feed(event.raw)
