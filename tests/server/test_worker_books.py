"""Metrics and access log in batches."""

import asyncio
import json

import pytest

from extproc.conversation.response import Usage
from extproc.exchange.record import Record
from extproc.server import logs
from extproc.server.books import Books
from extproc.server.metrics import Metrics

IN_FLIGHT = "llmroute_streams_in_flight"


@pytest.fixture
def metrics() -> Metrics:
    """The metrics of one process."""
    return Metrics()


@pytest.fixture
def books(metrics: Metrics, kept_logging: None) -> Books:
    """Books whose access log goes to stdout."""
    logs.configure("info", "json")
    return Books(metrics, logs.AccessLog())


def in_flight(metrics: Metrics) -> float | None:
    """The gauge of open streams."""
    return metrics.registry.get_sample_value(IN_FLIGHT)


def answered(metrics: Metrics, status: int) -> float | None:
    """How many requests were counted with this status."""
    labels = {"operation": "unknown", "route": "", "backend": "", "model": "unknown", "outcome": "ok"}
    return metrics.registry.get_sample_value("llmroute_requests_total", {**labels, "status": str(status)})


async def test_a_stream_is_seen_soon(books: Books, metrics: Metrics) -> None:
    """An open stream, and then its end, show without anyone asking."""
    books.started()
    await asyncio.sleep(0.1)
    assert in_flight(metrics) == 1
    books.finished(Record(status=200, outcome="ok"))
    await asyncio.sleep(0.1)

    assert in_flight(metrics) == 0
    assert answered(metrics, 200) == 1


async def test_settling_counts_what_waits_once(
    books: Books, metrics: Metrics, capfd: pytest.CaptureFixture[str]
) -> None:
    """At the end nothing is lost and nothing is counted or logged twice."""
    for n in range(3):
        books.started()
        books.finished(Record(request_id=f"r-{n}", status=204, outcome="ok"))
    books.started()
    books.settle()
    books.settle()
    await asyncio.sleep(0.1)

    assert answered(metrics, 204) == 3
    assert in_flight(metrics) == 1
    logs.configure("info", "json")  # writes what the old handler held
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [line["request_id"] for line in lines] == ["r-0", "r-1", "r-2"]


def test_an_internal_error_is_counted_at_once(books: Books, metrics: Metrics) -> None:
    """Failures do not wait for a batch."""
    books.failed()

    assert metrics.registry.get_sample_value("llmroute_internal_errors_total") == 1


def test_a_record_that_cannot_be_kept_costs_no_other(
    books: Books, metrics: Metrics, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Absurd counts are an internal error, logged once for the batch, and all others are counted and logged."""
    absurd = Usage(input_tokens=int("9" * 400))
    books._finished = [
        Record(request_id="r-0", status=200, outcome="ok", usage=absurd),
        Record(request_id="r-1", status=204, outcome="ok"),
        Record(request_id="r-2", status=200, outcome="ok", usage=absurd),
        Record(request_id="r-3", status=204, outcome="ok"),
    ]
    books.settle()
    logs.configure("info", "json")  # writes what the old handler held
    out = capfd.readouterr().out

    assert [json.loads(line)["request_id"] for line in out.splitlines()] == ["r-0", "r-1", "r-2", "r-3"]
    assert answered(metrics, 204) == 2
    assert metrics.registry.get_sample_value("llmroute_internal_errors_total") == 2
    assert [entry.getMessage() for entry in caplog.records] == ["internal error at the end of request r-0"]
    assert "OverflowError (text withheld)" in str(caplog.records[0].exc_info)
