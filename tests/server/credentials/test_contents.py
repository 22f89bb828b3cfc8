"""What files of credentials may hold, and that what they must not hold is told without quoting them."""

import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.credentials.held import AwsKeys, Token
from extproc.server.credentials.contents import (
    MalformedError,
    is_safe_endpoint,
    read_aws_keys,
    read_callers,
    read_google_key,
    read_secret,
    read_token,
)

MARK = "mArKeD"
KEYS = b"aws_access_key_id = AKIA1\naws_secret_access_key = s/+%=\n"
GOOGLES = "https://oauth2.googleapis.com/token"
#: Envoy's admin page in the pod beside, a metadata service, and what only looks like Google.
ELSEWHERE = (
    "http://127.0.0.1:9901/quitquitquit?mArKeD",
    "http://metadata.google.internal/mArKeD",
    "https://collector.example/mArKeD",
    "https://oauth2.googleapis.com.mArKeD.example/token",
    "https://mArKeD@oauth2.googleapis.com/token",
    f"{GOOGLES}?mArKeD",
)
GOOGLE = {"type": "service_account", "client_email": "a@b", "private_key": "k", "token_uri": GOOGLES}
READERS: list[Callable[[bytes], Any]] = [read_token, read_secret, read_aws_keys, read_google_key, read_callers]


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


@pytest.mark.parametrize("data", [b"sk-1", b"sk-1\n", b"  sk-1\r\n", b"\xef\xbb\xbfsk-1"])
def test_a_key_is_trimmed(data: bytes) -> None:
    """What editors and shells add around a key is not part of it."""
    assert read_token(data) == Token("sk-1")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"mArKeD\nmore", "line break"),
        (b"mArKeD\x00", "control character"),
        (b"mArKeD\x7f", "control character"),
        (b"\xffmArKeD", "not UTF-8"),
        ("mArKeDé".encode(), "beyond ASCII"),
        (b"mArKeD" * 3000, "longer"),
    ],
)
def test_a_malformed_key_is_told_apart(data: bytes, problem: str) -> None:
    """The message says what is wrong, and never what was read."""
    with pytest.raises(MalformedError, match=problem) as raised:
        read_token(data)

    assert MARK not in str(raised.value)


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"[default]\n" + KEYS, AwsKeys("AKIA1", "s/+%=")),
        (b"[mine]\n" + KEYS, AwsKeys("AKIA1", "s/+%=")),
        (b"[other]\nx=1\n[default]\n" + KEYS + b"aws_session_token = t==\n", AwsKeys("AKIA1", "s/+%=", "t==")),
        (b"\r\n# mine\r\n[default]\r\naws_access_key_id=a\r\naws_secret_access_key=b\r\n", AwsKeys("a", "b")),
    ],
)
def test_aws_keys_of_a_shared_credentials_file(data: bytes, keys: AwsKeys) -> None:
    """The profile ``default``, or the only one there is; a percent sign is itself."""
    assert read_aws_keys(data) == keys


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "profile"),
        (b"[a]\n[b]\n", "profile"),
        (KEYS, "no INI file"),
        (b"[default]\naws_access_key_id = mArKeD\n", "both be set"),
        (b"[default]\naws_access_key_id = mArKeD\naws_access_key_id = b\n", "no INI file"),
        (b"[default]\naws_access_key_id = mArKeD\naws_secret_access_key = a b\n", "aws_secret_access_key"),
        (b"[default]\naws_access_key_id = mArKeD,x\naws_secret_access_key = b\n", "aws_access_key_id"),
        (b"[default]\naws_access_key_id = a\naws_secret_access_key = mArKeD\n more\n", "aws_secret_access_key"),
        (b"[default]\n\xff", "not UTF-8"),
        (b"[default]\nmArKeD", "no INI file"),
    ],
)
def test_malformed_aws_keys(data: bytes, problem: str) -> None:
    """The message says what is wrong, and never what was read: the INI reader's own would quote the line."""
    with pytest.raises(MalformedError, match=problem) as raised:
        read_aws_keys(data)

    assert MARK not in str(raised.value)
    assert raised.value.__context__ is None or raised.value.__suppress_context__


@pytest.mark.parametrize("space", [b" ", b"\t", b"\x0b", "\u2003".encode(), b" \xc2\xa0"])
@pytest.mark.parametrize("size", [60_000, 1 << 20])
def test_an_aws_file_of_nothing_but_space(space: bytes, size: int) -> None:
    """However it is made, a file is read in no time: it is read where requests wait."""
    started = time.monotonic()
    with pytest.raises(MalformedError):
        read_aws_keys(b"[default]\na" + space * (size // len(space)) + b"b")

    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"type": "external_account"}, "type"),
        ({"private_key": None}, "private_key"),
        ({"client_email": ""}, "client_email"),
        *(({"token_uri": url}, "token_uri") for url in ELSEWHERE),
    ],
)
def test_malformed_google_key(change: dict[str, Any], problem: str) -> None:
    """Only a service account's key is taken, and it does not say where requests go: it may be anybody's."""
    with pytest.raises(MalformedError, match=problem) as raised:
        read_google_key(json.dumps(GOOGLE | change).encode())

    assert MARK not in str(raised.value)
    assert read_google_key(json.dumps(GOOGLE).encode()) == GOOGLE


def test_callers_that_share_a_key() -> None:
    """The first id counts for a key that two have, and both are named."""
    data = json.dumps({"a": digest("1"), "b": digest("2"), "c": digest("1")}).encode()

    assert read_callers(data) == ({digest("1"): "a", digest("2"): "b"}, (("c", "a"),))


@pytest.mark.parametrize("data", [b"", b"[]", b'{"a": 1}', b'{"a": "mArKeD"}', b'{"a": "' + b"A" * 64 + b'"}', b"\xff"])
def test_malformed_callers(data: bytes) -> None:
    """A file that is not wholly good says nothing of anybody."""
    with pytest.raises(MalformedError) as raised:
        read_callers(data)

    assert MARK not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://login.example", True),
        ("http://127.0.0.1:8080/t", True),
        ("http://localhost", True),
        ("http://[::1]:1", True),
        ("http://10.0.0.1", False),
        ("http://127.0.0.1.evil.example", False),
        ("ftp://127.0.0.1", False),
        ("https://", False),
        ("https://[", False),
        ("https://a b", False),
        ("", False),
    ],
)
def test_where_secrets_may_be_sent(url: str, *, safe: bool) -> None:
    """Over TLS anywhere, in the clear only within the machine."""
    assert is_safe_endpoint(url) is safe


@given(data=st.binary(max_size=200) | st.text(max_size=100).map(str.encode), reader=st.sampled_from(READERS))
def test_readers_raise_one_error_whatever_they_read(data: bytes, reader: Callable[[bytes], Any]) -> None:
    """Any bytes at all are either good or malformed."""
    try:
        found = reader(data)
    except MalformedError:
        return
    if isinstance(found, Token):
        assert found.value.isascii()
        assert found.value.isprintable()


@given(st.text(alphabet="[]=;#: \n\tadefult_wsckyi\"'%\\é\x00", max_size=80))
def test_aws_files_raise_one_error_whatever_they_say(text: str) -> None:
    """Whatever looks like an INI file, too."""
    data = f"[default]\n{text}".encode()
    try:
        keys = read_aws_keys(data)
    except MalformedError:
        return
    assert keys.access_key_id
