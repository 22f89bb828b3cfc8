"""The published schemas of Kubernetes' own kinds, closed: a field that no schema names is a mistake.

They come with the package kubernetes-validate; its own check lets unknown fields pass.
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

NEWEST = "1.37.0"


class NoSchemas(Exception):
    """The package is not installed."""


def fault(obj: Mapping[str, Any], version: str = NEWEST) -> str | None:
    """What is wrong with an object; None when nothing is.

    Raises ``NoSchemas`` without the package, and ``LookupError`` for a kind that this version of Kubernetes has not.
    """
    document = _closed(version)
    name = document["kinds"][obj["apiVersion"], obj["kind"]]
    validator = Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": document["$defs"]})
    error = best_match(validator.iter_errors(obj))
    return None if error is None else f"{obj['kind']} {obj['metadata']['name']}: {error.json_path}: {error.message}"


@cache
def _closed(version: str) -> dict[str, Any]:
    found = find_spec("kubernetes_validate")
    if found is None or not found.submodule_search_locations:
        raise NoSchemas("no schemas of Kubernetes here: pip install kubernetes-validate")
    [package] = found.submodule_search_locations
    folder = Path(package) / f"kubernetes-json-schema/v{version}-local"
    definitions = json.loads((folder / "_definitions.json").read_text())["$defs"]
    kinds = {}
    for name, schema in definitions.items():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
        for kind in schema.get("x-kubernetes-group-version-kind", ()):
            kinds["/".join(filter(None, (kind["group"], kind["version"]))), kind["kind"]] = name
    return {"$defs": definitions, "kinds": kinds}
