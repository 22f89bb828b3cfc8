"""Answers of OAuth 2.0 token endpoints: https://www.rfc-editor.org/rfc/rfc6749#section-5 (read 2026-11)."""

from typing import Any, Final

import msgspec

from extproc.server.credentials.contents import MalformedError, read_token
from extproc.server.credentials.outbound import UNUSABLE, Answer
from extproc.server.credentials.provider import Fetched, FetchError

REFUSED: Final = "its token endpoint refuses the gateway"
_FAILING: Final = "its token endpoint is failing"
#: An endpoint may write what it likes into ``error``, also what it was sent: these alone are repeated.
_ERRORS: Final = frozenset(
    {
        "access_denied",
        "invalid_client",
        "invalid_grant",
        "invalid_request",
        "invalid_scope",
        "invalid_target",
        "server_error",
        "temporarily_unavailable",
        "unauthorized_client",
        "unsupported_grant_type",
    }
)
_LONGEST_LIFE_S: Final = 366 * 86_400.0


def fetched(answer: Answer, now: float) -> Fetched:
    """The access token in an answer that was asked for at ``now``, when its life began at the earliest.

    Raises ``FetchError``.
    """
    if answer.status != 200:
        raise refusal(answer)
    found = members(answer)
    token, life = found.get("access_token"), found.get("expires_in")
    if not isinstance(token, str):
        raise FetchError(UNUSABLE, "no access_token")
    try:
        held = read_token(token.encode(errors="replace"))
    except MalformedError as error:
        raise FetchError(UNUSABLE, f"access_token: {error}") from None
    seconds = int(life) if isinstance(life, str) and life.isdecimal() and len(life) < 12 else life
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= _LONGEST_LIFE_S:
        raise FetchError(UNUSABLE, "expires_in is no number of seconds")
    return Fetched(held, now + seconds)


def refusal(answer: Answer) -> FetchError:
    """What an answer that is no success says, less what could be a secret."""
    found = members(answer)
    said = []
    error = found.get("error")
    if isinstance(error, str) and error in _ERRORS:
        said.append(error)
    # Entra's own numbers tell what is wrong: https://learn.microsoft.com/entra/identity-platform/reference-error-codes
    numbers = found.get("error_codes")
    if isinstance(numbers, list):
        said += [f"AADSTS{n}" for n in numbers[:3] if type(n) is int and 0 < n < 10_000_000]
    reason = _FAILING if answer.status >= 500 or answer.status == 429 else REFUSED
    return FetchError(f"{reason} (HTTP {answer.status})", ", ".join(said))


def members(answer: Answer) -> dict[str, Any]:
    """The JSON object that an answer is; empty when it is none."""
    try:
        return msgspec.json.decode(answer.body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
