"""Where a backend is: from its reference or its address to what Envoy connects to."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from controller.api.backend import ENVOY_GATEWAY_GROUP, BackendRef
from controller.api.endpoint import Endpoint
from controller.api.findings import Finding, Subject
from controller.api.reasons import Reason
from controller.translate.foreign_backends import UnusableBackend, read_foreign_backend
from controller.translate.grants import Grant, permits
from controller.translate.reading import ReadBackend
from controller.translate.services import open_ports
from controller.translate.snapshot import Snapshot
from controller.translate.upstream_tls import UpstreamTls, read_tls
from extproc.config.errors import nearest, quoted

#: The names under which machines know themselves and clouds their metadata service
#: (https://cloud.google.com/compute/docs/metadata/querying-metadata, 2026-11-23; ``instance-data`` is Amazon's).
_LOCAL_NAMES = frozenset(
    {
        "localhost",
        "localhost.localdomain",
        "localhost4",
        "localhost6",
        "ip6-localhost",
        "ip6-loopback",
        "metadata",
        "metadata.goog",
        "metadata.google.internal",
        "instance-data",
        "instance-data.ec2.internal",
    }
)
#: Addresses of IPv6 that end in one of IPv4: a translator's (RFC 6052, RFC 8215), and the old compatible ones.
_WRAPPING = tuple(map(IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::/96")))
#: Those of AWS, Azure's wire server and Alibaba, which no rule about addresses covers
#: (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html, 2026-11-23).
_METADATA_ADDRESSES = frozenset(map(ip_address, ("fd00:ec2::254", "fd20:ce::254", "168.63.129.16", "100.100.100.200")))


@dataclass(frozen=True, slots=True)
class Upstream:
    """What Envoy connects to.

    Attributes:
        endpoints: host names or IP addresses, with ports; at least one.
        authority: the Host header, with the port where it is not the scheme's own.
        tls_name: the name or address that the certificate must be for; None without TLS.
        many: each address behind a name is an endpoint of its own (the pods of a headless Service).
        tls: what differs from the usual where there is TLS.
        proxy: host and port of the HTTP proxy that connections are made through.
    """

    endpoints: tuple[tuple[str, int], ...]
    authority: str
    tls_name: str | None
    many: bool = False
    tls: UpstreamTls = field(default_factory=UpstreamTls)
    proxy: tuple[str, int] | None = None

    @property
    def traits(self) -> tuple[str, ...]:
        """What else tells it from another at the same place, less the contents of certificates; usually nothing."""
        told = [f"proxy {self.proxy}"] if self.proxy is not None else []
        told += [] if self.tls.verify else ["unchecked"]
        told += [] if self.tls.certificate is None else [self.tls.certificate.file]
        return tuple(told)

    @property
    def target(self) -> str:
        """``host:port``, for people."""
        (host, port), *others = self.endpoints
        more = f" and {len(others)} more" if others else ""
        return f"{bracketed(host)}:{port}{more}"


def upstream_of(backend: ReadBackend, snapshot: Snapshot) -> Upstream | Finding | None:
    """The upstream, the reason why there is none, or None for a backend that is not valid anyway."""
    upstream = _upstream_of(backend, snapshot)
    if not isinstance(upstream, Upstream) or snapshot.settings.local_endpoints:
        return upstream
    by_address = backend.spec is not None and backend.spec.endpoint is not None
    if upstream.proxy is not None and is_local(upstream.proxy[0]):
        host, path = upstream.proxy[0], "spec.endpoint.proxy.hostname"
    elif found := [host for host, _ in upstream.endpoints if is_local(host)]:
        host, path = found[0], "spec.endpoint.hostname" if by_address else "spec.backendRef.name"
    else:
        return upstream
    message = f"{quoted(host)} is on Envoy's own machine or link, where this cluster's backends may not be"
    return Finding(backend.subject, path, message, Reason.TARGET_NOT_PERMITTED)


def _upstream_of(backend: ReadBackend, snapshot: Snapshot) -> Upstream | Finding | None:
    if backend.spec is None:
        return None
    if backend.spec.endpoint is not None:
        return _by_address(backend.subject, backend.spec.endpoint, snapshot)
    assert backend.spec.backend_ref is not None
    return _by_reference(backend, backend.spec.backend_ref, snapshot)


def is_address(host: str) -> bool:
    """Whether a host is an IP address and not a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_local(host: str) -> bool:
    """Whether a host means the machine or the link of whoever connects, as far as its name tells.

    A name of somebody's own that leads there is not seen: what Envoy may reach is for the network to say.
    """
    try:
        found = ip_address(host)
    except ValueError:
        name = host.lower().rstrip(".")
        return name in _LOCAL_NAMES or name.endswith((".localhost", ".localdomain"))
    return any(
        one.is_loopback or one.is_link_local or one.is_unspecified or one in _METADATA_ADDRESSES
        for one in _with_wrapped(found)
    )


def _with_wrapped(address: IPv4Address | IPv6Address) -> Iterator[IPv4Address | IPv6Address]:
    """An address, and the one of IPv4 that it may lead to."""
    yield address
    if isinstance(address, IPv6Address):
        yield from filter(None, (address.ipv4_mapped, address.sixtofour))
        if any(address in network for network in _WRAPPING):
            yield IPv4Address(int(address) & 0xFFFFFFFF)


def bracketed(host: str) -> str:
    """A host as it stands before a port."""
    return f"[{host}]" if ":" in host else host


def _by_address(subject: Subject, endpoint: Endpoint, snapshot: Snapshot) -> Upstream:
    tls = read_tls(subject, endpoint, snapshot)
    host, port, proxy = endpoint.hostname, endpoint.port, endpoint.proxy
    tls_name = None
    if endpoint.uses_tls:
        tls_name = (endpoint.tls.sni if endpoint.tls is not None else None) or host
    return Upstream(
        ((host, port),),
        _authority(host, port, tls_name),
        tls_name,
        tls=tls,
        proxy=None if proxy is None else (proxy.hostname, proxy.port),
    )


def _authority(host: str, port: int, tls_name: str | None) -> str:
    usual = 80 if tls_name is None else 443
    return bracketed(host) if port == usual else f"{bracketed(host)}:{port}"


def _by_reference(backend: ReadBackend, ref: BackendRef, snapshot: Snapshot) -> Upstream | Finding:
    own = backend.subject.namespace
    namespace = ref.namespace or own
    group = ref.group or ""
    if namespace != own and not permits(snapshot.grants, Grant(own, namespace, group, ref.kind, ref.name)):
        message = (
            f"{ref.kind} {quoted(ref.name)} is in namespace {quoted(namespace)}, "
            f"and no ReferenceGrant there lets LLMBackends of {quoted(own)} refer to it"
            f"{snapshot.blindness('ReferenceGrant', namespace)}"
        )
        return Finding(backend.subject, "spec.backendRef.namespace", message, Reason.REF_NOT_PERMITTED)
    if ref.kind == "Service":
        assert ref.port is not None
        if (fault := _service_fault(backend, (namespace, ref.name), ref.port, snapshot)) is not None:
            return fault
        host = f"{ref.name}.{namespace}.svc.{snapshot.settings.cluster_domain}"
        return Upstream(((host, ref.port),), _authority(host, ref.port, None), None, many=True)
    return _gateway_backend(backend, (namespace, ref.name), snapshot)


def _service_fault(backend: ReadBackend, key: tuple[str, str], port: int, snapshot: Snapshot) -> Finding | None:
    """Why nothing would answer there; None also where nothing is known of Services."""
    namespace, name = key
    if (known := snapshot.services.get(namespace)) is None:
        return None
    service = known.get(name)
    if service is None:
        guess = nearest(name, list(known))
        hint = "" if guess is None else f"; did you mean {quoted(guess)}?"
        message = f"Service {quoted(name)} not found in namespace {quoted(namespace)}{hint}"
        return Finding(backend.subject, "spec.backendRef.name", message, Reason.TARGET_NOT_FOUND)
    ports = open_ports(service)
    if ports is None or port in ports:
        return None
    shown = ", ".join(map(str, sorted(ports))) or "none"
    message = f"Service {quoted(name)} in namespace {quoted(namespace)} has no port {port}; it has {shown}"
    return Finding(backend.subject, "spec.backendRef.port", message, Reason.TARGET_UNUSABLE)


def _gateway_backend(backend: ReadBackend, key: tuple[str, str], snapshot: Snapshot) -> Upstream | Finding:
    namespace, name = key
    target = snapshot.targets.get(key)
    if target is None:
        guess = nearest(name, [known for space, known in snapshot.targets if space == namespace])
        hint = "" if guess is None else f"; did you mean {quoted(guess)}?"
        message = f"Backend {quoted(name)} ({ENVOY_GATEWAY_GROUP}) not found in namespace {quoted(namespace)}{hint}"
        message += snapshot.blindness("Backend", namespace)
        return Finding(backend.subject, "spec.backendRef.name", message, Reason.TARGET_NOT_FOUND)
    try:
        read = read_foreign_backend(target)
    except UnusableBackend as unusable:
        message = f"Backend {quoted(name)} cannot be used: {unusable}"
        return Finding(backend.subject, "spec.backendRef.name", message, Reason.TARGET_UNUSABLE)
    host, port = read.endpoints[0]
    tls_name = (read.sni or host) if read.tls or port == 443 else None
    return Upstream(read.endpoints, _authority(host, port, tls_name), tls_name, many=len(read.endpoints) > 1)
