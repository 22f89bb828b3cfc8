"""The rules of HTTPRoutes: one for each key that the processor may choose, and one by which requests get to it.

Envoy Gateway runs the processor on the routes of the HTTPRoutes that its policy is for, so a request must match one of
their rules before the processor has chosen anything: the catch-all. Then Envoy looks for the route again, with the
backend's header set and the upstream's path in place. Gateway API has longer path prefixes win over more headers, so
every keyed rule also matches with the very paths of the catch-all. When there is no rule for the key yet it is the
catch-all again; it therefore leads nowhere but to a 503, because the request is written, and carries the credential,
for the one backend that was chosen.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from controller.api.backend import ENVOY_GATEWAY_GROUP
from controller.api.durations import in_seconds
from controller.translate.envoy.documents import Document
from controller.translate.envoy.routes import OF_THE_CLIENT
from controller.translate.gateway_api.backends import host_of, reference_to
from controller.translate.references import Choice, ResolvedBackend
from extproc.config.names import BACKEND_HEADER, MODEL_HEADERS, gateway_headers

#: What one HTTPRoute holds (https://gateway-api.sigs.k8s.io/reference/spec/#httprouterule, read 2026-11-22).
MAX_RULES, MAX_MATCHES, MAX_ALL_MATCHES = 16, 64, 128

_PATHS = ("/v1", "/openai", "/anthropic")


def entry_paths(path_prefix: str) -> tuple[str, ...]:
    """The prefixes of all paths that clients ask for."""
    return tuple(path_prefix + path for path in _PATHS)


def catch_all(path_prefix: str, filter_name: str) -> Document:
    """The rule by which a request meets the processor. ``filter_name``: the HTTPRouteFilter that answers 503."""
    answer = {"group": ENVOY_GATEWAY_GROUP, "kind": "HTTPRouteFilter", "name": filter_name}
    return {
        "matches": [{"path": _below(path)} for path in entry_paths(path_prefix)],
        "filters": [{"type": "ExtensionRef", "extensionRef": answer}],
    }


def keyed_rule(choice: Choice, backend: ResolvedBackend, path_prefix: str) -> Document:
    """The rule for one key: a backend, and how long it may take."""
    assert backend.upstream is not None
    header = {"type": "Exact", "name": BACKEND_HEADER, "value": backend.keyed(choice.route_key)}
    removed = [*gateway_headers(BACKEND_HEADER, MODEL_HEADERS[1]), *OF_THE_CLIENT]
    filters: list[Document] = [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": removed}}]
    if (host := host_of(backend.upstream)) is not None:
        filters.append({"type": "URLRewrite", "urlRewrite": {"hostname": host}})
    return {
        "matches": [{"path": _below(path), "headers": [header]} for path in (*entry_paths(path_prefix), "/")],
        "filters": filters,
        "backendRefs": [reference_to(backend)],
        # Envoy Gateway's own limit would be Envoy's 15 s; 0s is none.
        "timeouts": {"request": in_seconds(choice.timeout_ms or 0)},
    }


def maybe_key(rule: Mapping[str, Any]) -> str | None:
    """What ``keyed_rule`` has made a rule for; None for any other rule."""
    try:
        [header] = rule["matches"][0]["headers"]
        return str(header["value"]) if header["name"] == BACKEND_HEADER else None
    except (LookupError, TypeError, ValueError):
        return None


def shared_out(first: Document, keyed: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """All rules over as few HTTPRoutes as hold them, in their order."""
    parts: list[list[Mapping[str, Any]]] = [[first]]
    for rule in keyed:
        part = parts[-1]
        matches = sum(len(each["matches"]) for each in (*part, rule))
        # The last match that is allowed stays free: releases differ in whether it is.
        if len(part) == MAX_RULES or matches >= MAX_ALL_MATCHES:
            parts.append(part := [])
        part.append(rule)
    return parts


def _below(path: str) -> Document:
    return {"type": "PathPrefix", "value": path}
