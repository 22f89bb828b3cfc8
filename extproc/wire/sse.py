"""Server-sent events: bytes to events and back, without decoding text.

How the stream is cut (https://html.spec.whatwg.org/multipage/server-sent-events.html, read Nov 2026):

1. A line ends with LF, CRLF or CR, and with nothing else: U+2028 or U+0085 inside JSON is content.
2. A block is all lines up to and including a blank one. Every block becomes one `Event`, also a block of comments
   or a blank line alone (`data` is None then), so that the `raw` bytes of all events are the stream.
3. A blank line that is a CR at the end of what has arrived may be half of a CRLF. It is held back, unless the line
   before it also ended in a bare CR: then the peer writes bare CRs, and the event is handed out at once.
4. A byte order mark at the start of the stream belongs to the first block, not to the name of its first field.
"""

import re
from typing import Final

import msgspec

from extproc.wire.errors import FrameError

DEFAULT_MAX_EVENT_BYTES: Final = 64 * 1024 * 1024
"""A guess: twice the largest body that the gateway promises to carry, as one event can hold a whole image."""

_BOM: Final = b"\xef\xbb\xbf"
_DATA: Final = b"data: "
_EVENT: Final = b"event: "
_LF: Final = 0x0A
_CR: Final = 0x0D
_BLOCK_END: Final = re.compile(rb"\n(?:\n|\r(?:\n|(?!\Z)))|\r\r")
_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_UNDECIDED: Final = 2  # the most bytes at the end of a buffer that may begin an end of block
_MAX_RETRY_DIGITS: Final = 15

# The first line end is looked for in windows: a search for one kind of it must not run far past one of the other kind.
_WINDOW_BYTES: Final = 4096


class Event(msgspec.Struct, frozen=True, gc=False):
    """One block of the stream: a msgspec struct, as one is built per chunk and a frozen dataclass costs ten times more.

    Attributes:
        data: all `data` lines joined by LF; None when the block has none, and then clients dispatch nothing.
        event: the last `event` line; empty when there is none.
        raw: the exact bytes of the block with its blank line.
        complete: False for a block that the stream ended in the middle of; clients ignore such a block.
        id: the last `id` line, None when there is none.
        retry_ms: the reconnection time, None when there is none.
    """

    data: bytes | None
    event: bytes
    raw: bytes
    complete: bool = True
    id: bytes | None = None
    retry_ms: int | None = None


class SseParser:
    """Cuts a byte stream into events, whatever the pieces it arrives in; the total cost is linear.

    A block larger than `max_event_bytes` ends the stream with a `FrameError`. Events before it in the same chunk are
    returned first; the error is raised by the next call then, which is `finish` at the latest.
    """

    __slots__ = ("_at_start", "_error", "_held", "_max_event_bytes", "_searched")

    def __init__(self, max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._held = bytearray()  # one unfinished block
        self._searched = 0  # no end of block starts before this position of it
        self._at_start = True
        self._error: FrameError | None = None

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that `chunk` completes, in order. Raises `FrameError` as the class says."""
        if self._error is not None:
            raise self._error
        if not self._held:
            return self._cut(chunk)
        self._held += chunk
        if _find_block_end(self._held, 0, self._searched) < 0:
            self._wait()
            return []
        data = bytes(self._held)
        self._held.clear()
        return self._cut(data)

    def finish(self) -> list[Event]:
        """The block that the stream ended in, if any; `complete` only if it waited for the second half of a CRLF."""
        if self._error is not None:
            raise self._error
        if not self._held:
            return []
        raw = bytes(self._held)
        self._held.clear()
        event = self._parse(raw)
        if raw == b"\r" or raw.endswith(b"\n\r"):
            return [event]
        return [msgspec.structs.replace(event, complete=False)]

    def _cut(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        pos = _take_plain_events(data, events, self._max_event_bytes)
        if pos:
            self._at_start = False
        size = len(data)
        while pos < size:
            end = _find_block_end(data, pos, pos)
            if end < 0 or end - pos > self._max_event_bytes:
                break
            events.append(self._parse(data[pos:end]))
            pos = end
        if pos < size:
            self._held += data[pos:]
            try:
                self._wait()
            except FrameError:
                if not events:
                    raise
        return events

    def _wait(self) -> None:
        if len(self._held) > self._max_event_bytes:
            self._held.clear()
            self._error = FrameError(f"a server-sent event exceeds {self._max_event_bytes} bytes")
            raise self._error
        self._searched = max(len(self._held) - _UNDECIDED, 0)

    def _parse(self, raw: bytes) -> Event:
        if self._at_start:
            self._at_start = False
            return _parse_block(raw, raw.removeprefix(_BOM))
        return _parse_block(raw, raw)


def encode(data: bytes, event: bytes = b"") -> bytes:
    """One complete event block; the line ends inside `data` (LF, CRLF, CR) arrive as LF.

    Raises:
        ValueError: `event` contains a line end, which no escape can carry.
    """
    if _CR in event or _LF in event:
        raise ValueError("the name of a server-sent event cannot contain a line end")
    head = _EVENT + event + b"\n" if event else b""
    if _CR in data or _LF in data:
        data = b"\ndata: ".join(_LINE_END.split(data))
    return head + _DATA + data + b"\n\n"


def _take_plain_events(data: bytes, events: list[Event], max_bytes: int) -> int:
    """Appends the leading blocks of the form `[event: E LF] data: D LF LF`; returns where they end.

    Nearly every stream consists of nothing else, so this path does one search per line and no general parsing.
    """
    pos = 0
    if b"\r" in data:
        return pos
    while True:
        name, start = b"", pos
        if data.startswith(_EVENT, pos):
            start = data.find(b"\n", pos) + 1 or len(data)
            name = data[pos + len(_EVENT) : start - 1]
        line_end = data.find(b"\n", start)
        end = line_end + 2
        if line_end < 0 or end - pos > max_bytes or not data.startswith(b"\n", end - 1):
            return pos
        if not data.startswith(_DATA, start):
            return pos
        events.append(Event(data[start + len(_DATA) : line_end], name, data[pos:end]))
        pos = end


def _find_block_end(data: bytes | bytearray, pos: int, searched: int) -> int:
    """Where the block that begins at `pos` ends, -1 if that cannot be said yet; looks for no end before `searched`."""
    first = data[pos]
    if first == _LF:
        return pos + 1
    if first == _CR:
        if pos + 1 == len(data):
            return -1
        return pos + 2 if data[pos + 1] == _LF else pos + 1
    for start in range(searched, len(data), _WINDOW_BYTES):
        stop = start + _WINDOW_BYTES
        line_end = data.find(b"\n", start, stop)
        carriage_return = data.find(b"\r", start, line_end if line_end >= 0 else stop)
        line_end = carriage_return if carriage_return >= 0 else line_end
        if line_end >= 0:
            match = _BLOCK_END.search(data, line_end)
            return match.end() if match else -1
    return -1


def _parse_block(raw: bytes, text: bytes) -> Event:
    """The event of a block; `text` is `raw` without a byte order mark."""
    data: list[bytes] = []
    event = b""
    event_id: bytes | None = None
    retry_ms: int | None = None
    for line in text.splitlines():  # on bytes this splits at LF, CRLF and CR only
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            data.append(value)
        elif name == b"event":
            event = value
        elif name == b"id" and b"\0" not in value:
            event_id = value
        elif name == b"retry" and value.isdigit() and len(value) <= _MAX_RETRY_DIGITS:
            retry_ms = int(value)
    return Event(b"\n".join(data) if data else None, event, raw, True, event_id, retry_ms)
