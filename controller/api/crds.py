"""The CustomResourceDefinitions, as documents. ``python -m controller.crds`` writes them."""

from typing import Any

from pydantic import BaseModel

from controller.api.backend import BackendSpec, LLMBackend
from controller.api.route import LLMRoute, RouteSpec
from controller.api.shape import GROUP, VERSION
from controller.api.status import BackendStatus, RouteStatus
from controller.api.structural import Schema, structural_schema

_API_VERSION = "The version of the schema of this object."
_KIND = "The kind of this object."


def definitions() -> dict[str, dict[str, Any]]:
    """File name -> CustomResourceDefinition."""
    route = _definition(
        "llmroutes",
        ["llmr"],
        _schema(LLMRoute, RouteSpec, RouteStatus),
        [
            _condition("Accepted"),
            _condition("Programmed"),
            _column("Backends", ".status.backends", "How many of the backends it names can be used."),
            _column("Models", ".status.models", "The models it serves by name."),
            _age(),
        ],
    )
    backend = _definition(
        "llmbackends",
        ["llmb"],
        _schema(LLMBackend, BackendSpec, BackendStatus),
        [
            _column("Schema", ".spec.outputSchema.schema", "The API that the backend speaks."),
            _column("Target", ".status.target", "Where its requests go."),
            _condition("Accepted"),
            _age(),
        ],
    )
    return {f"{GROUP}_{crd['spec']['names']['plural']}.yaml": crd for crd in (route, backend)}


def _definition(plural: str, short: list[str], schema: Schema, columns: list[dict[str, Any]]) -> dict[str, Any]:
    kind = {"llmroutes": "LLMRoute", "llmbackends": "LLMBackend"}[plural]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": short,
                # Not "llmroute": kubectl takes the word for the category then, and `describe llmroute NAME` fails.
                "categories": ["llm"],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


def _schema(resource: type[BaseModel], spec: type[BaseModel], status: type[BaseModel]) -> Schema:
    return {
        "description": resource.__doc__,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"description": _API_VERSION, "type": "string"},
            "kind": {"description": _KIND, "type": "string"},
            "metadata": {"type": "object"},
            "spec": structural_schema(spec),
            "status": structural_schema(status),
        },
    }


def _column(name: str, path: str, description: str) -> dict[str, Any]:
    return {"name": name, "type": "string", "jsonPath": path, "description": description}


def _condition(condition: str) -> dict[str, Any]:
    return _column(
        condition, f'.status.conditions[?(@.type=="{condition}")].status', f"Whether it is {condition.lower()}."
    )


def _age() -> dict[str, Any]:
    return {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
