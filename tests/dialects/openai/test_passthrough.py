"""Edits in place, and usage of whole answers."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.conversation.errors import ClientError
from extproc.conversation.response import NO_USAGE, Usage
from extproc.dialects.openai import DIALECT


def edit(body: bytes, model: str | None = None, *, include_usage: bool = False) -> bytes:
    """The edited body."""
    return DIALECT.edit(body, model=model, include_usage=include_usage)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"model":"a"}', b'{"model":"b"}'),
        (b'{ "x" : 1.10 , "model" : "a" , "y" : [1E400, -0] }', b'{ "x" : 1.10 , "model" : "b" , "y" : [1E400, -0] }'),
        (b'{"m":{"model":"a"},"model":"a"}', b'{"m":{"model":"a"},"model":"b"}'),
        (b'{"model":"x","model":"a"}', b'{"model":"x","model":"b"}'),
        (b'{"mod\\u0065l":"a"}', b'{"mod\\u0065l":"b"}'),
        (b'{"model":null}', b'{"model":"b"}'),
        (b"{}", b'{"model":"b"}'),
        ('{"x":"é\\u00e9","model":"a"}'.encode(), '{"x":"é\\u00e9","model":"b"}'.encode()),
    ],
)
def test_the_model_is_replaced_in_place(body: bytes, expected: bytes) -> None:
    """Only the effective model changes; spaces, literals and order stay."""
    assert expected == edit(body, "b")


def test_a_model_of_any_characters() -> None:
    """The new name is written as JSON."""
    assert json.loads(edit(b'{"model":"a"}', 'q"\\é')) == {"model": 'q"\\é'}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{}", b'{"stream_options":{"include_usage":true}}'),
        (b'{"a":1}', b'{"stream_options":{"include_usage":true},"a":1}'),
        (b'{"stream_options":null}', b'{"stream_options":{"include_usage":true}}'),
        (b'{"stream_options": {} }', b'{"stream_options": {"include_usage":true} }'),
        (b'{"stream_options":{"include_usage":false}}', b'{"stream_options":{"include_usage":true}}'),
        (b'{"stream_options":{"include_usage" : null}}', b'{"stream_options":{"include_usage" : true}}'),
        (
            b'{"stream_options":{"include_obfuscation": false},"x":1.0}',
            b'{"stream_options":{"include_usage":true,"include_obfuscation": false},"x":1.0}',
        ),
        (
            b'{"stream_options":{"a":1, "include_usage":false, "b":2}}',
            b'{"stream_options":{"a":1, "include_usage":true, "b":2}}',
        ),
    ],
)
def test_usage_is_asked_for(body: bytes, expected: bytes) -> None:
    """Every way in which usage is not asked for becomes one in which it is."""
    assert expected == edit(body, include_usage=True)
    assert DIALECT.asks_usage(expected)


@pytest.mark.parametrize(
    ("body", "model", "include_usage"),
    [
        (b'{"model":"a","x":1}', None, False),
        (b'{"model":"a","x":1}', "a", False),
        (b'{"model":"\\u0061"}', "a", False),
        (b'{"stream_options":{"include_usage":true}}', None, True),
        (b'{"stream_options":"yes"}', None, True),
        (b'{"stream_options":[]}', None, True),
        (b'{"stream_options":{"include_usage":"yes"}}', None, True),
    ],
)
def test_nothing_to_change(body: bytes, model: str | None, *, include_usage: bool) -> None:
    """Without a change the very object comes back; options that only the upstream can refuse are left to it."""
    assert edit(body, model, include_usage=include_usage) is body


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"model":"a"', b'{"model":"a","x":"\xff"}', b'{"model":NaN}'])
def test_no_edit_of_what_is_no_object(body: bytes) -> None:
    """A body that is no JSON object is the client's error, not an internal one."""
    with pytest.raises(ClientError) as caught:
        edit(body, "b", include_usage=True)

    assert (caught.value.error.status, caught.value.error.code) == (400, "invalid_json")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
KEYS = st.text(max_size=6) | st.sampled_from(["model", "stream_options", "mod", "stream"])


@given(
    st.dictionaries(KEYS, JSON_VALUES, max_size=6),
    st.sampled_from([None, 1]),
    st.booleans(),
    st.text(min_size=1, max_size=6),
    st.booleans(),
)
def test_all_other_bytes_stay(
    fields: dict[str, Any], indent: int | None, ascii_only: bool, model: str, include_usage: bool
) -> None:  # positional: hypothesis draws them
    """Of any body, only the edited members change: the others keep every byte and their order."""
    body = json.dumps(fields, indent=indent, ensure_ascii=ascii_only).encode()
    edited = edit(body, model, include_usage=include_usage)
    after = json.loads(edited)

    assert after["model"] == model
    kept = {key: value for key, value in fields.items() if key not in {"model", "stream_options"}}
    assert kept == {key: value for key, value in after.items() if key not in {"model", "stream_options"}}
    assert [key for key in after if key in fields] == list(fields)
    for key, value in kept.items():
        assert json.dumps(value, ensure_ascii=ascii_only).encode() in edited.replace(b"\n", b"") or indent
        assert json.dumps(key, ensure_ascii=ascii_only).encode() in edited
    if "stream_options" not in fields:
        assert ("stream_options" in after) == include_usage
    assert edit(edited, model, include_usage=include_usage) is edited


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"stream_options":{"include_usage":true}}', True),
        (b'{"stream_options":{"include_usage":false}}', False),
        (b'{"stream_options":{}}', False),
        (b'{"stream_options":null}', False),
        (b'{"stream_options":{"include_usage":"true"}}', False),
        (b'{"stream_options":[true]}', False),
        (b"{}", False),
        (b"[]", False),
        (b"not json", False),
    ],
)
def test_asking_for_usage(body: bytes, *, expected: bool) -> None:
    """Only a client that says true asked; what cannot be read did not."""
    assert expected is DIALECT.asks_usage(body)


CHAT = {
    "prompt_tokens": 9,
    "completion_tokens": 5,
    "total_tokens": 14,
    "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 4},
}
RESPONSES = {
    "input_tokens": 9,
    "output_tokens": 5,
    "total_tokens": 14,
    "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
    "output_tokens_details": {"reasoning_tokens": 4},
}


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (CHAT, Usage(9, 5, 14, 3, 2, 4)),
        (RESPONSES, Usage(9, 5, 14, 3, 2, 4)),
        ({"prompt_tokens": 7, "total_tokens": 7}, Usage(7, total_tokens=7)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, Usage(0, 0)),
        ({"prompt_tokens": 7.0, "completion_tokens": 7.5, "total_tokens": 1e300}, NO_USAGE),
        ({"prompt_tokens": 2**53 - 1, "completion_tokens": 2**53, "total_tokens": 10**400}, Usage(2**53 - 1)),
        ({"prompt_tokens": -1, "completion_tokens": True, "total_tokens": "9"}, NO_USAGE),
        ({"prompt_tokens": 1, "prompt_tokens_details": None}, Usage(1)),
        ({"prompt_tokens": 1, "prompt_tokens_details": [], "completion_tokens_details": "x"}, Usage(1)),
        ({"prompt_tokens": None, "input_tokens": 4}, Usage(4)),
        ({}, NO_USAGE),
        (None, NO_USAGE),
        ([], NO_USAGE),
        ("x", NO_USAGE),
    ],
)
def test_usage_of_a_whole_answer(usage: Any, expected: Usage) -> None:
    """Both APIs' words are read count by count; an odd one is not known and spoils no other."""
    body = json.dumps({"id": "x", "model": "real", "usage": usage, "data": [[0.1, 1e-9]]}).encode()

    assert (expected, "real") == DIALECT.read_usage(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"<html>",
        b'{"model":',
        b"\xff",
        b'{"model":5}',
        b"{}",
        b'{"usage":{"prompt_tokens":1e999}}',
        b'{"model":"\xff"}',
    ],
)
def test_nothing_known(body: bytes) -> None:
    """What is no answer tells nothing, and raises nothing."""
    assert DIALECT.read_usage(body) == (NO_USAGE, None)


@given(st.binary(max_size=40) | JSON_VALUES.map(lambda value: json.dumps({"usage": value}).encode()))
def test_no_answer_raises(body: bytes) -> None:
    """Usage of arbitrary bytes and of any usage value is read without an exception."""
    usage, model = DIALECT.read_usage(body)

    assert model is None
    assert usage.input_tokens is None or usage.input_tokens >= 0


def test_large_stream_options_are_not_built() -> None:
    """Options are edited in place, whatever else they hold, without memory for it."""
    filler = b"[" + b"{}," * 400_000 + b"{}]"
    raw = b'{"model":"m","stream_options":{"x":' + filler + b',"include_usage":false}}'
    tracemalloc.start()
    try:
        edited = DIALECT.edit(raw, model="n", include_usage=True)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert edited == b'{"model":"n","stream_options":{"x":' + filler + b',"include_usage":true}}'
    assert peak < 10 * len(raw)
