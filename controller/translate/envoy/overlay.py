"""Envoy's files in parts, so that what is no longer wanted can stay for as long as somebody may still use it."""

from collections.abc import Collection, Mapping
from typing import Any

from controller.translate.canonical import digest
from controller.translate.envoy.documents import Document
from controller.translate.envoy.jwt import extensions_response, providers_in

#: ``("cluster", name)``, ``("route", name)`` or ``("provider", name)``.
Part = tuple[str, str]

_CLUSTER, _ROUTE, _PROVIDER = "cluster", "route", "provider"


def parts_of(rds: Mapping[str, Any], cds: Mapping[str, Any], ecds: Mapping[str, Any]) -> dict[Part, Document]:
    """The clusters, routes and token providers of three files.

    Raises ``LookupError`` or ``TypeError`` when they are not ours.
    """
    parts: dict[Part, Document] = {(_CLUSTER, str(cluster["name"])): cluster for cluster in cds["resources"]}
    parts |= {(_ROUTE, str(route["name"])): route for route in _host(rds)["routes"]}
    parts |= {(_PROVIDER, name): provider for name, provider in providers_in(ecds).items()}
    return parts


def overlaid(
    rds: Document, cds: Document, ecds: Document, others: Mapping[Part, Document], keep: Collection[Part]
) -> tuple[Document, Document, Document]:
    """The three files with those of ``others`` that are to be kept; where a name is in both, the file's counts."""
    wanted = parts_of(rds, cds, ecds)
    if not (extra := {part: others[part] for part in keep if part not in wanted}):
        return rds, cds, ecds
    everything = wanted | extra
    [table] = rds["resources"]
    host = {**_host(rds), "routes": _in_order(everything, _ROUTE)}
    return (
        _response([{**table, "virtual_hosts": [host]}]),
        _response(_in_order(everything, _CLUSTER)),
        extensions_response({name: provider for (kind, name), provider in everything.items() if kind == _PROVIDER}),
    )


def _host(rds: Mapping[str, Any]) -> Document:
    host: Document = rds["resources"][0]["virtual_hosts"][0]
    return host


def _in_order(parts: Mapping[Part, Document], kind: str) -> list[Document]:
    return [parts[part] for part in sorted(parts) if part[0] == kind]


def _response(resources: list[Document]) -> Document:
    return {"version_info": digest(resources), "resources": resources}
