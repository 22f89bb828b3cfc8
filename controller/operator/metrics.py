"""The operator's Prometheus metrics; docs/operator-metrics.md explains them. For the event loop's thread alone."""

from collections.abc import Mapping
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

from controller.operator.published import BUDGET_BYTES

_PREFIX: Final = "llmroute_controller"
_ROUNDED: Final = 1024
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class _SecretGauges:
    """What is told of Secrets: how many and how much, of none which."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.named = Gauge(
            f"{_PREFIX}_named_objects",
            "Secrets and ConfigMaps that resources name: found, missing, denied (RBAC) or unknown; the leader reads.",
            ("standing",),
            registry=registry,
        )
        self.polled = Gauge(
            f"{_PREFIX}_named_objects_polled", "Those of them that are not watched but asked for.", registry=registry
        )
        self.bytes = Gauge(
            f"{_PREFIX}_secret_bytes",
            "Bytes in each Secret that is written, rounded up to 1024.",
            ("secret",),
            registry=registry,
        )


class Metrics:
    """What the operator counts; ``registry`` has it all. Labels come from closed lists and from our own settings."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        self._passes = Histogram(
            f"{_PREFIX}_pass_seconds",
            "From the snapshot of all resources to the ConfigMaps, by result: unchanged, written, refused, failed.",
            ("result",),
            registry=registry,
            buckets=_SECONDS,
        )
        self._writes = Counter(
            f"{_PREFIX}_writes", "Writes that the API server took, by lane.", ("lane",), registry=registry
        )
        self._failures = Counter(
            f"{_PREFIX}_write_failures",
            "Writes that did not happen, by lane and by why.",
            ("lane", "reason"),
            registry=registry,
        )
        self._objects = Gauge(
            f"{_PREFIX}_objects",
            "Objects by kind, condition and the condition's status.",
            ("kind", "condition", "status"),
            registry=registry,
        )
        self._bytes = Gauge(
            f"{_PREFIX}_config_bytes", "Bytes in each ConfigMap that is written.", ("config_map",), registry=registry
        )
        budget = Gauge(f"{_PREFIX}_config_budget_bytes", "Bytes that one ConfigMap may hold.", registry=registry)
        budget.set(BUDGET_BYTES)
        self._revision = Gauge(
            f"{_PREFIX}_config_revision", "The revision that the extproc ConfigMap holds.", registry=registry
        )
        self._leader = Gauge(
            f"{_PREFIX}_leader", "1 while this replica is the one that writes, else 0.", registry=registry
        )
        self._replicas = Gauge(
            f"{_PREFIX}_extproc_replicas",
            "Ready extproc pods, and those of them that serve the present revision; the leader asks them.",
            ("state",),
            registry=registry,
        )
        self._version = _version_gauge(registry)
        self._kinds = Gauge(
            f"{_PREFIX}_optional_kind",
            "1 for the state that an optional kind is in: watched, denied (RBAC), absent (no such kind) or failing.",
            ("kind", "state"),
            registry=registry,
        )
        self._denied = Gauge(
            f"{_PREFIX}_denied_namespaces",
            "Namespaces in scope in which RBAC does not let us read a kind, while others can be read.",
            ("kind",),
            registry=registry,
        )
        self._of_secrets = _SecretGauges(registry)
        self._kind_states: dict[str, str] = {}
        #: What only the leader knows is not told by others, not even when they find it out a moment too late.
        self._leads = True

    def pass_done(self, seconds: float, result: str) -> None:
        """A pass over all resources came to its end."""
        self._passes.labels(result).observe(seconds)

    def wrote(self, lane: str, count: int) -> None:
        """So many writes succeeded."""
        self._writes.labels(lane).inc(count)

    def failed(self, lane: str, why: str) -> None:
        """A write failed, or was not tried."""
        self._failures.labels(lane, why).inc()

    def config(self, sizes: Mapping[str, int], revision: int) -> None:
        """What the ConfigMaps hold now; bytes by name."""
        if not self._leads:
            return
        for name, size in sizes.items():
            self._bytes.labels(name).set(size)
        self._revision.set(revision)

    def secrets(self, sizes: Mapping[str, int]) -> None:
        """What the Secrets hold now; bytes by name. A single key's length is nobody's business."""
        if not self._leads:
            return
        for name, size in sizes.items():
            self._of_secrets.bytes.labels(name).set(-(-size // _ROUNDED) * _ROUNDED)

    def named_objects(self, counts: Mapping[str, int], polled: int) -> None:
        """How many objects that resources name there are of each standing, and how many of all are not watched."""
        for standing, count in counts.items():
            self._of_secrets.named.labels(standing).set(count)
        self._of_secrets.polled.set(polled)

    def objects(self, counts: Mapping[tuple[str, str, str], int]) -> None:
        """How many objects there are by kind, condition and its status, all of them at once."""
        self._objects.clear()
        if not self._leads:
            return
        for labels, count in counts.items():
            self._objects.labels(*labels).set(count)

    def leading(self, *, leading: bool) -> None:
        """Whether this replica writes. With the last term ends what it knew: others tell it now."""
        self._leader.set(leading)
        self._leads = leading
        if not leading:
            for gauge in (self._objects, self._bytes, self._of_secrets.bytes, self._replicas):
                gauge.clear()
            self._revision.set(0)
            self._version.set(0)

    def replicas(self, serving: int, ready: int) -> None:
        """So many of the ready extproc pods serve the present revision."""
        if not self._leads:
            return
        self._replicas.labels("serving").set(serving)
        self._replicas.labels("ready").set(ready)

    def config_version(self, version: int) -> None:
        """All extproc pods read this version of the configuration; 0: none could be asked."""
        if self._leads:
            self._version.set(version)

    def denied_namespaces(self, kind: str, count: int) -> None:
        """In so many namespaces a kind may not be read, apart from the others."""
        self._denied.labels(kind).set(count)

    def optional_kind(self, kind: str, state: str) -> None:
        """A kind that the operator can do without is watched, denied, absent or failing."""
        before = self._kind_states.get(kind)
        if before is not None:
            self._kinds.labels(kind, before).set(0)
        self._kind_states[kind] = state
        self._kinds.labels(kind, state).set(1)


def _version_gauge(registry: CollectorRegistry) -> Gauge:
    text = "The version of the configuration that all extproc pods read; 0: none could be asked. The leader asks."
    return Gauge(f"{_PREFIX}_config_version", text, registry=registry)
