"""Where a backend is: from its reference or its address to what Envoy connects to."""

from dataclasses import dataclass
from ipaddress import ip_address

from controller.api.backend import ENVOY_GATEWAY_GROUP, BackendRef, Endpoint
from controller.api.findings import Finding
from controller.api.reasons import Reason
from controller.translate.foreign_backends import UnusableBackend, read_foreign_backend
from controller.translate.grants import Grant, permits
from controller.translate.reading import ReadBackend
from controller.translate.services import open_ports
from controller.translate.snapshot import Snapshot
from extproc.config.errors import nearest, quoted


@dataclass(frozen=True, slots=True)
class Upstream:
    """What Envoy connects to.

    Attributes:
        endpoints: host names or IP addresses, with ports; at least one.
        authority: the Host header, with the port where it is not the scheme's own.
        tls_name: the name or address that the certificate must be for; None without TLS.
        many: each address behind a name is an endpoint of its own (the pods of a headless Service).
    """

    endpoints: tuple[tuple[str, int], ...]
    authority: str
    tls_name: str | None
    many: bool = False

    @property
    def target(self) -> str:
        """``host:port``, for people."""
        (host, port), *others = self.endpoints
        more = f" and {len(others)} more" if others else ""
        return f"{bracketed(host)}:{port}{more}"


def upstream_of(backend: ReadBackend, snapshot: Snapshot) -> Upstream | Finding | None:
    """The upstream, the reason why there is none, or None for a backend that is not valid anyway."""
    if backend.spec is None:
        return None
    if backend.spec.endpoint is not None:
        return _by_address(backend.spec.endpoint)
    assert backend.spec.backend_ref is not None
    return _by_reference(backend, backend.spec.backend_ref, snapshot)


def is_address(host: str) -> bool:
    """Whether a host is an IP address and not a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def bracketed(host: str) -> str:
    """A host as it stands before a port."""
    return f"[{host}]" if ":" in host else host


def _by_address(endpoint: Endpoint) -> Upstream:
    tls_name = endpoint.hostname if endpoint.uses_tls else None
    return Upstream(
        ((endpoint.hostname, endpoint.port),), _authority(endpoint.hostname, endpoint.port, tls_name), tls_name
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
            f"{_blindness('ReferenceGrant', namespace, snapshot)}"
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
        message += _blindness("Backend", namespace, snapshot)
        return Finding(backend.subject, "spec.backendRef.name", message, Reason.TARGET_NOT_FOUND)
    try:
        read = read_foreign_backend(target)
    except UnusableBackend as unusable:
        message = f"Backend {quoted(name)} cannot be used: {unusable}"
        return Finding(backend.subject, "spec.backendRef.name", message, Reason.TARGET_UNUSABLE)
    host, port = read.endpoints[0]
    tls_name = (read.sni or host) if read.tls or port == 443 else None
    return Upstream(read.endpoints, _authority(host, port, tls_name), tls_name, many=len(read.endpoints) > 1)


def _blindness(kind: str, namespace: str, snapshot: Snapshot) -> str:
    """What to add when an object is missing of which nothing could be known."""
    why = snapshot.unread.get(kind) or snapshot.unread.get(f"{kind}/{namespace}")
    return "" if why is None else f"; {why}"
