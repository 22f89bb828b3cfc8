"""The listener: constant for as long as Envoy runs, so that no change of routes ever drains a connection."""

from controller.translate.envoy.access_log import access_log
from controller.translate.envoy.documents import LISTENER, Document, address, discovery_response, extension, seconds
from controller.translate.envoy.egress import egress_listener
from controller.translate.envoy.jwt import jwt_filter
from controller.translate.envoy.local_replies import local_reply_config
from controller.translate.envoy.processor import http2_windows, processor_filter
from controller.translate.envoy.routes import ROUTE_CONFIGURATION
from controller.translate.envoy.sources import file_source
from controller.translate.settings import BUFFER_BYTES, ProxySettings
from extproc.config.names import BACKEND_HEADER, MODEL_HEADERS, gateway_headers

_HTTP_CONNECTION_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def listener(settings: ProxySettings) -> Document:
    """The file for LDS."""
    resource = {
        "name": "llmroute",
        "address": _address(settings),
        "per_connection_buffer_limit_bytes": BUFFER_BYTES,
        "filter_chains": [
            {
                "filters": [
                    extension(
                        "envoy.filters.network.http_connection_manager", _HTTP_CONNECTION_MANAGER, **_http(settings)
                    )
                ]
            }
        ],
    }
    return discovery_response(LISTENER, [resource, egress_listener()])


def _address(settings: ProxySettings) -> Document:
    place = address(settings.address, settings.port)
    if settings.address == "::":
        place["socket_address"]["ipv4_compat"] = True
    return place


def _http(settings: ProxySettings) -> Document:
    return {
        "stat_prefix": "llmroute",
        "rds": {"route_config_name": ROUTE_CONFIGURATION, "config_source": file_source(settings.rds)},
        "http_filters": [
            # Before the processor, who reads what it found.
            jwt_filter(settings.ecds),
            processor_filter(),
            _without_request_trailers(),
            extension(
                "envoy.filters.http.router",
                "envoy.extensions.filters.http.router.v3.Router",
                # No x-envoy-* towards vendors and clients.
                suppress_envoy_headers=True,
            ),
        ],
        "access_log": [access_log(settings.access_log)],
        "local_reply_config": local_reply_config(settings.path_prefix),
        **_request_hygiene(),
        **_limits(settings),
    }


def _without_request_trailers() -> Document:
    """No API has any, and HTTP/2 would carry a client's key in them past the processor (seen with Envoy 1.40)."""
    return extension(
        "envoy.filters.http.header_mutation",
        "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
        mutations={
            "request_trailers_mutations": [{"remove_on_match": {"key_matcher": {"safe_regex": {"regex": ".+"}}}}]
        },
    )


def _request_hygiene() -> Document:
    """What is made of a client's request before anybody decides on it."""
    removed: list[Document] = [{"remove": name} for name in gateway_headers(BACKEND_HEADER, MODEL_HEADERS[1])]
    # Also x-envoy-retry-on and its like, by which a client inside the cluster could multiply its requests.
    removed.append({"remove_on_match": {"key_matcher": {"prefix": "x-envoy-"}}})
    return {
        "early_header_mutation_extensions": [
            extension(
                "envoy.http.early_header_mutation.header_mutation",
                "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
                mutations=removed,
            )
        ],
        # The client's address is the peer's. Vendors get neither it nor a chain of proxies; the routes remove the rest.
        "use_remote_address": True,
        "skip_xff_append": True,
        "preserve_external_request_id": True,
        "normalize_path": True,
        "merge_slashes": True,
        # Some vendors refuse a :scheme that is not how the request came to them.
        "scheme_header_transformation": {"match_upstream": True},
        # The vendor's own server header is part of its answer.
        "server_header_transformation": "PASS_THROUGH",
    }


def _limits(settings: ProxySettings) -> Document:
    return {
        "http2_protocol_options": http2_windows(),
        "common_http_protocol_options": {
            "idle_timeout": seconds(600),
            # x_llmroute_backend would pass every rule that is written for x-llmroute-backend.
            "headers_with_underscores_action": "DROP_HEADER",
        },
        "request_headers_timeout": seconds(10),
        # Up to the last byte of the body and the processor's answer to it.
        "request_timeout": seconds(300),
        "stream_idle_timeout": seconds(settings.idle_timeout_s),
    }
