"""What is decided outside of the resources: by flags, by the chart, by the standalone mode."""

from dataclasses import dataclass

from extproc.config.names import VERSION

#: The largest body, either way. Measured at 30 MB over HTTP/1 and HTTP/2.
BUFFER_BYTES = 50 * 1024 * 1024

#: The largest gRPC message between Envoy and the processor, either way: such a body and what stands around it.
MESSAGE_BYTES = 64 * 1024 * 1024

#: The link in a mounted volume that the kubelet swaps, with all of the volume's files behind it.
SWAPPED = "..data"

#: Silence, in seconds, after which a request is given up. Above the ten minutes after which the vendors' SDKs give up
#: themselves, because a reasoning model that is not streaming says nothing until it is done.
IDLE_TIMEOUT_S = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """For Envoy Gateway mode.

    Attributes:
        controller: by which the objects are known as ours; the operator's namespace.
        service, namespace: the processor's Service.
        ports: its ports, one for each worker of a pod; Envoy shares the load among them.
    """

    controller: str
    service: str
    namespace: str
    ports: tuple[int, ...] = (1063,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """For ``translate``.

    Attributes:
        path_prefix: stands before ``/v1`` in all paths that clients ask for; empty or ``/prefix``.
        cluster_domain: the DNS domain of the cluster's Services.
        ca_certificates: the file, on Envoy's machine, of the authorities that upstream certificates are checked
            against.
        envoy_secrets: the directory, on Envoy's machine, of ``Translation.envoy_secrets``. In a pod they share a volume
            with the file of clusters: Envoy refuses a cluster whose file is not there, and tries it again when it reads
            its clusters again, which it does when anything in that volume changes.
        idle_timeout_s: silence after which an upstream request is given up, in seconds.
        local_endpoints: whether backends may be at addresses that mean Envoy's own machine or link (loopback, and the
            metadata services of clouds); where others than its owner write backends they must not.
        own_secrets: namespace and name of the Secrets that are written, which no object may refer to.
        ambient_identities: the namespaces (``team-*`` is a pattern) whose backends may use the processor's own identity
            in a cloud, and only at that cloud's own hosts (with ``local_endpoints`` at local ones too); None: all of
            them, at any host.
        config_version: the version of the processor's configuration that is written; what only a newer one can say is
            left out, and its status says so.
        gateway: how Envoy Gateway serves the routes; None: the bundled Envoy does.
    """

    path_prefix: str = ""
    cluster_domain: str = "cluster.local"
    ca_certificates: str = "/etc/ssl/certs/ca-certificates.crt"
    envoy_secrets: str = f"/etc/envoy/config/{SWAPPED}"
    idle_timeout_s: int = IDLE_TIMEOUT_S
    local_endpoints: bool = True
    own_secrets: frozenset[tuple[str, str]] = frozenset()
    ambient_identities: tuple[str, ...] | None = None
    config_version: int = VERSION
    gateway: GatewaySettings | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxySettings:
    """For ``listener`` and ``bootstrap``: what stays the same for as long as an Envoy runs.

    Attributes:
        extproc: the addresses of the processor's workers: ``unix:///path``, ``host:port``, ``[v6]:port``. Names are
            looked up again and again and each of their addresses is an endpoint (a headless Service); they do not mix
            with paths.
        lds, rds, cds: absolute paths of three files. Their directories are watched for the swap of a ConfigMap volume.
            A fourth, ``ecds``, stands beside ``cds``.
        address, port: where clients connect.
        admin_port: Envoy's admin interface, on loopback only. 0: any free port.
        node_id: Envoy's name for itself.
        access_log: a file, or None for standard output.
        idle_timeout_s: silence after which a client's request is given up, in seconds.
        max_connections: connections from clients, above which new ones are closed at once.
        path_prefix: the same as in ``Settings``; by the path Envoy knows the client's dialect when it answers itself.
    """

    extproc: tuple[str, ...]
    lds: str
    rds: str
    cds: str
    address: str = "127.0.0.1"
    port: int = 1975
    admin_port: int = 9901
    node_id: str = "llmroute"
    access_log: str | None = None
    idle_timeout_s: int = IDLE_TIMEOUT_S
    max_connections: int = 50_000
    path_prefix: str = ""

    @property
    def ecds(self) -> str:
        """The path of the file for ECDS: as that of ``cds``, with another name. Envoy does not start without it."""
        folder, slash, name = self.cds.rpartition("/")
        return f"{folder}{slash}ecds{name[name.rfind('.') :] if '.' in name else ''}"
