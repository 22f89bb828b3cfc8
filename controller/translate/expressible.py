"""What cannot be said to Envoy Gateway. What asks for it is not served, rather than served otherwise.

https://gateway.envoyproxy.io/docs/api/extension_types/#backend (read 2026-11-22).
"""

from controller.api.findings import Finding
from controller.api.reasons import Reason
from controller.translate.reading import ReadBackend, ReadRoute

#: The key of a ConfigMap or Secret that Envoy Gateway reads certificates of authorities from.
_CA_KEY = "ca.crt"


def maybe_inexpressible(backend: ReadBackend) -> Finding | None:
    """The first thing that an ``endpoint`` asks for and a Backend cannot say; None when there is nothing."""
    endpoint = None if backend.spec is None else backend.spec.endpoint
    if endpoint is None:
        return None
    if endpoint.proxy is not None:
        return _fault(backend, "spec.endpoint.proxy", "connections through a proxy")
    authorities = None if endpoint.tls is None else endpoint.tls.ca_certificate_ref
    if authorities is not None and authorities.namespace not in {None, backend.subject.namespace}:
        return _fault(backend, "spec.endpoint.tls.caCertificateRef.namespace", "authorities of another namespace")
    if authorities is not None and authorities.key not in {None, _CA_KEY}:
        return _fault(backend, "spec.endpoint.tls.caCertificateRef.key", f"a key other than {_CA_KEY}")
    return None


def maybe_unverifiable(route: ReadRoute) -> Finding | None:
    """That a route asks for tokens, which nobody verifies there, so that nobody gets in by one."""
    door = None if route.spec is None else route.spec.client_auth
    if door is None or door.jwt is None:
        return None
    message = "tokens are verified by the bundled Envoy alone, and in Envoy Gateway mode none lets anybody in"
    return Finding(route.subject, "spec.clientAuth.jwt", message, Reason.NOT_EXPRESSIBLE)


def _fault(backend: ReadBackend, path: str, what: str) -> Finding:
    return Finding(backend.subject, path, f"Envoy Gateway has no words for {what}", Reason.NOT_EXPRESSIBLE)
