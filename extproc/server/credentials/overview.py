"""The credentials of all workers as one: the admin page and the metrics that the supervisor makes of their reports.

What is told here is a kind, a state, a time and an error in words of ours (``account.CredentialStatus``). The
supervisor never sees a credential, so its pages cannot show one.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from prometheus_client.core import GaugeMetricFamily, Metric

#: From bad to good: the worst of the workers' is told.
_STATES: Final = ("missing", "failing", "ok")


def updated(known: Mapping[str, Any], changed: Mapping[str, Any]) -> Mapping[str, Any]:
    """``known`` after a worker's report of changes, in which None means gone."""
    return {backend: status for backend, status in {**known, **changed}.items() if status is not None}


def credentials_page(workers: Iterable[Mapping[str, Any]]) -> bytes:
    """One JSON object: each backend with a credential of the gateway's own, as its worst worker has it."""
    return msgspec.json.encode(
        {
            "credentials": [
                {
                    "backend": backend,
                    "kind": status["kind"],
                    "state": status["state"],
                    "expiresAt": None if status["expires_at"] is None else _rfc3339(status["expires_at"]),
                    "lastError": status["error"],
                }
                for backend, status in sorted(_worst(workers).items())
            ]
        }
    )


def credential_gauges(workers: Iterable[Mapping[str, Any]]) -> Iterator[Metric]:
    """Gauges of what is configured now: a backend that goes takes its series with it."""
    worst = _worst(workers)
    expiry = GaugeMetricFamily(
        "llmroute_credential_expiry_timestamp_seconds",
        "When the backend's credential expires, Unix seconds: the earliest among the workers.",
        labels=["backend"],
    )
    for backend, status in sorted(worst.items()):
        if status["expires_at"] is not None:
            expiry.add_metric([backend], status["expires_at"])
    yield expiry
    yield GaugeMetricFamily(
        "llmroute_credentials_missing",
        "Backends that a worker answers 503 for, because it has no credential to show them.",
        value=sum(status["state"] == "missing" for status in worst.values()),
    )


def _worst(workers: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for worker in workers:
        for backend, status in worker.items():
            if backend not in found or _badness(status) < _badness(found[backend]):
                found[backend] = status
    return found


def _badness(status: Mapping[str, Any]) -> tuple[int, float]:
    ends = status["expires_at"]
    return _STATES.index(status["state"]), float("inf") if ends is None else ends


def _rfc3339(unix_seconds: float) -> str:
    return f"{datetime.fromtimestamp(unix_seconds, UTC):%Y-%m-%dT%H:%M:%S}Z"
