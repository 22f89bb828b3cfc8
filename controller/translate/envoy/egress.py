"""The way out through an HTTP proxy.

A connection to such an upstream is made to a listener inside of Envoy, which opens a tunnel by CONNECT and passes
bytes: TLS is spoken through it, with the upstream. That listener is one and constant: each host carries in its metadata
where the tunnel leads and through which proxy (Envoy 1.40, run 2026-11-23). The proxy is a cluster of its own, so that
its name is looked up as any other, and the upstream's name by the proxy.
"""

from collections.abc import Iterable

from controller.translate.envoy.documents import Document, address, extension, found_by_name, seconds
from controller.translate.envoy.processor import many_requests
from controller.translate.upstreams import Upstream, bracketed, is_address

_LISTENER = "llmroute-egress"
_METADATA = "llmroute.proxy"


def egress_extension() -> Document:
    """For the bootstrap: without it Envoy has no listeners inside."""
    return extension(
        "envoy.bootstrap.internal_listener", "envoy.extensions.bootstrap.internal_listener.v3.InternalListener"
    )


def egress_listener() -> Document:
    """The listener inside of Envoy."""
    return {
        "name": _LISTENER,
        "internal_listener": {},
        "filter_chains": [
            {
                "filters": [
                    extension(
                        "envoy.filters.network.set_filter_state",
                        "envoy.extensions.filters.network.set_filter_state.v3.Config",
                        on_new_connection=[
                            {
                                "object_key": "envoy.tcp_proxy.cluster",
                                "format_string": {"text_format_source": {"inline_string": _told("cluster")}},
                            }
                        ],
                    ),
                    extension(
                        "envoy.filters.network.tcp_proxy",
                        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                        stat_prefix=_LISTENER,
                        # Never used: the filter before this one names another.
                        cluster=_LISTENER,
                        # A tunnel of a silent reasoning model must outlive its request's own limits.
                        idle_timeout=seconds(3600),
                        tunneling_config={"hostname": _told("target")},
                    ),
                ]
            }
        ],
    }


def proxied(host: str, port: int, proxy: tuple[str, int]) -> Document:
    """An endpoint that is reached through a proxy; the proxy looks up its name."""
    target = f"{bracketed(host)}:{port}"
    return {
        "endpoint": {"address": {"envoy_internal_address": {"server_listener_name": _LISTENER, "endpoint_id": target}}},
        "metadata": {"filter_metadata": {_METADATA: {"cluster": _name(proxy), "target": target}}},
    }


def through_listener(inner: Document | None) -> Document:
    """The transport socket of such a cluster; ``inner``: its TLS."""
    plain = extension(
        "envoy.transport_sockets.raw_buffer", "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"
    )
    return extension(
        "envoy.transport_sockets.internal_upstream",
        "envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport",
        passthrough_metadata=[{"kind": {"host": {}}, "name": _METADATA}],
        transport_socket=inner or plain,
    )


def proxy_clusters(upstreams: Iterable[Upstream]) -> list[Document]:
    """One cluster for each proxy that any of these is reached through, by their names."""
    proxies = sorted({upstream.proxy for upstream in upstreams if upstream.proxy is not None})
    return [_cluster(proxy) for proxy in proxies]


def _cluster(proxy: tuple[str, int]) -> Document:
    host, port = proxy
    return {
        "name": _name(proxy),
        **({"type": "STATIC"} if is_address(host) else found_by_name(each_address=False)),
        "connect_timeout": seconds(10),
        "circuit_breakers": {"thresholds": [many_requests()]},
        "upstream_connection_options": {
            "tcp_keepalive": {"keepalive_probes": 3, "keepalive_time": 60, "keepalive_interval": 10}
        },
        "load_assignment": {
            "cluster_name": _name(proxy),
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(host, port)}}]}],
        },
    }


def _name(proxy: tuple[str, int]) -> str:
    """No backend can have it: theirs have a slash."""
    return f"proxy {bracketed(proxy[0])}:{proxy[1]}"


def _told(key: str) -> str:
    return f"%DYNAMIC_METADATA({_METADATA}:{key})%"
