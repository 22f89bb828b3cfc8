"""JSON Schema as Gemini 2.5 and later take it: ``parametersJsonSchema`` and ``responseJsonSchema``.

They know a part of the language (google-genai 3.4 ``GenerateContentConfig.response_json_schema``, 2026-11-22). A
keyword outside it is a 400 or goes unheard, so it is left out here and listed; what cannot be left out without another
meaning is refused. ``openapi`` has the older form.
"""

from typing import Any, Final

import msgspec

from extproc.conversation.errors import Loss, Refusal

#: Our own bound: deeper than any schema a person writes, far from the interpreter's limit.
MAX_DEPTH: Final = 64

_KEPT: Final = frozenset(
    {
        "$id", "$anchor", "type", "format", "title", "description", "minItems", "maxItems", "minimum", "maximum",
        "required", "propertyOrdering",
    }
)  # fmt: skip
#: Say nothing about which values are right, or stand elsewhere.
ANNOTATIONS: Final = frozenset(
    {
        "$schema", "$comment", "$defs", "definitions", "title", "description", "default", "example", "examples",
        "deprecated", "readOnly", "writeOnly", "nullable", "discriminator",
    }
)  # fmt: skip
_DEFINITIONS: Final = ("#/$defs/", "#/definitions/")


def write_json_schema(text: str, path: str, losses: list[Loss], *, root_object: bool) -> dict[str, Any] | None:
    """The schema (verbatim JSON text of the client's node at ``path``), None when it allows everything.

    ``root_object``: it describes the arguments of a function. Raises ``Refusal``.
    """
    source = SchemaSource(text, path)
    walk = _Walk(source)
    written = walk.node(source.object_root() if root_object else source.root, 0)
    walk.write_definitions(written)
    source.list_dropped(losses)
    return written or None


class SchemaSource:
    """The client's schema, which is never changed, and what becomes of it."""

    def __init__(self, text: str, path: str) -> None:
        self.root: Any = msgspec.json.decode(text)
        self.dropped: set[str] = set()
        self._path = path
        if not isinstance(self.root, dict):
            raise self.refusal("is not an object")

    def refusal(self, problem: str) -> Refusal:
        """The schema as a whole cannot be sent, because it ``problem``."""
        return Refusal(self._path, f"its schema {problem}, which Gemini does not take")

    def list_dropped(self, losses: list[Loss]) -> None:
        """One loss for all keywords that were left out."""
        if self.dropped:
            names = ", ".join(sorted(self.dropped))
            losses.append(Loss(self._path, "approx", f"Gemini does not enforce all of the schema; left out: {names}"))

    def object_root(self) -> dict[str, Any]:
        """The root, where it must describe an object."""
        root = self.checked(self.root)
        if "$ref" in root:
            root = self.checked(self.target(root["$ref"]))
        if "allOf" in root:
            root = self.whole(root)
        if root.get("type", "object") != "object" or "anyOf" in root or "oneOf" in root:
            raise self.refusal("describes something other than an object at its root")
        return root

    def checked(self, node: Any, depth: int = 0) -> dict[str, Any]:
        """``node`` as an object; ``true`` is one that allows everything."""
        if depth > MAX_DEPTH:
            raise self.refusal(f"nests deeper than {MAX_DEPTH} levels")
        if node is True:
            return {}
        if not isinstance(node, dict):
            raise self.refusal("holds something other than an object where a schema is due")
        return node

    def target(self, reference: Any) -> Any:
        """What a local JSON pointer points at."""
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise self.refusal("has a $ref that points outside of it")
        found: Any = self.root
        for step in reference.removeprefix("#").split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or key not in found:
                raise self.refusal("has a $ref that points at nothing")
            found = found[key]
        return found

    def whole(self, node: dict[str, Any], depth: int = 0) -> dict[str, Any]:
        """The node with its ``allOf`` merged into it; refuses parts that disagree."""
        parts = node.get("allOf")
        rest = {name: value for name, value in node.items() if name != "allOf"}
        if not isinstance(parts, list) or depth > MAX_DEPTH:
            raise self.refusal("has an allOf that cannot be followed")
        if len(parts) == 1 and isinstance(parts[0], dict) and "$ref" in parts[0] and rest.keys() <= ANNOTATIONS:
            return {**parts[0], **rest}
        merged = dict(rest)
        for part in parts:
            known = self.checked(part)
            if "$ref" in known:
                known = self.checked(self.target(known["$ref"]))
            self._merge(merged, self.whole(known, depth + 1) if "allOf" in known else known)
        return merged

    def _merge(self, into: dict[str, Any], part: dict[str, Any]) -> None:
        for name, value in part.items():
            known = into.get(name, value)
            if name == "properties" and isinstance(known, dict) and isinstance(value, dict):
                if any(known.get(key, schema) != schema for key, schema in value.items()):
                    raise self.refusal("has an allOf whose parts describe one property in several ways")
                into[name] = {**known, **value}
            elif name == "required" and isinstance(known, list) and isinstance(value, list):
                into[name] = [*known, *(key for key in value if key not in known)]
            elif known == value or name in ANNOTATIONS:
                into[name] = known
            else:
                raise self.refusal(f"has an allOf whose parts disagree about {name}")


def bounds(node: dict[str, Any], dropped: set[str]) -> dict[str, Any]:
    """``minimum`` and ``maximum``, with the exclusive ones turned into them where all values are integers."""
    found: dict[str, Any] = {name: node[name] for name in ("minimum", "maximum") if name in node}
    for name, inclusive, step in (("exclusiveMinimum", "minimum", 1), ("exclusiveMaximum", "maximum", -1)):
        if name not in node:
            continue
        limit = node[name]
        if node.get("type") == "integer" and type(limit) is int and inclusive not in found:
            found[inclusive] = limit + step
        else:
            dropped.add(name)
    return found


def listed_values(node: dict[str, Any]) -> list[Any] | None:
    """``enum``, or ``const`` as one; None when every value may be."""
    if "const" in node:
        return [node["const"]]
    values = node.get("enum")
    return values if isinstance(values, list) else None


class _Walk:
    """One conversion. References stay; what they point at is converted once, under ``$defs``."""

    def __init__(self, source: SchemaSource) -> None:
        self._source = source
        self._names: list[str] = []
        # From definition to definition ("" is the root), as far as no optional property lies between: a circle of
        # these never ends, and the service refuses it.
        self._demands: dict[str, set[str]] = {}
        self._within = ""
        self._optional = False

    def write_definitions(self, root: dict[str, Any]) -> None:
        """Adds ``$defs``; refuses circles."""
        written: dict[str, Any] = {}
        for name in self._names:  # grows on the way
            self._within = name
            found = self._source.root
            places = (found.get("$defs"), found.get("definitions"))
            node = next((place[name] for place in places if isinstance(place, dict) and name in place), None)
            if node is None:
                raise self._source.refusal("has a $ref that points at nothing")
            written[name] = self.node(node, 0)
        if written:
            root["$defs"] = written
        if any(self._leads(name, name, set()) for name in self._demands):
            raise self._source.refusal("is recursive outside of optional properties")

    def node(self, node: Any, depth: int) -> dict[str, Any]:
        node = self._source.checked(node, depth)
        if "allOf" in node:
            node = self._source.whole(node)
        if "$ref" in node:
            return {"$ref": self._reference(node["$ref"])}
        written = {name: value for name, value in node.items() if name in _KEPT}
        written |= bounds(node, self._source.dropped)
        if node.get("nullable") is True and isinstance(node.get("type"), str):
            written["type"] = [node["type"], "null"]
        self._values(node, written)
        self._children(node, written, depth)
        known = _KEPT | ANNOTATIONS | _STRUCTURE
        self._source.dropped.update(name for name in node if name not in known)
        return written

    def _values(self, node: dict[str, Any], written: dict[str, Any]) -> None:
        values = listed_values(node)
        if values is None:
            return
        plain = [value for value in values if isinstance(value, str | int | float) and not isinstance(value, bool)]
        if len(plain) + (None in values) < len(values):
            self._source.dropped.add("const" if "const" in node else "enum")
            return
        if None in values:
            of = written.get("type")
            if not plain:
                written["type"] = "null"
            elif isinstance(of, str):
                written["type"] = [of, "null"]
        if plain:
            written["enum"] = plain

    def _children(self, node: dict[str, Any], written: dict[str, Any], depth: int) -> None:
        for name in ("anyOf", "oneOf"):
            if isinstance(node.get(name), list):
                written[name] = [self.node(child, depth + 1) for child in node[name]]
        items, prefix = node.get("items"), node.get("prefixItems")
        if isinstance(items, list):  # how tuples were written before 2020-12
            items, prefix = None, items
        if isinstance(prefix, list):
            written["prefixItems"] = [self.node(child, depth + 1) for child in prefix]
        if items is False:
            self._source.dropped.add("items")
        elif items is not None:
            written["items"] = self.node(items, depth + 1)
        extra = node.get("additionalProperties")
        if extra is not None:
            written["additionalProperties"] = extra if isinstance(extra, bool) else self.node(extra, depth + 1)
        properties = node.get("properties")
        if isinstance(properties, dict):
            required = node.get("required")
            demanded = required if isinstance(required, list) else []
            written["properties"] = {
                name: self._property(child, depth + 1, optional=name not in demanded)
                for name, child in properties.items()
            }
            if len(properties) > 1:
                written.setdefault("propertyOrdering", list(properties))

    def _property(self, node: Any, depth: int, *, optional: bool) -> dict[str, Any]:
        before, self._optional = self._optional, self._optional or optional
        written = self.node(node, depth)
        self._optional = before
        return written

    def _reference(self, reference: Any) -> str:
        self._source.target(reference)
        name = next((reference.removeprefix(at) for at in _DEFINITIONS if reference.startswith(at)), "")
        if reference != "#" and (not name or "/" in name):
            raise self._source.refusal("has a $ref that points at something other than a definition")
        name = name.replace("~1", "/").replace("~0", "~")
        if not self._optional:
            self._demands.setdefault(self._within, set()).add(name)
        if name and name not in self._names:
            self._names.append(name)
        return f"#/$defs/{reference.split('/', 2)[2]}" if name else "#"

    def _leads(self, start: str, goal: str, seen: set[str]) -> bool:
        for following in self._demands.get(start, ()):
            if following == goal:
                return True
            if following not in seen:
                seen.add(following)
                if self._leads(following, goal, seen):
                    return True
        return False


_STRUCTURE: Final = frozenset(
    {
        "$ref", "allOf", "anyOf", "oneOf", "enum", "const", "items", "prefixItems", "properties",
        "additionalProperties", "exclusiveMinimum", "exclusiveMaximum",
    }
)  # fmt: skip
