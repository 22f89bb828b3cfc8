"""Metrics: what is counted under which labels, that clients cannot multiply them, and that they survive a worker."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry, generate_latest

from extproc.conversation.response import Usage
from extproc.dialects.openai import request as openai_request
from extproc.exchange.record import Record
from extproc.server.metrics import DIRECTORY_VARIABLE, Metrics, collected, forget_worker_gauges, route_label
from extproc.server.reload import ConfigStatus

ROOT = Path(__file__).parents[2]
DONE = Record(
    method="POST",
    operation="chat",
    model="gpt",
    route="t/chat@7#rules[0]",
    backend="b1",
    provider="openai",
    status=200,
    outcome="ok",
    started=1.0,
    first_body=1.25,
    ended=1.5,
)
LABELS = {
    "gen_ai_operation_name": "chat",
    "gen_ai_provider_name": "openai",
    "gen_ai_request_model": "gpt",
    "backend": "b1",
}


def request_labels(registry: CollectorRegistry, name: str = "llmroute_requests_total") -> list[dict[str, str]]:
    """The labels of every series of a metric."""
    return [s.labels for metric in registry.collect() for s in metric.samples if s.name == name]


def test_request_is_counted_with_its_route_without_the_generation() -> None:
    """The labels say what was asked, where it went and what became of it."""
    metrics = Metrics()
    metrics.observe(DONE)
    metrics.observe(DONE)

    labels = {
        "operation": "chat",
        "route": "t/chat#rules[0]",
        "backend": "b1",
        "model": "gpt",
        "status": "200",
        "outcome": "ok",
    }
    assert metrics.registry.get_sample_value("llmroute_requests_total", labels) == 2
    assert metrics.registry.get_sample_value("gen_ai_server_request_duration_seconds_sum", LABELS) == 1.0


def test_time_to_first_token_is_that_of_streams() -> None:
    """A whole answer has no first token, a stream has."""
    metrics = Metrics()
    name = "gen_ai_server_time_to_first_token_seconds_count"
    metrics.observe(DONE)
    assert metrics.registry.get_sample_value(name, LABELS) is None
    metrics.observe(replace(DONE, stream=True))

    assert metrics.registry.get_sample_value(name, LABELS) == 1


def test_tokens_by_type_and_only_those_that_were_said() -> None:
    """Zero is a number of tokens; silence is not."""
    metrics = Metrics()
    metrics.observe(replace(DONE, usage=Usage(input_tokens=10, output_tokens=0, reasoning_tokens=4)))
    metrics.observe(replace(DONE, usage=Usage(input_tokens=5)))

    found = {
        kind: (
            metrics.registry.get_sample_value("gen_ai_client_token_usage_sum", {**LABELS, "gen_ai_token_type": kind}),
            metrics.registry.get_sample_value("gen_ai_client_token_usage_count", {**LABELS, "gen_ai_token_type": kind}),
        )
        for kind in ("input", "output", "cached_input", "reasoning")
    }
    assert found == {"input": (15, 2), "output": (0, 1), "cached_input": (None, None), "reasoning": (4, 1)}


def test_junk_models_do_not_multiply_series() -> None:
    """Names that no configuration knows and no upstream answered for share one label, however many there are."""
    metrics = Metrics()
    for i in range(500):
        metrics.observe(replace(DONE, model=f"junk{i}", status=400, outcome="upstream_error"))
        metrics.observe(replace(DONE, model=f"junk{i}", backend="", route="", provider="", status=404))

    assert {labels["model"] for labels in request_labels(metrics.registry)} == {"other", "unknown"}
    assert len(request_labels(metrics.registry)) == 2


def test_answered_models_have_labels_up_to_a_limit() -> None:
    """Behind a catch-all rule, a model that an upstream answered for is known from then on; after 256, no new ones."""
    metrics = Metrics()
    metrics.observe(replace(DONE, model="real", status=500, outcome="upstream_error"))
    metrics.observe(replace(DONE, model="real"))
    metrics.observe(replace(DONE, model="real", status=500, outcome="upstream_error"))
    metrics.observe(replace(DONE, model="x" * 200))
    for i in range(500):
        metrics.observe(replace(DONE, model=f"m{i}"))

    labels = request_labels(metrics.registry)
    assert any(entry["model"] == "real" and entry["status"] == "500" for entry in labels)
    assert len({entry["model"] for entry in labels}) == 257
    assert "x" * 200 not in {entry["model"] for entry in labels}


def test_configured_models_have_labels_from_the_start() -> None:
    """A failing model that the configuration names is seen by its name, and after it left the configuration no more."""
    metrics = Metrics()
    failed = replace(DONE, model="named", status=503, outcome="upstream_error")
    metrics.config(ConfigStatus(models=frozenset({"named"}), serving=True))
    metrics.observe(failed)
    metrics.config(ConfigStatus(serving=True))
    metrics.observe(failed)

    assert [entry["model"] for entry in request_labels(metrics.registry)] == ["named", "other"]


def test_dropped_fields_are_counted_without_indexes_and_bounded() -> None:
    """Positions in lists and invented names do not multiply series."""
    metrics = Metrics()
    metrics.observe(replace(DONE, dropped=("seed", "messages[3].name", "messages[14].name")))
    for i in range(500):
        invented = (f"invented{i}", f"messages[{i}].invented{i}", f"tools.name{i}.name", "messages[0]." + "name." * i)
        metrics.observe(replace(DONE, dropped=invented))
    metrics.observe(replace(DONE, dropped=("messages[0].content[2].cache_control",), dropped_more=7))

    name = "llmroute_dropped_fields_total"
    assert metrics.registry.get_sample_value(name, {"field": "messages[].name", "backend": "b1"}) == 2
    assert metrics.registry.get_sample_value(name, {"field": "seed", "backend": "b1"}) == 1
    assert metrics.registry.get_sample_value(name, {"field": "other", "backend": "b1"}) == 2007
    assert {labels["field"] for labels in request_labels(metrics.registry, name)} == {
        "messages[].name",
        "messages[].content[].cache_control",
        "seed",
        "other",
    }


def test_every_field_of_the_client_api_has_a_label() -> None:
    """A field that the dialect learns to read is seen by its name when it is dropped."""
    metrics = Metrics()
    metrics.observe(replace(DONE, dropped=tuple(openai_request._KNOWN)))

    labels = {labels["field"] for labels in request_labels(metrics.registry, "llmroute_dropped_fields_total")}
    assert labels == openai_request._KNOWN


def test_configuration_and_errors() -> None:
    """Loads by result, the revision that is served, whether the file is broken, and bugs."""
    metrics = Metrics()
    metrics.config(ConfigStatus(revision=4, serving=True))
    metrics.config(ConfigStatus(revision=4, serving=True, error="broken", error_since=1.0))
    metrics.internal_error()

    value = metrics.registry.get_sample_value
    assert value("llmroute_config_loads_total", {"result": "ok"}) == 1
    assert value("llmroute_config_loads_total", {"result": "error"}) == 1
    assert value("llmroute_config_revision") == 4
    assert value("llmroute_config_error") == 1
    assert value("llmroute_internal_errors_total") == 1


def test_streams_in_flight() -> None:
    """Started less ended."""
    metrics = Metrics()
    metrics.stream_started()
    metrics.stream_started()
    metrics.stream_ended()

    assert metrics.registry.get_sample_value("llmroute_streams_in_flight") == 1


@pytest.mark.parametrize(
    ("route", "label"),
    [
        ("team-a/chat@7#rules[1]", "team-a/chat#rules[1]"),
        ("team-a/chat@12345#rules[1]", "team-a/chat#rules[1]"),
        ("rules[0]", "rules[0]"),
        ("a@b/c@2#x", "a@b/c#x"),
        ("", ""),
    ],
)
def test_route_label_has_no_generation(route: str, label: str) -> None:
    """Provenance as a label, stable over edits."""
    assert route_label(route) == label


WORKER = """
import os, signal, sys
from extproc.server.metrics import Metrics, keep_in_worker_files
from extproc.server.reload import ConfigStatus
from tests.server.test_metrics import DONE
keep_in_worker_files(int(sys.argv[1]))
metrics = Metrics()
metrics.observe(DONE)
metrics.stream_started()
metrics.config(ConfigStatus(revision=int(sys.argv[2]), serving=True, error=sys.argv[3] or None))
os.kill(os.getpid(), signal.SIGKILL)
"""


def _worker(directory: Path, index: int, revision: int, error: str = "") -> None:
    arguments = [sys.executable, "-c", WORKER, str(index), str(revision), error]
    environment = {**os.environ, DIRECTORY_VARIABLE: str(directory)}
    ended = subprocess.run(arguments, cwd=ROOT, env=environment, check=False, timeout=30)
    assert ended.returncode == -signal.SIGKILL


def test_counters_survive_killed_workers_and_gauges_do_not(tmp_path: Path) -> None:
    """Workers are summed, a successor goes on where the dead one stood, in its files; gauges speak of the living."""
    _worker(tmp_path, 0, 3)
    _worker(tmp_path, 1, 5, "broken")
    registry = collected(str(tmp_path))
    total = {**request_labels(registry)[0]}
    first = {
        name: registry.get_sample_value(name)
        for name in ("llmroute_streams_in_flight", "llmroute_config_revision", "llmroute_config_error")
    }
    files = sorted(path.name for path in tmp_path.iterdir())
    forget_worker_gauges(0, str(tmp_path))
    _worker(tmp_path, 0, 4)

    assert first == {"llmroute_streams_in_flight": 2, "llmroute_config_revision": 3, "llmroute_config_error": 1}
    assert registry.get_sample_value("llmroute_requests_total", total) == 3
    assert registry.get_sample_value("gen_ai_server_request_duration_seconds_count", LABELS) == 3
    assert registry.get_sample_value("llmroute_config_revision") == 4
    assert registry.get_sample_value("llmroute_streams_in_flight") == 2
    assert files == sorted(path.name for path in tmp_path.iterdir())


def test_names_are_as_documented() -> None:
    """The names that dashboards are built on."""
    metrics = Metrics()
    metrics.observe(replace(DONE, stream=True, usage=Usage(input_tokens=1), dropped=("seed",)))
    metrics.config(ConfigStatus())
    metrics.credential_refreshed("b", "ok")

    text = generate_latest(metrics.registry).decode()
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert {name for name in names if not name.endswith("_created")} == {
        "llmroute_requests_total",
        "gen_ai_server_request_duration_seconds",
        "gen_ai_server_time_to_first_token_seconds",
        "gen_ai_client_token_usage",
        "llmroute_dropped_fields_total",
        "llmroute_internal_errors_total",
        "llmroute_config_loads_total",
        "llmroute_credential_refresh_total",
        "llmroute_config_revision",
        "llmroute_config_error",
        "llmroute_streams_in_flight",
    }
