"""Server-sent events, each case fed whole, byte by byte and at every two-way split."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from extproc.wire.errors import FrameError
from extproc.wire.sse import Event, SseParser, encode
from tests.support.wire_costs import assert_linear
from tests.support.wire_splits import drive, drive_all_ways

CHUNK = b'{"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":"Hello"}}]}'

CASES: list[tuple[str, bytes, list[Event]]] = [
    ("nothing", b"", []),
    (
        "a mark after crlf is content",
        b"\xef\xbb\xbf:\r\n\r\n\xef\xbb\xbfdata: y\r\n\r\n",
        [Event(None, b"", b"\xef\xbb\xbf:\r\n\r\n"), Event(None, b"", b"\xef\xbb\xbfdata: y\r\n\r\n")],
    ),
    ("one event", b"data: " + CHUNK + b"\n\n", [Event(CHUNK, b"", b"data: " + CHUNK + b"\n\n")]),
    ("no space", b"data:x\n\n", [Event(b"x", b"", b"data:x\n\n")]),
    ("one space is stripped", b"data:  x \n\n", [Event(b" x ", b"", b"data:  x \n\n")]),
    ("a colon in the value", b"data: a: b\n\n", [Event(b"a: b", b"", b"data: a: b\n\n")]),
    ("crlf", b"data: x\r\n\r\n", [Event(b"x", b"", b"data: x\r\n\r\n")]),
    ("cr", b"data: x\r\r", [Event(b"x", b"", b"data: x\r\r")]),
    ("cr, two events", b"data: x\r\rdata: y\r\r", [Event(b"x", b"", b"data: x\r\r"), Event(b"y", b"", b"data: y\r\r")]),
    ("cr then lf is a block of its own", b"data: x\r\r\n", [Event(b"x", b"", b"data: x\r\r"), Event(None, b"", b"\n")]),
    ("lf then crlf", b"data: x\n\r\n", [Event(b"x", b"", b"data: x\n\r\n")]),
    ("crlf then lf", b"data: x\r\n\n", [Event(b"x", b"", b"data: x\r\n\n")]),
    ("lf then cr", b"data: x\n\rdata: y\n\n", [Event(b"x", b"", b"data: x\n\r"), Event(b"y", b"", b"data: y\n\n")]),
    ("lf then cr at the end", b"data: x\n\r", [Event(b"x", b"", b"data: x\n\r")]),
    (
        "several lines",
        b"data: a\ndata: b\r\ndata\rdata: c\n\n",
        [Event(b"a\nb\n\nc", b"", b"data: a\ndata: b\r\ndata\rdata: c\n\n")],
    ),
    ("empty data", b"data:\n\n", [Event(b"", b"", b"data:\n\n")]),
    ("data without a colon", b"data\n\n", [Event(b"", b"", b"data\n\n")]),
    ("named event", b"event: ping\ndata: x\n\n", [Event(b"x", b"ping", b"event: ping\ndata: x\n\n")]),
    ("name after data", b"data: x\nevent:ping\n\n", [Event(b"x", b"ping", b"data: x\nevent:ping\n\n")]),
    (
        "the last name counts",
        b"event: a\nevent: b\ndata: x\n\n",
        [Event(b"x", b"b", b"event: a\nevent: b\ndata: x\n\n")],
    ),
    ("event without data", b"event: ping\n\n", [Event(None, b"ping", b"event: ping\n\n")]),
    (
        "id and retry",
        b"id: 7\nretry: 1500\ndata: x\n\n",
        [Event(b"x", b"", b"id: 7\nretry: 1500\ndata: x\n\n", id=b"7", retry_ms=1500)],
    ),
    ("useless id and retry", b"id: \0\nretry: 1s\ndata: x\n\n", [Event(b"x", b"", b"id: \0\nretry: 1s\ndata: x\n\n")]),
    ("absurd retry", b"retry: " + b"9" * 5000 + b"\n\n", [Event(None, b"", b"retry: " + b"9" * 5000 + b"\n\n")]),
    ("unknown fields", b"Data: y\nfoo: z\ndata: x\n\n", [Event(b"x", b"", b"Data: y\nfoo: z\ndata: x\n\n")]),
    ("comment alone", b": keep-alive\n\n", [Event(None, b"", b": keep-alive\n\n")]),
    ("comment before data", b":ok\ndata: x\n\n", [Event(b"x", b"", b":ok\ndata: x\n\n")]),
    (
        "blank lines",
        b"\n\r\n\rdata: x\n\n\n",
        [
            Event(None, b"", b"\n"),
            Event(None, b"", b"\r\n"),
            Event(None, b"", b"\r"),
            Event(b"x", b"", b"data: x\n\n"),
            Event(None, b"", b"\n"),
        ],
    ),
    ("a cr alone", b"\r", [Event(None, b"", b"\r")]),
    (
        "byte order mark",
        b"\xef\xbb\xbfdata: x\n\ndata: y\n\n",
        [Event(b"x", b"", b"\xef\xbb\xbfdata: x\n\n"), Event(b"y", b"", b"data: y\n\n")],
    ),
    (
        "a mark later is content",
        b"data: x\n\n\xef\xbb\xbfdata: y\n\n",
        [Event(b"x", b"", b"data: x\n\n"), Event(None, b"", b"\xef\xbb\xbfdata: y\n\n")],
    ),
    (
        "unicode line ends are content",
        'data: "a\u2028b\u2029c\u0085d\x0b\x0c\x1c"\n\n'.encode(),
        [
            Event(
                '"a\u2028b\u2029c\u0085d\x0b\x0c\x1c"'.encode(),
                b"",
                'data: "a\u2028b\u2029c\u0085d\x0b\x0c\x1c"\n\n'.encode(),
            )
        ],
    ),
    (
        "unfinished",
        b"data: x\n\ndata: [DO",
        [Event(b"x", b"", b"data: x\n\n"), Event(b"[DO", b"", b"data: [DO", complete=False)],
    ),
    ("one line end short", b"data: x\n", [Event(b"x", b"", b"data: x\n", complete=False)]),
    (
        "unfinished name",
        b"data: x\n\nevent: ping",
        [Event(b"x", b"", b"data: x\n\n"), Event(None, b"ping", b"event: ping", complete=False)],
    ),
    (
        "unfinished name and data",
        b"event: ping\ndata: x",
        [Event(b"x", b"ping", b"event: ping\ndata: x", complete=False)],
    ),
    ("half a crlf", b"data: x\r\n\r", [Event(b"x", b"", b"data: x\r\n\r")]),
]

streams = st.lists(
    st.sampled_from(
        [
            b"data: ",
            b"data:",
            b"event: ",
            b"id: 1",
            b"\n",
            b"\n\n",
            b"\r",
            b"\r\n",
            b":",
            b"\xef\xbb\xbf",
            b"x",
            b"\xe2\x80\xa8",
        ]
    )
    | st.binary(max_size=8),
    max_size=16,
).map(b"".join)


@pytest.mark.parametrize(("stream", "events"), [pytest.param(s, e, id=name) for name, s, e in CASES])
def test_events(stream: bytes, events: list[Event]) -> None:
    """A stream gives these events and no error, wherever it is split."""
    outcome = drive_all_ways(SseParser, stream)

    assert (events, "") == outcome


@given(stream=streams)
@example(stream=b"data: x\n\nevent: y")
@example(stream=b"\r\r\n\r")
def test_no_byte_is_lost(stream: bytes) -> None:
    """The raw bytes of all events are the stream, for any bytes and any split."""
    outcome = drive_all_ways(SseParser, stream)

    assert (stream, "") == (b"".join(event.raw for event in outcome.items), outcome.error)


@given(stream=streams, cuts=st.lists(st.integers(0, 120), max_size=6))
def test_random_splits(stream: bytes, cuts: list[int]) -> None:
    """Any number of pieces gives what the whole gives."""
    marks = [0, *sorted(cuts), len(stream)]
    pieces = [stream[a:b] for a, b in pairwise(marks)]

    assert drive(SseParser(), [stream]) == drive(SseParser(), pieces)


@given(stream=streams)
def test_agrees_with_the_standard(stream: bytes) -> None:
    """What is dispatched is what the algorithm of the HTML standard, applied line by line, dispatches."""
    outcome = drive(SseParser(), [stream])

    assert _by_the_standard(stream) == [
        (event.event, event.data) for event in outcome.items if event.data is not None and event.complete
    ]


def _by_the_standard(stream: bytes) -> list[tuple[bytes, bytes]]:
    """A slow reading of https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation."""
    dispatched: list[tuple[bytes, bytes]] = []
    name, data = b"", b""
    for line in stream.removeprefix(b"\xef\xbb\xbf").splitlines(keepends=True):
        content = line.rstrip(b"\r\n")
        if content == line:
            break  # a last line without an end belongs to a block that is not finished
        if not content:
            if data:
                dispatched.append((name, data.removesuffix(b"\n")))
            name, data = b"", b""
            continue
        field, _, value = content.partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if field == b"data":
            data += value + b"\n"
        elif field == b"event":
            name = value
    return dispatched


@given(data=st.binary(max_size=40) | st.text(max_size=20).map(str.encode), event=st.sampled_from([b"", b"ping", b" x"]))
def test_encoded_events_come_back(data: bytes, event: bytes) -> None:
    """What `encode` writes is one complete event with the same data, its line ends as LF."""
    block = encode(data, event)

    [parsed] = drive_all_ways(SseParser, block).items
    expected = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert Event(expected, event, block) == parsed


def test_encoded_bytes() -> None:
    """An encoded event has one space after the colon, LF line ends and its name first."""
    assert encode(b"{}") == b"data: {}\n\n"
    assert encode(b"a\n\nb", b"ping") == b"event: ping\ndata: a\ndata: \ndata: b\n\n"


@pytest.mark.parametrize("name", [b"a\nb", b"a\rb"])
def test_event_name_with_a_line_end(name: bytes) -> None:
    """A name that would end its own line is refused."""
    with pytest.raises(ValueError, match="line end"):
        encode(b"x", name)


@pytest.mark.parametrize(
    "oversized",
    [
        b"data: 12345\n\n",
        b"event: a\ndata:\n\n",
        b"data: 12345\r\n\r\n",
        b":comment....\n\n",
        b"x" * 13,
        b"data: 1\n" * 2,
    ],
)
def test_oversized_event(oversized: bytes) -> None:
    """An event over the limit is an error after the events before it, wherever the stream is split."""
    good = b"data: 1234\n\n"

    outcome = drive_all_ways(partial(SseParser, 12), good + oversized + good)

    assert ([Event(b"1234", b"", good)], "FrameError: a server-sent event exceeds 12 bytes") == outcome


@pytest.mark.parametrize("pieces", [[b"data: 12345\n\n"], [b"data: ", b"1234567"]])
def test_oversized_event_alone(pieces: list[bytes]) -> None:
    """With no event to return first, the error is raised at once, also before the end of the event is seen."""
    parser = SseParser(12)

    assert [parser.feed(piece) for piece in pieces[:-1]] == [[]] * (len(pieces) - 1)
    with pytest.raises(FrameError, match="exceeds 12 bytes"):
        parser.feed(pieces[-1])


def test_oversized_event_stays_an_error() -> None:
    """After the events before an oversized one were returned, every later call raises."""
    parser = SseParser(12)

    assert len(parser.feed(b"data: 1\n\ndata: 12345\n\ndata: 1\n\n")) == 1
    for call in (partial(parser.feed, b"data: 1\n\n"), parser.finish):
        with pytest.raises(FrameError, match="exceeds 12 bytes"):
            call()


def test_an_event_is_handed_out_with_its_last_byte() -> None:
    """No event waits for the next one, with LF, CRLF and CR line ends."""
    for end in (b"\n\n", b"\r\n\r\n", b"\r\r"):
        parser = SseParser()
        assert [[], [Event(b"x", b"", b"data: x" + end)]] == [parser.feed(b"data: x" + end[:-1]), parser.feed(end[-1:])]


@pytest.mark.parametrize(("piece", "size"), [(1, 5_000), (100, 20_000)])
@pytest.mark.parametrize("content", [b"x", b"data: x\n", b"data: x\r\n", b"\rx", b"\n\n", b"\r\n"], ids=repr)
def test_cost_is_linear(piece: int, size: int, content: bytes) -> None:
    """A long stream in small pieces costs in proportion to its length, whether it is one event or many."""

    def work(size: int) -> Callable[[], object]:
        stream = b"data: " + content * (size // len(content))
        pieces = [stream[i : i + piece] for i in range(0, len(stream), piece)]
        return lambda: drive(SseParser(), pieces)

    assert_linear(work, size)


@pytest.mark.parametrize(
    ("content", "last", "size"),
    [
        (b"data: x\n\ndata: y\r\n\r\n\n:\r\r", b"", 20_000),
        (b"data:\ndata:\n", b"\r", 20_000),
        (b"data: x\n\n", b"\r", 40_000),
        (b"data: x\r\r", b"\n", 200_000),
    ],
    ids=repr,
)
def test_cost_of_one_chunk_is_linear(content: bytes, last: bytes, size: int) -> None:
    """A chunk costs in proportion to its length, also when another kind of line end comes only at its end."""

    def work(total: int) -> Callable[[], object]:
        stream = content * (total // len(content)) + last
        return lambda: drive(SseParser(), [stream])

    assert_linear(work, size)
