"""A credential as an exchange meets it: already fetched, already checked. Nothing here shows its value by ``repr``."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, repr=False)
class Token:
    """An API key or an access token: one text that goes into one header."""

    value: str

    def __repr__(self) -> str:
        return "Token(...)"


@dataclass(frozen=True, slots=True, repr=False)
class AwsKeys:
    """What AWS Signature Version 4 signs with. ``session_token``: for temporary ones."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None

    def __repr__(self) -> str:
        return "AwsKeys(...)"


@dataclass(frozen=True, slots=True)
class Missing:
    """There is none now. ``reason`` is said to clients: it names neither a Secret nor a file nor an account."""

    reason: str


Held = Token | AwsKeys | Missing
