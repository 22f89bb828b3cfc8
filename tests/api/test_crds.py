"""The CRDs as the API server demands them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, Field

from controller.api.backend import Capabilities, Defaults, GoogleCloud
from controller.api.crds import definitions
from controller.api.structural import structural_schema
from controller.crds import main
from extproc.config.names import CLIENT_DIALECTS, PLATFORMS
from extproc.config.schema import CapabilityOverrides
from extproc.config.schema import Defaults as ConfigDefaults
from extproc.config.schema import GoogleCloud as ConfigGoogleCloud

CRDS = Path(__file__).parents[2] / "crds"
KINDS = {crd["spec"]["names"]["kind"]: crd for crd in definitions().values()}


def _schema(kind: str) -> dict[str, Any]:
    schema: dict[str, Any] = KINDS[kind]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def _bounds(model: type[BaseModel]) -> Any:
    """The names, types and limits of a model's fields, less all words for people."""

    def bare(node: Any) -> Any:
        if not isinstance(node, dict):
            return [bare(item) for item in node] if isinstance(node, list) else node
        return {
            key: bare(value)
            for key, value in node.items()
            if key not in {"title", "description"} and not key.startswith("x-")
        }

    return {
        name: {word: value for choice in field.pop("anyOf", [{}]) for word, value in choice.items()} | field
        for name, field in bare(model.model_json_schema()["properties"]).items()
    }


def _nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from _nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from _nodes(schema["items"], f"{path}[]")


def test_the_files_are_up_to_date(tmp_path: Path) -> None:
    """`make crds` would change nothing; a changed, missing or foreign file is found."""
    assert main(["--check", str(CRDS)]) == 0

    assert main([str(tmp_path)]) == 0
    assert main(["--check", str(tmp_path)]) == 0
    (tmp_path / "old.yaml").write_text("{}")
    assert main(["--check", str(tmp_path)]) == 1


def test_the_files_hold_the_definitions() -> None:
    """YAML loses nothing of the documents."""
    assert {path.name: yaml.safe_load(path.read_text()) for path in CRDS.glob("*.yaml")} == definitions()


@pytest.mark.parametrize("kind", KINDS)
def test_every_node_is_structural(kind: str) -> None:
    """Each node has a type, each field a description, and no word that structural schemas do not have."""
    banned = {"$ref", "anyOf", "allOf", "oneOf", "title", "const", "additionalProperties", "definitions"}
    nodes = dict(_nodes(_schema(kind)))

    assert [path for path, node in nodes.items() if "type" not in node or banned & set(node)] == []
    assert [path for path, node in nodes.items() if not node.get("description") and path != ".metadata"] == [
        path for path in nodes if path.endswith(("hostnames[]", "audiences[]"))
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_everything_in_a_spec_is_bounded(kind: str) -> None:
    """Each string, list and number has an upper limit: the API server refuses CEL rules whose cost it cannot bound."""
    limits = {"string": ("maxLength", "enum"), "array": ("maxItems",), "integer": ("maximum",)}
    spec = _schema(kind)["properties"]["spec"]

    unbounded = [p for p, node in _nodes(spec) if node["type"] in limits and not set(limits[node["type"]]) & set(node)]
    assert unbounded == []


@pytest.mark.parametrize(
    ("kind", "short", "columns"),
    [
        ("LLMRoute", "llmr", ["Accepted", "Programmed", "Backends", "Models", "Age"]),
        ("LLMBackend", "llmb", ["Schema", "Target", "Accepted", "Age"]),
    ],
)
def test_names_and_columns(kind: str, short: str, columns: list[str]) -> None:
    """What kubectl shows and listens to."""
    spec, version = KINDS[kind]["spec"], KINDS[kind]["spec"]["versions"][0]

    assert (spec["names"]["shortNames"], spec["names"]["categories"]) == ([short], ["llm"])
    assert [column["name"] for column in version["additionalPrinterColumns"]] == columns
    assert version["subresources"] == {"status": {}}
    conditions = _schema(kind)["properties"]["status"]["properties"]["conditions"]
    assert (conditions["x-kubernetes-list-type"], conditions["x-kubernetes-list-map-keys"]) == ("map", ["type"])


def test_what_the_original_demanded_is_demanded() -> None:
    """Limits, enums and list keys of the original API are in the schema."""
    rules = _schema("LLMRoute")["properties"]["spec"]["properties"]["rules"]
    rule = rules["items"]["properties"]
    headers = rule["matches"]["items"]["properties"]["headers"]
    header = headers["items"]["properties"]
    ref = rule["backendRefs"]["items"]["properties"]

    assert [part["maxItems"] for part in (rules, rule["matches"], rule["backendRefs"], headers)] == [128, 128, 128, 16]
    assert headers["x-kubernetes-list-map-keys"] == ["name"]
    assert (header["value"]["minLength"], header["value"]["maxLength"]) == (1, 4096)
    assert (header["type"]["enum"], header["type"]["default"]) == (["Exact", "RegularExpression"], "Exact")
    assert (ref["weight"]["minimum"], ref["weight"]["default"]) == (0, 1)
    assert rules["minItems"] == 1


def test_the_schemas_are_those_of_the_processor() -> None:
    """The values of inputSchema and outputSchema, and what a backend can override, are the contract's own."""
    route, backend = (_schema(kind)["properties"]["spec"]["properties"] for kind in ("LLMRoute", "LLMBackend"))

    assert route["inputSchema"]["properties"]["schema"]["enum"] == list(CLIENT_DIALECTS)
    assert backend["outputSchema"]["properties"]["schema"]["enum"] == list(PLATFORMS)
    assert _bounds(Capabilities) == _bounds(CapabilityOverrides)
    assert _bounds(Defaults) == _bounds(ConfigDefaults)
    assert _bounds(GoogleCloud) == _bounds(ConfigGoogleCloud)


def test_a_field_without_a_description_is_refused() -> None:
    """The command kubectl explain must have something to say about every field."""

    class Mute(BaseModel):
        name: str

    class Torn(BaseModel):
        either: int | str = Field(description="Two forms.")

    with pytest.raises(ValueError, match=r"Mute\.name has no description"):
        structural_schema(Mute)
    with pytest.raises(ValueError, match=r"Torn\.either: 2 alternatives"):
        structural_schema(Torn)
