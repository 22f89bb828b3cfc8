"""What Envoy starts with, and what never changes while it runs."""

from typing import Any

from controller.translate.envoy.documents import Document, address, extension
from controller.translate.envoy.egress import egress_extension
from controller.translate.envoy.processor import processor_cluster
from controller.translate.envoy.sources import file_source
from controller.translate.settings import ProxySettings

_HEAP = "envoy.resource_monitors.fixed_heap"


def bootstrap(settings: ProxySettings) -> Document:
    """Envoy's ``-c`` file. Run it with ``--reject-unknown-dynamic-fields``: else a misspelt field empties the routes.

    Raises ``ValueError`` for addresses and paths that cannot be used.
    """
    return {
        "node": {"id": settings.node_id, "cluster": "llmroute"},
        "admin": {"address": address("127.0.0.1", settings.admin_port)},
        "static_resources": {"clusters": [processor_cluster(settings.extproc)]},
        "dynamic_resources": {"lds_config": file_source(settings.lds), "cds_config": file_source(settings.cds)},
        "bootstrap_extensions": [egress_extension()],
        "overload_manager": {
            "resource_monitors": [
                extension(
                    "envoy.resource_monitors.global_downstream_max_connections",
                    "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                    max_active_downstream_connections=settings.max_connections,
                )
            ]
        },
    }


def heap_guard(limit_bytes: Any) -> Document:
    """What ``overload_manager`` needs besides, so that Envoy refuses requests rather than is killed with all of them.

    ``limit_bytes``: of its heap. Whole bodies are held in it, so a few large ones decide: one of 45 MB takes 95 MiB.
    From 85 % new requests are answered with 503. Those under way go on growing, for which the rest is; from 90 % on
    the largest of them are to be cut, which with HTTP/1.1 was never seen to happen.
    """
    return {
        # A body of 45 MB comes within a second, which is how often Envoy looks by default.
        "refresh_interval": "0.100s",
        "resource_monitors": [
            extension(
                _HEAP,
                "envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
                max_heap_size_bytes=limit_bytes,
            )
        ],
        "actions": [
            _action("shrink_heap", {"threshold": {"value": 0.75}}),
            _action("stop_accepting_requests", {"threshold": {"value": 0.85}}),
            _action("reset_high_memory_stream", {"scaled": {"scaling_threshold": 0.9, "saturation_threshold": 1.0}}),
        ],
        # Streams that hold less than a MiB are not worth the search.
        "buffer_factory_config": {"minimum_account_to_track_power_of_two": 20},
    }


def _action(name: str, when: Document) -> Document:
    return {"name": f"envoy.overload_actions.{name}", "triggers": [{"name": _HEAP, **when}]}
