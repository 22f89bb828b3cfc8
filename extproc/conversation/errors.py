"""Errors, by whose fault they are.

::

    GatewayError
    ├── ClientError    the caller's request is wrong: 4xx in the client's dialect, naming the JSON path
    │   └── Refusal    the request is right, but this upstream cannot carry it: 400, naming field and upstream
    └── UpstreamError  the vendor failed or answered nonsense: carries an ``ApiError``

``ApiError`` is the neutral form of an error *body*, read from one dialect and written in another.
"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The class of an error, from which each dialect derives its own type and code words."""

    INVALID_REQUEST = "invalid_request"
    AUTHENTICATION = "authentication"
    PERMISSION = "permission"
    BILLING = "billing"
    NOT_FOUND = "not_found"
    MODEL_NOT_FOUND = "model_not_found"
    CONTEXT_LENGTH = "context_length"
    TOO_LARGE = "too_large"
    RATE_LIMIT = "rate_limit"
    OVERLOADED = "overloaded"
    TIMEOUT = "timeout"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class ApiError:
    """One error as a caller may see it. ``status`` is the HTTP status; ``native_type`` the vendor's own word for it.

    ``vendor``: the message is the vendor's, which may quote the prompt or a key: it goes to the client and nowhere
    else. ``retry_after``: in how many seconds the vendor's body says that it is worth another try.
    ``credential``: the word, one of a list of ours, by which the vendor says that it does not take the credential that
    it was shown; None where it says nothing of the kind.
    """

    status: int
    kind: Kind
    message: str
    param: str | None = None
    code: str | None = None
    native_type: str | None = None
    vendor: bool = False
    retry_after: int | None = None
    credential: str | None = None


class GatewayError(Exception):
    """The root of what the gateway raises on purpose."""


class ClientError(GatewayError):
    """The request is wrong. ``param`` is the JSON path; the message names the problem and the fix, never the value."""

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        status: int = 400,
        kind: Kind = Kind.INVALID_REQUEST,
    ) -> None:
        super().__init__(message)
        self.error = ApiError(status=status, kind=kind, message=message, param=param, code=code)


class Refusal(ClientError):
    """The chosen upstream cannot carry a part of the request; sending less would change its meaning."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}", param=path, code="unsupported_value")


class UpstreamError(GatewayError):
    """The upstream failed, or its answer cannot be read."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(error.message)
        self.error = error


@dataclass(frozen=True, slots=True)
class Loss:
    """A tuning field that did not reach the upstream as written.

    ``kind``: ``drop`` (left out) or ``approx`` (changed to the nearest the target has). Names and reasons, never
    values.
    """

    path: str
    kind: str
    reason: str
