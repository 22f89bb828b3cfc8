"""Which JSON Schemas Bedrock compiles into a grammar (``outputConfig.textFormat``, ``toolSpec.strict``).

A schema outside this subset is a 400 from the service, so it is found out here and carried another way. Source:
https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html (2026-11-22); that ``maxItems`` fails only
together with ``strict`` is quoted from a live answer in github.com/BerriAI/litellm #39115.
"""

from typing import Any

import msgspec

_UNSUPPORTED = frozenset(
    {
        "allOf", "not", "if", "then", "else", "contains", "patternProperties", "propertyNames",
        "dependentRequired", "dependentSchemas", "dependencies", "unevaluatedProperties", "unevaluatedItems",
        "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
        "minLength", "maxLength", "maxItems", "uniqueItems", "minProperties", "maxProperties",
    }
)  # fmt: skip
_FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid")
# Look-around, back-references and named groups need more than a finite automaton.
_PATTERN_MARKS = ("(?=", "(?!", "(?<", "(?P", "\\1", "\\2", "\\3", "\\b", "\\B")
# Our own bound: deeper than any schema a person writes, far from the interpreter's limit.
_MAX_DEPTH = 64
_MAPS_OF_SCHEMAS = ("properties", "$defs", "definitions")
_LISTS_OF_SCHEMAS = ("anyOf", "oneOf", "prefixItems")


def maybe_unsupported(schema: str) -> str | None:
    """What keeps the schema (verbatim JSON text) from compiling, in words for a loss list; None when nothing does."""
    root = msgspec.json.decode(schema)
    if not isinstance(root, dict) or root.get("type") != "object":
        return "its root is not an object"
    return _Walk(root).problem(root, ())


class _Walk:
    """One look through a schema. ``trail`` is the way down: levels, and ``$ref`` targets, which may not repeat."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._seen: set[str] = set()

    def problem(self, node: Any, trail: tuple[str, ...]) -> str | None:
        if not isinstance(node, dict):
            return "it holds something other than an object where a schema is due"
        if len(trail) > _MAX_DEPTH:
            return f"it nests deeper than {_MAX_DEPTH} levels"
        return _keyword_problem(node) or self._reference_problem(node, trail) or self._child_problem(node, trail)

    def _reference_problem(self, node: dict[str, Any], trail: tuple[str, ...]) -> str | None:
        if "$ref" not in node:
            return None
        reference = node["$ref"]
        if not isinstance(reference, str) or not reference.startswith("#"):
            return "it has a $ref that points outside of it"
        if reference == "#" or reference in trail:
            return "it is recursive"
        if reference in self._seen:
            return None
        self._seen.add(reference)
        return self.problem(_resolved(self._root, reference), (*trail, reference))

    def _child_problem(self, node: dict[str, Any], trail: tuple[str, ...]) -> str | None:
        children = [node["items"]] if "items" in node else []
        for key in _LISTS_OF_SCHEMAS:
            children += node[key] if isinstance(node.get(key), list) else []
        for key in _MAPS_OF_SCHEMAS:
            children += node[key].values() if isinstance(node.get(key), dict) else []
        return next((found for child in children if (found := self.problem(child, (*trail, "")))), None)


def _keyword_problem(node: dict[str, Any]) -> str | None:
    if unsupported := _UNSUPPORTED & node.keys():
        return f"it uses {min(unsupported)}"
    if _is_object(node) and node.get("additionalProperties") is not False:
        return "an object in it is open (additionalProperties is not false)"
    if node.get("minItems", 0) not in (0, 1):
        return "it uses minItems above 1"
    if "format" in node and node["format"] not in _FORMATS:
        return "it uses a format that is not on the service's list"
    if any(mark in str(node.get("pattern", "")) for mark in _PATTERN_MARKS):
        return "it uses a pattern with look-around or back-references"
    return None


def _is_object(node: dict[str, Any]) -> bool:
    declared = node.get("type")
    return declared == "object" or (isinstance(declared, list) and "object" in declared) or "properties" in node


def _resolved(root: dict[str, Any], reference: str) -> Any:
    """The target of a local JSON pointer, None when there is none."""
    target: Any = root
    for step in reference.removeprefix("#/").split("/"):
        key = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(target, dict) or key not in target:
            return None
        target = target[key]
    return target
