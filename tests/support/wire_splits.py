"""Feeds a byte stream to a framer whole, byte by byte and cut in two at every place, and demands one outcome."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from extproc.wire.errors import WireError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Framer(Protocol[T_co]):
    """Anything with `feed` and `finish`; `finish` may have nothing to give."""

    def feed(self, chunk: bytes, /) -> Sequence[T_co]: ...

    def finish(self) -> Sequence[T_co] | None: ...


class Outcome(NamedTuple, Generic[T]):
    """All that a framer gave, and the text of the error that ended it; empty when it reached the end."""

    items: list[T]
    error: str


def drive(framer: Framer[T], chunks: Iterable[bytes]) -> Outcome[T]:
    """Feeds the chunks and finishes, as a caller must."""
    items: list[T] = []
    try:
        for chunk in chunks:
            items.extend(framer.feed(chunk))
        items.extend(framer.finish() or ())
    except WireError as error:
        return Outcome(items, f"{type(error).__name__}: {error}")
    return Outcome(items, "")


def splits(whole: bytes) -> Iterator[list[bytes]]:
    """Whole, byte by byte, and every way to cut in two (the ends included, which gives an empty chunk)."""
    yield [whole]
    yield [whole[i : i + 1] for i in range(len(whole))]
    for cut in range(len(whole) + 1):
        yield [whole[:cut], whole[cut:]]


def drive_all_ways(make: Callable[[], Framer[T]], whole: bytes) -> Outcome[T]:
    """The outcome that every split has in common."""
    expected = drive(make(), [whole])
    for chunks in splits(whole):
        outcome = drive(make(), chunks)
        assert expected == outcome, f"split as {[len(chunk) for chunk in chunks]}"
    return expected
