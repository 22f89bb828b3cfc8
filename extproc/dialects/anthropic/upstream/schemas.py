"""Which JSON Schemas Anthropic enforces (``output_config.format``, ``strict`` tools), and the nearest one that it does.

A schema outside the subset is a 400 from the API, so it is found out here. Sources, read 2026-11-22:
platform.claude.com/docs/en/build-with-claude/structured-outputs, and anthropic-python 2.12 ``lib/_parse/_transform``,
which lowers schemas in the same way: what cannot be enforced becomes part of the description.
"""

from typing import Any, Final

import msgspec

from extproc.conversation.json_schema import FORMATS, MAPS_OF_SCHEMAS, PATTERN_MARKS, SchemaWalk, is_object
from extproc.wire import jsontext
from extproc.wire.errors import JsonError

_UNENFORCED: Final = frozenset(
    {
        "not", "if", "then", "else", "contains", "patternProperties", "propertyNames",
        "dependentRequired", "dependentSchemas", "dependencies", "unevaluatedProperties", "unevaluatedItems",
        "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
        "minLength", "maxLength", "maxItems", "uniqueItems", "minProperties", "maxProperties",
        "minContains", "maxContains", "prefixItems", "additionalItems",
    }
)  # fmt: skip
#: Keywords of which some values are enforced, and what is wrong with the others.
_LIMITED: Final = {
    "minItems": "it uses minItems above 1",
    "format": "it uses a format that is not on Anthropic's list",
    "pattern": "it uses a pattern with look-around or back-references",
}
_LISTS: Final = ("anyOf", "allOf", "oneOf")


def maybe_unsupported(schema: str) -> str | None:
    """What keeps the schema (JSON text) from being enforced, in words for a loss list; None when nothing does."""
    root = _maybe_root(schema)
    if root is None:
        return "it is no JSON object"
    if root.get("type") != "object" and "$ref" not in root:
        return "its root is not an object"
    return SchemaWalk(root, _strict_problem, _LISTS).problem(root)


def maybe_lowered(schema: str) -> str | None:
    """The nearest schema that is enforced; None when there is none.

    There is none of a recursive schema, and of one whose valid values the nearest would not allow: a map from names of
    any kind, and objects that are said in several parts (``allOf``).
    """
    root = _maybe_root(schema)
    if root is None or SchemaWalk(root, _lenient_problem, _LISTS).problem(root):
        return None
    text = msgspec.json.encode(_lowered(root)).decode()
    return None if maybe_unsupported(text) else text


def _maybe_root(schema: str) -> dict[str, Any] | None:
    try:
        root = jsontext.parse(schema.encode())
    except JsonError:
        return None
    return root if isinstance(root, dict) else None


def _strict_problem(node: dict[str, Any]) -> str | None:
    return _keyword_problem(node) or _form_problem(node)


def _lenient_problem(node: dict[str, Any]) -> str | None:
    return _narrowing_problem(node) or _form_problem(node)


def _keyword_problem(node: dict[str, Any]) -> str | None:
    if unsupported := _UNENFORCED & node.keys():
        return f"it uses {min(unsupported)}"
    if "oneOf" in node:
        return "it uses oneOf"
    if is_object(node) and node.get("additionalProperties") is not False:
        return "an object in it is open (additionalProperties is not false)"
    values = ((key, words) for key, words in _LIMITED.items() if key in node and _is_unenforced(key, node[key]))
    return next((words for _, words in values), None)


def _form_problem(node: dict[str, Any]) -> str | None:
    """A keyword whose value is of a form that no schema gives it."""
    for key in (*_LISTS, *MAPS_OF_SCHEMAS):
        if key in node and not isinstance(node[key], list if key in _LISTS else dict):
            return f"its {key} is of a wrong type"
    return None


def _narrowing_problem(node: dict[str, Any]) -> str | None:
    """What would keep values of this node from ever being valid once all objects in it are closed."""
    parts = node.get("allOf")
    if isinstance(parts, list) and (len(parts) > 1 or "properties" in node):
        return "it says an object in several parts"
    if not is_object(node) or node.get("additionalProperties") is False:
        return None
    others = node.get("additionalProperties", True)
    if not node.get("properties") or "patternProperties" in node or (others is not True and others != {}):
        return "it is a map from names that it does not list"
    return None


def _lowered(node: dict[str, Any]) -> dict[str, Any]:
    """The node with what cannot be enforced moved into its description; key order stays."""
    kept: dict[str, Any] = {}
    told: dict[str, Any] = {}
    for key, value in node.items():
        if _is_unenforced(key, value):
            told[key] = value
        elif key == "oneOf" and "anyOf" not in node:
            kept["anyOf"] = [_lowered(child) for child in value]
        elif key == "oneOf":
            told[key] = value
        elif key in _LISTS and isinstance(value, list):
            kept[key] = [_lowered(child) for child in value]
        elif key in MAPS_OF_SCHEMAS and isinstance(value, dict):
            kept[key] = {name: _lowered(child) for name, child in value.items()}
        else:
            kept[key] = _lowered(value) if key == "items" else value
    if is_object(node):
        kept["additionalProperties"] = False
    if told:
        words = msgspec.json.encode(told).decode()
        kept["description"] = f"{kept['description']}\n\n{words}" if kept.get("description") else words
    return kept


def _is_unenforced(key: str, value: Any) -> bool:
    if key == "format":
        return not _is_known_format(value)
    if key == "minItems":
        return value not in (0, 1)
    if key == "pattern":
        return any(mark in str(value) for mark in PATTERN_MARKS)
    return key in _UNENFORCED


def _is_known_format(value: Any) -> bool:
    return isinstance(value, str) and value in FORMATS
