"""The envelopes: typed configs, DiscoveryResponses and durations."""

from collections.abc import Mapping, Sequence
from typing import Any

from controller.translate.canonical import digest

Document = dict[str, Any]

_TYPES = "type.googleapis.com/"

CLUSTER = "envoy.config.cluster.v3.Cluster"
LISTENER = "envoy.config.listener.v3.Listener"
SDS_RESOURCE = "envoy.extensions.transport_sockets.tls.v3.Secret"
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


def found_by_name(*, each_address: bool) -> Document:
    """A cluster whose hosts are looked up in DNS.

    With ``each_address`` every address is a host of its own, as for the pods of a headless Service; without it all of
    them are the same host, as for a vendor's name with many and changing addresses.
    """
    cluster = typed(
        "envoy.extensions.clusters.dns.v3.DnsCluster",
        respect_dns_ttl=True,
        # The default prefers IPv6 addresses also where the machine has no way out over IPv6.
        dns_lookup_family="V4_PREFERRED",
        all_addresses_in_single_endpoint=not each_address,
    )
    return {"cluster_type": {"name": "envoy.clusters.dns", "typed_config": cluster}}


def seconds(count: float) -> str:
    """A protobuf duration."""
    return f"{count:g}s"


def address(host: str, port: int) -> Document:
    """A TCP address."""
    return {"socket_address": {"address": host, "port_value": port}}
