"""The processor's own token, which a cluster writes into a file and clouds exchange for theirs."""

import os
from pathlib import Path

from extproc.server.credentials.contents import MalformedError, read_secret
from extproc.server.credentials.provider import FetchError


def own_token(variable: str, default: str | None = None) -> str:
    """The processor's own token, from the file that an environment variable names. Raises ``FetchError``."""
    reason = "the gateway has no token of its own to exchange"
    path = os.environ.get(variable) or default
    if path is None:
        raise FetchError(reason, f"{variable} is not set")
    try:
        return read_secret(Path(path).read_bytes())
    except OSError as error:
        raise FetchError(reason, f"the file of {variable}: {error.strerror}") from None
    except MalformedError as error:
        raise FetchError(reason, f"the file of {variable}: {error}") from None
