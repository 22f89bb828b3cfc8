"""A walk through a JSON Schema that finds what a vendor cannot enforce; each dialect brings its own rules.

Structured output is compiled into a grammar at every vendor, and a schema outside of its subset is a 400 there.
"""

from collections.abc import Callable
from typing import Any, Final

#: The formats that Claude's grammars know, at Anthropic and on Bedrock (their structured-output pages, 2026-11-22).
FORMATS: Final = frozenset(
    {"date-time", "date", "time", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
#: Look-around, back-references and named groups need more than a finite automaton.
PATTERN_MARKS: Final = ("(?=", "(?!", "(?<", "(?P", "\\1", "\\2", "\\3", "\\b", "\\B")
#: Members that hold schemas by name.
MAPS_OF_SCHEMAS: Final = ("properties", "$defs", "definitions")
#: Our own bound: deeper than any schema a person writes, far from the interpreter's limit.
_MAX_DEPTH: Final = 64


class SchemaWalk:
    """One look through a schema.

    ``judge`` names the problem of one node, if any; ``lists`` are the members that hold lists of schemas.
    ``trail`` is the way down: levels, and ``$ref`` targets, which may not repeat.
    """

    def __init__(
        self, root: dict[str, Any], judge: Callable[[dict[str, Any]], str | None], lists: tuple[str, ...]
    ) -> None:
        self._root = root
        self._judge = judge
        self._lists = lists
        self._seen: set[str] = set()

    def problem(self, node: Any, trail: tuple[str, ...] = ()) -> str | None:
        """The first problem at ``node`` or below, None when there is none."""
        if not isinstance(node, dict):
            return "it holds something other than an object where a schema is due"
        if len(trail) > _MAX_DEPTH:
            return f"it nests deeper than {_MAX_DEPTH} levels"
        return self._judge(node) or self._reference_problem(node, trail) or self._child_problem(node, trail)

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
        for key in self._lists:
            children += node[key] if isinstance(node.get(key), list) else []
        for key in MAPS_OF_SCHEMAS:
            children += node[key].values() if isinstance(node.get(key), dict) else []
        return next((found for child in children if (found := self.problem(child, (*trail, "")))), None)


def is_object(node: dict[str, Any]) -> bool:
    """Whether a schema speaks of objects, by its type or by its properties."""
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
