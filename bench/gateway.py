"""The gateway itself as a plane: ``llmroute run`` on a file, one Envoy thread and one worker."""

import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.measure import descendants
from bench.scenes import SCHEMAS, model_of
from bench.yardsticks import Plane, await_http, child, free_port

_BACKEND = """
apiVersion: aigateway.envoyproxy.io/v1alpha1
kind: LLMBackend
metadata: {{name: {name}}}
spec:
  outputSchema: {{schema: {schema}}}
  endpoint: {{hostname: 127.0.0.1, port: {port}}}{more}
---
"""
_GOOGLE = "\n  gcp: {project: bench, location: europe-west4}"
_ROUTE = """
apiVersion: aigateway.envoyproxy.io/v1alpha1
kind: LLMRoute
metadata: {{name: r{part}}}
spec:
  rules:
{rules}
---
"""
_RULE = """  - matches: [{{headers: [{{name: x-ai-eg-model, value: {model}}}]}}]
    backendRefs: [{{name: {backend}{override}}}]
"""
#: Names by which the upstream's dialect knows what the model can do.
_MODELS = {"GCPVertexAI": "gemini-3-flash-preview", "Gemini": "gemini-3-flash-preview"}
_RULES_A_ROUTE = 128


def manifests(upstream: int, fillers: int) -> str:
    """A backend of every schema at one upstream, a rule for each, and ``fillers`` more rules that nothing asks for."""
    rules = []
    for schema in SCHEMAS:
        override = f", modelNameOverride: {_MODELS[schema]}" if schema in _MODELS else ""
        rules.append(_RULE.format(model=model_of(schema), backend=schema.lower(), override=override))
    rules += [_RULE.format(model=f"filler-{i}", backend="openai", override="") for i in range(fillers)]
    parts = [rules[i : i + _RULES_A_ROUTE] for i in range(0, len(rules), _RULES_A_ROUTE)]
    backends = (
        _BACKEND.format(name=schema.lower(), schema=schema, port=upstream, more=_GOOGLE if "GCP" in schema else "")
        for schema in SCHEMAS
    )
    return "".join(backends) + "".join(_ROUTE.format(part=i, rules="".join(part)) for i, part in enumerate(parts))


@contextmanager
def gateway(name: str, upstream: int, folder: Path, *, fillers: int = 8) -> Iterator[Plane]:
    """``llmroute run`` with its Envoy and one worker."""
    file = folder / f"{name}.yaml"
    file.write_text(manifests(upstream, fillers))
    port = free_port()
    command = (sys.executable, "-m", "controller", "run", str(file), "--port", str(port), "--workers", "1")
    with child(*command) as process:
        # With 10,000 rules it is seconds on a quiet machine; beside other rounds' processes it was more than 30.
        await_http(f"http://127.0.0.1:{port}/v1/models", 120)
        family = descendants(process.pid)
        envoy = [pid for pid in family if _command(pid).split("\0")[0].endswith("/envoy")]
        processor = [pid for pid in family if pid not in envoy and pid != process.pid]
        yield Plane(name, port, envoy, processor)


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def models(plane: Plane) -> int:
    """How many models the gateway lists: a check that the configuration under test is the one that runs."""
    with urllib.request.urlopen(f"http://127.0.0.1:{plane.port}/v1/models") as reply:
        return int(reply.read().count(b'"object":"model"'))
