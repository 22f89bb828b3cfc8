"""Which JSON Schemas OpenAI enforces (``strict``).

Source: developers.openai.com/api/docs/guides/structured-outputs, "supported schemas" (2026-11-22): every object is
closed, and requires all of its properties; some keywords are not known.
"""

from typing import Any, Final

import msgspec

_UNSUPPORTED: Final = frozenset(
    {
        "allOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "patternProperties",
        "propertyNames", "contains", "unevaluatedProperties", "unevaluatedItems", "prefixItems", "uniqueItems",
        "minProperties", "maxProperties", "oneOf",
    }
)  # fmt: skip
#: The guide's own limit on nesting.
_MAX_DEPTH: Final = 10
_MAPS: Final = ("properties", "$defs", "definitions")


def maybe_unenforceable(schema: str) -> str | None:
    """What keeps the schema (verbatim JSON text) from being enforced, in words for a loss list; None: nothing does."""
    root = msgspec.json.decode(schema)
    if not isinstance(root, dict) or root.get("type") != "object" or "anyOf" in root:
        return "its root is not a plain object"
    return _problem(root, 0)


def _problem(node: Any, depth: int) -> str | None:
    if not isinstance(node, dict):
        return "it holds something other than an object where a schema is due"
    if depth > _MAX_DEPTH:
        return f"it nests deeper than {_MAX_DEPTH} levels"
    if unsupported := _UNSUPPORTED & node.keys():
        return f"it uses {min(unsupported)}"
    return _object_problem(node) or next(
        (found for child in _children(node) if (found := _problem(child, depth + 1))), None
    )


def _object_problem(node: dict[str, Any]) -> str | None:
    declared = node.get("type")
    if declared != "object" and "properties" not in node and not (isinstance(declared, list) and "object" in declared):
        return None
    if node.get("additionalProperties") is not False:
        return "an object in it is open (additionalProperties is not false)"
    properties, required = node.get("properties", {}), node.get("required", [])
    if not isinstance(properties, dict) or not isinstance(required, list):
        return "an object in it has properties or required of a wrong type"
    missing = [name for name in properties if name not in required]
    return "an object in it has optional properties" if missing else None


def _children(node: dict[str, Any]) -> list[Any]:
    children: list[Any] = [node["items"]] if "items" in node else []
    if isinstance(node.get("anyOf"), list):
        children += node["anyOf"]
    for key in _MAPS:
        children += node[key].values() if isinstance(node.get(key), dict) else []
    return children
