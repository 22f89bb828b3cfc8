"""What may stand in a Secret."""

import json
import time
from configparser import ConfigParser
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.translate.credential_forms import Form, Malformed, aws_keys, header_line, line, service_account

ACCOUNT = {
    "type": "service_account",
    "client_email": "gateway@acme.iam.gserviceaccount.com",
    "private_key": "-----BEGIN PRIVATE KEY-----\nnone\n-----END PRIVATE KEY-----\n",
    "token_uri": "https://oauth2.googleapis.com/token",
}
PAIR = "aws_access_key_id = AKIA1\naws_secret_access_key = se/cr+et="


def account(**changes: Any) -> bytes:
    return json.dumps({name: value for name, value in {**ACCOUNT, **changes}.items() if value is not None}).encode()


def refusal(form: Form, value: bytes) -> str:
    with pytest.raises(Malformed) as malformed:
        form(value)
    return str(malformed.value)


@pytest.mark.parametrize("value", [b"key", b" key\r\n", b"\xef\xbb\xbfkey\n", b"\tkey"])
def test_the_space_around_a_key_is_no_part_of_it(value: bytes) -> None:
    """Editors and shells end a file with a line break, and some begin it with a mark."""
    assert header_line(value) == b"key"


@pytest.mark.parametrize(
    ("form", "value", "reason"),
    [
        (line, b"a\nb", "holds a line break"),
        (line, b"a\0b", "another control character"),
        (line, b"\xff\xfea\0", "is not UTF-8"),
        (line, b" \n", "is empty"),
        (line, b"x" * 16385, "has 16385 bytes, and at most 16384"),
        (header_line, "k\u00e9y".encode(), "outside of ASCII"),
        (header_line, "key\u200b".encode(), "control character"),
        (aws_keys, b"AKIA1:secret", "no shared credentials file"),
        (aws_keys, PAIR.encode(), "no shared credentials file"),
        (aws_keys, f"[a]\n{PAIR}\n[b]\n{PAIR}".encode(), "must have a profile [default]"),
        (aws_keys, f"[default] x\n{PAIR}".encode(), "no shared credentials file"),
        (aws_keys, f"[default]\n{PAIR}\n= x".encode(), "no shared credentials file"),
        (aws_keys, f"[default]\n{PAIR}\naws_access_key_id = B".encode(), "each once"),
        (aws_keys, b"# none", "must have a profile [default]"),
        (aws_keys, b"[default]\naws_access_key_id = AKIA1", "has no aws_secret_access_key"),
        (aws_keys, b"[default]\nrole_arn = arn:aws:iam::123456789012:role/r", "has no aws_access_key_id"),
        (aws_keys, f"[default]\n{PAIR}\n  continued".encode(), "in aws_secret_access_key that no key of AWS has"),
        (aws_keys, f"[default]\n{PAIR}\n[default]\n{PAIR}".encode(), "no shared credentials file"),
        (service_account, b"key", "is no JSON object"),
        (service_account, b"[]", "is no JSON object"),
        (service_account, b"[" * 60_000, "is no JSON object"),
        (service_account, account(type="authorized_user"), "a person's own credential"),
        (service_account, account(type="external_account"), "auth.gcp.workloadIdentity"),
        (service_account, account(type=["service_account"]), "must be of type service_account"),
        (service_account, account(private_key=None), "has no private_key"),
        (service_account, account(private_key="none"), "not in PEM"),
        (service_account, account(token_uri="http://oauth2.googleapis.com/token"), "another token_uri than Google's"),
        (service_account, account(token_uri="http://127.0.0.1:9901/quitquitquit"), "another token_uri than Google's"),
        (service_account, account(token_uri="https://collector.example/token"), "another token_uri than Google's"),
        (service_account, account(token_uri="https://[/"), "another token_uri than Google's"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(form: Form, value: bytes, reason: str) -> None:
    """The reason says what is wrong, as the end of a sentence about the key."""
    assert reason in refusal(form, value)


@pytest.mark.parametrize(
    "text",
    [
        f"[default]\n{PAIR}",
        f"[only]\n{PAIR}",
        f"[a]\n[default]\n{PAIR}",
        f"# a comment\n[ default ] ; another\n  {PAIR.replace(chr(10), chr(10) + '  ')}\n",
        f"[default]\r\nS3 =\r\n  max_queue = 1\r\nregion: eu\r\n{PAIR.replace(' = ', '=').upper().lower()}".replace(
            "akia1", "AKIA1"
        ),
    ],
)
def test_of_an_aws_file_one_profile_goes_on(text: str) -> None:
    """The processor gets the profile that is used, and no other's keys."""
    assert aws_keys(text.encode()) == f"[default]\n{PAIR}\n".encode()


def test_a_service_accounts_key_goes_on_as_it_is() -> None:
    """Members that nobody here knows are nobody's concern; old key files name an older address of Google's."""
    key = account(extra=1, token_uri="https://accounts.google.com/o/oauth2/token")

    assert service_account(b"\n" + key + b"\n") == key


@pytest.mark.parametrize(
    ("form", "value"),
    [
        (aws_keys, b"[default]\na" + b" " * 16_000 + b"b\n"),
        (aws_keys, b"[default]\na = b\n" + b" c\n" * 5_000),
        (aws_keys, b"[default]\na" + b" " * 2**20 + b"b\n"),
        (aws_keys, b"[a]\n" * 2**18),
        (line, b"\t" * 2**20 + b"a b"),
        (service_account, b'{"a":' * 2**18),
    ],
    ids=["spaces", "continued", "more spaces", "sections", "a line", "objects"],
)
def test_a_value_that_means_harm_is_refused_at_once(form: Form, value: bytes) -> None:
    """Nobody's Secret holds up the others': what is long is not looked at, what is short is read in one go."""
    begun = time.process_time()
    assert refusal(form, value)
    assert time.process_time() - begun < 0.5


@given(secret=st.from_regex(r"[!-~]{1,40}", fullmatch=True), session=st.from_regex(r"[!-~]{1,40}", fullmatch=True))
def test_any_key_of_aws_survives_the_file(secret: str, session: str) -> None:
    """No sign in a secret has a meaning in the file that is written of it."""
    written = aws_keys(
        f"[default]\naws_access_key_id=AKIA1\naws_secret_access_key={secret}\naws_session_token={session}".encode()
    )
    parser = ConfigParser(interpolation=None)
    parser.read_string(written.decode())

    assert parser["default"]["aws_secret_access_key"] == secret
    assert parser["default"]["aws_session_token"] == session


@pytest.mark.parametrize("form", [line, header_line, aws_keys, service_account])
@given(value=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_bytes_make_a_reader_fail(form: Form, value: bytes) -> None:
    """The answer to anything is a file's content, which is accepted again as it is, or a reason."""
    with suppress(Malformed):
        content = form(value)
        assert form(content) == content
