"""The operator's log on stderr: one line for each thing that happened, as JSON or as text."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final

_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_FORMATS: Final = ("json", "text")
#: Says each event of each object, at info.
_CHATTER: Final = ("kopf.objects",)
#: Libraries that say at info or debug what concerns only their own authors.
_QUIET: Final = ("asyncio", "aiohttp", "kubernetes", "kubernetes_asyncio", "urllib3")
#: A line is no place for a whole object that somebody has put into a name.
_MAX_MESSAGE: Final = 8192


def configure(level: str, line_format: str) -> None:
    """Set up this process's logging, replacing what an earlier call set up.

    ``level``: debug, info, warning or error. ``line_format``: json or text. Call it after kopf has set up its own.
    Raises ``ValueError`` for an unknown one.
    """
    if level not in _LEVELS:
        raise ValueError(f"log level {level!r}: expected one of {', '.join(_LEVELS)}")
    if line_format not in _FORMATS:
        raise ValueError(f"log format {line_format!r}: expected one of {', '.join(_FORMATS)}")
    root = logging.getLogger()
    for old in [handler for handler in root.handlers if isinstance(handler, _Handler)]:
        root.removeHandler(old)
    handler = _Handler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if line_format == "json" else _TextFormatter())
    root.addHandler(handler)
    root.setLevel(_LEVELS[level])
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(_LEVELS[level], logging.WARNING))
    for name in _CHATTER:
        logging.getLogger(name).setLevel(logging.WARNING if level != "debug" else logging.DEBUG)


class _Handler(logging.StreamHandler[Any]):
    """A type of our own, so that ``configure`` removes what it made and nothing else."""


class _JsonFormatter(logging.Formatter):
    """One object a line; a traceback is one of its fields."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": _time_of(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message_of(record),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=True, separators=(",", ":"))


class _TextFormatter(logging.Formatter):
    """``time LEVEL logger: message`` without anything unprintable, then the traceback, if any, on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        message = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in _message_of(record))
        line = f"{_time_of(record)} {record.levelname} {record.name}: {message}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _message_of(record: logging.LogRecord) -> str:
    message = record.getMessage()
    return message if len(message) <= _MAX_MESSAGE else f"{message[:_MAX_MESSAGE]}..."


def _time_of(record: logging.LogRecord) -> str:
    return f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%dT%H:%M:%S}.{int(record.msecs):03d}Z"
