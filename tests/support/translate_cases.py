"""Translation cases: folders under ``tests/golden/translate`` with an ``in.yaml`` and what becomes of it."""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from controller.translate import Settings, Snapshot, Translation, translate
from controller.translate.envoy.jwt import providers_in
from extproc.config.loader import dump

ROOT = Path(__file__).parents[1] / "golden/translate"
CASES = sorted(path.parent.name for path in ROOT.glob("*/in.yaml"))
OUTPUTS = ("config.json", "envoy.json", "status.yaml")


def snapshot(case: str) -> Snapshot:
    """A case's input. A document ``settings: {...}`` holds the caller's settings, the others are objects."""
    settings, objects = inputs(case)
    return Snapshot.of(objects, settings)


def inputs(case: str) -> tuple[Settings, list[dict[str, Any]]]:
    """The settings and objects of a case, in the order of the file."""
    documents = [doc for doc in yaml.safe_load_all((ROOT / case / "in.yaml").read_text()) if doc]
    settings = next((Settings(**doc["settings"]) for doc in documents if "settings" in doc), Settings())
    return settings, [doc for doc in documents if "settings" not in doc]


def outputs(case: str) -> dict[str, str]:
    """File name -> text, as the golden files have them."""
    return rendered(translate(snapshot(case)))


def rendered(result: Translation) -> dict[str, str]:
    """A translation as text."""
    statuses = [
        {"kind": s.subject.kind, "namespace": s.subject.namespace, "name": s.subject.name, **s.document()}
        for s in result.statuses
    ]
    stray = [f"{f.severity} {f.reason} {f.subject}: {f}" for f in result.stray]
    return {
        "config.json": pretty(json.loads(dump(result.config))),
        "envoy.json": pretty({"rds": result.envoy.rds, "cds": result.envoy.cds} | _providers(result)),
        "status.yaml": yaml.safe_dump(
            {"statuses": statuses} | ({"stray": stray} if stray else {}) | _credentials(result),
            sort_keys=False,
            width=1000,
            allow_unicode=True,
        ),
    }


def _credentials(result: Translation) -> dict[str, Any]:
    """The processor's files by name, with what is not a secret of their contents."""
    told = {
        name: f"{len(data)} bytes, sha256 {sha256(data).hexdigest()[:12]}" for name, data in result.credentials.items()
    }
    return {"credentials": told} if told else {}


def _providers(result: Translation) -> dict[str, Any]:
    """The file for ECDS, which most cases have nothing in."""
    ecds = result.envoy.ecds
    return {"ecds": ecds} if providers_in(ecds) else {}


def pretty(value: Mapping[str, Any]) -> str:
    """JSON that a reviewer can read."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
