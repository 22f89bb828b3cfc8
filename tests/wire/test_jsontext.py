"""JSON as text: one kind of error for all that is wrong, and edits that change nothing but what was asked for."""

import contextlib
import json
import string
import tracemalloc
from collections.abc import Callable
from functools import partial

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.wire.errors import JsonCostError, JsonError, JsonShapeError
from extproc.wire.jsontext import (
    MAX_MEMBERS,
    MAX_VALUES,
    check_object,
    insert_member,
    member_span,
    members,
    parse,
    peek,
    replace_member,
)
from tests.support.wire_costs import assert_linear


class ModelOnly(msgspec.Struct):
    model: str


PEEK = partial(peek, decoder=msgspec.json.Decoder(ModelOnly))
DEEP = b"[" * 100_000 + b"]" * 100_000

BROKEN = [
    pytest.param(b"", "empty", 0, id="nothing"),
    pytest.param(b" \n", "empty", 0, id="white space"),
    pytest.param(b'{"model":"x"', "ends too early", 12, id="cut off"),
    pytest.param(b'{"model":"x', "ends too early", 11, id="cut off in a string"),
    pytest.param(b'\xef\xbb\xbf{"model":"x"}', "byte order mark", 0, id="byte order mark"),
    pytest.param(b'{"model":"\xff"}', "not UTF-8", 10, id="not utf-8"),
    pytest.param(b'{"model":"x","a":"\xed\xa0\x80"}', "not UTF-8", 18, id="surrogate in utf-8, skipped"),
    pytest.param(b'{"model":"\\ud800"}', "half of a surrogate pair", 10, id="high half at the end"),
    pytest.param(b'{"model":"\\ud800 and more text"}', "half of a surrogate pair", 10, id="high half"),
    pytest.param(b'{"model":"\\\\\\udc00"}', "surrogate", 18, id="low half"),
    pytest.param(b'{"model":"x","n":NaN}', "invalid character", 17, id="NaN"),
    pytest.param(b'{"model":"x",}', "trailing comma", 13, id="trailing comma"),
    pytest.param(b"{'model':'x'}", "malformed", 1, id="single quotes"),
    pytest.param(b'{"model":"x"} {}', "trailing characters", 15, id="two values"),
    pytest.param(b'{"model":"a\nb"}', "invalid character", 11, id="line end in a string"),
    pytest.param(b'{"model":"x","a":' + DEEP + b"}", "nested too deeply", None, id="deep"),
]


@pytest.mark.parametrize("read", [parse, PEEK, members, check_object])
@pytest.mark.parametrize(("body", "reason", "offset"), BROKEN)
def test_broken_json(read: Callable[[bytes], object], body: bytes, reason: str, offset: int | None) -> None:
    """Whatever is wrong with a text, every reader raises one error type that says what and about where."""
    with pytest.raises(JsonError, match=reason) as caught:
        read(body)
    assert type(caught.value) is JsonError
    assert caught.value.offset == offset


@pytest.mark.parametrize(
    ("body", "reason", "path"),
    [
        (b'{"model":7}', "Expected `str`, got `int`", "$.model"),
        (b"{}", "missing required field `model`", "$"),
        (b"[]", "Expected `object`, got `array`", "$"),
    ],
)
def test_another_shape(body: bytes, reason: str, path: str) -> None:
    """A value of another type than asked for is an error with its path."""
    with pytest.raises(JsonShapeError, match=reason) as caught:
        PEEK(body)
    assert caught.value.path == path
    assert "`$" not in str(caught.value)


def test_a_number_that_cannot_be_held() -> None:
    """An integer of more digits than Python reads is an error, not a crash; without reading it, it is text."""
    body = b'{"n":' + b"1" * 5_000 + b"}"

    with pytest.raises(JsonShapeError, match="out of range"):
        parse(body)
    assert [len(bytes(value)) for _, value in members(body)] == [5_000]


def test_parse() -> None:
    """Values come back as Python values; pairs of surrogate escapes are one character and big integers stay exact."""
    assert parse(b' {"a":[1,2.5,null,"\\ud83d\\ude00"],"b":18446744073709551617} ') == {
        "a": [1, 2.5, None, "\U0001f600"],
        "b": 18446744073709551617,
    }


def test_members() -> None:
    """Each top-level member in order, its value in its spelling, duplicates included."""
    body = b'{"a":1,"t": 1.10 ,"\\u006f":{"x": [1 ]},"a":-0}'

    assert [(key, bytes(value)) for key, value in members(body)] == [
        ("a", b"1"),
        ("t", b"1.10"),
        ("o", b'{"x": [1 ]}'),
        ("a", b"-0"),
    ]


@pytest.mark.parametrize("read", [members, partial(member_span, key="model")])
def test_too_many_members(read: Callable[[bytes], object]) -> None:
    """An object of many members is read up to the limit; one more is an error, however long its values are."""
    fitting = (
        b'{"model":"x",' + b",".join(b'"a":[%d,"%s"]' % (i, b"y" * (i % 9)) for i in range(MAX_MEMBERS - 1)) + b"}"
    )

    assert read(fitting)
    for name in (b"a", b"a much longer key"):
        body = fitting[:-1] + b',"' + name + b'":1}'
        with pytest.raises(JsonCostError, match="more than 1000 members"):
            read(body)
    with pytest.raises(JsonCostError, match="more than 1000 members"):
        read(b"{" + b'"":1,' * MAX_MEMBERS + b'"model":1}')


@pytest.mark.parametrize("value", [b"{}", b"[]", b"1", b'","', b'"{\\"["', b'{"a":1}'])
def test_values_are_bounded(value: bytes) -> None:
    """A text of too many values is refused before they are built; what stands inside strings counts for nothing."""
    few, many = MAX_VALUES // 2 - 4, MAX_VALUES + 1
    fitting = b'{"x":[' + b",".join([value] * (few // (2 if b":" in value else 1))) + b"]}"

    assert parse(fitting)
    with pytest.raises(JsonCostError, match="more than 200000 values"):
        parse(b'{"x":[' + b",".join([value] * many) + b"]}")
    assert parse(b'{"x":"' + b'{[,\\"' * MAX_VALUES + b'"}')


def test_broken_text_of_many_values() -> None:
    """A text that is no JSON is no JSON, whatever it would cost; finding that out takes linear time."""
    with pytest.raises(JsonError, match="ends too early") as caught:
        parse(b"[" + b"{}," * MAX_VALUES + b'"')
    assert type(caught.value) is JsonError


@pytest.mark.parametrize("tail", [b'"' + b"a" * 400_000 + b'"', b"1" * 400_000, b" " * 400_000 + b"1"], ids=len)
def test_counting_values_is_linear(tail: bytes) -> None:
    """A long token after the last comma is walked over once."""

    def work(size: int) -> Callable[[], object]:
        body = b'["' + b"," * size + b'",' + tail[:1] + tail[1:-1][:size] + tail[-1:] + b"]"
        return partial(peek_values, body)

    assert_linear(work, 40_000)


def peek_values(body: bytes) -> None:
    """Reads with so low a limit that values are counted exactly."""
    with contextlib.suppress(JsonShapeError):
        parse(body, 10)


@pytest.mark.parametrize("value", [b"[" + b"{}," * 400_000 + b"{}]", b'{"a":"' + b"b" * 1_000_000 + b'"}'], ids=[0, 1])
def test_skipping_builds_nothing(value: bytes) -> None:
    """A member is found behind a large value without memory for what that value holds."""
    body = b'{"x":' + value + b',"model":1}'
    tracemalloc.start()
    try:
        assert member_span(body, "model") == (len(body) - 2, len(body) - 1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 100_000


@pytest.mark.parametrize(
    ("body", "value"),
    [
        pytest.param(b'{"model":"x"}', b'"x"', id="alone"),
        pytest.param(b' {\t"a" : 1 ,\r\n"model"\n: "x" , "b":2}\n', b'"x"', id="white space"),
        pytest.param(b'{"a":{"model":"y"},"model":"x","b":[{"model":"z"}]}', b'"x"', id="nested namesakes"),
        pytest.param(b'{"a":"\\"model\\":\\"y\\"","model":"x"}', b'"x"', id="in a string"),
        pytest.param(b'{"a":"model","model":"x","c":"model"}', b'"x"', id="as a value"),
        pytest.param(b'{"say \\"model":"y","model":"x"}', b'"x"', id="end of another key"),
        pytest.param(b'{"model":"y","model":"x"}', b'"x"', id="twice"),
        pytest.param(b'{"model":"y","mod\\u0065l":"x"}', b'"x"', id="twice, the last escaped"),
        pytest.param(b'{"mod\\u0065l":"y","model":"x"}', b'"x"', id="twice, the first escaped"),
        pytest.param(b'{"\\u006d\\u006F\\u0064\\u0065\\u006C":"x"}', b'"x"', id="escaped"),
        pytest.param(b'{"a":"\\\\","model":"x"}', b'"x"', id="backslash before the end"),
        pytest.param(b'{"model":{"a":[1,"}"]},"b":2}', b'{"a":[1,"}"]}', id="object"),
        pytest.param(b'{"model":-1.5e+10,"b":2}', b"-1.5e+10", id="number"),
        pytest.param(b'{"n":' + b"1" * 5_000 + b',"model":null}', b"null", id="after a long number"),
        pytest.param('{"modèl":1,"é":"\u2028","model":"ü"}'.encode(), '"ü"'.encode(), id="not ascii"),
    ],
)
def test_member_is_found(body: bytes, value: bytes) -> None:
    """The span is that of the value which decoders take, and replacing it leaves all other bytes."""
    span = member_span(body, "model")

    assert span is not None
    start, end = span
    assert body[start:end] == value
    assert replace_member(body, "model", b'"new"') == body[:start] + b'"new"' + body[end:]


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b" { } ",
        b'{"a":1}',
        b'{"a":{"model":1}}',
        b'{"a":"model"}',
        b'{"Model":1,"models":2,"mode\\u006c1":3}',
        b'{"\\"model":1}',
    ],
)
def test_member_is_absent(body: bytes) -> None:
    """A key that only looks alike is not the member; replacing it is an error that names it."""
    assert member_span(body, "model") is None
    with pytest.raises(JsonError, match="no member 'model'"):
        replace_member(body, "model", b"1")


@pytest.mark.parametrize("key", ["é", 'say "hi"', "a/b", "a\\b", "", "\U0001f600", "tab\t"])
@pytest.mark.parametrize("ensure_ascii", [True, False])
def test_any_key(key: str, ensure_ascii: bool) -> None:
    """Keys with any character are found in any spelling."""
    body = json.dumps({"x": key, key: 1, "z": 2}, ensure_ascii=ensure_ascii).encode()

    assert json.loads(replace_member(body, key, b"7")) == {"x": key, key: 7, "z": 2}


@pytest.mark.parametrize(
    "body",
    [
        b'["model"]',
        b'"model"',
        b'{"model"}',
        b'{"model":}',
        b'{"model":1 "b":2,"model":3}',
        b'{"model":tru}',
        b'{"model":' + DEEP + b"}",
        b'{"\\ug":1,"a\\u0020b":2}',
        b"{'model\\u0020'}",
    ],
    ids=range(9),
)
def test_edits_of_broken_text(body: bytes) -> None:
    """A text that no reader would have accepted is an error, never a wrong edit."""
    with pytest.raises(JsonError):
        replace_member(body, "model", b"1")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{}", b'{"n":[1]}'),
        (b" \n{ }\n", b' \n{"n":[1] }\n'),
        (b'{"a":1}', b'{"n":[1],"a":1}'),
        (b'{\n  "a": 1.10\n}', b'{"n":[1],\n  "a": 1.10\n}'),
        (b'{"a":{"n":2}}', b'{"n":[1],"a":{"n":2}}'),
    ],
)
def test_insert_member(body: bytes, expected: bytes) -> None:
    """The new member comes first; every other byte stays."""
    assert insert_member(body, "n", b"[1]") == expected


def test_insert_escapes_the_key() -> None:
    """A key is written as JSON."""
    assert json.loads(insert_member(b'{"a":1}', 'q"\n', b"2")) == {'q"\n': 2, "a": 1}


@pytest.mark.parametrize("body", [b'{"n":1}', b'{"\\u006e":1}', b"[]", b"", b'"{"'])
def test_insert_where_it_cannot_be(body: bytes) -> None:
    """A member that is there already would count instead of the new one, so it is refused, as is what is no object."""
    with pytest.raises(JsonError, match=r"already has|not an object"):
        insert_member(body, "n", b"2")


class Pairs(list[tuple[str, object]]):
    """An object with its members in order, duplicates included."""


keys = st.sampled_from(["model", "mod", "el", "model ", "é", "a"]) | st.text(
    string.printable + "é\u2028\U0001f600", max_size=4
)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | keys,
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(keys, inner), max_size=4).map(Pairs),
    max_leaves=12,
)
spaces = st.text(" \t\r\n", max_size=2)


@st.composite
def spellings(draw: st.DrawFn) -> str:
    """The text of an object in any legal spelling: white space, escapes, duplicate keys."""

    def text(value: str) -> str:
        written = json.dumps(value, ensure_ascii=draw(st.booleans()))
        if value.isascii() and value.isalnum() and draw(st.booleans()):
            place = draw(st.integers(0, len(value) - 1))
            written = f'"{value[:place]}\\u{ord(value[place]):04x}{value[place + 1 :]}"'
        return written

    def write(value: object) -> str:
        inner: list[str]
        if isinstance(value, Pairs):
            inner = [f"{draw(spaces)}{text(key)}{draw(spaces)}:{write(item)}" for key, item in value]
            return draw(spaces) + "{" + ",".join(inner) + draw(spaces) + "}" + draw(spaces)
        if isinstance(value, list):
            return draw(spaces) + "[" + ",".join(map(write, value)) + draw(spaces) + "]" + draw(spaces)
        return draw(spaces) + (text(value) if isinstance(value, str) else json.dumps(value)) + draw(spaces)

    return write(Pairs(draw(st.lists(st.tuples(keys, documents), max_size=5))))


def as_pairs(body: bytes) -> Pairs:
    """The top-level members as the standard library reads them."""
    pairs = json.loads(body, object_pairs_hook=Pairs)
    assert isinstance(pairs, Pairs)
    return pairs


@given(body=spellings().map(str.encode), key=keys)
def test_replace_changes_the_last_namesake_only(body: bytes, key: str) -> None:
    """Read by the standard library, the edit changes one value: that of the last member with the key, at the top."""
    before = as_pairs(body)
    places = [place for place, (name, _) in enumerate(before) if name == key]
    if not places:
        assert member_span(body, key) is None
        return

    before[places[-1]] = (key, "new")
    assert as_pairs(replace_member(body, key, b'"new"')) == before


@given(body=spellings().map(str.encode), key=keys)
def test_insert_adds_one_member_in_front(body: bytes, key: str) -> None:
    """Read by the standard library, the edit adds one member and changes none."""
    before = as_pairs(body)
    if any(name == key for name, _ in before):
        with pytest.raises(JsonError, match="already has"):
            insert_member(body, key, b"true")
        return

    assert as_pairs(insert_member(body, key, b"true")) == [(key, True), *before]


@given(body=spellings().map(str.encode) | st.binary(max_size=30))
def test_readers_agree_with_the_standard_library(body: bytes) -> None:
    """What we read, the standard library reads as the same value; what it refuses, we refuse."""
    try:
        value = parse(body)
    except JsonError:
        return

    assert json.loads(body) == value


@pytest.mark.parametrize(
    "unit",
    [
        b'"a":{"model":"x"},',
        b'"model":"x",',
        b'"mod\\u0065l":"x",',
        b'"a":"\\"model\\"",',
        b'"a":[[],[]],',
        b'"\\\\\\\\":1,',
        b" " * 8,
    ],
    ids=repr,
)
def test_cost_is_linear(unit: bytes) -> None:
    """However a body tries to look like the member, finding it costs in proportion to the length of the body."""

    def work(size: int) -> Callable[[], object]:
        body = b'{"x":{' + unit * (size // len(unit)) + b'"":0},"model":1}'
        return partial(replace_member, body, "model", b"2")

    assert_linear(work, 20_000)
