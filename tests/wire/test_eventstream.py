"""The AWS event stream decoder, held to botocore's and to frames built without either."""

from collections.abc import Callable, MutableMapping
from uuid import UUID

import pytest
from botocore.eventstream import EventStreamBuffer, ParserError
from hypothesis import given
from hypothesis import strategies as st

from extproc.wire.errors import FrameError
from extproc.wire.eventstream import MAX_HEADERS_BYTES, MAX_PAYLOAD_BYTES, EventStreamDecoder, Message
from tests.support.eventstream_frames import FrameHeader, Integer, Timestamp, event, exception, frame, raw_frame, sealed
from tests.support.wire_costs import assert_linear
from tests.support.wire_splits import Outcome, drive, drive_all_ways

START = event("messageStart", b'{"role":"assistant"}')
DELTA = event("contentBlockDelta", '{"contentBlockIndex":0,"delta":{"text":"Grüße"}}'.encode())
THROTTLED = exception("throttlingException", b'{"message":"Too many requests"}')

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
values = (
    st.text(max_size=30)
    | st.binary(max_size=30)
    | st.booleans()
    | st.uuids()
    | st.sampled_from([8, 16, 32, 64]).flatmap(
        lambda bits: st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1).map(lambda value: Integer(value, bits))
    )
    | st.integers(-(2**63), 2**63 - 1).map(Timestamp)
)
frames = st.builds(frame, st.dictionaries(names, values, max_size=5), st.binary(max_size=60))


def by_botocore(stream: bytes) -> Outcome[tuple[dict[str, object], bytes]]:
    """What botocore makes of the whole stream; it takes an unfinished frame at the end for "wait for more"."""
    buffer = EventStreamBuffer()
    buffer.add_data(stream)
    items: list[tuple[dict[str, object], bytes]] = []
    try:
        items.extend((message.headers, message.payload) for message in buffer)
    except ParserError as error:
        return Outcome(items, type(error).__name__)
    return Outcome(items, "")


def comparable(messages: list[Message]) -> list[tuple[dict[str, object], bytes]]:
    """Our messages as botocore shapes them: a UUID is its 16 bytes there."""
    return [
        ({name: v.bytes if isinstance(v, UUID) else v for name, v in m.headers.items()}, m.payload) for m in messages
    ]


def test_converse_stream() -> None:
    """Messages come in order with type, event name, payload and headers, wherever the stream is split."""
    outcome = drive_all_ways(EventStreamDecoder, START + DELTA)

    assert outcome.error == ""
    assert [(message.message_type, message.event_type) for message in outcome.items] == [
        ("event", "messageStart"),
        ("event", "contentBlockDelta"),
    ]
    assert outcome.items[1].payload.decode() == '{"contentBlockIndex":0,"delta":{"text":"Grüße"}}'
    assert outcome.items[0].headers == {
        ":event-type": "messageStart",
        ":content-type": "application/json",
        ":message-type": "event",
    }


def test_exception_frame() -> None:
    """An exception says its name and keeps its payload."""
    [message] = drive_all_ways(EventStreamDecoder, THROTTLED).items

    assert (message.message_type, message.exception_type) == ("exception", "throttlingException")
    assert (message.event_type, message.payload) == ("", b'{"message":"Too many requests"}')


def test_error_frame() -> None:
    """An error has its code and text in headers and no payload."""
    stream = frame({":message-type": "error", ":error-code": "InternalError", ":error-message": "sorry"}, b"")

    [message] = drive_all_ways(EventStreamDecoder, stream).items
    assert (message.message_type, message.error_code, message.error_message) == ("error", "InternalError", "sorry")
    assert message.payload == b""


def test_a_name_that_is_no_string() -> None:
    """A well-known header of another type than string counts as absent."""
    [message] = EventStreamDecoder().feed(frame({":message-type": True, ":event-type": Integer(1, 8)}, b""))

    assert (message.message_type, message.event_type) == ("", "")


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (True, True),
        (False, False),
        (Integer(-128, 8), -128),
        (Integer(-(2**15), 16), -(2**15)),
        (Integer(2**31 - 1, 32), 2**31 - 1),
        (Integer(-(2**63), 64), -(2**63)),
        (b"\x00\xff", b"\x00\xff"),
        ("Grüße", "Grüße"),
        ("", ""),
        (Timestamp(1764547200000), 1764547200000),
        (UUID(int=2**127 + 1), UUID(int=2**127 + 1)),
    ],
    ids=repr,
)
def test_header_types(sent: FrameHeader, read: object) -> None:
    """Each of the ten types is read as its Python value, with the header after it intact."""
    [message] = drive_all_ways(EventStreamDecoder, frame({"first": sent, "second": "x"}, b"{}")).items

    assert message.headers == {"first": read, "second": "x"}
    assert type(message.headers["first"]) is type(read)


def test_frame_without_headers_or_payload() -> None:
    """The smallest frame, 16 bytes, is a message."""
    assert drive_all_ways(EventStreamDecoder, frame({}, b"")) == ([Message({}, b"")], "")


def test_headers_are_read_only() -> None:
    """Header blocks are shared between messages, so nobody can write to them."""
    [message] = EventStreamDecoder().feed(START)

    assert not isinstance(message.headers, MutableMapping)


@given(stream=st.lists(frames, max_size=4).map(b"".join))
def test_agrees_with_botocore(stream: bytes) -> None:
    """Any sequence of frames gives the messages that botocore reads."""
    ours = drive(EventStreamDecoder(), [stream])

    assert (comparable(ours.items), ours.error) == by_botocore(stream)


@given(stream=st.lists(frames, min_size=1, max_size=2).map(b"".join))
def test_every_split_gives_the_same(stream: bytes) -> None:
    """The messages do not depend on how the stream was cut."""
    assert drive_all_ways(EventStreamDecoder, stream).error == ""


@given(stream=st.lists(frames, min_size=1, max_size=3).map(b"".join), place=st.integers(0), flip=st.integers(1, 255))
def test_corruption_is_found_as_in_botocore(stream: bytes, place: int, flip: int) -> None:
    """One wrong byte ends the stream with an error after the same messages as in botocore, and at once."""
    damaged = bytearray(stream)
    damaged[place % len(stream)] ^= flip
    ours, theirs = drive(EventStreamDecoder(), [bytes(damaged)]), by_botocore(bytes(damaged))

    assert theirs.error == "ChecksumMismatch"
    assert ours.error.startswith("FrameError: the checksum of an event stream ")
    assert comparable(ours.items) == theirs.items


def test_frames_before_a_broken_one() -> None:
    """The good frames reach the caller first, then the error, whichever byte is wrong and at every split."""
    for damage in range(len(DELTA)):
        broken = bytearray(DELTA)
        broken[damage] ^= 0x40

        outcome = drive_all_ways(EventStreamDecoder, START + bytes(broken) + DELTA)
        assert [message.event_type for message in outcome.items] == ["messageStart"], f"byte {damage}"
        assert "checksum" in outcome.error, f"byte {damage}"


def test_the_error_stays() -> None:
    """`feed` returns the good messages and says that it failed; every later call raises."""
    decoder = EventStreamDecoder()

    steps = [(len(decoder.feed(piece)), decoder.failed) for piece in (START, START + b"\0" * 12)]
    assert steps == [(1, False), (1, True)]
    with pytest.raises(FrameError, match="prelude"):
        decoder.feed(DELTA)
    with pytest.raises(FrameError, match="prelude"):
        decoder.finish()


def test_a_bad_prelude_does_not_wait_for_its_frame() -> None:
    """A wrong checksum or an impossible length is an error as soon as the prelude is there."""
    for lengths in ((2**32 - 1, 0), (16, 1), (15, 0), (0, 0), (16 + MAX_HEADERS_BYTES + 1, MAX_HEADERS_BYTES + 1)):
        prelude = sealed(b"".join(length.to_bytes(4, "big") for length in lengths), b"")[:12]
        outcome = drive_all_ways(EventStreamDecoder, prelude)
        assert outcome.items == []
        assert "event stream" in outcome.error
        assert "ended inside" not in outcome.error


def test_json_where_frames_are_due() -> None:
    """A JSON body is recognised as no event stream after twelve bytes."""
    with pytest.raises(FrameError, match="is this an event stream at all"):
        EventStreamDecoder().feed(b'{"message":"throttled"}')


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        pytest.param(b"\x05ab", "ends after", id="name too short"),
        pytest.param(b"\x01a", "ends after", id="no type"),
        pytest.param(b"\x01a\x0a", "unknown type 10", id="unknown type"),
        pytest.param(b"\x01a\x07\x00", "ends after", id="half a length"),
        pytest.param(b"\x01a\x07\x00\x02x", "ends after", id="string too short"),
        pytest.param(b"\x01a\x05\x00", "ends after", id="integer too short"),
        pytest.param(b"\x01a\x09" + b"u" * 15, "ends after", id="uuid too short"),
        pytest.param(b"\x01a\x07\x00\x01\xff", "not UTF-8", id="value not utf-8"),
        pytest.param(b"\x01\xff\x00", "not UTF-8", id="name not utf-8"),
        pytest.param(b"\x01a\x00\x01a\x01", "'a' appears twice", id="twice"),
    ],
)
def test_broken_header_blocks(block: bytes, reason: str) -> None:
    """A header block that breaks the format is an error though both checksums are right."""
    outcome = drive_all_ways(EventStreamDecoder, START + raw_frame(block, b"{}"))

    assert [message.event_type for message in outcome.items] == ["messageStart"]
    assert reason in outcome.error


@pytest.mark.parametrize("length", [1, 11, 12, len(START) - 1])
def test_stream_that_ends_inside_a_frame(length: int) -> None:
    """What is missing at the end is an error that says how much was there."""
    outcome = drive_all_ways(EventStreamDecoder, DELTA + START[:length])

    assert len(outcome.items) == 1
    assert outcome.error == f"FrameError: the event stream ended inside a frame, after {length} bytes of it"


def test_largest_frame() -> None:
    """Headers of 128 KiB and a payload of 24 MiB are read; one byte more is refused by its prelude."""
    block = b"\x05first\x06\xff\xff" + b"v" * 0xFFFF
    block += b"\x04last\x06" + (fill := MAX_HEADERS_BYTES - len(block) - 8).to_bytes(2, "big") + b"v" * fill
    stream = raw_frame(block, b"p" * MAX_PAYLOAD_BYTES)

    [message] = EventStreamDecoder().feed(stream)
    assert (len(block), len(message.payload)) == (MAX_HEADERS_BYTES, MAX_PAYLOAD_BYTES)
    with pytest.raises(FrameError, match=f"exceeds {MAX_PAYLOAD_BYTES}"):
        EventStreamDecoder().feed(raw_frame(b"", b"p" * (MAX_PAYLOAD_BYTES + 1))[:12])


@pytest.mark.parametrize(("piece", "size"), [(1, 10_000), (200, 400_000)])
@pytest.mark.parametrize("frame_bytes", [100, 2**30])
def test_cost_is_linear(piece: int, size: int, frame_bytes: int) -> None:
    """A long stream in small pieces costs in proportion to its length, whether it is one frame or many."""

    def work(total: int) -> Callable[[], object]:
        payload = min(frame_bytes, total)
        stream = event("chunk", b"x" * payload) * (total // payload)
        pieces = [stream[i : i + piece] for i in range(0, len(stream), piece)]
        return lambda: drive(EventStreamDecoder(), pieces)

    assert_linear(work, size)
