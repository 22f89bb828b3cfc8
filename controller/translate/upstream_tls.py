"""TLS towards an upstream as its owner wants it: other authorities, a certificate of ours, or no check at all."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from controller.api.endpoint import AuthorityRef, CertificateRef, Endpoint
from controller.api.findings import Finding, Subject
from controller.api.reasons import Reason
from controller.api.secrets import SecretRef
from controller.translate.canonical import file_name
from controller.translate.certificates import Unusable, read_authorities, read_chain, read_key
from controller.translate.envoy.documents import SDS_RESOURCE, discovery_response
from controller.translate.secret_references import Asking, secret_data, secret_value
from controller.translate.secrets import Place
from controller.translate.snapshot import Snapshot
from extproc.config.errors import quoted

_CA_KEY, _CERTIFICATE_KEY, _KEY_KEY = "ca.crt", "tls.crt", "tls.key"
_CA_PATH = "spec.endpoint.tls.caCertificateRef"
_CERTIFICATE_PATH = "spec.endpoint.tls.clientCertificateRef"


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A file for Envoy's secret discovery: ``file`` its name, and that of the secret in it, ``content`` its bytes."""

    file: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class UpstreamTls:
    """What differs from the usual.

    Attributes:
        verify: whether the upstream's certificate is checked.
        authorities: certificates in PEM that it is checked against; None: those of the system.
        certificate: what is shown to the upstream.
        fault: why the rest does not say how to speak to the upstream: nobody must, until that is mended.
    """

    verify: bool = True
    authorities: str | None = None
    certificate: ClientCertificate | None = None
    fault: Finding | None = None


def read_tls(subject: Subject, endpoint: Endpoint, snapshot: Snapshot) -> UpstreamTls:
    """What an endpoint's ``tls`` comes to, with what it refers to."""
    tls = endpoint.tls
    if tls is None or not tls.enabled:
        return UpstreamTls()
    authorities = _maybe_authorities(subject, tls.ca_certificate_ref, snapshot)
    if isinstance(authorities, Finding):
        return UpstreamTls(fault=authorities)
    certificate = _maybe_certificate(subject, tls.client_certificate_ref, snapshot)
    if isinstance(certificate, Finding):
        return UpstreamTls(fault=certificate)
    return UpstreamTls(not tls.insecure_skip_verify, authorities, certificate)


def tls_places(namespace: str, endpoint: Endpoint) -> Iterator[Place]:
    """The Secrets and ConfigMaps that an endpoint's ``tls`` refers to."""
    tls = endpoint.tls
    if tls is None:
        return
    if (ref := tls.ca_certificate_ref) is not None:
        yield ref.kind, ref.namespace or namespace, ref.name
    if (own := tls.client_certificate_ref) is not None:
        yield "Secret", own.namespace or namespace, own.name


def _maybe_authorities(subject: Subject, ref: AuthorityRef | None, snapshot: Snapshot) -> str | Finding | None:
    if ref is None:
        return None
    asking = Asking(subject, _CA_PATH)
    value = secret_value(asking, ref, _CA_KEY, snapshot, ref.kind)
    if isinstance(value, Finding):
        return value
    try:
        return read_authorities(value)
    except Unusable as unusable:
        return _malformed(asking, f"the key {quoted(ref.key or _CA_KEY)} of {ref.kind} {quoted(ref.name)} {unusable}")


def _maybe_certificate(
    subject: Subject, ref: CertificateRef | None, snapshot: Snapshot
) -> ClientCertificate | Finding | None:
    if ref is None:
        return None
    asking = Asking(subject, _CERTIFICATE_PATH)
    whole = secret_data(asking, SecretRef(name=ref.name, namespace=ref.namespace), snapshot)
    if isinstance(whole, Finding):
        return whole
    values: list[bytes] = []
    for key in (_CERTIFICATE_KEY, _KEY_KEY):
        named = SecretRef(name=ref.name, namespace=ref.namespace, key=key)
        value = secret_value(asking, named, key, snapshot)
        if isinstance(value, Finding):
            return value
        values.append(value)
    pair = _pair(asking, ref, *values)
    if isinstance(pair, Finding):
        return pair
    name = file_name(("_tls", subject.namespace, subject.name), [ref.name, ref.namespace])
    return ClientCertificate(name, _sds(name, *pair))


def _pair(asking: Asking, ref: CertificateRef, chain: bytes, key: bytes) -> tuple[str, str] | Finding:
    at = _CERTIFICATE_KEY
    try:
        certificates, first = read_chain(chain)
        at = _KEY_KEY
        return certificates, read_key(key, first)
    except Unusable as unusable:
        return _malformed(asking, f"the key {quoted(at)} of Secret {quoted(ref.name)} {unusable}")


def _sds(name: str, chain: str, key: str) -> bytes:
    certificate = {"certificate_chain": {"inline_string": chain}, "private_key": {"inline_string": key}}
    return json.dumps(discovery_response(SDS_RESOURCE, [{"name": name, "tls_certificate": certificate}])).encode()


def _malformed(asking: Asking, message: str) -> Finding:
    return Finding(asking.subject, asking.path, message, Reason.CREDENTIAL_MALFORMED)
