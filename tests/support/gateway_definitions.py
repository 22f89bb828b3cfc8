"""The definitions of Gateway API and Envoy Gateway, which lie beside the repository where they were put there."""

import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

_BESIDE = Path(__file__).parents[3] / "shared/crds"
FOLDER = Path(os.environ.get("LLMROUTE_SHARED_CRDS", _BESIDE))

#: Why a test is skipped.
NEEDED = f"no definitions of Gateway API and Envoy Gateway in {FOLDER}: set LLMROUTE_SHARED_CRDS"

_FILES = {
    "HTTPRoute": "gateway.networking.k8s.io_httproutes.yaml",
    "ReferenceGrant": "gateway.networking.k8s.io_referencegrants.yaml",
    "Backend": "gateway.envoyproxy.io_backends.yaml",
    "EnvoyExtensionPolicy": "gateway.envoyproxy.io_envoyextensionpolicies.yaml",
    "BackendTrafficPolicy": "gateway.envoyproxy.io_backendtrafficpolicies.yaml",
    "HTTPRouteFilter": "gateway.envoyproxy.io_httproutefilters.yaml",
}
needs_definitions = pytest.mark.skipif(not (FOLDER / _FILES["HTTPRoute"]).exists(), reason=NEEDED)


@cache
def definition(kind: str) -> dict[str, Any]:
    """A CRD."""
    found: dict[str, Any] = yaml.safe_load((FOLDER / _FILES[kind]).read_text())
    return found


def faults(obj: dict[str, Any]) -> list[str]:
    """What the kind's own schema says against an object, which an API server may only prune."""
    version = obj["apiVersion"].partition("/")[2]
    return [
        f"{obj['kind']} {'/'.join(map(str, error.absolute_path))}: {error.message[:300]}"
        for error in _validator(obj["kind"], version).iter_errors(obj)
    ]


@cache
def _validator(kind: str, version: str) -> Any:
    versions = {each["name"]: each for each in definition(kind)["spec"]["versions"]}
    return Draft202012Validator(_closed(versions[version]["schema"]["openAPIV3Schema"], is_root=True))


def _closed(schema: Any, *, is_root: bool = False) -> Any:
    """The schema with every object closed to fields that it does not name."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "properties" not in schema:
        return {name: _closed(value) for name, value in schema.items()}
    properties = {name: _closed(value) for name, value in schema["properties"].items()}
    if is_root:
        # Metadata is the API server's own.
        properties["metadata"] = {"type": "object"}
    others = {name: _closed(value) for name, value in schema.items() if name != "properties"}
    return {**others, "properties": properties, "additionalProperties": False}
