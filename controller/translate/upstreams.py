"""Where a backend is: from its reference or its address to what Envoy connects to."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from controller.api.backend import ENVOY_GATEWAY_GROUP, BackendRef, Endpoint
from controller.api.findings import Finding
from controller.api.reasons import Reason
from controller.translate.grants import Grant, permits
from controller.translate.reading import ReadBackend
from controller.translate.snapshot import Snapshot
from extproc.config.errors import nearest, quoted

#: Settings of a Backend's ``tls`` that change whom we trust. Until they are honoured a Backend with one is not used at
#: all.
_UNSUPPORTED_TLS = ("caCertificateRefs", "clientCertificateRef", "insecureSkipVerify")


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
        )
        return Finding(backend.subject, "spec.backendRef.namespace", message, Reason.REF_NOT_PERMITTED)
    if ref.kind == "Service":
        assert ref.port is not None
        host = f"{ref.name}.{namespace}.svc.{snapshot.settings.cluster_domain}"
        return Upstream(((host, ref.port),), _authority(host, ref.port, None), None, many=True)
    return _gateway_backend(backend, (namespace, ref.name), snapshot)


def _gateway_backend(backend: ReadBackend, key: tuple[str, str], snapshot: Snapshot) -> Upstream | Finding:
    namespace, name = key
    target = snapshot.targets.get(key)
    if target is None:
        guess = nearest(name, [known for space, known in snapshot.targets if space == namespace])
        hint = "" if guess is None else f"; did you mean {quoted(guess)}?"
        message = f"Backend {quoted(name)} ({ENVOY_GATEWAY_GROUP}) not found in namespace {quoted(namespace)}{hint}"
        return Finding(backend.subject, "spec.backendRef.name", message, Reason.TARGET_NOT_FOUND)
    spec = target.get("spec")
    spec = spec if isinstance(spec, Mapping) else {}
    endpoints = tuple(_endpoints(spec))
    tls = spec.get("tls")
    unsupported = [word for word in _UNSUPPORTED_TLS if isinstance(tls, Mapping) and tls.get(word)]
    if not endpoints or unsupported:
        what = f"its tls.{unsupported[0]} is not supported" if unsupported else "it has no endpoint with fqdn or ip"
        message = f"Backend {quoted(name)} cannot be used: {what}"
        return Finding(backend.subject, "spec.backendRef.name", message, Reason.TARGET_UNUSABLE)
    host, port = endpoints[0]
    tls_name = _sni(tls, host) if isinstance(tls, Mapping) or port == 443 else None
    return Upstream(endpoints, _authority(host, port, tls_name), tls_name, many=len(endpoints) > 1)


def _endpoints(spec: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    listed = spec.get("endpoints")
    for endpoint in listed if isinstance(listed, list) else ():
        for form, word in (("fqdn", "hostname"), ("ip", "address")):
            match endpoint.get(form) if isinstance(endpoint, Mapping) else None:
                case {"port": int(port), **fields} if isinstance(fields.get(word), str):
                    yield str(fields[word]), port
                case _:
                    continue


def _sni(tls: Any, host: str) -> str:
    sni = tls.get("sni") if isinstance(tls, Mapping) else None
    return sni if isinstance(sni, str) else host
