"""The ext_proc filter, and the cluster of the processor's workers."""

from ipaddress import ip_address

from controller.translate.envoy.documents import Document, address, extension, seconds, typed
from controller.translate.settings import BUFFER_BYTES, MESSAGE_BYTES
from extproc.config.names import METADATA_NAMESPACE, VERIFIED_NAMESPACE

#: The cluster's name. No backend can have it: theirs have a slash.
EXTPROC_CLUSTER = "llmroute-extproc"

_UNIX = "unix://"
_RETRY_ON = "connect-failure,refused-stream,unavailable,cancelled,reset"


def processor_filter() -> Document:
    """The filter. Response bodies are asked for by the processor itself, in its answer to the response's headers."""
    return extension(
        "envoy.filters.http.ext_proc",
        "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor",
        stat_prefix="llmroute",
        grpc_service=_grpc_service(),
        failure_mode_allow=False,
        status_on_error={"code": "ServiceUnavailable"},
        message_timeout=seconds(10),
        processing_mode={
            "request_header_mode": "SEND",
            "request_body_mode": "BUFFERED",
            "request_trailer_mode": "SKIP",
            "response_header_mode": "SEND",
            "response_body_mode": "NONE",
            "response_trailer_mode": "SKIP",
        },
        allow_mode_override=True,
        mutation_rules={
            "allow_all_routing": False,
            "allow_envoy": False,
            "disallow_system": False,
            "disallow_all": False,
            "disallow_is_error": False,
        },
        response_attributes=["response.code_details", "response.flags", "request.path", "xds.route_name"],
        metadata_options={
            "receiving_namespaces": {"untyped": [METADATA_NAMESPACE]},
            "forwarding_namespaces": {"untyped": [VERIFIED_NAMESPACE]},
        },
    )


def _grpc_service() -> Document:
    """Retries go to another worker: without ``previous_hosts`` 14 of 60 requests failed with 2 of 3 workers dead."""
    return {
        "envoy_grpc": {"cluster_name": EXTPROC_CLUSTER, "max_receive_message_length": MESSAGE_BYTES},
        "retry_policy": {
            "num_retries": 3,
            "retry_on": _RETRY_ON,
            "retry_back_off": {"base_interval": "0.010s", "max_interval": "0.100s"},
            "retry_host_predicate": [
                extension(
                    "envoy.retry_host_predicates.previous_hosts",
                    "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
                )
            ],
            "host_selection_retry_max_attempts": 5,
        },
    }


def processor_cluster(workers: tuple[str, ...]) -> Document:
    """The workers' cluster. It belongs into the bootstrap: a change of it cuts every stream in flight.

    Raises ``ValueError`` for an address that cannot be read, or when paths and names are mixed.
    """
    places = [_place(worker) for worker in workers]
    if not places:
        raise ValueError("extproc: at least one worker address is needed")
    names = [worker for worker, (_, is_name) in zip(workers, places, strict=True) if is_name]
    if names and any(worker.startswith(_UNIX) for worker in workers):
        raise ValueError(f"extproc: {names[0]!r} must be looked up, which does not go together with unix:// addresses")
    return {
        "name": EXTPROC_CLUSTER,
        **(_found_by_name() if names else {"type": "STATIC"}),
        "connect_timeout": seconds(1),
        # Not round robin: a worker that is busy with a long translation gets less.
        "lb_policy": "LEAST_REQUEST",
        # A dead worker is always the least loaded one; without this Envoy goes back to it when half of them are down.
        # A worker that is back is used at once; by default its return may wait a second for company.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}, "update_merge_window": "0s"},
        "per_connection_buffer_limit_bytes": BUFFER_BYTES,
        # Each request is a stream for as long as it lasts; the default of 1024 would answer 500 above it.
        "circuit_breakers": {"thresholds": [many_requests()]},
        "health_checks": [
            {
                "timeout": "0.5s",
                "interval": seconds(1),
                "no_traffic_interval": seconds(1),
                # A check that a crash cuts short is tried again at once: with one worker, a single failure would send
                # everybody away although another process accepts on the same socket milliseconds later.
                "unhealthy_interval": "0.1s",
                "unhealthy_edge_interval": "0.1s",
                "unhealthy_threshold": 2,
                "healthy_threshold": 1,
                "grpc_health_check": {},
            }
        ],
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": typed(
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                explicit_http_config={"http2_protocol_options": http2_windows()},
            )
        },
        "load_assignment": {
            "cluster_name": EXTPROC_CLUSTER,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": place}} for place, _ in places]}],
        },
    }


def _found_by_name() -> Document:
    """Every address is a worker. Asked for each second, whatever the DNS says of how long its answers may be kept.

    A cluster's DNS often says 30 s. Envoy would not know a new pod for so long, and send everybody away when the pods
    that it knows have gone. A DNS that keeps its answers for itself makes that no better: for it pods have to wait.
    """
    cluster = typed(
        "envoy.extensions.clusters.dns.v3.DnsCluster",
        respect_dns_ttl=False,
        dns_refresh_rate=seconds(1),
        dns_jitter="0.250s",
        # The default prefers IPv6 addresses also where the machine has no way out over IPv6.
        dns_lookup_family="V4_PREFERRED",
    )
    return {"cluster_type": {"name": "envoy.clusters.dns", "typed_config": cluster}}


def many_requests() -> Document:
    """Circuit breakers far above what one Envoy can do, so that they never are the limit."""
    return {
        "priority": "DEFAULT",
        "max_connections": 100_000,
        "max_pending_requests": 100_000,
        "max_requests": 100_000,
        "max_retries": 100_000,
    }


def http2_windows() -> Document:
    """HTTP/2 windows that let a whole body through: with the defaults 16 MiB are the end, whatever the buffers are."""
    return {"initial_stream_window_size": BUFFER_BYTES, "initial_connection_window_size": MESSAGE_BYTES}


def _place(worker: str) -> tuple[Document, bool]:
    """An Envoy address, and whether it has to be looked up."""
    if worker.startswith(_UNIX):
        return {"pipe": {"path": worker.removeprefix(_UNIX)}}, False
    host, colon, port = worker.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise ValueError(f"extproc: {worker!r} is neither unix:///path nor host:port")
    host = host.removeprefix("[").removesuffix("]")
    return address(host, int(port)), not _is_ip(host)


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
