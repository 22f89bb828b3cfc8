"""Upstreams that hear a request and answer it, in each vendor's format: small readers that share nothing with ours.

``Heard`` is what arrived, in no vendor's format. ``Answer`` is what is to be said, which each upstream writes as a
whole body and as a stream; ``spoken`` is the same as it must stand in the next request, when the client sends it back.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Heard:
    """A request. ``words``: who said what, neighbours of one speaker joined; ``calls`` and ``results`` in order.

    A call is its id, name and arguments; a result the id it answers, its text and whether it failed. An id is None
    where the format has none. ``last`` is the content of the last message of the assistant as it was sent.
    """

    system: list[str] = field(default_factory=list)
    words: list[tuple[str, str]] = field(default_factory=list)
    calls: list[tuple[str | None, str, Any]] = field(default_factory=list)
    results: list[tuple[str | None, str, bool]] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    tools: list[str] = field(default_factory=list)
    last: list[Any] = field(default_factory=list)

    def say(self, role: str, text: str) -> None:
        """More words."""
        if self.words and self.words[-1][0] == role:
            self.words[-1] = (role, self.words[-1][1] + text)
        else:
            self.words.append((role, text))


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens; ``prompt`` counts all of the input, what was read from and written to a cache included."""

    prompt: int
    cached: int
    written: int
    output: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What an upstream says: maybe a thought, maybe a text, and calls by id, upstream name and JSON text."""

    thought: str | None
    signature: str
    text: str
    calls: tuple[tuple[str, str, str], ...]
    spent: Spent


class Echo(Protocol):
    """One vendor's format."""

    content_type: str
    #: Whether the vendor checks its own reasoning, and so wants it back.
    signs: bool

    def hear(self, body: bytes) -> Heard:
        """What a request says."""

    def whole(self, answer: Answer) -> bytes:
        """The answer as one body."""

    def stream(self, answer: Answer) -> list[bytes]:
        """The answer as a stream, event by event."""

    def spoken(self, answer: Answer) -> list[Any]:
        """The answer's content as the next request must hold it."""


def literal(text: str | bytes) -> Any:
    """A JSON value in which numbers keep their spelling."""
    return json.loads(text, parse_int=lambda word: ("number", word), parse_float=lambda word: ("number", word))


def pieces(text: str) -> list[str]:
    """A text in up to three parts."""
    third = max(1, len(text) // 3)
    return [part for part in (text[:third], text[third : 2 * third], text[2 * third :]) if part]


def sse(events: Sequence[str | dict[str, Any]], *, named: bool = False) -> list[bytes]:
    """Server-sent events, one element each."""
    told = []
    for event in events:
        data = event if isinstance(event, str) else json.dumps(event, ensure_ascii=False)
        head = f"event: {event['type']}\n" if named and isinstance(event, dict) else ""
        told.append(f"{head}data: {data}\n\n".encode())
    return told
