"""From a pydantic model to a CRD's structural schema: no ``$ref``, no ``anyOf``, no titles, no field undescribed.

Kubernetes' demands: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
(read 2026-11-22).
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

#: The order in which a schema's words are written, so that a reader finds what matters first.
_ORDER = (
    "description",
    "type",
    "format",
    "enum",
    "default",
    "minLength",
    "maxLength",
    "pattern",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "required",
    "properties",
    "items",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-validations",
)


def structural_schema(model: type[BaseModel]) -> Schema:
    """The schema of one model. Raises ``ValueError`` for a field without a description or a form CRDs do not have."""
    whole = model.model_json_schema(by_alias=True)
    return _structural(whole, whole.get("$defs", {}), model.__name__)


def _structural(node: Mapping[str, Any], definitions: Mapping[str, Any], path: str) -> Schema:
    merged = _merged(node, definitions, path)
    schema: Schema = {}
    for word in _ORDER:
        if word not in merged:
            continue
        value = merged[word]
        if word == "properties":
            value = {name: _property(child, definitions, f"{path}.{name}") for name, child in value.items()}
        elif word == "items":
            value = _structural(value, definitions, f"{path}[]")
        elif word == "default" and value in (None, [], {}):
            continue
        schema[word] = value
    if unknown := set(merged) - set(_ORDER) - {"title", "additionalProperties", "$defs"}:
        raise ValueError(f"{path}: no place in a structural schema for {sorted(unknown)}")
    if schema.get("type") == "integer":
        schema["format"] = "int64" if path.endswith("observedGeneration") else "int32"
    return {word: schema[word] for word in _ORDER if word in schema}


def _property(node: Mapping[str, Any], definitions: Mapping[str, Any], path: str) -> Schema:
    if "description" not in node:
        raise ValueError(f"{path} has no description")
    return _structural(node, definitions, path)


def _merged(node: Mapping[str, Any], definitions: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The node with its reference or its one alternative beside null folded in; what the node itself says wins."""
    merged = dict(node)
    if "anyOf" in merged:
        choices = [choice for choice in merged.pop("anyOf") if choice != {"type": "null"}]
        if len(choices) != 1:
            raise ValueError(f"{path}: {len(choices)} alternatives; a structural schema has one")
        merged = choices[0] | merged
    if "$ref" in merged:
        merged = _merged(definitions[merged.pop("$ref").removeprefix("#/$defs/")], definitions, path) | merged
    if "const" in merged:
        merged["enum"] = [merged.pop("const")]
    return merged
