"""Translation cases: folders under ``tests/golden/translate`` with an ``in.yaml`` and what becomes of it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from controller.translate import Settings, Snapshot, Translation, translate
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
        "envoy.json": pretty({"rds": result.envoy.rds, "cds": result.envoy.cds}),
        "status.yaml": yaml.safe_dump(
            {"statuses": statuses} | ({"stray": stray} if stray else {}),
            sort_keys=False,
            width=1000,
            allow_unicode=True,
        ),
    }


def pretty(value: Mapping[str, Any]) -> str:
    """JSON that a reviewer can read."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
