"""JSON objects one after the other: an array of them that arrives in pieces, or objects with nothing between them."""

import re
from typing import Final

from extproc.wire.errors import FrameError
from extproc.wire.sse import DEFAULT_MAX_EVENT_BYTES

_BETWEEN: Final = re.compile(rb"[ \t\r\n,\[\]]*+")
_OUTSIDE: Final = re.compile(rb'["{}]')
_INSIDE: Final = re.compile(rb'["\\]')


class JsonObjectCutter:
    """Cuts a byte stream into its top-level objects, whatever the pieces it arrives in; the total cost is linear.

    Only braces and strings are looked at: whether an object is JSON is for its reader to find out. Between objects
    stand white space, commas and the brackets of an array; anything else, and an object of more than
    ``max_object_bytes``, is a ``FrameError``: what came before it in the same chunk is returned first, and the next
    call raises.
    """

    __slots__ = ("_depth", "_error", "_held", "_in_string", "_max_object_bytes", "_scanned")

    def __init__(self, max_object_bytes: int = DEFAULT_MAX_EVENT_BYTES) -> None:
        self._max_object_bytes = max_object_bytes
        self._held = bytearray()  # one unfinished object
        self._scanned = 0  # of which these bytes have been looked at
        self._depth = 0
        self._in_string = False
        self._error: FrameError | None = None

    def feed(self, chunk: bytes) -> list[bytes]:
        """The objects that ``chunk`` completes, in order. Raises ``FrameError`` as the class says."""
        if self._error is not None:
            raise self._error
        self._held += chunk
        data = self._held
        objects: list[bytes] = []
        start = 0
        while self._error is None:
            if not self._depth:
                start = self._object_start(start)
                if start == len(data) or self._error is not None:
                    break
            end = self._object_end()
            if (end if end >= 0 else len(data)) - start > self._max_object_bytes:
                self._error = FrameError(f"a JSON object of the stream exceeds {self._max_object_bytes} bytes")
            elif end < 0:
                break
            else:
                objects.append(bytes(data[start:end]))
                start = end
        del data[:start]
        self._scanned -= start
        if self._error is not None and not objects:
            raise self._error
        return objects

    def finish(self) -> None:
        """The end of the stream. Raises ``FrameError`` when it is in the middle of an object, or was damaged."""
        if self._error is not None:
            raise self._error
        if self._held:
            raise FrameError("the stream ends in the middle of a JSON object")

    def _object_start(self, pos: int) -> int:
        """Where the next object begins; the end of the bytes when there is none yet."""
        found = _BETWEEN.match(self._held, pos)
        start = found.end() if found else pos
        if start < len(self._held) and self._held[start] != ord("{"):
            self._error = FrameError("the stream holds something other than JSON objects")
        self._scanned = start
        return start

    def _object_end(self) -> int:
        """Where the object ends whose bytes before ``_scanned`` were looked at; -1 if that is not yet known."""
        data, pos = self._held, self._scanned
        while (found := (_INSIDE if self._in_string else _OUTSIDE).search(data, pos)) is not None:
            byte, pos = data[found.start()], found.end()
            if byte == ord("\\"):
                if pos == len(data):  # what it escapes is yet to come
                    self._scanned = pos - 1
                    return -1
                pos += 1
            elif byte == ord('"'):
                self._in_string = not self._in_string
            else:
                self._depth += 1 if byte == ord("{") else -1
                if not self._depth:
                    self._scanned = pos
                    return pos
        self._scanned = len(data)
        return -1
