"""An instance for a JSON schema: the smallest believable value, always the same one for the same subject."""

import json
import math
from collections.abc import Mapping
from typing import Any

_FORMATS = {
    "date": "2026-11-22",
    "date-time": "2026-11-22T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "demo@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "123e4567-e89b-42d3-a456-426614174000",
}
#: Schemas may refer to themselves: below this depth only what is required is filled in, below twice of it nothing.
_DEPTH = 6


def encode(value: object) -> str:
    """JSON text as a model writes it."""
    return json.dumps(value, ensure_ascii=False)


def sample(schema: Mapping[str, Any], subject: str) -> Any:
    """An instance of ``schema``; free strings are ``subject``.

    Knows ``type``, ``enum``, ``const``, ``default``, ``anyOf``, ``oneOf``, ``allOf``, local ``$ref``, bounds and the
    usual formats. A ``pattern`` is not solved: the demo is no theorem prover.
    """
    return _Sampler(schema, subject).value(schema, 0)


class _Sampler:
    def __init__(self, root: Mapping[str, Any], subject: str) -> None:
        self._root = root
        self._subject = subject

    def value(self, schema: object, depth: int) -> Any:
        if not isinstance(schema, Mapping) or depth > 2 * _DEPTH:
            return self._subject if schema is True else None
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return schema["enum"][0]
        for union in ("anyOf", "oneOf"):
            if schema.get(union):
                return self.value(schema[union][-1 if depth > _DEPTH else 0], depth + 1)
        return self._typed(schema, depth)

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        for _ in range(_DEPTH):
            reference = schema.get("$ref")
            if not isinstance(reference, str) or not reference.startswith("#"):
                break
            schema = self._pointed(reference)
        parts = schema.get("allOf")
        if not parts:
            return schema
        merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
        for part in map(self._resolved, parts):
            merged["properties"] = {**merged.get("properties", {}), **part.get("properties", {})}
            merged["required"] = [*merged.get("required", ()), *part.get("required", ())]
            merged = {**part, **merged}
        return merged

    def _pointed(self, reference: str) -> Mapping[str, Any]:
        node: Any = self._root
        for key in reference.removeprefix("#").split("/")[1:]:
            node = node.get(key.replace("~1", "/").replace("~0", "~"), {}) if isinstance(node, Mapping) else {}
        return node if isinstance(node, Mapping) else {}

    def _typed(self, schema: Mapping[str, Any], depth: int) -> Any:
        kind = schema.get("type", "object" if "properties" in schema else "string")
        if isinstance(kind, list):
            kind = kind[-1 if depth > _DEPTH else 0] if kind else "null"
        simple = {"integer": _number(schema, 1), "number": _number(schema, 0.5), "boolean": True, "null": None}
        if kind in simple:
            return simple[kind]
        if kind == "object":
            return self._object(schema, depth)
        return self._array(schema, depth) if kind == "array" else self._string(schema)

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        wanted = set(schema.get("required", ()))
        properties = schema.get("properties", {})
        return {
            name: self.value(properties.get(name, True), depth + 1)
            for name in [*properties, *sorted(wanted - set(properties))]
            if name in wanted or depth < _DEPTH
        }

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        fewest = int(schema.get("minItems", 0))
        most = int(schema.get("maxItems", max(fewest, 1)))
        length = min(most, max(fewest, 1 if depth < _DEPTH else 0))
        head = [self.value(item, depth + 1) for item in schema.get("prefixItems", ())][:length]
        return head + [self.value(schema.get("items", True), depth + 1) for _ in range(length - len(head))]

    def _string(self, schema: Mapping[str, Any]) -> str:
        text = _FORMATS.get(schema.get("format", ""), self._subject)
        text = text.ljust(int(schema.get("minLength", 0)), ".")
        return text[: int(schema["maxLength"])] if "maxLength" in schema else text


def _number(schema: Mapping[str, Any], preferred: float) -> float:
    """``preferred``, or the nearest thing to it that the bounds allow; whole numbers stay whole."""
    whole = isinstance(preferred, int)
    low = schema.get("minimum", schema.get("exclusiveMinimum", -math.inf))
    high = schema.get("maximum", schema.get("exclusiveMaximum", math.inf))
    step = schema.get("multipleOf", 1 if whole else 0)
    middle = (low + high) / 2 if math.isfinite(low + high) else preferred
    for value in (preferred, low, low + 1, high, high - 1, middle):
        if math.isfinite(value):
            rounded = math.ceil(value / step) * step if step else value
            if _allowed(schema, rounded):
                return int(rounded) if whole else rounded
    return preferred


def _allowed(schema: Mapping[str, Any], value: float) -> bool:
    closed: bool = schema.get("minimum", value) <= value <= schema.get("maximum", value)
    opened: bool = schema.get("exclusiveMinimum", -math.inf) < value < schema.get("exclusiveMaximum", math.inf)
    return closed and opened
