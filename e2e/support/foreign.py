"""Definitions of other people's kinds that the operator reads where they exist, as loose as a test needs them."""

from typing import Any

from e2e.support.api import PLACES

_SINGULAR = {"Backend": "backend", "ReferenceGrant": "referencegrant"}


def foreign_definition(kind: str) -> dict[str, Any]:
    """A CRD that takes any spec."""
    place = PLACES[kind]
    _, _, group, version = place.prefix.split("/")
    served = {
        "name": version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{place.plural}.{group}",
            # The API server guards groups under k8s.io.
            "annotations": {"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api/pull/891"},
        },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": place.plural, "singular": _SINGULAR[kind]},
            "versions": [served],
        },
    }
