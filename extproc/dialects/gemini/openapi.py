"""The older ``Schema`` of ``parameters`` and ``responseSchema``: a subset of OpenAPI 3.0, for models before 2.5.

One type in capitals, ``nullable`` instead of a type ``null``, no references, only text in ``enum``. Facts: google-genai
3.4 ``types.Schema``; live answers quoted in github.com/anomalyco/opencode #14659 (``anyOf`` stands alone),
google-gemini/gemini-cli #3178 (the formats of text) and goruck/home-generative-agent #525 (``required`` names only what
is there). Numbers in ``enum`` keep their type, as Vertex AI documents it; unconfirmed on the Gemini API.
"""

from typing import Any, Final

import msgspec

from extproc.conversation.errors import Loss
from extproc.dialects.gemini.schemas import ANNOTATIONS, SchemaSource, bounds, listed_values

_TYPES: Final = {word: word.upper() for word in ("string", "number", "integer", "boolean", "array", "object", "null")}
_KEPT: Final = {
    "string": ("minLength", "maxLength", "pattern"),
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties"),
}
_ALWAYS_KEPT: Final = ("title", "description", "default", "example")
_FORMATS: Final = {
    "string": ("enum", "date-time"),
    "integer": ("int32", "int64"),
    "number": ("float", "double"),
}
#: Read in one place or another; everything else is left out and listed.
_READ: Final = ANNOTATIONS.union(
    ("$ref", "$id", "$anchor", "allOf", "anyOf", "oneOf", "enum", "const", "type", "format", "items", "prefixItems"),
    ("properties", "required", "propertyOrdering", "additionalProperties", "exclusiveMinimum", "exclusiveMaximum"),
    ("minimum", "maximum"),
    *_KEPT.values(),
)
#: Nodes of one schema after its references were followed, which may multiply them. A guess.
_MAX_NODES: Final = 5_000


def write_openapi_schema(text: str, path: str, losses: list[Loss], *, root_object: bool) -> dict[str, Any] | None:
    """The schema (verbatim JSON text of the client's node at ``path``), None for a function without parameters.

    Raises ``Refusal`` for what the subset cannot say.
    """
    source = SchemaSource(text, path)
    if root_object:
        root = {"type": "object", **source.object_root()}
        if not root.get("properties"):
            return None
    else:
        root = source.root
    written = _Walk(source).node(root, ())
    source.list_dropped(losses)
    return written


class _Walk:
    """One conversion. ``trail`` is the way down: levels, and ``$ref`` targets, which may not repeat."""

    def __init__(self, source: SchemaSource) -> None:
        self._source = source
        self._nodes = 0

    def node(self, node: Any, trail: tuple[str, ...]) -> dict[str, Any]:
        self._nodes += 1
        if self._nodes > _MAX_NODES:
            raise self._source.refusal("is too large once its references are followed")
        node = self._source.checked(node, len(trail))
        if "allOf" in node:
            node = self._source.whole(node)
        if "$ref" in node:
            return self._followed(node, trail)
        self._source.dropped.update(name for name in node if name not in _READ)
        variants = node.get("anyOf", node.get("oneOf"))
        if isinstance(variants, list):
            return self._any_of(node, variants, trail)
        kinds, nullable = _kinds(node)
        if len(kinds) > 1:
            return self._any_of(node, [{**node, "type": kind} for kind in kinds], trail, nullable=nullable)
        if not kinds:
            raise self._source.refusal("leaves the type of a value open")
        written = self._typed(node, kinds[0], trail)
        return {**written, "nullable": True} if nullable or node.get("nullable") is True else written

    def _followed(self, node: dict[str, Any], trail: tuple[str, ...]) -> dict[str, Any]:
        reference = node["$ref"]
        if reference in trail or reference == "#":
            raise self._source.refusal("is recursive")
        target = self._source.checked(self._source.target(reference))
        beside = {name: value for name, value in node.items() if name in ANNOTATIONS}
        return self.node({**target, **beside}, (*trail, str(reference)))

    def _any_of(
        self, node: dict[str, Any], variants: list[Any], trail: tuple[str, ...], *, nullable: bool = False
    ) -> dict[str, Any]:
        some = [variant for variant in variants if variant != {"type": "null"}]
        nullable = nullable or len(some) < len(variants) or node.get("nullable") is True
        own = {name: value for name, value in node.items() if name in {"title", "description", "default"}}
        if not some:
            return {"type": "NULL"}
        if len(some) == 1:
            written = self.node({**self._source.checked(some[0]), **own}, (*trail, ""))
        else:
            # The service takes nothing beside anyOf.
            self._source.dropped.update(f"{name} beside anyOf" for name in own if "anyOf" in node or "oneOf" in node)
            written = {"anyOf": [self.node(variant, (*trail, "")) for variant in some]}
        return {**written, "nullable": True} if nullable else written

    def _typed(self, node: dict[str, Any], kind: str, trail: tuple[str, ...]) -> dict[str, Any]:
        if kind not in _TYPES:
            raise self._source.refusal("names a type that JSON does not have")
        written: dict[str, Any] = {"type": _TYPES[kind]}
        written |= {name: node[name] for name in (*_ALWAYS_KEPT, *_KEPT.get(kind, ())) if name in node}
        if isinstance(examples := node.get("examples"), list) and examples:
            written.setdefault("example", examples[0])
        if "format" in node:
            if node["format"] in _FORMATS.get(kind, ()):
                written["format"] = node["format"]
            else:
                self._source.dropped.add("format")
        if kind in {"integer", "number"}:
            written |= bounds({**node, "type": kind}, self._source.dropped)
        if values := [value for value in listed_values(node) or () if value is not None]:
            written["enum"] = [
                value if isinstance(value, str) else msgspec.json.encode(value).decode() for value in values
            ]
        if kind == "array":
            written["items"] = self._items(node, trail)
        if kind == "object":
            self._properties(node, written, trail)
        return written

    def _items(self, node: dict[str, Any], trail: tuple[str, ...]) -> dict[str, Any]:
        items = node.get("items")
        tuple_of = items if isinstance(items, list) else node.get("prefixItems")
        if isinstance(tuple_of, list) and tuple_of:
            self._source.dropped.add("prefixItems")
            distinct = [item for at, item in enumerate(tuple_of) if item not in tuple_of[:at]]
            return self._any_of({}, distinct, trail)
        if items is None:
            raise self._source.refusal("does not say what an array in it holds")
        return self.node(items, (*trail, ""))

    def _properties(self, node: dict[str, Any], written: dict[str, Any], trail: tuple[str, ...]) -> None:
        if node.get("additionalProperties", True) is not True:
            self._source.dropped.add("additionalProperties")
        properties = node.get("properties")
        if not isinstance(properties, dict):
            return
        written["properties"] = {name: self.node(child, (*trail, "")) for name, child in properties.items()}
        required = node.get("required")
        if isinstance(required, list) and (known := [name for name in required if name in properties]):
            written["required"] = known
        if len(properties) > 1:
            written["propertyOrdering"] = node.get("propertyOrdering") or list(properties)


def _kinds(node: dict[str, Any]) -> tuple[list[str], bool]:
    """The types that a value may have, and whether it may be null as well."""
    declared = node.get("type")
    values = listed_values(node)
    nullable = values is not None and None in values
    if isinstance(declared, list):
        kinds = [kind for kind in declared if isinstance(kind, str) and kind != "null"]
        return kinds or ["null"], nullable or (bool(kinds) and "null" in declared)
    if isinstance(declared, str):
        return [declared], nullable
    if not node.keys().isdisjoint(("properties", "required", "additionalProperties")):
        return ["object"], nullable
    if "items" in node or "prefixItems" in node:
        return ["array"], nullable
    kinds = list(dict.fromkeys(_kind_of(value) for value in values or () if value is not None))
    return kinds, nullable


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "integer" if isinstance(value, int) else "number"
    return "string" if isinstance(value, str) else "object"
