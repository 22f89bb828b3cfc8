"""Routes: keyed by the header that the processor sets, and by nothing else.

What a rule asks of Envoy beside its backend, today a time limit, is part of the key (``team-a/openai;timeout=30s``), so
that the table grows with the backends and not with the rules; and so is a digest of what the upstream is, so that a
changed one is another route (``ResolvedBackend.keyed``). There is no catch-all: a backend that Envoy does not know yet
is a ``route_not_found``, which the processor turns into a 503 in the client's dialect.
"""

from collections.abc import Iterable, Mapping
from operator import itemgetter

from controller.api.durations import in_seconds
from controller.translate.envoy.documents import ROUTES, Document, discovery_response, extension, seconds
from controller.translate.references import Choice, ResolvedBackend
from extproc.config.names import BACKEND_HEADER, MODEL_HEADERS, gateway_headers

ROUTE_CONFIGURATION = "llmroute"

#: Added by Envoy or by proxies in front of it, about who and where the client is: none of a vendor's business.
OF_THE_CLIENT = (
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "forwarded",
    "via",
    "x-real-ip",
    "x-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "x-envoy-external-address",
    "x-envoy-internal",
)


def routes_response(routes: Iterable[Document]) -> Document:
    """The file for RDS."""
    resource = {
        "name": ROUTE_CONFIGURATION,
        "virtual_hosts": [
            {
                "name": "llmroute",
                "domains": ["*"],
                "request_headers_to_remove": [*gateway_headers(BACKEND_HEADER, MODEL_HEADERS[1]), *OF_THE_CLIENT],
                "retry_policy": _retries(),
                "routes": list(routes),
            }
        ],
    }
    return discovery_response(ROUTES, [resource])


def routes_of(
    choices: Iterable[Choice], backends: Mapping[str, ResolvedBackend], idle_timeout_s: int
) -> list[Document]:
    """One route for each key in use, and one for each backend by itself, in the order of their names."""
    limits: dict[str, tuple[str, int | None]] = {
        name: (name, None) for name, backend in backends.items() if backend.is_reached
    }
    limits |= {
        choice.route_key: (choice.backend, choice.timeout_ms)
        for choice in choices
        if backends[choice.backend].is_reached
    }
    routes = [_route(key, backends[name], timeout_ms, idle_timeout_s) for key, (name, timeout_ms) in limits.items()]
    return sorted(routes, key=itemgetter("name"))


def _route(key: str, backend: ResolvedBackend, timeout_ms: int | None, idle_timeout_s: int) -> Document:
    assert backend.upstream is not None
    key = backend.keyed(key)
    return {
        "name": key,
        "match": {"prefix": "/", "headers": [{"name": BACKEND_HEADER, "string_match": {"exact": key}}]},
        "route": {
            "cluster": backend.keyed(backend.name),
            "host_rewrite_literal": backend.upstream.authority,
            # 0s: no limit. Envoy's default of 15 s would cut most long answers.
            "timeout": in_seconds(timeout_ms or 0),
            # A limit that somebody chose is not undercut by the one on silence.
            "idle_timeout": seconds(max(idle_timeout_s, -(-(timeout_ms or 0) // 1000))),
        },
    }


def _retries() -> Document:
    """Only what certainly never reached the upstream is tried again: a second call would be paid for twice."""
    return {
        "retry_on": "connect-failure,refused-stream,reset-before-request",
        "num_retries": 2,
        "retry_host_predicate": [
            extension(
                "envoy.retry_host_predicates.previous_hosts",
                "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
            )
        ],
        "host_selection_retry_max_attempts": 3,
    }
