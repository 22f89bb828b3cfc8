"""Content encodings against the libraries' own encoders, whole, in pieces, damaged and as bombs."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from itertools import pairwise

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from extproc.wire.encoding import MAX_LAYERS, ZSTD_MAX_WINDOW_BYTES, StreamDecoder, decode_all, encode_all
from extproc.wire.errors import EncodingError, TooLargeError, UnsupportedEncodingError
from tests.support.wire_costs import assert_linear
from tests.support.wire_splits import splits

LIMIT = 1_000_000
BODY = b'{"model":"gpt-4o","messages":[{"role":"user","content":"Hello hello hello"}]}'
EVENTS = [b'data: {"n":%d}\n\n' % n for n in range(5)]
BRANDED = 0x184D2A53.to_bytes(4, "little") + (3).to_bytes(4, "little") + b"..."  # a skippable zstd frame


def raw_deflate(body: bytes) -> bytes:
    """What some servers send as deflate: no zlib header, no checksum."""
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(body) + stream.flush()


def unlucky_deflate() -> bytes:
    """Raw deflate whose first two bytes are a multiple of 31, as those of a zlib stream are."""
    candidates = (raw_deflate(n.to_bytes(2, "big") + BODY) for n in range(65536))
    return next(sent for sent in candidates if int.from_bytes(sent[:2], "big") % 31 == 0)


def padded_deflate() -> bytes:
    """Raw deflate whose first byte names method 8, as that of a zlib stream does: a stored block, padded with a one."""
    length = len(BODY).to_bytes(2, "little")
    return b"\x08" + length + bytes(255 - byte for byte in length) + BODY + b"\x01\x00\x00\xff\xff"


def zstd(body: bytes) -> bytes:
    """One frame without its content size, as streaming encoders write it."""
    stream = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    return stream.compress(body) + stream.flush()


def zstd_window(window_log: int) -> bytes:
    """A frame that demands a window of 2**window_log bytes."""
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=window_log)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return stream.compress(BODY) + stream.flush()


FORMS = [
    pytest.param("", BODY, id="none"),
    pytest.param("identity", BODY, id="identity"),
    pytest.param("gzip", gzip.compress(BODY), id="gzip"),
    pytest.param("x-gzip", gzip.compress(BODY, mtime=1), id="x-gzip"),
    pytest.param("gzip", gzip.compress(BODY[:30]) + gzip.compress(b"") + gzip.compress(BODY[30:]), id="members"),
    pytest.param("deflate", zlib.compress(BODY), id="deflate"),
    pytest.param("deflate", raw_deflate(BODY), id="raw deflate"),
    pytest.param("br", brotli.compress(BODY), id="br"),
    pytest.param("zstd", zstd(BODY), id="zstd"),
    pytest.param("zstd", zstandard.compress(BODY[:30]) + BRANDED + zstd(BODY[30:]), id="frames"),
    pytest.param("gzip, br", brotli.compress(gzip.compress(BODY)), id="gzip then br"),
    pytest.param("zstd,identity,deflate", zlib.compress(zstd(BODY)), id="zstd then deflate"),
    pytest.param(" GZip ,\t, ", gzip.compress(BODY), id="case, space and empty names"),
]


@pytest.mark.parametrize(("encodings", "sent"), FORMS)
def test_decoding(encodings: str, sent: bytes) -> None:
    """Every coding gives the body back, whole, byte by byte and at every two-way split."""
    assert decode_all(sent, encodings, LIMIT) == BODY
    for chunks in splits(sent):
        decoder = StreamDecoder(encodings, LIMIT)
        assert b"".join(map(decoder.feed, chunks)) == BODY
        decoder.finish()


@pytest.mark.parametrize(("encodings", "sent"), FORMS)
def test_truncation(encodings: str, sent: bytes) -> None:
    """A compressed body that stops early is an error at every length; no bytes at all are an empty body."""
    assert decode_all(b"", encodings, LIMIT) == b""
    if encodings in {"", "identity"}:
        return
    whole = {len(part) for part in (gzip.compress(BODY[:30]), gzip.compress(BODY[:30]) + gzip.compress(b""))}
    whole |= {len(part) for part in (zstandard.compress(BODY[:30]), zstandard.compress(BODY[:30]) + BRANDED)}
    for length in set(range(1, len(sent))) - whole:
        with pytest.raises(EncodingError, match=r"ends too early|corrupt"):
            decode_all(sent[:length], encodings, LIMIT)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
@given(body=st.binary(max_size=300), cuts=st.lists(st.integers(0, 400), max_size=4))
def test_round_trip(encoding: str, body: bytes, cuts: list[int]) -> None:
    """What `encode_all` writes is decoded to the same body, in any pieces, and written the same again."""
    sent = encode_all(body, encoding)
    marks = [0, *sorted(cut for cut in cuts if cut < len(sent)), len(sent)]
    decoder = StreamDecoder(encoding, LIMIT)

    assert b"".join(decoder.feed(sent[a:b]) for a, b in pairwise(marks)) == body
    decoder.finish()
    assert encode_all(body, encoding) == sent


def test_raw_deflate_that_looks_like_zlib() -> None:
    """Half a likeness to a zlib header does not mislead."""
    assert decode_all(padded_deflate(), "deflate", LIMIT) == BODY
    assert decode_all(unlucky_deflate(), "deflate", LIMIT).endswith(BODY)


def test_encoding_order() -> None:
    """Several codings are applied in the order of the header, and other libraries can undo them."""
    sent = encode_all(BODY, "gzip, identity, br")

    assert gzip.decompress(brotli.decompress(sent)) == BODY
    assert zlib.decompress(encode_all(BODY, "deflate")) == BODY
    assert zstandard.decompress(encode_all(BODY, "ZSTD")) == BODY
    assert encode_all(BODY, "") == BODY


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd"])
@pytest.mark.parametrize("damage", [b"\0", b"\xff", b"<html>", b"x"])
def test_corrupt(encoding: str, damage: bytes) -> None:
    """Damage in the middle, or bytes that belong to nothing after the end, are an error and not a crash."""
    sent = encode_all(BODY, encoding)
    half = len(sent) // 2

    for broken in (damage * 20, sent[:half] + damage * 8 + sent[half + 8 * len(damage) :], sent + damage):
        with pytest.raises(EncodingError, match=encoding):
            decode_all(broken, encoding, LIMIT)


@pytest.mark.parametrize("sent", [zlib.compress(BODY), raw_deflate(BODY)], ids=["zlib", "raw"])
def test_corrupt_deflate(sent: bytes) -> None:
    """Both kinds of deflate refuse bytes after their end, in the same chunk or in the next."""
    with pytest.raises(EncodingError, match="bytes after its end"):
        decode_all(sent + b"x", "deflate", LIMIT)
    decoder = StreamDecoder("deflate", LIMIT)
    assert decoder.feed(sent) == BODY
    with pytest.raises(EncodingError, match="bytes after its end"):
        decoder.feed(b"x")


@given(sent=st.binary(max_size=60), encoding=st.sampled_from(["gzip", "deflate", "br", "zstd", "br, gzip"]))
def test_any_bytes(sent: bytes, encoding: str) -> None:
    """Arbitrary bytes decode or raise an error of this room; nothing else escapes."""
    try:
        decoded = decode_all(sent, encoding, LIMIT)
    except (EncodingError, TooLargeError):
        return

    assert len(decoded) <= LIMIT


@pytest.mark.parametrize("encodings", ["compress", "gzip, foo", "*", "gzip;q=1"])
def test_unknown_names(encodings: str) -> None:
    """A coding that we do not have is refused by name, both ways, before any byte is read."""
    for work in (lambda: StreamDecoder(encodings, LIMIT), lambda: encode_all(BODY, encodings)):
        with pytest.raises(UnsupportedEncodingError) as caught:
            work()
        assert caught.value.name == encodings.rpartition(",")[2].strip()


def test_too_many_layers() -> None:
    """A stack of codings higher than the limit is refused."""
    assert decode_all(encode_all(BODY, "br," * MAX_LAYERS), "br," * MAX_LAYERS, LIMIT) == BODY
    with pytest.raises(EncodingError, match="at most 4"):
        StreamDecoder("br," * (MAX_LAYERS + 1), LIMIT)


@pytest.mark.parametrize(("encodings", "sent"), FORMS[:-3])
def test_limit(encodings: str, sent: bytes) -> None:
    """A body of just the limit passes, one byte less of limit refuses it."""
    assert decode_all(sent, encodings, len(BODY)) == BODY
    with pytest.raises(TooLargeError, match="76") as caught:
        decode_all(sent, encodings, len(BODY) - 1)
    assert caught.value.limit_bytes == len(BODY) - 1


def bomb(encoding: str, megabytes: int) -> bytes:
    """Zeros, compressed piece by piece."""
    zeros = bytes(1_000_000)
    if encoding == "br":
        br = brotli.Compressor(quality=5)
        return b"".join(br.process(zeros) for _ in range(megabytes)) + bytes(br.finish())
    if encoding == "zstd":
        zs = zstandard.ZstdCompressor(level=1).compressobj()
        return b"".join(zs.compress(zeros) for _ in range(megabytes)) + zs.flush()
    deflate = zlib.compressobj(9, zlib.DEFLATED, 31 if encoding == "gzip" else 15)
    return b"".join(deflate.compress(zeros) for _ in range(megabytes)) + deflate.flush()


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize("layers", [1, 2])
def test_bombs(encoding: str, layers: int) -> None:
    """A body that unpacks to 60 MB is refused before more than the limit and a fixed margin is held."""
    sent = bomb(encoding, 60)
    for _ in range(layers - 1):
        sent = encode_all(sent, encoding)

    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError):
            decode_all(sent, ",".join([encoding] * layers), LIMIT)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < LIMIT + (34_000_000 if encoding == "zstd" else 4_000_000)


def test_zstd_window() -> None:
    """A frame may ask for the window that RFC 9659 allows and for no larger one."""
    assert decode_all(zstd_window(23), "zstd", LIMIT) == BODY
    assert ZSTD_MAX_WINDOW_BYTES == 1 << 23
    with pytest.raises(EncodingError, match="too much memory"):
        decode_all(zstd_window(24), "zstd", LIMIT)


def gzip_events() -> list[bytes]:
    stream = zlib.compressobj(wbits=31)
    return [stream.compress(event) + stream.flush(zlib.Z_SYNC_FLUSH) for event in EVENTS] + [stream.flush()]


def deflate_events() -> list[bytes]:
    stream = zlib.compressobj()
    return [stream.compress(event) + stream.flush(zlib.Z_SYNC_FLUSH) for event in EVENTS] + [stream.flush()]


def brotli_events() -> list[bytes]:
    stream = brotli.Compressor()
    return [bytes(stream.process(event) + stream.flush()) for event in EVENTS] + [bytes(stream.finish())]


def zstd_events() -> list[bytes]:
    stream = zstandard.ZstdCompressor().compressobj()
    return [stream.compress(e) + stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK) for e in EVENTS] + [stream.flush()]


@pytest.mark.parametrize(
    ("encoding", "chunks"),
    [
        ("gzip", gzip_events()),
        ("gzip", [*map(gzip.compress, EVENTS), b""]),
        ("deflate", deflate_events()),
        ("br", brotli_events()),
        ("zstd", zstd_events()),
        ("zstd", [*map(zstandard.compress, EVENTS), b""]),
    ],
)
def test_flushed_events_come_at_once(encoding: str, chunks: list[bytes]) -> None:
    """An event that the upstream flushed is decoded before anything after it arrives."""
    decoder = StreamDecoder(encoding, LIMIT)

    assert [decoder.feed(chunk) for chunk in chunks] == [*EVENTS, b""]
    decoder.finish()


def test_a_stream_may_be_longer_than_the_limit() -> None:
    """The limit of a stream decoder is for one feed, so that an endless stream of small events passes."""
    decoder = StreamDecoder("gzip", 100)

    assert b"".join(decoder.feed(gzip.compress(b"x" * 60)) for _ in range(10)) == b"x" * 600
    with pytest.raises(TooLargeError, match="100 bytes"):
        decoder.feed(gzip.compress(b"x" * 101))


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_cost_of_tiny_members_is_linear(encoding: str) -> None:
    """A body of empty gzip members or zstd frames costs in proportion to its length."""

    def work(size: int) -> Callable[[], object]:
        member = encode_all(b"", encoding)
        sent = member * (size // len(member))
        return lambda: decode_all(sent, encoding, LIMIT)

    assert_linear(work, 30_000)


@pytest.mark.parametrize("size", [16 * 1024, 256 * 1024, 256 * 1024 + 1, 2 * 491_456, 1_500_000])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_sizes_at_the_edges_of_pieces(encoding: str, size: int) -> None:
    """Where an output fills a piece exactly, nothing is lost or held back, and bytes after the end are still seen."""
    for body in (bytes(size), bytes(range(256)) * (size // 256) + bytes(size % 256)):
        sent = encode_all(body, encoding)
        assert decode_all(sent, encoding, size) == body
        with pytest.raises(EncodingError):
            decode_all(sent + b"x", encoding, size)
