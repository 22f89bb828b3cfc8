"""The dashboard asks for what the programs count."""

import json
import re
from collections.abc import Iterator

from prometheus_client import CollectorRegistry

from controller.operator.metrics import Metrics as OperatorMetrics
from extproc.server.metrics import Metrics as ProcessorMetrics
from tests.support.chart import CHART

_DASHBOARD = json.loads((CHART / "files/dashboard.json").read_text())
_QUERIES = [target["expr"] for panel in _DASHBOARD["panels"] for target in panel.get("targets", ())]
_METRIC = re.compile(r"\b(?:llmroute|gen_ai)_[a-z_]+(?=[\[{)\s]|$)")
#: What Prometheus adds, and what a histogram has.
_ADDED = {"le", "pod"}


def test_every_metric_of_the_dashboard_exists() -> None:
    """No panel stays empty because of a name that nobody counts under."""
    known = {name for name, _ in _series()}
    asked = {name for query in _QUERIES for name in _METRIC.findall(query) if not name.startswith("gen_ai_token_type")}

    assert asked - known == set()
    assert len(asked) > 12


def test_every_label_of_the_dashboard_exists() -> None:
    """What a panel sums by, and writes into its legend, is a label of its metric."""
    faults = []
    labels = dict(_series())
    for panel in _DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            names = [name for name in _METRIC.findall(target["expr"]) if name in labels]
            known = {label for name in names for label in labels[name]} | _ADDED
            by = {word for words in re.findall(r"by \(([^)]*)\)", target["expr"]) for word in words.split(", ")}
            shown = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            faults += [(panel["title"], label) for label in (by | shown) - known]

    assert faults == []


def _series() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every series' name, with the labels that it has."""
    for registry in (OperatorMetrics().registry, ProcessorMetrics().registry):
        yield from _of(registry)


def _of(registry: CollectorRegistry) -> Iterator[tuple[str, tuple[str, ...]]]:
    for collector, names in list(registry._collector_to_names.items()):
        for name in names:
            yield name, tuple(getattr(collector, "_labelnames", ()))
