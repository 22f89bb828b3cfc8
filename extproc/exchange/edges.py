"""What the exchange may know of the world outside, handed in."""

from collections.abc import Callable, Mapping

from msgspec import Struct

from extproc.config.auth import Auth
from extproc.credentials.held import Held, Missing

_NOBODY: Mapping[str, Mapping[str, str]] = {}
_NONE = Missing("it has no credential: this processor was started without any")


def no_credentials(backend: str, auth: Auth) -> Held:
    """For a processor without any."""
    del backend, auth
    return _NONE


def no_callers(file: str) -> Mapping[str, str] | None:
    """For a processor that knows no callers."""
    return _NOBODY.get(file)


def nobody_told(backend: str, auth: Auth) -> None:
    """For a processor that fetches nothing."""
    del backend, auth


class Edges(Struct, frozen=True):
    """Randomness in [0, 1), monotonic and Unix seconds, fresh ids, and what is known of credentials.

    ``credential``: what a backend is shown now, by its name and its ``auth``. It is looked up, never fetched.
    ``refused``: told of an upstream that did not take that credential, so that it may be fetched anew.
    ``callers``: the callers that a file knows, ids by the SHA-256 of their keys in hex; None while it cannot be read.
    """

    draw: Callable[[], float]
    now: Callable[[], float]
    wall: Callable[[], float]
    new_id: Callable[[], str]
    credential: Callable[[str, Auth], Held] = no_credentials
    callers: Callable[[str], Mapping[str, str] | None] = no_callers
    refused: Callable[[str, Auth], None] = nobody_told
