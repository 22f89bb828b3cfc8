"""Reading and rewriting one text field of a form, and refusing what could be read in two ways."""

import contextlib
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from extproc.wire.errors import MultipartError
from extproc.wire.multipart import MAX_PARTS, Field, read_field, replace
from tests.support.wire_costs import assert_linear

NAMED = "form-data; name=model"
TYPE = "multipart/form-data; boundary=XX"
AUDIO = (
    b"RIFF\x00\xff\r\n\r\n--X\r\n--XXY\r\n --XX\r\n\n--XX--\n--XX\r\nContent-Disposition: form-data; name=model\r\n\r\n"
)


def part(disposition: str, content: bytes, *headers: str) -> bytes:
    lines = [f"Content-Disposition: {disposition}", *headers]
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + content


def form(*parts: bytes, boundary: bytes = b"XX", preamble: bytes = b"", epilogue: bytes = b"\r\n") -> bytes:
    body = b"".join(b"\r\n--" + boundary + b"\r\n" + one for one in parts) + b"\r\n--" + boundary + b"--" + epilogue
    return preamble + body if preamble else body.removeprefix(b"\r\n")


FILE = part('form-data; name="file"; filename="a.wav"', AUDIO, "Content-Type: audio/wav")
MODEL = part('form-data; name="model"', b"whisper-1")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(form(MODEL), id="alone"),
        pytest.param(form(FILE, MODEL), id="after a file"),
        pytest.param(form(MODEL, FILE), id="before a file"),
        pytest.param(form(MODEL, epilogue=b""), id="no line end after the form"),
        pytest.param(form(MODEL, epilogue=b" \t\r\n--XX\r\n" + MODEL), id="epilogue"),
        pytest.param(form(MODEL, preamble=b"This is a form.\r\n--XXX"), id="preamble"),
        pytest.param(form(MODEL).replace(b"--XX\r\n", b"--XX \t\r\n"), id="space after the delimiter"),
        pytest.param(form(part("form-data; name=model", b"whisper-1")), id="no quotes"),
        pytest.param(form(part('FORM-DATA ;NAME = "model" ;', b"whisper-1")), id="case and space"),
        pytest.param(form(part('form-data;\r\n name="model"', b"whisper-1")), id="folded"),
        pytest.param(form(part('form-data; name="m\\odel"', b"whisper-1")), id="quoted pair"),
        pytest.param(form(part("form-data; name=model", b"whisper-1", "Content-Type: text/plain")), id="type"),
        pytest.param(form(part('form-data; name="model"', b"whisper-1", "Content-Transfer-Encoding: 8BIT")), id="8bit"),
        pytest.param(form(part('form-data; name="model"; filename="m"', b"x"), MODEL), id="a file of that name"),
        pytest.param(form(part("form-data; name=model; filename*=utf-8''m", b"x"), MODEL), id="an encoded file name"),
        pytest.param(form(part('attachment; name="model"', b"x"), MODEL), id="no form data"),
        pytest.param(form(b"\r\nno headers", MODEL), id="a part without headers"),
        pytest.param(form(b"\r\n" + MODEL, MODEL), id="headers where content is"),
        pytest.param(form(b"X-Empty: 1\r\n", MODEL), id="a part without content"),
        pytest.param(form(b"", MODEL), id="two delimiters in a row"),
    ],
)  # fmt: skip
def test_field_is_found(body: bytes) -> None:
    """The value and its bytes are found, and replacing it leaves all other bytes."""
    field = read_field(body, TYPE, "model")

    assert field is not None
    assert (field.value, body[field.start : field.end]) == ("whisper-1", b"whisper-1")
    replaced = replace(body, field, b"gpt-4o-transcribe")
    assert replaced == body[: field.start] + b"gpt-4o-transcribe" + body[field.end :]
    again = read_field(replaced, TYPE, "model")
    assert again == Field("gpt-4o-transcribe", field.start, field.start + 17)


@pytest.mark.parametrize(
    "body",
    [form(), form(FILE), form(part('form-data; name="Model"', b"x")), form(part("form-data", b"x")), form(b"\r\nx")],
    ids=["empty form", "file only", "another name", "no name", "no headers"],
)
def test_field_is_absent(body: bytes) -> None:
    """A form without the field gives None."""
    assert read_field(body, TYPE, "model") is None


def test_values() -> None:
    """A value may be empty, have line ends, or look almost like a delimiter."""
    body = form(part("form-data; name=a", b""), part("form-data; name=b", "ü\r\n--X\r\n".encode()))

    assert read_field(body, TYPE, "a") == Field("", (start := body.index(b"name=a") + 10), start)
    second = read_field(body, TYPE, "b")
    assert second is not None
    assert second.value == "ü\r\n--X\r\n"


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ('multipart/form-data; boundary="a b:c"', b"a b:c"),
        ('Multipart/Form-Data;charset=utf-8 ; BOUNDARY="x\\"y"', b'x"y'),
        (
            "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
            b"----WebKitFormBoundary7MA4YWxkTrZu0gW",
        ),
        ("multipart/form-data; boundary=a=b/c?d", b"a=b/c?d"),
        ("multipart/form-data; boundary=" + "x" * 70 + ";", b"x" * 70),
    ],
)
def test_boundaries(content_type: str, boundary: bytes) -> None:
    """The boundary is read from the content-type, quoted or not."""
    body = form(FILE, MODEL, boundary=boundary)

    field = read_field(body, content_type, "model")
    assert field is not None
    assert field.value == "whisper-1"


@pytest.mark.parametrize(
    ("content_type", "reason"),
    [
        ("", "is not multipart/form-data"),
        ("application/json", "is not multipart/form-data"),
        ("multipart/mixed; boundary=XX", "is not multipart/form-data"),
        ("multipart/form-data", "needs a boundary"),
        ('multipart/form-data; boundary=""', "needs a boundary"),
        ("multipart/form-data; boundary=" + "x" * 71, "of 1 to 70"),
        ('multipart/form-data; boundary="x "', "not end in a space"),
        ("multipart/form-data; boundary=ü", "printable ASCII"),
        ('multipart/form-data; boundary="x\ty"', "printable ASCII"),
        ("multipart/form-data; boundary=XX; boundary=YY", "'boundary' appears twice"),
        ('multipart/form-data; boundary="XX', "cannot be read"),
        ("multipart/form-data; boundary", "cannot be read"),
        ("multipart/form-data; boundary=XX YY", "cannot be read"),
    ],
)
def test_unusable_content_types(content_type: str, reason: str) -> None:
    """A content-type without one certain boundary is refused with the reason."""
    with pytest.raises(MultipartError, match=reason):
        read_field(form(MODEL), content_type, "model")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b"", "does not occur", id="nothing"),
        pytest.param(b'{"model":"x"}', "does not occur", id="json"),
        pytest.param(form(MODEL).replace(b"\r\n", b"\n"), "does not occur", id="bare line feeds"),
        pytest.param(b"--XX\r\n" + MODEL, "no closing delimiter", id="not closed"),
        pytest.param(form(MODEL, epilogue=b"").removesuffix(b"-"), "no closing delimiter", id="half closed"),
        pytest.param(form(MODEL, epilogue=b"").removesuffix(b"--"), "no closing delimiter", id="another part due"),
        pytest.param(form(MODEL, MODEL), "'model' appears more than once", id="twice"),
        pytest.param(form(part("form-data; name=model", b"\xff")), "'model' is not UTF-8", id="not utf-8"),
        pytest.param(form(part(NAMED, b"eA==", "Content-Transfer-Encoding: base64")), "sent as base64", id="base64"),
        pytest.param(form(b"Content-Disposition: form-data; name=model\r\n"), "has no content", id="no content"),
        pytest.param(form(part("form-data; name=a; name=model", b"x")), "'name' appears twice", id="two names"),
        pytest.param(form(part("form-data", b"", f"content-disposition: {NAMED}")), "disposition' twice", id="two"),
        pytest.param(form(part('form-data; name="model', b"x")), "cannot be read", id="open quote"),
    ],
)  # fmt: skip
def test_forms_that_are_refused(body: bytes, reason: str) -> None:
    """A form that is cut off, ambiguous or unreadable is an error that says why."""
    with pytest.raises(MultipartError, match=reason):
        read_field(body, TYPE, "model")


@pytest.mark.parametrize("value", [b"x\r\n--XX--", b"--XX", b"a\nb", b"a\rb"])
def test_values_that_could_forge_a_delimiter(value: bytes) -> None:
    """A new value with line ends or leading hyphens is refused."""
    with pytest.raises(MultipartError, match="line ends"):
        replace(form(MODEL), Field("whisper-1", 0, 0), value)


@given(
    contents=st.lists(
        st.binary(max_size=30) | st.sampled_from([b"\r\n", b"\r\n--X", b"--XX", b"\r\n\r\n"]), max_size=5
    ),
    value=st.text(max_size=10),
    place=st.integers(0, 5),
)
def test_any_contents(contents: list[bytes], value: str, place: int) -> None:
    """Whatever bytes the files hold, the field between them is read exactly."""
    parts = [part(f"form-data; name=f{i}; filename=x", content) for i, content in enumerate(contents)]
    parts.insert(place, part("form-data; name=model", value.encode()))
    body = form(*parts)
    assume(all(b"\r\n--XX" not in one for one in parts))

    field = read_field(body, TYPE, "model")
    assert field is not None
    assert (field.value, body[field.start : field.end]) == (value, value.encode())


@given(
    body=st.lists(
        st.sampled_from([b"--XX", b"--", b"\r\n", b"Content-Disposition: form-data; name=model", b"x", b" "]),
        max_size=20,
    )
)
def test_any_form(body: list[bytes]) -> None:
    """Arbitrary forms are read or refused, and what is read lies where it says."""
    text = b"".join(body)
    try:
        field = read_field(text, TYPE, "model")
    except MultipartError:
        return

    assert field is None or text[field.start : field.end] == field.value.encode()


@pytest.mark.parametrize(
    "unit",
    [
        b"\r\n--XX",
        b"\r\n--XXX",
        b"\r\n--XX\r\n",
        b"\r\n--XX\r\n\r\n\r\n",
        b"\r\n--X",
        b"\r\n\r\n",
        b"x\r\n",
        b"x" * 20,
    ],
    ids=repr,
)
def test_cost_is_linear(unit: bytes) -> None:
    """However a form is made, reading it or refusing it costs at most in proportion to its length."""

    def work(size: int) -> Callable[[], object]:
        body = b"--XX\r\n" + unit * (size // len(unit)) + b"\r\n--XX--"
        return partial(read_or_refuse, body)

    assert_linear(work, 20_000)


def read_or_refuse(body: bytes) -> None:
    with contextlib.suppress(MultipartError):
        read_field(body, TYPE, "model")


def test_parts_are_bounded() -> None:
    """A form may have as many parts as the limit says, and not one more, whatever they hold."""
    fitting = [MODEL, *[part("form-data; name=a", b"")] * (MAX_PARTS - 1)]

    assert read_field(form(*fitting), TYPE, "model") is not None
    for more in (b"", part("form-data; name=b", b"x")):
        with pytest.raises(MultipartError, match="more than 1000 parts"):
            read_field(form(*fitting, more), TYPE, "model")
