"""The envelopes: typed configs, DiscoveryResponses and durations."""

from collections.abc import Mapping, Sequence
from typing import Any

from controller.translate.canonical import digest

Document = dict[str, Any]

_TYPES = "type.googleapis.com/"

CLUSTER = "envoy.config.cluster.v3.Cluster"
LISTENER = "envoy.config.listener.v3.Listener"
ROUTES = "envoy.config.route.v3.RouteConfiguration"


def typed(message: str, **fields: Any) -> Document:
    """An ``Any``: the message's type and its fields."""
    return {"@type": _TYPES + message, **fields}


def extension(name: str, message: str, **fields: Any) -> Document:
    """A named extension with its typed config."""
    return {"name": name, "typed_config": typed(message, **fields)}


def discovery_response(message: str, resources: Sequence[Mapping[str, Any]]) -> Document:
    """A file for filesystem xDS. ``version_info`` is a hash of the content, seen in Envoy's ``version_text``."""
    bodies = [typed(message, **resource) for resource in resources]
    return {"version_info": digest(bodies), "resources": bodies}


def seconds(count: float) -> str:
    """A protobuf duration."""
    return f"{count:g}s"


def address(host: str, port: int) -> Document:
    """A TCP address."""
    return {"socket_address": {"address": host, "port_value": port}}
