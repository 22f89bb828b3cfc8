"""The fields of the API as Markdown tables, made from the CRDs' own schemas."""

import json
from collections.abc import Iterator
from typing import Any

from controller.api.crds import definitions


def fields_table(kind: str) -> str:
    """The fields of one kind's spec and status, in the order of the schema. Raises ``KeyError`` for an unknown kind."""
    kinds = {crd["spec"]["names"]["kind"]: crd for crd in definitions().values()}
    schema = kinds[kind]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    rows = [row for part in ("spec", "status") for row in _rows(part, schema["properties"][part])]
    return "\n".join(["| field | type | limits | meaning |", "|---|---|---|---|", *rows]) + "\n"


def _rows(path: str, schema: dict[str, Any]) -> Iterator[str]:
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        inner = field.get("items", field)
        place = f"{path}.{name}" + ("[]" if "items" in field else "")
        limits = "; ".join(_limits(field, required=name in required))
        yield f"| `{place}` | {_type(field)} | {limits} | {field['description']} |"
        yield from _rows(place, inner)


def _type(field: dict[str, Any]) -> str:
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    return f"list of {field['items']['type']}s" if "items" in field else str(field["type"])


def _limits(field: dict[str, Any], *, required: bool) -> Iterator[str]:
    if required:
        yield "required"
    if "default" in field:
        yield f"default `{json.dumps(field['default'])}`"
    for low, high, unit in (
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " items"),
    ):
        if high in field:
            yield f"{field.get(low, 0)} to {field[high]}{unit}"
    for part in (field, field.get("items", {})):
        yield from (rule["message"] for rule in part.get("x-kubernetes-validations", ()))
