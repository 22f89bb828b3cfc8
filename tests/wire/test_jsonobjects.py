"""JSON objects are cut out of a stream in linear time, whatever the pieces it arrives in."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.wire.errors import FrameError
from extproc.wire.jsonobjects import JsonObjectCutter

_VALUES = st.recursive(
    st.one_of(st.text(alphabet='ab{}[]"\\,\né', max_size=6), st.integers(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text('{"\\'), inner, max_size=3)),
    max_leaves=6,
)
_OBJECTS = st.lists(st.dictionaries(st.text(max_size=3), _VALUES, max_size=3), max_size=4)


def cut(*chunks: bytes, max_object_bytes: int = 1000) -> tuple[list[bytes], str | None]:
    """What comes out, and the error that ends it."""
    cutter = JsonObjectCutter(max_object_bytes)
    out: list[bytes] = []
    try:
        for chunk in chunks:
            out += cutter.feed(chunk)
        cutter.finish()
    except FrameError as error:
        return out, str(error)
    return out, None


@given(objects=_OBJECTS, indent=st.sampled_from([None, 1]), array=st.booleans(), size=st.integers(1, 7))
def test_every_object_comes_out_once_and_whole(
    objects: list[Any], indent: int | None, size: int, *, array: bool
) -> None:
    """Braces and quotes inside of strings are content, and the pieces do not matter."""
    texts = [json.dumps(value, ensure_ascii=False, indent=indent).encode() for value in objects]
    whole = b"[" + b"\n,\r\n".join(texts) + b"]\n" if array else b"".join(texts)

    assert cut(whole) == (texts, None)
    assert cut(*(whole[at : at + size] for at in range(0, len(whole), size))) == (texts, None)


@pytest.mark.parametrize(
    ("stream", "found", "problem"),
    [
        (b"", 0, None),
        (b" [\r\n] ", 0, None),
        (b"[1]", 0, "other than JSON objects"),
        (b'{} "a" {}', 1, "other than JSON objects"),
        (b"{}}", 1, "other than JSON objects"),
        (b"{} {", 1, "middle of a JSON object"),
        (b'{"a": "}', 0, "middle of a JSON object"),
        (b'{"a": "\\', 0, "middle of a JSON object"),
        (b"{} {" + b" " * 2000 + b"}", 1, "exceeds 1000 bytes"),
        (b"{} {" + b" " * 2000, 1, "exceeds 1000 bytes"),
    ],
)
def test_damage_is_told_after_what_came_before_it(stream: bytes, found: int, problem: str | None) -> None:
    """The objects before the damage are given in every case, and nothing after it."""
    pieces = [stream[at : at + 1] for at in range(len(stream))]

    for chunks in ([stream], pieces):
        out, error = cut(*chunks)
        assert out == [b"{}"] * found
        assert (error is None) if problem is None else problem in (error or "")


def test_an_error_stays_one() -> None:
    """A stream that cannot be cut does not begin anew with the next chunk."""
    cutter = JsonObjectCutter()
    for _ in range(2):
        with pytest.raises(FrameError):
            cutter.feed(b"x")
    with pytest.raises(FrameError):
        cutter.finish()
