"""What can go wrong between the operator and the API server, by what is to be done about it."""


class ClusterError(Exception):
    """A call did not do what it was for. ``retry_after_s``: how long the server asked to be left alone, if it did."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unreachable(ClusterError):
    """No connection, no answer in time, or a server error: whether the call took effect is not known."""


class Faulty(Unreachable):
    """The server answered with an error of its own, or of a webhook that it asks, or took too long over this call.

    So it may well be a matter of this object alone.
    """


class Busy(ClusterError):
    """429: the server sheds load."""


class Denied(ClusterError):
    """403: a rule of RBAC is missing; the message says which."""


class Unauthorized(ClusterError):
    """401, also with the credentials read anew: a token that is being rotated, or a ServiceAccount that is gone."""


class Conflict(ClusterError):
    """409: somebody else has changed the object since it was read."""


class Gone(ClusterError):
    """404 or 410: no such object or kind, or a version that the server no longer keeps."""


class Rejected(ClusterError):
    """Any other refusal. The same call would be refused again."""


class NotLeading(ClusterError):
    """Nothing was sent: another replica may be the one that writes now."""


_BY_STATUS: dict[int, type[ClusterError]] = {
    401: Unauthorized,
    403: Denied,
    404: Gone,
    409: Conflict,
    410: Gone,
    429: Busy,
}


def failure_of(status: int, message: str, retry_after: str | None) -> ClusterError:
    """The error for an answer of 400 and above; ``retry_after`` is the header, in seconds as API servers send it."""
    kind = Faulty if status >= 500 else _BY_STATUS.get(status, Rejected)
    return kind(f"{status} {message}", float(retry_after) if retry_after and retry_after.isdecimal() else None)
