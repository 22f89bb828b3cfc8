"""Which JSON Schemas Bedrock compiles into a grammar (``outputConfig.textFormat``, ``toolSpec.strict``).

A schema outside this subset is a 400 from the service, so it is found out here and carried another way. Source:
https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html (2026-11-22); that ``maxItems`` fails only
together with ``strict`` is quoted from a live answer in github.com/BerriAI/litellm #39115.
"""

from typing import Any

import msgspec

from extproc.conversation.json_schema import FORMATS, PATTERN_MARKS, SchemaWalk, is_object

_LISTS_OF_SCHEMAS = ("anyOf", "oneOf", "prefixItems")
_UNSUPPORTED = frozenset(
    {
        "allOf", "not", "if", "then", "else", "contains", "patternProperties", "propertyNames",
        "dependentRequired", "dependentSchemas", "dependencies", "unevaluatedProperties", "unevaluatedItems",
        "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
        "minLength", "maxLength", "maxItems", "uniqueItems", "minProperties", "maxProperties",
    }
)  # fmt: skip


def maybe_unsupported(schema: str) -> str | None:
    """What keeps the schema (verbatim JSON text) from compiling, in words for a loss list; None when nothing does."""
    root = msgspec.json.decode(schema)
    if not isinstance(root, dict) or root.get("type") != "object":
        return "its root is not an object"
    return SchemaWalk(root, _keyword_problem, _LISTS_OF_SCHEMAS).problem(root)


def _keyword_problem(node: dict[str, Any]) -> str | None:
    if unsupported := _UNSUPPORTED & node.keys():
        return f"it uses {min(unsupported)}"
    if is_object(node) and node.get("additionalProperties") is not False:
        return "an object in it is open (additionalProperties is not false)"
    if node.get("minItems", 0) not in (0, 1):
        return "it uses minItems above 1"
    if "format" in node and not (isinstance(node["format"], str) and node["format"] in FORMATS):
        return "it uses a format that is not on the service's list"
    if any(mark in str(node.get("pattern", "")) for mark in PATTERN_MARKS):
        return "it uses a pattern with look-around or back-references"
    return None
