"""Which JSON Schemas OpenAI enforces (``strict``).

Source: developers.openai.com/api/docs/guides/structured-outputs, "supported schemas" (2026-11-22): every object is
closed, and requires exactly its properties; each schema says its type, unless it refers or chooses; some keywords are
not known.
"""

from typing import Any, Final

from extproc.wire import jsontext
from extproc.wire.errors import JsonError

_UNSUPPORTED: Final = frozenset(
    {
        "allOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "patternProperties",
        "propertyNames", "contains", "unevaluatedProperties", "unevaluatedItems", "prefixItems", "uniqueItems",
        "minProperties", "maxProperties", "oneOf",
    }
)  # fmt: skip
#: The guide's own limits: on nesting, and over the whole schema.
_MAX_DEPTH: Final = 10
_MAX_PROPERTIES: Final = 5_000
_MAX_WORDS: Final = 1_000
_MAPS: Final = ("properties", "$defs", "definitions")


def maybe_unenforceable(schema: str) -> str | None:
    """What keeps the schema (verbatim JSON text) from being enforced, in words for a loss list; None: nothing does."""
    try:
        root = jsontext.parse(schema.encode())
    except JsonError:
        return "it cannot be read"
    if not isinstance(root, dict) or root.get("type") != "object" or "anyOf" in root:
        return "its root is not a plain object"
    return _Walk(root).problem(root, 0)


class _Walk:
    """One look through a schema, which counts what is limited over the whole of it."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._properties = 0
        self._words = 0

    def problem(self, node: Any, depth: int) -> str | None:
        """The first problem of a node or what is in it."""
        if not isinstance(node, dict):
            return "it holds something other than an object where a schema is due"
        if depth > _MAX_DEPTH:
            return f"it nests deeper than {_MAX_DEPTH} levels"
        if unsupported := _UNSUPPORTED & node.keys():
            return f"it uses {min(unsupported)}"
        return (
            self._kind_problem(node)
            or _object_problem(node)
            or self._size_problem(node)
            or next((found for child in _children(node) if (found := self.problem(child, depth + 1))), None)
        )

    def _kind_problem(self, node: dict[str, Any]) -> str | None:
        if "$ref" in node:
            return None if _leads_somewhere(self._root, node["$ref"]) else "it has a $ref that leads nowhere in it"
        if "anyOf" in node:
            return None if isinstance(node["anyOf"], list) and node["anyOf"] else "it has an anyOf that is no list"
        return None if node.get("type") else "a schema in it says no type"

    def _size_problem(self, node: dict[str, Any]) -> str | None:
        words = node.get("enum")
        self._properties += len(node.get("properties", ()))
        self._words += len(words) if isinstance(words, list) else 0
        if self._properties > _MAX_PROPERTIES:
            return f"it has more than {_MAX_PROPERTIES} properties"
        return f"it has more than {_MAX_WORDS} enum values" if self._words > _MAX_WORDS else None


def _object_problem(node: dict[str, Any]) -> str | None:
    declared = node.get("type")
    if declared != "object" and "properties" not in node and not (isinstance(declared, list) and "object" in declared):
        return None
    if node.get("additionalProperties") is not False:
        return "an object in it is open (additionalProperties is not false)"
    properties, required = node.get("properties", {}), node.get("required", [])
    if not isinstance(properties, dict) or not isinstance(required, list):
        return "an object in it has properties or required of a wrong type"
    names = {name for name in required if isinstance(name, str)}
    if not names >= properties.keys():
        return "an object in it has optional properties"
    return None if len(names) == len(properties) else "an object in it requires a property that it does not have"


def _leads_somewhere(root: dict[str, Any], reference: Any) -> bool:
    """Whether a ``$ref`` is a JSON pointer into the schema."""
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        return False
    target: Any = root
    for step in reference.split("/")[1:]:
        target = target.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(target, dict) else None
    return isinstance(target, dict)


def _children(node: dict[str, Any]) -> list[Any]:
    children: list[Any] = [node["items"]] if "items" in node else []
    if isinstance(node.get("anyOf"), list):
        children += node["anyOf"]
    for key in _MAPS:
        if key in node:
            children += node[key].values() if isinstance(node[key], dict) else [None]
    return children
