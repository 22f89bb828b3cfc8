"""What fetches a token: the one thing that AWS, Google and Microsoft have in common here."""

from dataclasses import dataclass
from typing import Protocol

from extproc.credentials.held import AwsKeys, Token


@dataclass(frozen=True, slots=True)
class Fetched:
    """A credential and the end of its life in Unix seconds; None when it does not say."""

    held: Token | AwsKeys
    expires_at: float | None = None


class FetchError(Exception):
    """No credential could be had.

    ``reason`` is said to clients, so it names neither a file nor an account nor an address. ``detail`` is for the log
    and the admin page: types, statuses and codes from lists of ours, never a text that somebody else wrote.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class Provider(Protocol):
    """Fetches one credential. Used by one thread at a time, and made in one: both may be slow."""

    def fetch(self) -> Fetched:
        """A fresh one, over the network as a rule. Raises ``FetchError``."""
