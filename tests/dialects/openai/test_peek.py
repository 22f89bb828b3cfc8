"""Routing facts, and bodies that are no JSON objects."""

import contextlib
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.conversation.errors import ClientError
from extproc.dialects.contract import Peek
from extproc.dialects.openai import DIALECT
from tests.support.openai_chat import OPTIONAL_FIELDS, body, maybe_refusal, refusal


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"model":"m"}', Peek("m", stream=False)),
        (b'{"model":"m","stream":true}', Peek("m", stream=True)),
        (b'{"model":"m","stream":false}', Peek("m", stream=False)),
        (b'{"model":"m","stream":null}', Peek("m", stream=False)),
        (b' {"stream" : true , "x":[1.0,{"model":"inner"}], "model" : "a/b:c" } ', Peek("a/b:c", stream=True)),
        (b'{"model":"m","x":{"model":"y","Model":"z","stream":1}}', Peek("m", stream=False)),
        (b'{"mod\\u0065l":"escaped"}', Peek("escaped", stream=False)),
        ('{"model":"modèle-😀"}'.encode(), Peek("modèle-😀", stream=False)),
        (b'{"model":"m","x":1e999,"y":123456789012345678901234567890}', Peek("m", stream=False)),
    ],
)
def test_model_and_stream(raw: bytes, expected: Peek) -> None:
    """Model and stream are found wherever they stand; namesakes inside other values are none."""
    assert expected == DIALECT.peek(raw)


_KEYS = st.sampled_from(["model", "Model", "stream", "STREAM", "messages", "x"])
_MEMBERS = st.lists(st.tuples(_KEYS, st.sampled_from(["m", "model", 5, True, False, None, {"model": "y"}])), max_size=4)


@given(_MEMBERS)
def test_plain_bodies_are_read_as_all_others_are(members: list[tuple[str, object]]) -> None:
    """What is found in one pass is what the careful way finds, which a key with an escape makes sure of."""
    told = [f"{json.dumps(key)}:{json.dumps(value)}" for key, value in members]
    raw = "{" + ",".join(told) + "}"
    escaped = "{" + ",".join([*told, '"\\u0079":1']) + "}"

    assert _outcome(raw) == _outcome(escaped)


def _outcome(raw: str) -> object:
    try:
        return DIALECT.peek(raw.encode())
    except ClientError as error:
        return error.error


@pytest.mark.parametrize(
    ("raw", "param", "code"),
    [
        (b"{}", "model", "missing_required_parameter"),
        (b'{"model":null}', "model", "missing_required_parameter"),
        (b'{"model":""}', "model", "invalid_value"),
        (b'{"model":5}', "model", "invalid_type"),
        (b'{"model":["m"]}', "model", "invalid_type"),
        (b'{"model":"m","stream":"yes"}', "stream", "invalid_type"),
        (b'{"model":"m","stream":1}', "stream", "invalid_type"),
    ],
)
def test_wrong_routing_facts(raw: bytes, param: str, code: str) -> None:
    """A missing or mistyped model or stream is a 400 that names it."""
    with pytest.raises(ClientError) as caught:
        DIALECT.peek(raw)

    error = caught.value.error
    assert (400, param, code) == (error.status, error.param, error.code)
    assert error.message.startswith(f"{param}: ")


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        (b'{"model":"other","model":"m"}', "model"),
        (b'{"model":"m","model":"m"}', "model"),
        (b'{"model":"m","Model":"other"}', "model"),
        (b'{"MODEL":"other","model":"m"}', "model"),
        (b'{"model":"m","mod\\u0065l":"other"}', "model"),
        (b'{"model":"m","\\u004dodel":null}', "model"),
        (b'{"Model":"m"}', "model"),
        (b'{"model":"m","Stream":true}', "stream"),
        (b'{"model":"m","stream":true,"stream":false}', "stream"),
        ('{"model":"m","stream":true,"\u017ftream":false}'.encode(), "stream"),
        (b'{"model":"m","\\u017ftream":true,"stream":false}', "stream"),
    ],
)
def test_ambiguous_routing_facts(raw: bytes, param: str) -> None:
    """A second model or stream, in any case or spelling, is a 400: another parser could take the other one."""
    with pytest.raises(ClientError, match=f"send {param} once") as caught:
        DIALECT.peek(raw)

    assert (400, param, "duplicate_parameter") == (
        caught.value.error.status,
        caught.value.error.param,
        caught.value.error.code,
    )


@pytest.mark.parametrize("value", [b"[" + b"{}," * 300_000 + b"1]", b'{"a":' * 200 + b"1" + b"}" * 200], ids=[0, 1])
def test_large_values_of_the_wrong_type(value: bytes) -> None:
    """A model that is a large structure is an error of its type; nothing of it is built."""
    with pytest.raises(ClientError, match="expected a string") as caught:
        DIALECT.peek(b'{"model":' + value + b"}")

    assert caught.value.error.param == "model"


BROKEN = {
    "empty": (b"", "byte 0"),
    "blank": (b"  \n", "byte 0"),
    "array": (b"[1]", "object"),
    "null": (b"null", "object"),
    "text": (b'"m"', "object"),
    "cut": (b'{"model":"m"', "byte 12"),
    "trailing": (b'{"model":"m"} x', "trailing"),
    "nan": (b'{"model":"m","x":NaN}', "byte 17"),
    "comma": (b'{"model":"m",}', "byte 13"),
    "single quotes": (b"{'model':'m'}", "byte 1"),
    "control character": (b'{"model":"m","x":"\x01"}', "byte 18"),
    "byte order mark": (b'\xef\xbb\xbf{"model":"m"}', "byte order mark"),
    "lone surrogate": (b'{"model":"m","x":"\\ud800"}', "byte 18"),
    "not UTF-8": (b'{"model":"m","x":"\xff"}', "byte 18"),
    "too deep": (b'{"model":"m","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "deep"),
}


@pytest.mark.parametrize(("raw", "where"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_bodies(raw: bytes, where: str) -> None:
    """What is no JSON object is a 400 with code invalid_json that says where, from peek and from read_request."""
    with pytest.raises(ClientError) as caught:
        DIALECT.peek(raw)

    peeked, whole = caught.value.error, refusal(raw)
    assert (peeked.status, peeked.code, peeked.param) == (400, "invalid_json", None)
    assert where in peeked.message
    assert (whole.code, whole.status) == ("invalid_json", 400)
    assert where in whole.message


@given(st.binary(max_size=60))
def test_no_bytes_do_more_than_a_client_error(raw: bytes) -> None:
    """Arbitrary bytes end in an answer or a ClientError, in peek and in read_request alike."""
    with contextlib.suppress(ClientError):
        DIALECT.peek(raw)
    error = maybe_refusal(raw)

    assert error is None or error.status == 400


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["messages", *OPTIONAL_FIELDS]), JSON_VALUES, max_size=4))
def test_no_value_of_a_field_does_more_than_a_client_error(fields: dict[str, object]) -> None:
    """Any JSON value in any field is read, or refused with a path that starts with that field."""
    error = maybe_refusal(body(**fields))

    assert error is None or re.split(r"[.\[]", str(error.param))[0] in {*fields, "messages"}


MESSAGES = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "tool"]), "content": JSON_VALUES})


@given(st.lists(JSON_VALUES | MESSAGES))
def test_no_message_does_more_than_a_client_error(messages: list[object]) -> None:
    """Any JSON value as a message is read, or refused with a path into messages."""
    error = maybe_refusal(body(messages=messages))

    assert error is None or str(error.param).startswith("messages")
