"""What may stand in a Secret, by the kind of credential, and the file that the processor gets of it.

Nothing that is said of a value repeats any of it.
"""

import json
import re
from collections.abc import Callable
from typing import Any, Final

_DEFAULT_PROFILE: Final = "default"
_KEY_ID, _KEY, _SESSION = "aws_access_key_id", "aws_secret_access_key", "aws_session_token"
_FITS: Final = {
    _KEY_ID: re.compile(r"[A-Za-z0-9_]{0,128}"),
    _KEY: re.compile(r"[!-~]{0,1024}"),
    _SESSION: re.compile(r"[!-~]{0,16384}"),
}
#: Bytes: far above any key or token, below what would burden a header or a reader. They are counted before anything
#: else is looked at: a Secret may have a megabyte, and its owner may mean harm.
_LONGEST_LINE: Final = 16_384
_LONGEST_PROFILES: Final = 16_384
_LONGEST_JSON: Final = 65_536
_NO_PROFILES: Final = f"is no shared credentials file of AWS: it must be [{_DEFAULT_PROFILE}] and its keys"
#: What Google has written into key files as their ``token_uri``, lately and in older days. Who writes a Secret must not
#: say where the processor sends requests.
_GOOGLE: Final = "https://oauth2.googleapis.com/token"
_GOOGLES: Final = frozenset(
    {
        _GOOGLE,
        "https://www.googleapis.com/oauth2/v4/token",
        "https://www.googleapis.com/oauth2/v3/token",
        "https://accounts.google.com/o/oauth2/token",
    }
)
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
    text = _text(value, _LONGEST_LINE)
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
    profiles = _profiles(_text(value, _LONGEST_PROFILES))
    name = _DEFAULT_PROFILE if _DEFAULT_PROFILE in profiles else next(iter(profiles), "")
    if not name or (name != _DEFAULT_PROFILE and len(profiles) > 1):
        raise Malformed(f"must have a profile [{_DEFAULT_PROFILE}], or one profile and no other")
    profile = profiles[name]
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
    text = _text(value, _LONGEST_JSON)
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
    if key["token_uri"] not in _GOOGLES:
        raise Malformed(f"has another token_uri than Google's, {_GOOGLE}")
    return text.encode()


def _profiles(text: str) -> dict[str, dict[str, str]]:
    """The options of each section, by their names in small letters. Raises ``Malformed``.

    Not Python's ``configparser``: its patterns take minutes for a long line of spaces.
    """
    profiles: dict[str, dict[str, str]] = {}
    options: dict[str, str] | None = None
    last, depth = "", 0
    for line in text.split("\n"):
        stripped = line.strip()
        indent = len(line) - len(line.lstrip())
        if not stripped or stripped[0] in "#;":
            continue
        if options is not None and last and indent > depth:
            options[last] += f"\n{stripped}"
        elif (section := _maybe_section(stripped)) is not None:
            if section in profiles:
                raise Malformed(f"{_NO_PROFILES}, each once")
            options, last = profiles.setdefault(section, {}), ""
        else:
            last, found = _option(stripped)
            if options is None or last in options:
                raise Malformed(_NO_PROFILES if options is None else f"{_NO_PROFILES}, each once")
            options[last], depth = found, indent
    return profiles


def _maybe_section(line: str) -> str | None:
    """The name between brackets; behind them may be a comment."""
    if not line.startswith("["):
        return None
    name, bracket, rest = line[1:].partition("]")
    if not bracket or not name.strip() or rest.strip()[:1] not in ("", "#", ";"):
        raise Malformed(_NO_PROFILES)
    return name.strip()


def _option(line: str) -> tuple[str, str]:
    at = min((found for sign in "=:" if (found := line.find(sign)) > 0), default=0)
    if not at:
        raise Malformed(_NO_PROFILES)
    return line[:at].rstrip().lower(), line[at + 1 :].lstrip()


def _text(value: bytes, most: int) -> str:
    if len(value) > most:
        raise Malformed(f"has {len(value)} bytes, and at most {most} can be used")
    try:
        text = value.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise Malformed("is not UTF-8 text") from None
    if not text:
        raise Malformed("is empty")
    return text
