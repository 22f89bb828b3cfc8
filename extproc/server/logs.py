"""Logs: the program's own on stderr through ``logging``, and one access line per exchange on stdout.

An access line is one JSON encode and one append; a thread writes what has gathered. So a slow reader of stdout costs
lines, which are counted, and never the event loop's time. What clients and upstreams say (model names, ids) is cut and
escaped: it can neither forge a line nor drive a terminal. Nothing here ever sees a body or a credential.
"""

import logging
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from extproc.exchange.record import Record
from extproc.server.libraries import quieten

_ACCESS: Final = "extproc.access"
_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_FORMATS: Final = ("text", "json")
#: How long a line may wait for others, so that they are written together, seconds.
_GATHER_S: Final = 0.05
#: How long the end of the process may wait for a reader of stdout, seconds.
_LAST_WAIT_S: Final = 1.0
#: Lines, and their bytes, that are kept while stdout takes none.
_MAX_WAITING: Final = 20_000
_MAX_WAITING_BYTES: Final = 16 * 1024 * 1024
#: pipe(7): Linux never mixes a write of up to this many bytes with another process's.
_PIPE_BUF: Final = 4096
#: Bytes that a text takes at most in a line, so that a line is one unmixed write whatever clients send.
_MAX_TEXT: Final = 256
_MAX_ID: Final = 128
_MAX_METHOD: Final = 32
_MAX_FIELD: Final = 64
#: Names of dropped fields in a line, and their bytes together.
_MAX_FIELDS: Final = 32
_MAX_FIELDS_BYTES: Final = 1024
_WIDEST_UTF8: Final = 4

_log = logging.getLogger(__name__)


def configure(level: str, line_format: str, access_fd: int = 1) -> None:
    """Set up this process's logging, replacing what an earlier call set up; access lines go to ``access_fd``.

    ``level``: debug, info, warning or error; access lines are written at debug and info. ``line_format``: text or json.
    A process that leaves by ``os._exit``, as those of ``multiprocessing`` do, must call ``logging.shutdown()`` before:
    that writes the access lines that still wait. Raises ``ValueError`` for an unknown level or format.
    """
    if level not in _LEVELS:
        raise ValueError(f"log level {level!r}: expected one of {', '.join(_LEVELS)}")
    if line_format not in _FORMATS:
        raise ValueError(f"log format {line_format!r}: expected one of {', '.join(_FORMATS)}")
    formatter = _JsonFormatter() if line_format == "json" else _TextFormatter()
    root, access = logging.getLogger(), logging.getLogger(_ACCESS)
    for logger in (root, access):
        for old in [h for h in logger.handlers if isinstance(h, _StderrHandler | LineWriter)]:
            logger.removeHandler(old)
            old.close()
    for logger, handler in ((root, _StderrHandler()), (access, LineWriter(access_fd))):
        handler.setFormatter(formatter)
        logger.addHandler(handler)
    root.setLevel(_LEVELS[level])
    access.propagate = False
    quieten(_LEVELS[level])


def withhold_texts(record: logging.LogRecord) -> bool:
    """A filter: takes from a traceback the texts of its exceptions, which may quote bodies; types and lines stay."""
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        types = " from ".join(type(link).__qualname__ for link in _chain(error))
        told = RuntimeError(f"{types} (text withheld)")
        record.exc_info = (type(told), told, error.__traceback__)
    return True


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


class _StderrHandler(logging.StreamHandler[Any]):
    """A type of our own, so that ``configure`` removes what it made and nothing else."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)


class LineWriter(logging.Handler):
    """Writes lines to a file descriptor from a thread of its own, never mixing them with those of another process.

    When the reader is slow, up to 20,000 lines or 16 MiB wait; those after them are dropped, counted, and reported once
    it reads.
    """

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd
        self._waiting: deque[bytes] = deque()
        # Two counters, as each has one writer: those who append, and whoever holds ``_writing``.
        self._bytes_in = 0
        self._bytes_out = 0
        self._wake = threading.Event()
        self._writing = threading.Lock()
        self._thread: threading.Thread | None = None
        self._dropped = 0
        self._closed = False

    def append(self, line: bytes) -> None:
        """Queue one line, its newline included."""
        size = len(line)
        if len(self._waiting) >= _MAX_WAITING or self._bytes_in - self._bytes_out + size > _MAX_WAITING_BYTES:
            self._dropped += 1
            return
        self._bytes_in += size
        self._waiting.append(line)
        if not self._wake.is_set():
            self._start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record that came through ``logging``."""
        self.append(self.format(record).encode() + b"\n")

    def flush(self) -> None:
        """Write what waits, now; give up when the reader takes nothing for a second."""
        if self._writing.acquire(timeout=_LAST_WAIT_S):
            try:
                self._write_all(patience=_LAST_WAIT_S)
            finally:
                self._writing.release()

    def close(self) -> None:
        """Write what waits, and then nothing ever: the descriptor may be somebody else's soon."""
        self.flush()
        self._closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(_LAST_WAIT_S)
        self._waiting.clear()
        super().close()

    def _start(self) -> None:
        self._wake.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait()
            time.sleep(_GATHER_S)
            self._wake.clear()
            while self._waiting and not self._closed:
                with self._writing:
                    self._write_all(patience=_GATHER_S)
            if self._dropped and not self._closed:
                dropped, self._dropped = self._dropped, 0
                _log.warning("standard output did not take %d access lines; they are lost", dropped)

    def _write_all(self, patience: float) -> None:
        """Write every waiting line, or as many as the reader takes until it has taken none for ``patience`` seconds."""
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        while self._waiting and poll.poll(patience * 1000) and not self._closed:
            batch = self._next_batch()
            try:
                _write(self._fd, batch)
            except BlockingIOError:
                self._waiting.appendleft(batch)
                self._bytes_out -= len(batch)
                time.sleep(_GATHER_S)
            except OSError:
                # The reader is gone for good (EPIPE) or the disk is full: losing lines is all that is left.
                self._dropped += batch.count(b"\n")

    def _next_batch(self) -> bytes:
        """Whole lines that fit into one unmixed write; a longer line goes alone."""
        lines = [self._waiting.popleft()]
        size = len(lines[0])
        while self._waiting and size + len(self._waiting[0]) <= _PIPE_BUF:
            lines.append(self._waiting.popleft())
            size += len(lines[-1])
        self._bytes_out += size
        return b"".join(lines)


def _write(fd: int, data: bytes) -> None:
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, data[written:])


class AccessLog:
    """One line for each exchange. Make it after ``configure``, whose format and level it follows."""

    def __init__(self) -> None:
        logger = logging.getLogger(_ACCESS)
        handler = next((h for h in logger.handlers if isinstance(h, LineWriter)), None)
        self._append = handler.append if handler is not None and logger.isEnabledFor(logging.INFO) else None
        text = handler is not None and isinstance(handler.formatter, _TextFormatter)
        self._encode = _text_line if text else msgspec.json.Encoder().encode
        self._second = 0
        self._prefix = ""

    def write(self, record: Record) -> None:
        """Log a finished exchange."""
        if self._append is not None:
            self._append(self._encode(_line(record, self._now())) + b"\n")

    def _now(self) -> str:
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._prefix = f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"
        return f"{self._prefix}.{int((now - second) * 1000):03d}Z"


class _Line(msgspec.Struct, omit_defaults=True):
    """The access line; a field that is at its default is left out. Times are milliseconds."""

    time: str
    level: str
    logger: str
    request_id: str
    method: str
    operation: str
    status: int
    outcome: str
    stream: bool
    model: str = ""
    upstream_model: str = ""
    route: str = ""
    backend: str = ""
    provider: str = ""
    #: Who was let in: the id of an API key, never the key, or the subject of a token.
    caller: str = ""
    #: The vendor's own id of the request, for a question to its support.
    upstream_request_id: str = ""
    #: The record's, which is in our own words: a vendor's message is a body, so the exchange keeps it out.
    error: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    dropped: tuple[str, ...] = ()
    #: How many more were dropped than are named.
    dropped_more: int = 0
    #: What of the upstream's answer the client's API has no place for, by its path there.
    lost: tuple[str, ...] = ()
    #: From the request's headers to the chosen backend: mostly the client's upload.
    routing_ms: float | None = None
    #: From the chosen backend to the upstream's response headers.
    upstream_ms: float | None = None
    #: From the request's headers to the first byte of the answer's body.
    first_body_ms: float | None = None
    duration_ms: float | None = None


def _line(record: Record, now: str) -> _Line:
    usage, started, routed = record.usage, record.started, record.routed
    dropped = _shown_fields(record.dropped) if record.dropped else ()
    return _Line(
        now,
        "info",
        _ACCESS,
        _shown(record.request_id, _MAX_ID),
        _shown(record.method, _MAX_METHOD),
        record.operation,
        record.status,
        record.outcome,
        record.stream,
        _shown(record.model),
        _shown(record.upstream_model),
        _shown(record.route),
        record.backend,
        record.provider,
        _shown(record.caller),
        _shown(record.upstream_request_id, _MAX_ID),
        _shown(record.error),
        usage.input_tokens,
        usage.output_tokens,
        usage.total_tokens,
        usage.cached_input_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
        dropped,
        record.dropped_more + len(record.dropped) - len(dropped),
        _shown_fields(record.lost) if record.lost else (),
        _ms(started, routed),
        None if routed is None else _ms(routed, record.responded),
        _ms(started, record.first_body),
        _ms(started, record.ended),
    )


def _ms(begin: float, end: float | None) -> float | None:
    return None if end is None else round((end - begin) * 1000.0, 3)


def _shown(text: str, limit: int = _MAX_TEXT) -> str:
    """``text`` as it may stand in a log: everything unprintable escaped, and cut where it takes ``limit`` bytes."""
    if text.isprintable():
        size = len(text)
        plain = text.isascii() and '"' not in text and "\\" not in text
        if size * _WIDEST_UTF8 <= limit or (plain and size <= limit):
            return text
    kept, size = [], 0
    for character in text[:limit]:
        shown = character if character.isprintable() else character.encode("unicode_escape").decode()
        # JSON escapes these two once more.
        size += len(shown.encode()) + shown.count('"') + shown.count("\\")
        if size > limit:
            break
        kept.append(shown)
    return "".join(kept) + ("..." if len(kept) < len(text) else "")


def _shown_fields(paths: tuple[str, ...]) -> tuple[str, ...]:
    """As many of the names, from the first on, as a line has room for."""
    kept: list[str] = []
    size = 0
    for path in paths[:_MAX_FIELDS]:
        shown = _shown(path, _MAX_FIELD)
        size += len(shown.encode())
        if size > _MAX_FIELDS_BYTES:
            break
        kept.append(shown)
    return tuple(kept)


def _escaped(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _text_line(line: _Line) -> bytes:
    fields = msgspec.to_builtins(line)
    head = f"{fields.pop('time')} {fields.pop('level').upper()} {fields.pop('logger')}:"
    return " ".join((head, *(f"{name}={_text_value(value)}" for name, value in fields.items()))).encode()


def _text_value(value: Any) -> str:
    if isinstance(value, str) and value and not any(c in value for c in ' "='):
        return value
    return msgspec.json.encode(value).decode()


class _TextFormatter(logging.Formatter):
    """``time LEVEL logger: message``, then the traceback, if any, on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        head = f"{_time_of(record)} {record.levelname} {record.name}[{record.process}]: {_escaped(record.getMessage())}"
        return f"{head}\n{self.formatException(record.exc_info)}" if record.exc_info else head


class _JsonFormatter(logging.Formatter):
    """One object a line."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": _time_of(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "message": _encodable(record.getMessage()),
        }
        if record.exc_info:
            fields["exception"] = _encodable(self.formatException(record.exc_info))
        return msgspec.json.encode(fields).decode()


def _time_of(record: logging.LogRecord) -> str:
    return f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%dT%H:%M:%S}.{int(record.msecs):03d}Z"


def _encodable(text: str) -> str:
    """``text`` without the lone surrogates that UTF-8 has no bytes for."""
    return text.encode(errors="backslashreplace").decode()
