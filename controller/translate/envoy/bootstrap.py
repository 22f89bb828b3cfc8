"""What Envoy starts with, and what never changes while it runs."""

from controller.translate.envoy.documents import Document, address, extension
from controller.translate.envoy.egress import egress_extension
from controller.translate.envoy.processor import processor_cluster
from controller.translate.envoy.sources import file_source
from controller.translate.settings import ProxySettings


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
