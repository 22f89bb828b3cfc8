"""What the files of the credentials directory hold. No error here says anything of a content but what is wrong with it.

The forms are those that users keep in their Secrets: a key as text, the credentials file of AWS's SDKs
(https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html, read 2026-11), Google's key file as JSON.
"""

import configparser
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from extproc.credentials.held import AwsKeys, Token

#: Far above any key or token, below what would burden a header.
_MAX_TEXT: Final = 16_384
_MAX_FILE: Final = 2 << 20
_MAX_AWS_FILE: Final = 1 << 16
#: Space inside of a line. No key has any, and the INI reader takes the square of its length.
_SPACE: Final = re.compile(r"(?<=\S)[^\S\n]{2,}")
_ACCESS_KEY_ID: Final = re.compile(r"\w{1,128}", re.ASCII)
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_GOOGLE_MEMBERS: Final = ("client_email", "private_key", "token_uri")
#: What Google has written into key files as their ``token_uri``, lately and in older days. A file is a user's, who need
#: not be the one who runs the gateway: it must not say where the processor sends requests.
#: https://cloud.google.com/iam/docs/keys-create-delete (read 2026-11)
_GOOGLE_TOKENS: Final = frozenset(
    {
        "https://oauth2.googleapis.com/token",
        "https://www.googleapis.com/oauth2/v4/token",
        "https://www.googleapis.com/oauth2/v3/token",
        "https://accounts.google.com/o/oauth2/token",
    }
)
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class MalformedError(ValueError):
    """A content that is not what it should be; the message says how, in words of ours alone."""


def read_token(data: bytes) -> Token:
    """A key that goes into a header. Raises ``MalformedError``."""
    text = read_secret(data)
    if not text.isascii():
        raise MalformedError("it has characters beyond ASCII, which no header can carry")
    return Token(text)


def read_secret(data: bytes) -> str:
    """One text, trimmed. Raises ``MalformedError``."""
    try:
        text = data.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise MalformedError("it is not UTF-8") from None
    if not text:
        raise MalformedError("it is empty")
    if len(text) > _MAX_TEXT:
        raise MalformedError(f"it is longer than {_MAX_TEXT} characters")
    if not text.isprintable():
        raise MalformedError("it has a control character or a line break inside")
    return text


def read_aws_keys(data: bytes) -> AwsKeys:
    """The profile ``default`` of a shared credentials file, or the only one. Raises ``MalformedError``."""
    profile = _profile(data)
    values = {}
    for name in ("aws_access_key_id", "aws_secret_access_key", "aws_session_token"):
        value = (profile.get(name) or "").strip()
        if not (value.isprintable() and value.isascii()) or " " in value or len(value) > _MAX_TEXT:
            raise MalformedError(f"{name} has characters that no key of AWS has")
        values[name] = value
    key_id, secret, session = values.values()
    if not key_id or not secret:
        raise MalformedError("aws_access_key_id and aws_secret_access_key must both be set")
    if not _ACCESS_KEY_ID.fullmatch(key_id):
        raise MalformedError("aws_access_key_id has characters that no key id of AWS has")
    return AwsKeys(key_id, secret, session or None)


def _profile(data: bytes) -> Mapping[str, str]:
    if len(data) > _MAX_AWS_FILE:
        raise MalformedError(f"it is longer than {_MAX_AWS_FILE} bytes")
    # No section is everybody's default, and a % is a %.
    parser = configparser.ConfigParser(interpolation=None, default_section="\n")
    try:
        parser.read_string(_SPACE.sub(" ", data.decode("utf-8-sig")))
    except UnicodeDecodeError:
        raise MalformedError("it is not UTF-8") from None
    except configparser.Error as error:
        # The error's text quotes the line.
        raise MalformedError(f"it is no INI file ({type(error).__name__})") from None
    profiles = parser.sections()
    if "default" in profiles:
        return parser["default"]
    if len(profiles) != 1:
        raise MalformedError(f"it must have a profile [default] or only one, not {len(profiles)}")
    return parser[profiles[0]]


def read_google_key(data: bytes) -> Mapping[str, Any]:
    """The key of a service account. Raises ``MalformedError``.

    Other kinds of Google's credential files are refused: those can name files, programs and addresses to be used. So
    is another ``token_uri`` than Google's. The key itself is read by google-auth, later.
    """
    found = _json_object(data)
    if found.get("type") != "service_account":
        raise MalformedError('its "type" must be "service_account"')
    for name in _GOOGLE_MEMBERS:
        if not isinstance(found.get(name), str) or not found[name]:
            raise MalformedError(f'"{name}" must be a text')
    if found["token_uri"] not in _GOOGLE_TOKENS:
        raise MalformedError('"token_uri" must be "https://oauth2.googleapis.com/token"')
    return found


def read_callers(data: bytes) -> tuple[Mapping[str, str], tuple[tuple[str, str], ...]]:
    """Callers' ids by the SHA-256 of their keys, and ids that share one, each with the id that it counts as.

    The file is a JSON object of ids and hashes in hex. Raises ``MalformedError``.
    """
    known: dict[str, str] = {}
    doubles = []
    for caller, digest in _json_object(data).items():
        if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
            raise MalformedError("each value must be a SHA-256 in hex")
        first = known.setdefault(digest, caller)
        if first is not caller:
            doubles.append((caller, first))
    return known, tuple(doubles)


def _json_object(data: bytes) -> dict[str, Any]:
    if len(data) > _MAX_FILE:
        raise MalformedError(f"it is longer than {_MAX_FILE} bytes")
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedError("it is no JSON object") from None


def is_safe_endpoint(url: str) -> bool:
    """Whether a secret may be sent there: over TLS, or not beyond this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    if not host or not url.isascii() or not url.isprintable() or " " in url:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)
