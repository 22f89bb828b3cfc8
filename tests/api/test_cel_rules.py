"""The CEL rules of the CRDs, evaluated by a CEL library: not every API server that takes the CRDs checks them."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cel
import pytest
import yaml

from controller.api.crds import definitions

SAMPLES = Path(__file__).parents[2] / "crds/samples"
SCHEMAS = {
    crd["spec"]["names"]["kind"]: crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for crd in definitions().values()
}


def _notes(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^# ([a-z-]+): (.*)$", path.read_text(), re.MULTILINE))


def _with_defaults(schema: Mapping[str, Any], value: Any) -> Any:
    """As the API server fills an object before it asks the rules."""
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        filled = {name: child["default"] for name, child in properties.items() if "default" in child} | value
        return {name: _with_defaults(properties.get(name, {}), child) for name, child in filled.items()}
    if isinstance(value, list):
        return [_with_defaults(schema.get("items", {}), child) for child in value]
    return value


def _broken(schema: Mapping[str, Any], value: Any) -> Iterator[str]:
    """The messages of all rules that a value does not keep; a part that is not there is not asked about."""
    for rule in schema.get("x-kubernetes-validations", ()):
        if cel.evaluate(rule["rule"], {"self": value}) is not True:
            yield rule["message"]
    if isinstance(value, dict):
        for name, child in value.items():
            yield from _broken(schema.get("properties", {}).get(name, {}), child)
    elif isinstance(value, list):
        for child in value:
            yield from _broken(schema.get("items", {}), child)


def _messages(path: Path) -> list[str]:
    sample = yaml.safe_load(path.read_text())
    schema = SCHEMAS[sample["kind"]]
    return list(_broken(schema, _with_defaults(schema, sample)))


@pytest.mark.parametrize("path", sorted((SAMPLES / "valid").glob("*.yaml")), ids=lambda path: path.stem)
def test_valid_samples_keep_every_rule(path: Path) -> None:
    """No rule has anything against a valid sample."""
    assert _messages(path) == []


@pytest.mark.parametrize(
    "path",
    [path for path in sorted((SAMPLES / "invalid").glob("*.yaml")) if _notes(path)["checked-by"] in {"cel", "parser"}],
    ids=lambda path: path.stem,
)
def test_invalid_samples_break_the_rule_that_they_are_for(path: Path) -> None:
    """A sample for a rule breaks that one alone, and one whose fault the API server cannot see breaks none."""
    notes = _notes(path)

    assert _messages(path) == ([notes["apiserver"]] if notes["checked-by"] == "cel" else [])
