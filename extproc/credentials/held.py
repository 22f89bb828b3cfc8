"""A credential as an exchange meets it: already fetched, already checked. Nothing here shows its value by ``repr``."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, repr=False)
class Token:
    """An API key or an access token: one text that goes into one header."""

    value: str

    def __repr__(self) -> str:
        return "Token(...)"


@dataclass(frozen=True, slots=True, repr=False)
class AwsKeys:
    """What AWS Signature Version 4 signs with. ``session_token``: for temporary ones.

    ``derived`` is for ``sigv4`` alone: the key of a day, which depends on nothing else and goes where these keys go.
    Who holds credentials keeps one object for as long as the keys are the same.
    """

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None
    derived: dict[str, bytes] = field(default_factory=dict, init=False, compare=False)

    def __repr__(self) -> str:
        return "AwsKeys(...)"


@dataclass(frozen=True, slots=True)
class Missing:
    """There is none now. ``reason`` is said to clients: it names neither a Secret nor a file nor an account."""

    reason: str


Held = Token | AwsKeys | Missing
