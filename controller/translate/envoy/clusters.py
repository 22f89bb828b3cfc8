"""One cluster for each backend."""

from collections.abc import Iterable, Iterator

from controller.translate.envoy.documents import (
    CLUSTER,
    Document,
    address,
    discovery_response,
    extension,
    found_by_name,
    seconds,
    typed,
)
from controller.translate.envoy.egress import proxied, through_listener
from controller.translate.envoy.processor import many_requests
from controller.translate.envoy.sources import file_source
from controller.translate.references import ResolvedBackend
from controller.translate.settings import BUFFER_BYTES, Settings
from controller.translate.upstream_tls import UpstreamTls
from controller.translate.upstreams import Upstream, is_address

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

#: Seconds that an idle connection is kept. Below what the other side keeps it, because a request on a connection that
#: is being closed is lost: cloud load balancers close after 60, uvicorn (and with it vLLM) after 5.
_IDLE_TLS_S, _IDLE_PLAIN_S = 55, 4


def clusters_response(clusters: Iterable[Document]) -> Document:
    """The file for CDS."""
    return discovery_response(CLUSTER, list(clusters))


def cluster_of(backend: ResolvedBackend, settings: Settings) -> Document:
    """The cluster of a backend that has an upstream."""
    upstream = backend.upstream
    assert upstream is not None
    cluster: Document = {
        "name": backend.keyed(backend.name),
        # What people see in the statistics.
        "alt_stat_name": backend.name,
        **_discovery(upstream),
        "lb_policy": "LEAST_REQUEST",
        "connect_timeout": seconds(10),
        "per_connection_buffer_limit_bytes": BUFFER_BYTES,
        "circuit_breakers": {"thresholds": [many_requests()]},
        # A reasoning model says nothing for minutes; firewalls and load balancers on the way forget such connections.
        "upstream_connection_options": {
            "tcp_keepalive": {"keepalive_probes": 3, "keepalive_time": 60, "keepalive_interval": 10}
        },
        "typed_extension_protocol_options": {_HTTP_OPTIONS: _http_options(upstream)},
        "load_assignment": {
            "cluster_name": backend.keyed(backend.name),
            "endpoints": [{"lb_endpoints": list(_endpoints(upstream))}],
        },
    }
    socket = None if upstream.tls_name is None else _tls(upstream.tls_name, upstream.tls, settings)
    if upstream.proxy is not None:
        socket = through_listener(socket)
    if socket is not None:
        cluster["transport_socket"] = socket
    return cluster


def _endpoints(upstream: Upstream) -> Iterator[Document]:
    for host, port in upstream.endpoints:
        if upstream.proxy is None:
            yield {"endpoint": {"address": address(host, port)}}
        else:
            yield proxied(host, port, upstream.proxy)


def _discovery(upstream: Upstream) -> Document:
    if upstream.proxy is not None or all(is_address(host) for host, _ in upstream.endpoints):
        return {"type": "STATIC"}
    return found_by_name(each_address=upstream.many)


def _http_options(upstream: Upstream) -> Document:
    """With TLS the protocol is agreed on by ALPN, without it HTTP/1.1 is what every server speaks."""
    if upstream.tls_name is None:
        protocol: Document = {"explicit_http_config": {"http_protocol_options": {}}}
        idle_s = _IDLE_PLAIN_S
    else:
        protocol = {"auto_config": {"http_protocol_options": {}, "http2_protocol_options": {}}}
        idle_s = _IDLE_TLS_S
    return typed(_HTTP_OPTIONS, common_http_protocol_options={"idle_timeout": seconds(idle_s)}, **protocol)


def _tls(name: str, tls: UpstreamTls, settings: Settings) -> Document:
    san_type, sni = ("IP_ADDRESS", {}) if is_address(name) else ("DNS", {"sni": name})
    context: Document = {}
    if tls.verify:
        given = tls.authorities
        context["validation_context"] = {
            "trusted_ca": {"filename": settings.ca_certificates} if given is None else {"inline_string": given},
            "match_typed_subject_alt_names": [{"san_type": san_type, "matcher": {"exact": name}}],
        }
    if tls.certificate is not None:
        file = tls.certificate.file
        source = file_source(f"{settings.envoy_secrets}/{file}")
        context["tls_certificate_sds_secret_configs"] = [{"name": file, "sds_config": source}]
    return extension(
        "envoy.transport_sockets.tls",
        "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        **sni,
        common_tls_context=context,
    )
