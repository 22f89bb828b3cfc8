"""Logs: what a line holds, that nothing can forge one, and that a slow reader costs lines and never time."""

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from extproc.conversation.response import Usage
from extproc.exchange.record import Record
from extproc.server import logs
from extproc.server.logs import AccessLog, LineWriter, configure

ROOT = Path(__file__).parents[2]
FULL = Record(
    request_id="req-1",
    method="POST",
    operation="chat",
    model="gpt",
    upstream_model="gpt-9",
    route="t/chat@7#rules[0]",
    backend="openai",
    provider="openai",
    client_dialect="openai",
    status=200,
    stream=True,
    outcome="ok",
    usage=Usage(input_tokens=5, output_tokens=0, cached_input_tokens=3),
    dropped=("seed", "logit_bias"),
    lost=("output.message.content[1].image",),
    started=10.0,
    routed=10.002,
    responded=10.0525,
    first_body=10.06,
    ended=10.5,
)
Written = Callable[..., list[str]]
NASTY = 'a"b\\c\n{"forged":1}\r\x1b[31m\x9b\u2028\u202e\x7f\x00 \ud800é'


@pytest.fixture
def written(kept_logging: None) -> Iterator[Written]:
    """Sets logging up with access lines into a pipe, and gives the lines that came out when it is called again."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    access = logging.getLogger("extproc.access")

    def write(level: str, line_format: str, *records: Record) -> list[str]:
        configure(level, line_format, writer)
        log = AccessLog()
        for record in records:
            log.write(record)
        for handler in access.handlers:
            handler.flush()
        try:
            return os.read(reader, 1 << 20).decode().split("\n")[:-1]
        except BlockingIOError:
            return []

    yield write
    for handler in access.handlers[:]:
        access.removeHandler(handler)
        handler.close()
    os.close(reader)
    os.close(writer)


def test_json_line_holds_all_that_is_known(written: Written) -> None:
    """Ids, names, tokens, dropped fields, durations in milliseconds; a token count of 0 is known, an absent is not."""
    line = json.loads(written("info", "json", FULL)[0])

    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "extproc.access",
        "request_id": "req-1",
        "method": "POST",
        "operation": "chat",
        "status": 200,
        "outcome": "ok",
        "stream": True,
        "model": "gpt",
        "upstream_model": "gpt-9",
        "route": "t/chat@7#rules[0]",
        "backend": "openai",
        "provider": "openai",
        "input_tokens": 5,
        "output_tokens": 0,
        "cached_input_tokens": 3,
        "dropped": ["seed", "logit_bias"],
        "lost": ["output.message.content[1].image"],
        "routing_ms": 2.0,
        "upstream_ms": 50.5,
        "first_body_ms": 60.0,
        "duration_ms": 500.0,
    }


def test_what_never_happened_is_left_out(written: Written) -> None:
    """An exchange that ended at once has few fields, and its status and outcome are among them."""
    record = Record(request_id="r", method="GET", status=404, outcome="client_error", error="no such path")

    line = json.loads(written("info", "json", record)[0])

    always = {"time", "level", "logger", "request_id", "method", "operation", "status", "outcome", "stream"}
    assert set(line) == always | {"error"}


def test_text_line_reads_as_words(written: Written) -> None:
    """The same fields as ``name=value``, quoted where a space or a quote would confuse."""
    record = Record(request_id="r", method="GET", status=404, outcome="client_error", error='no "x" here')

    line = written("info", "text", record)[0]

    assert " INFO extproc.access: request_id=r method=GET" in line
    assert 'status=404 outcome=client_error stream=false error="no \\"x\\" here"' in line


@pytest.mark.parametrize("line_format", ["json", "text"])
def test_nothing_from_outside_forges_a_line(written: Written, line_format: str) -> None:
    """Line ends, escape sequences, direction marks and lone surrogates come out escaped, on one line, and cut."""
    nasty = Record(
        request_id=NASTY,
        method=NASTY,
        model=NASTY,
        route=NASTY,
        upstream_model="x" * 5000,
        dropped=(NASTY,),
        error=NASTY,
    )

    lines = written("info", line_format, nasty, FULL)

    assert len(lines) == 2
    assert lines[0].isprintable()
    assert len(lines[0]) < 4096
    assert "x" * 256 + "..." in lines[0]
    assert "x" * 257 not in lines[0]


def test_error_and_id_of_an_upstream_are_shown(written: Written) -> None:
    """What the exchange says of a failed upstream is in the line, with the vendor's own id of the request."""
    record = Record(
        status=429, outcome="upstream_error", error="rate_limit ThrottlingException", upstream_request_id="amzn-7"
    )

    line = json.loads(written("info", "json", record)[0])

    assert (line["error"], line["upstream_request_id"]) == ("rate_limit ThrottlingException", "amzn-7")


@pytest.mark.parametrize("line_format", ["json", "text"])
@pytest.mark.parametrize("character", ["x", "\u20ac", "\U0001f600", '"', "\\", "\x00", "\ud800"])
def test_a_line_is_one_unmixed_write_whatever_it_holds(written: Written, line_format: str, character: str) -> None:
    """With every text as long and as costly as can be, a line stays below 4096 bytes and names at most 32 fields."""
    long = character * 3000
    record = Record(
        request_id=long,
        method=long,
        model=long,
        upstream_model=long,
        route=long,
        error=long,
        upstream_request_id=long,
        dropped=(long,) * 40,
        dropped_more=100,
    )

    lines = written("info", line_format, record)

    assert len(lines) == 1
    assert len(lines[0].encode()) < 4096
    if line_format == "json":
        line = json.loads(lines[0])
        assert 1 <= len(line["dropped"]) <= 32
        assert max(len(name) for name in line["dropped"]) <= 64 + len("...")
        assert line["dropped_more"] == 140 - len(line["dropped"])


def test_waiting_lines_are_bounded_by_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large lines are dropped long before there are many, and once the reader takes some there is room again."""
    monkeypatch.setattr(logs, "_MAX_WAITING_BYTES", 300_000)
    reader, writer = os.pipe()
    collected: list[bytes] = []
    lines = LineWriter(writer)
    for _ in range(200):
        lines.append(b"a" * 9_999 + b"\n")
    assert 0 < sum(map(len, lines._waiting)) <= 300_000
    assert lines._dropped >= 200 - 30 - 1 - 65_536 // 10_000

    def collect() -> None:
        while chunk := os.read(reader, 1 << 16):
            collected.append(chunk)

    collecting = threading.Thread(target=collect)
    collecting.start()
    lines.flush()
    lines.append(b"last\n")
    lines.close()
    os.close(writer)
    collecting.join()
    os.close(reader)

    assert b"".join(collected).splitlines()[-1] == b"last"
    assert lines._bytes_in == lines._bytes_out


@pytest.mark.parametrize(("level", "count"), [("debug", 2), ("info", 2), ("warning", 0), ("error", 0)])
def test_access_lines_are_of_level_info(written: Written, level: str, count: int) -> None:
    """A level above info turns them off."""
    assert len(written(level, "json", FULL, FULL)) == count


def test_configuring_again_replaces(written: Written) -> None:
    """A second call changes the format, and no line is written twice."""
    written("info", "json", FULL)

    lines = written("info", "text", FULL)

    assert len(lines) == 1
    assert "status=200" in lines[0]


@pytest.mark.parametrize(("level", "line_format"), [("loud", "json"), ("info", "xml")])
def test_unknown_level_or_format_is_refused(level: str, line_format: str) -> None:
    """The error says what is expected."""
    with pytest.raises(ValueError, match="expected one of"):
        configure(level, line_format)


def test_lines_are_written_soon_without_a_flush() -> None:
    """A line waits for others a moment and is then written by itself."""
    reader, writer = os.pipe()
    lines = LineWriter(writer)
    started = time.monotonic()
    lines.append(b"one\n")
    lines.append(b"two\n")

    assert os.read(reader, 100) == b"one\ntwo\n"
    assert time.monotonic() - started < 1.0
    lines.close()
    os.close(reader)
    os.close(writer)


def test_reader_that_stops_costs_lines_and_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the pipe full, appending stays fast and closing ends; what is written are whole lines in order."""
    monkeypatch.setattr(logs, "_LAST_WAIT_S", 0.1)
    monkeypatch.setattr(logs, "_MAX_WAITING", 2000)
    reader, writer = os.pipe()
    lines = LineWriter(writer)
    started = time.monotonic()
    for i in range(20_000):
        lines.append(b"%099d\n" % i)
    appended = time.monotonic() - started
    lines.close()
    closed = time.monotonic() - started
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        written = [int(line) for line in file.read().splitlines()]

    assert appended < 2.0
    assert closed < 5.0
    assert written == sorted(set(written))
    assert 0 < len(written) < 20_000


def test_reader_that_is_gone_is_survived() -> None:
    """Writing to a closed pipe loses the lines and nothing else."""
    reader, writer = os.pipe()
    os.close(reader)
    lines = LineWriter(writer)
    lines.append(b"one\n")
    lines.flush()

    assert lines._dropped == 1
    assert not lines._waiting
    lines.close()
    os.close(writer)


def test_lines_of_several_processes_are_not_mixed() -> None:
    """Writers that share a pipe, as workers share stdout, write whole lines only."""
    reader, writer = os.pipe()
    writers = [LineWriter(writer) for _ in range(3)]
    collected: list[bytes] = []

    def collect() -> None:
        while chunk := os.read(reader, 1 << 16):
            collected.append(chunk)

    collecting = threading.Thread(target=collect)
    collecting.start()
    for _ in range(500):
        for mark, lines in zip(b"abc", writers, strict=True):
            lines.append(bytes([mark]) * 333 + b"\n")
    for lines in writers:
        lines.close()
    os.close(writer)
    collecting.join()
    os.close(reader)

    written = b"".join(collected).splitlines()
    assert len(written) == 1500
    assert {len(line) for line in written} == {333}
    assert all(len(set(line)) == 1 for line in written)


SCRIPT = """
import logging, sys
from extproc.server.logs import AccessLog, configure
from extproc.exchange.record import Record
configure("info", sys.argv[1])
log = logging.getLogger("extproc.x")
log.debug("hidden")
log.warning("two\\nlines %s", "\\x1b[0m\\ud800")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("bug")
    logging.getLogger("grpc._cython.cygrpc").exception("ExecuteBatchError raised in core by servicer method [/p]")
AccessLog().write(Record(request_id="r"))
logging.shutdown()
"""


def _run(line_format: str) -> tuple[list[str], list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, line_format], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout.splitlines(), done.stderr.splitlines()


def test_process_logs_json() -> None:
    """Access lines on stdout, the rest on stderr, one object a line, tracebacks inside; not that a caller has left."""
    out, err = _run("json")

    assert [json.loads(line)["request_id"] for line in out] == ["r"]
    found: list[dict[str, Any]] = [json.loads(line) for line in err]
    assert [(r["level"], r["logger"], r["message"]) for r in found] == [
        ("warning", "extproc.x", "two\nlines \x1b[0m\\ud800"),
        ("error", "extproc.x", "bug"),
    ]
    assert "ZeroDivisionError" in found[1]["exception"]


def test_process_logs_text() -> None:
    """Messages stay on one line whatever they hold, and a traceback follows its message."""
    out, err = _run("text")

    assert "request_id=r" in out[0]
    assert err[0].endswith("two\\nlines \\x1b[0m\\ud800")
    assert err[1].endswith("bug")
    assert err[2] == "Traceback (most recent call last):"
