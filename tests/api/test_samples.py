"""The sample manifests: what the API server will check, checked offline, and what only we can check."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from controller.api import InvalidResource, LLMBackend, LLMRoute, parse_backend, parse_route
from controller.api.crds import definitions

SAMPLES = Path(__file__).parents[2] / "crds/samples"
VALID, INVALID = (sorted((SAMPLES / kind).glob("*.yaml")) for kind in ("valid", "invalid"))
SCHEMAS = {
    crd["spec"]["names"]["kind"]: crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for crd in definitions().values()
}


def _notes(path: Path) -> dict[str, str]:
    """``# checked-by:``, ``# apiserver:`` and ``# llmroute:`` at the top of an invalid sample."""
    return dict(re.findall(r"^# ([a-z-]+): (.*)$", path.read_text(), re.MULTILINE))


def _faults(obj: Mapping[str, Any]) -> list[str]:
    """The paths at which an object does not fit the schema of its CRD."""
    errors = Draft202012Validator(SCHEMAS[obj["kind"]]).iter_errors(obj)
    return [error.json_path.removeprefix("$.") for error in errors]


def _parse(obj: Mapping[str, Any]) -> LLMRoute | LLMBackend:
    return parse_route(obj) if obj["kind"] == "LLMRoute" else parse_backend(obj)


def _cel_messages(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (rule["message"] for rule in node.get("x-kubernetes-validations", ()))
        for child in node.values():
            yield from _cel_messages(child)


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_a_valid_sample_is_taken(path: Path) -> None:
    """The schema and the parser have nothing against it."""
    obj = yaml.safe_load(path.read_text())

    assert _faults(obj) == []
    assert _parse(obj).metadata.name == obj["metadata"]["name"]


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_an_invalid_sample_is_refused_with_its_message(path: Path) -> None:
    """The parser says what the sample's header promises."""
    with pytest.raises(InvalidResource) as refusal:
        _parse(yaml.safe_load(path.read_text()))

    assert _notes(path)["llmroute"] in str(refusal.value)


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_the_schema_refuses_what_it_is_said_to_refuse(path: Path) -> None:
    """Samples for the schema fail it, at one place that the message names; samples for other checks pass it."""
    notes, faults = _notes(path), _faults(yaml.safe_load(path.read_text()))

    if notes["checked-by"] == "schema":
        assert len(set(faults)) == 1
        assert notes["apiserver"].startswith((faults[0], f"{faults[0]}.", "Unsupported value"))
    else:
        assert faults == []


def test_every_cel_rule_has_a_sample() -> None:
    """Each message of a CEL rule is what some sample expects of the API server, and the other way round."""
    expected = {_notes(path)["apiserver"] for path in INVALID if _notes(path)["checked-by"] == "cel"}

    assert set(_cel_messages(SCHEMAS)) == expected


def test_the_samples_use_every_field() -> None:
    """No field of the API is without a valid sample."""

    def fields(schema: Mapping[str, Any], path: str = "") -> Iterator[str]:
        for name, child in schema.get("properties", {}).items():
            yield f"{path}.{name}"
            yield from fields(child.get("items", child), f"{path}.{name}")

    def used(value: Any, path: str = "") -> Iterator[str]:
        if isinstance(value, dict):
            for name, child in value.items():
                yield f"{path}.{name}"
                yield from used(child, f"{path}.{name}")
        elif isinstance(value, list):
            for child in value:
                yield from used(child, path)

    for kind, schema in SCHEMAS.items():
        samples = [obj for path in VALID if (obj := yaml.safe_load(path.read_text()))["kind"] == kind]
        there = {path for obj in samples for path in used(obj["spec"])}
        assert set(fields(schema["properties"]["spec"])) - there == set()
