"""Where a rule's requests go: a Service or a Backend that somebody has made, or a Backend made for an ``endpoint``."""

from controller.api.backend import ENVOY_GATEWAY_GROUP
from controller.api.endpoint import Endpoint, EndpointTls
from controller.translate.envoy.documents import Document
from controller.translate.gateway_api.names import GATEWAY_BACKEND, document, object_name
from controller.translate.references import ResolvedBackend
from controller.translate.settings import GatewaySettings
from controller.translate.upstreams import Upstream, is_address


def host_of(upstream: Upstream) -> str | None:
    """The Host header that an HTTPRoute can ask for: a name without a port; None for an IPv6 address.

    ``urlRewrite.hostname`` is a DNS name (https://gateway-api.sigs.k8s.io/reference/spec/#httpurlrewritefilter, read
    2026-11-22), so what is signed for an upstream has to be signed for this host.
    """
    host = upstream.authority
    if host.startswith("["):
        return None
    return host.partition(":")[0]


def reference_to(backend: ResolvedBackend) -> Document:
    """The one ``backendRefs`` entry of a backend that has an upstream."""
    spec, own = backend.read.spec, backend.read.subject.namespace
    assert spec is not None
    ref = spec.backend_ref
    if ref is None:
        return {
            "group": ENVOY_GATEWAY_GROUP,
            "kind": "Backend",
            "name": _name(backend),
            "namespace": own,
            "weight": 1,
        }
    target: Document = {
        "group": ref.group or "",
        "kind": ref.kind,
        "name": ref.name,
        "namespace": ref.namespace or own,
        "weight": 1,
    }
    return target if ref.port is None else {**target, "port": ref.port}


def maybe_backend(backend: ResolvedBackend, settings: GatewaySettings) -> Document | None:
    """The Backend of an ``endpoint``; None where there is a reference instead, or nothing that can be reached.

    Its name has the backend's fingerprint: a changed endpoint is another Backend, as it is another cluster in the
    bundled Envoy, so that no request which was written for the old one meets the new one.
    """
    spec, upstream = backend.read.spec, backend.upstream
    if spec is None or spec.endpoint is None or upstream is None:
        return None
    made: Document = {"type": "Endpoints", "endpoints": [_endpoint(host, port) for host, port in upstream.endpoints]}
    if upstream.tls_name is not None:
        made["tls"] = _tls(spec.endpoint, upstream.tls_name)
    metadata = backend.read.metadata
    uid = "" if metadata is None else metadata.uid
    return document(GATEWAY_BACKEND, backend.read.subject, uid, _name(backend), made, settings)


def _tls(endpoint: Endpoint, name: str) -> Document:
    """What is to be checked, and shown; ``translate.expressible`` says which ``endpoint`` has none."""
    # Without a name Envoy Gateway takes the Host header, which for an address is the address.
    tls: Document = {} if is_address(name) else {"sni": name}
    wanted = endpoint.tls or EndpointTls()
    tls["insecureSkipVerify"] = wanted.insecure_skip_verify
    if (authorities := wanted.ca_certificate_ref) is not None:
        tls["caCertificateRefs"] = [{"group": "", "kind": authorities.kind, "name": authorities.name}]
    elif not wanted.insecure_skip_verify:
        tls["wellKnownCACertificates"] = "System"
    if (own := wanted.client_certificate_ref) is not None:
        tls["clientCertificateRef"] = {"group": "", "kind": "Secret", "name": own.name}
        if own.namespace is not None:
            tls["clientCertificateRef"]["namespace"] = own.namespace
    return tls


def _name(backend: ResolvedBackend) -> str:
    return object_name(backend.read.subject.name, backend.fingerprint)


def _endpoint(host: str, port: int) -> Document:
    if is_address(host):
        return {"ip": {"address": host, "port": port}}
    return {"fqdn": {"hostname": host, "port": port}}
