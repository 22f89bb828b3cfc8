"""The matrix: what every client asks and what every upstream answers; ``matrix_run`` drives an ``Exchange`` between.

``tests/golden/matrix/`` holds inputs that the cells share, and what each cell makes of them:

* ``scenarios.yaml``: what is asked and answered, by name.
* ``clients/<dialect>/<scenario>.json``: the client's request.
* ``upstreams/<schema or dialect>/<scenario>``: the answer, as ``.json``, ``.sse`` or ``.yaml`` (frames, in the form of
  ``golden_dialects``), and ``errors.yaml``; a platform's own folder goes before that of its dialect. ``backend.yaml``
  is the backend as the configuration describes it, with the upstream's ``model`` (``models`` for single scenarios).
* ``cells/<client>_to_<Schema>/<scenario>/``: outputs, see ``OUTPUTS``.
  ``upstream_request.json`` is missing where the
  client's own bytes went through.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from extproc.registry import platform
from tests.support.golden_dialects import build_frames
from tests.support.matrix_turns import invoke_frames

ROOT = Path(__file__).parents[1] / "golden" / "matrix"
CLIENTS = {"openai": "OpenAI", "anthropic": "Anthropic"}
SCHEMAS = (
    "OpenAI",
    "AzureOpenAI",
    "Anthropic",
    "AWSBedrock",
    "AWSAnthropic",
    "GCPVertexAI",
    "Gemini",
    "GCPAnthropic",
)
OUTPUTS = (
    "client_request.json",
    "upstream_request.json",
    "client_response.json",
    "client_response.sse",
    "outcome.json",
)

EVENTSTREAM = "application/vnd.amazon.eventstream"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One line of ``scenarios.yaml``."""

    name: str
    ask: str
    answer: str
    error: str | None = None
    cut: float | None = None
    after: str | None = None
    only: str | None = None
    moved: bool = False
    at: tuple[str, ...] = SCHEMAS

    @property
    def streams(self) -> bool:
        """Whether the client asks for a stream and gets one."""
        return self.name.startswith("stream")

    @property
    def operation(self) -> str:
        return "count_tokens" if self.name == "count-tokens" else "chat"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the upstream says."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Cell:
    """One client at one upstream."""

    client: str
    schema: str

    @property
    def name(self) -> str:
        return f"{self.client}_to_{self.schema}"

    @property
    def translates(self) -> bool:
        return platform(self.schema).dialect != self.client

    def folder(self, scenario: Scenario) -> Path:
        return ROOT / "cells" / self.name / scenario.name


CELLS = [Cell(client, schema) for client in CLIENTS for schema in SCHEMAS]


@cache
def scenarios() -> tuple[Scenario, ...]:
    """All of them, in the order of the file."""
    described = yaml.safe_load((ROOT / "scenarios.yaml").read_text())
    return tuple(_scenario(name, entry) for name, entry in described.items())


def _scenario(name: str, entry: Mapping[str, Any]) -> Scenario:
    told = {"ask": name, "answer": name, **entry}
    return Scenario(name, **{**told, "at": tuple(told.get("at", SCHEMAS))})


def cases() -> list[tuple[Cell, Scenario]]:
    """Every scenario of every cell."""
    return [
        (cell, scenario)
        for cell in CELLS
        for scenario in scenarios()
        if scenario.only in {None, CLIENTS[cell.client]} and cell.schema in scenario.at
    ]


# --- inputs


def compact(text: bytes) -> bytes:
    """JSON as SDKs and servers put it on the wire; the files are for eyes."""
    return json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False).encode()


@cache
def backend(schema: str) -> Mapping[str, Any]:
    """``backend.yaml`` of a platform."""
    described: Mapping[str, Any] = yaml.safe_load((ROOT / "upstreams" / schema / "backend.yaml").read_text())
    return described


def model_of(cell: Cell, scenario: Scenario) -> str:
    """The upstream's name of the model."""
    described = backend(cell.schema)
    return str(described.get("models", {}).get(scenario.name, described["model"]))


def maybe_file(schema: str, name: str) -> Path | None:
    """The upstream's file of that name, the platform's own before its dialect's."""
    for owner in (schema, platform(schema).dialect):
        for ending in (".json", ".sse", ".yaml"):
            if (path := ROOT / "upstreams" / owner / f"{name}{ending}").exists():
                return path
    return None


@cache
def answer_of(schema: str, scenario: Scenario) -> Answer:
    """What this upstream answers; ``invoke`` frames are made of the dialect's own stream."""
    aws = schema in {"AWSBedrock", "AWSAnthropic"}
    named = {"x-amzn-requestid": "upstream-1"} if aws else {"request-id": "upstream-1", "x-request-id": "upstream-1"}
    if scenario.error is not None:
        return _error_of(schema, scenario.error, named)
    path = maybe_file(schema, scenario.answer)
    assert path is not None, f"{schema} has no answer to {scenario.name}"
    raw = path.read_bytes()
    if path.suffix == ".json":
        # Google alone prints its answers for eyes.
        body = raw if platform(schema).dialect == "gemini" else compact(raw)
        return Answer(200, {"content-type": "application/json", **named}, body)
    if path.suffix == ".yaml":
        raw = build_frames(yaml.safe_load(raw))
    elif aws:
        raw = invoke_frames(raw)
    kind = EVENTSTREAM if aws else "text/event-stream"
    return Answer(200, {"content-type": kind, **named}, raw[: int(len(raw) * (scenario.cut or 1))])


@cache
def _errors(owner: str) -> Mapping[str, Any]:
    path = ROOT / "upstreams" / owner / "errors.yaml"
    described: Mapping[str, Any] = yaml.safe_load(path.read_text()) if path.exists() else {}
    return described


def _error_of(schema: str, name: str, named: Mapping[str, str]) -> Answer:
    for owner in (schema, platform(schema).dialect):
        if (entry := _errors(owner).get(name)) is not None:
            kind = "text/html" if entry["body"].startswith("<") else "application/json"
            headers = {"content-type": kind, **named, **entry.get("headers", {})}
            return Answer(entry["status"], headers, entry["body"].encode())
    raise AssertionError(f"{schema} has no error {name}")
