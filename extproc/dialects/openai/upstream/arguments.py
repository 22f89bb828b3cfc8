"""Where a JSON object ends that arrives in pieces."""

import re
from typing import Final

_OUTSIDE: Final = re.compile(r'["{}]')
_INSIDE: Final = re.compile(r'["\\]')
_FIRST: Final = re.compile(r"[^ \t\r\n]")


class ObjectEnd:
    """Looks for the end of one object by its braces and strings; each character is looked at once.

    Whether the object is JSON is for its reader to find out.

    Attributes:
        reached: all of an object has passed, and nothing but white space after it.
    """

    __slots__ = ("_depth", "_escaped", "_in_string", "_odd", "reached")

    def __init__(self) -> None:
        self.reached = False
        self._depth = 0
        self._in_string = False
        #: The last character was a backslash within a string.
        self._escaped = False
        #: Something stands before or after the object: there is no end of it.
        self._odd = False

    def feed(self, piece: str) -> None:
        """The next piece of the text."""
        pos = 0
        while pos < len(piece) and not self._odd:
            pos = self._within(piece, pos) if self._depth else self._around(piece, pos)

    def _around(self, piece: str, pos: int) -> int:
        """Before or after the object."""
        found = _FIRST.search(piece, pos)
        if found is None:
            return len(piece)
        if self.reached or found[0] != "{":
            self._odd, self.reached = True, False
        self._depth = 1
        return found.end()

    def _within(self, piece: str, pos: int) -> int:
        if self._escaped:
            self._escaped = False
            return pos + 1
        found = (_INSIDE if self._in_string else _OUTSIDE).search(piece, pos)
        if found is None:
            return len(piece)
        mark = found[0]
        if mark == "\\":
            self._escaped = True
        elif mark == '"':
            self._in_string = not self._in_string
        else:
            self._depth += 1 if mark == "{" else -1
            self.reached = not self._depth
        return found.end()
