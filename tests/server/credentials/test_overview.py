"""What the supervisor makes of its workers' words."""

import json
from dataclasses import asdict
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from extproc.server.credentials.account import CredentialStatus
from extproc.server.credentials.overview import credential_gauges, credentials_page, updated
from extproc.server.credentials.reports import CredentialReports
from extproc.server.metrics import Metrics

OK = CredentialStatus("aws/default", "ok", 1_700_003_600.0)
SOONER = CredentialStatus("aws/default", "ok", 1_700_000_000.0)
FAILING = CredentialStatus("aws/default", "failing", 1_700_009_999.0, "refused")
MISSING = CredentialStatus("apiKey", "missing", None, "its credential is missing")


def worker(**statuses: CredentialStatus) -> dict[str, Any]:
    return {name: asdict(status) for name, status in statuses.items()}


class _Gauges:
    def __init__(self, *workers: dict[str, Any]) -> None:
        self.collect = lambda: credential_gauges(workers)


def exposed(*workers: dict[str, Any]) -> list[str]:
    registry = CollectorRegistry()
    registry.register(_Gauges(*workers))
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]


def test_the_worst_worker_is_told() -> None:
    """A backend that fails in one worker fails sometimes, so that is what stands there."""
    page = json.loads(credentials_page([worker(x=OK, y=OK), worker(x=FAILING, z=MISSING), worker(y=SOONER)]))

    assert page == {
        "credentials": [
            {
                "backend": "x",
                "kind": "aws/default",
                "state": "failing",
                "expiresAt": "2023-11-15T00:59:59Z",
                "lastError": "refused",
            },
            {
                "backend": "y",
                "kind": "aws/default",
                "state": "ok",
                "expiresAt": "2023-11-14T22:13:20Z",
                "lastError": None,
            },
            {
                "backend": "z",
                "kind": "apiKey",
                "state": "missing",
                "expiresAt": None,
                "lastError": "its credential is missing",
            },
        ]
    }


def test_gauges_follow_what_is_configured() -> None:
    """The earliest end of each backend, and how many have nothing."""
    assert exposed(worker(x=OK, z=MISSING), worker(x=SOONER, z=MISSING, w=MISSING)) == [
        'llmroute_credential_expiry_timestamp_seconds{backend="x"} 1.7e+09',
        "llmroute_credentials_missing 2.0",
    ]
    assert exposed() == ["llmroute_credentials_missing 0.0"]


def test_reports_are_changes() -> None:
    """What a worker sends makes the supervisor's picture, in which a backend that goes leaves nothing."""
    sent: list[bytes] = []
    metrics = Metrics()
    reports = CredentialReports(sent.append, metrics)
    reports.changed({"x": OK, "y": MISSING})
    reports.changed({"x": None})
    reports.refreshed("y", "error")

    known: Any = {}
    for message in map(json.loads, sent):
        assert message["kind"] == "credentials"
        known = updated(known, message["changed"])
    assert known == worker(y=MISSING)
    assert (
        'llmroute_credential_refresh_total{backend="y",outcome="error"} 1.0'
        in generate_latest(metrics.registry).decode()
    )
