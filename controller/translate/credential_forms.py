"""What may stand in a Secret, by the kind of credential, and the file that the processor gets of it.

Nothing that is said of a value repeats any of it.
"""

import json
import re
from collections.abc import Callable
from configparser import Error as NoIni
from configparser import RawConfigParser
from typing import Any, Final
from urllib.parse import urlsplit

_DEFAULT_PROFILE: Final = "default"
_KEY_ID, _KEY, _SESSION = "aws_access_key_id", "aws_secret_access_key", "aws_session_token"
_FITS: Final = {
    _KEY_ID: re.compile(r"[A-Za-z0-9_]{0,128}"),
    _KEY: re.compile(r"[!-~]{0,1024}"),
    _SESSION: re.compile(r"[!-~]{0,16384}"),
}
#: Far above any key or token, below what would burden a header.
_LONGEST: Final = 16_384
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
#: Google's other kinds of credentials (google-auth 2, ``google.auth._default``), and what to take in their place.
_OTHER_ACCOUNTS: Final = {
    "authorized_user": "a person's own credential, which ends with the person; make a key of a service account",
    "external_account": "a federated identity, for which there is auth.gcp.workloadIdentity",
    "impersonated_service_account": "an impersonation, for which there is auth.gcp.workloadIdentity.serviceAccount",
}
_ACCOUNT_FIELDS: Final = ("client_email", "private_key", "token_uri")


class Malformed(Exception):
    """A value cannot be what it is used for; the text says why, as the end of ``the key "a" of Secret "b" ...``."""


#: From a value as it stands in a Secret to the content of the file.
Form = Callable[[bytes], bytes]


def line(value: bytes) -> bytes:
    """One line of text, without the space around it. Raises ``Malformed``."""
    text = _text(value)
    if len(text) > _LONGEST:
        raise Malformed(f"has more than {_LONGEST} characters")
    if not text.isprintable():
        raise Malformed("holds a line break or another control character; it must be one line of text")
    return text.encode()


def header_line(value: bytes) -> bytes:
    """The same for what goes into a header. Raises ``Malformed``."""
    found = line(value)
    if not found.isascii():
        raise Malformed("holds a character outside of ASCII, which no key has and no header takes")
    return found


def aws_keys(value: bytes) -> bytes:
    """The ``default`` profile, else the only one, of AWS's shared credentials file. Raises ``Malformed``.

    Format: https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html (read 2026-11-23).
    """
    parser = RawConfigParser(default_section="", strict=True)
    try:
        parser.read_string(_text(value))
    except NoIni:
        raise Malformed(f"is no shared credentials file of AWS: it must be [{_DEFAULT_PROFILE}] and its keys") from None
    profiles = parser.sections()
    name = _DEFAULT_PROFILE if _DEFAULT_PROFILE in profiles else "".join(profiles[:1])
    if not name or (name != _DEFAULT_PROFILE and len(profiles) > 1):
        raise Malformed(f"must have a profile [{_DEFAULT_PROFILE}], or one profile and no other")
    profile = parser[name]
    lines = [f"[{_DEFAULT_PROFILE}]"]
    for option in (_KEY_ID, _KEY, _SESSION):
        found = profile.get(option, "")
        if not found and option != _SESSION:
            raise Malformed(f"has no {option} in the profile that is used")
        if not _FITS[option].fullmatch(found):
            raise Malformed(f"has a character in {option} that no key of AWS has")
        lines += [f"{option} = {found}"] if found else []
    return "\n".join([*lines, ""]).encode()


def service_account(value: bytes) -> bytes:
    """The key of a Google service account, as it is. Raises ``Malformed``.

    Format: https://cloud.google.com/iam/docs/keys-create-delete (read 2026-11-23).
    """
    text = _text(value)
    try:
        key: Any = json.loads(text)
    except (ValueError, RecursionError):
        key = None
    if not isinstance(key, dict):
        raise Malformed("is no JSON object; it must be the key file of a service account")
    kind = key.get("type")
    if kind != "service_account":
        what = _OTHER_ACCOUNTS.get(kind) if isinstance(kind, str) else None
        raise Malformed("must be of type service_account" if what is None else f"is {what}")
    for name in _ACCOUNT_FIELDS:
        if not isinstance(key.get(name), str) or not key[name]:
            raise Malformed(f"has no {name}, as key files of service accounts do")
    if "-----BEGIN" not in key["private_key"]:
        raise Malformed("has a private_key that is not in PEM")
    if not _is_safe(key["token_uri"]):
        raise Malformed("has a token_uri that is no https address")
    return text.encode()


def _is_safe(url: str) -> bool:
    """Whether a secret may be sent there: over TLS, or not beyond this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    if not host or not url.isascii() or not url.isprintable() or " " in url:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)


def _text(value: bytes) -> str:
    try:
        text = value.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise Malformed("is not UTF-8 text") from None
    if not text:
        raise Malformed("is empty")
    return text
