"""What of the libraries' own logging is let through."""

import logging
from typing import Final

#: They say at info or debug what concerns only their own authors, or repeat every event of the loop.
_QUIET: Final = ("watchfiles", "asyncio", "grpc", "uvloop")
#: They fetch tokens, and log requests at debug and exceptions that quote answers at warning: all that may be known of
#: that is in the types and codes of their exceptions, which ``credentials`` logs.
_SILENT: Final = ("botocore", "google", "urllib3", "requests")
#: Where gRPC reports, as an error with a traceback, that a caller was gone when its status was to be handed over.
_GRPC_CALLS: Final = "grpc._cython.cygrpc"
_CALLER_GONE: Final = "ExecuteBatchError raised in core"


def quieten(level: int) -> None:
    """Let no library say more than ``level``, and some less."""
    for names, least in ((_QUIET, logging.WARNING), (_SILENT, logging.CRITICAL)):
        for name in names:
            logging.getLogger(name).setLevel(max(level, least))
    logging.getLogger(_GRPC_CALLS).addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """A filter: a caller that left while it was answered is in its own access line; it is no error of ours."""
    return not str(record.msg).startswith(_CALLER_GONE)
