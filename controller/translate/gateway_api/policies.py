"""How Envoy Gateway's Envoys talk to the processor, and what they say when they know no route for its choice.

https://gateway.envoyproxy.io/docs/api/extension_types/ (#envoyextensionpolicy and #httproutefilter, read 2026-11-22).
"""

import json
from collections.abc import Sequence

from controller.translate.envoy.documents import Document
from controller.translate.grants import GATEWAY_GROUP
from controller.translate.settings import BUFFER_BYTES, MESSAGE_BYTES, GatewaySettings
from extproc.config.names import METADATA_NAMESPACE

#: Circuit breakers far above what one Envoy can do; the default of 1024 would answer 500 above it.
_MANY = 100_000

_UNROUTED = {
    "error": {
        "message": "The gateway does not know the chosen backend yet; try again.",
        "type": "server_error",
        "param": None,
        "code": "route_not_found",
    }
}


def policy_spec(route_names: Sequence[str], settings: GatewaySettings) -> Document:
    """The EnvoyExtensionPolicy's spec: the processor, on these HTTPRoutes."""
    return {
        "targetRefs": [{"group": GATEWAY_GROUP, "kind": "HTTPRoute", "name": name} for name in route_names],
        "extProc": [
            {
                "backendRefs": [_worker(port, settings) for port in settings.ports],
                "backendSettings": _connections(),
                "messageTimeout": "10s",
                "failOpen": False,
                "statusOnError": 503,
                "processingMode": {
                    "allowModeOverride": True,
                    "request": {"body": "Buffered"},
                    # Bodies of responses are asked for by the processor itself, by the kind of response.
                    "response": {
                        "attributes": ["response.code_details", "response.flags", "request.path", "xds.route_name"]
                    },
                },
                "metadata": {"writableNamespaces": [METADATA_NAMESPACE]},
            }
        ],
    }


def unrouted_spec() -> Document:
    """The HTTPRouteFilter's spec: a 503. The processor writes it anew, in the client's dialect."""
    return {
        "directResponse": {
            "statusCode": 503,
            "contentType": "application/json",
            "body": {"type": "Inline", "inline": json.dumps(_UNROUTED)},
            "header": {"set": [{"name": "retry-after", "value": "1"}]},
        }
    }


def _worker(port: int, settings: GatewaySettings) -> Document:
    return {
        "group": "",
        "kind": "Service",
        "name": settings.service,
        "namespace": settings.namespace,
        "port": port,
        "weight": 1,
    }


def _connections() -> Document:
    """As the bundled Envoy has it, as far as the policy knows the words."""
    return {
        "connection": {"bufferLimit": BUFFER_BYTES},
        "http2": {"initialStreamWindowSize": BUFFER_BYTES, "initialConnectionWindowSize": MESSAGE_BYTES},
        "circuitBreaker": {
            "maxConnections": _MANY,
            "maxPendingRequests": _MANY,
            "maxParallelRequests": _MANY,
            "maxParallelRetries": _MANY,
        },
        # Not round robin: a worker that is busy with a long translation gets less.
        "loadBalancer": {"type": "LeastRequest"},
        "healthCheck": {
            "active": {
                "type": "GRPC",
                "grpc": {},
                "interval": "1s",
                "timeout": "500ms",
                "unhealthyThreshold": 2,
                "healthyThreshold": 1,
            },
            # A dead worker is always the least loaded one.
            "panicThreshold": 0,
        },
        # A stream that has had no answer yet goes to another worker.
        "retry": {
            "numRetries": 3,
            "retryOn": {"triggers": ["connect-failure", "refused-stream", "unavailable", "cancelled", "reset"]},
            "perRetry": {"backOff": {"baseInterval": "10ms", "maxInterval": "100ms"}},
        },
        "timeout": {"tcp": {"connectTimeout": "1s"}},
    }
