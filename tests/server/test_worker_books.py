"""Metrics and access log in batches."""

import asyncio
import json
from collections.abc import Iterator

import pytest

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
def books(metrics: Metrics) -> Iterator[Books]:
    """Books whose access log goes to stdout."""
    logs.configure("info", "json")
    yield Books(metrics, logs.AccessLog())
    logs.configure("error", "json")


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
