"""TLS towards an upstream as its owner wants it: other authorities, a certificate of ours, or no check at all."""

import json
import re
from base64 import b64decode
from binascii import Error as NoBase64
from collections.abc import Iterator
from dataclasses import dataclass, field

from controller.api.endpoint import AuthorityRef, CertificateRef, Endpoint
from controller.api.findings import Finding, Subject
from controller.api.reasons import Reason
from controller.api.secrets import SecretRef
from controller.translate.canonical import digest
from controller.translate.envoy.documents import SDS_RESOURCE, discovery_response
from controller.translate.secrets import Asking, Place, secret_data, secret_value
from controller.translate.snapshot import Snapshot
from extproc.config.errors import quoted

_CA_KEY, _CERTIFICATE_KEY, _KEY_KEY = "ca.crt", "tls.crt", "tls.key"
#: They stand in Envoy's file of clusters, which shares the megabyte of a ConfigMap with those of all backends.
_MAX_CA_BYTES = 64 * 1024
_CA_PATH = "spec.endpoint.tls.caCertificateRef"
_CERTIFICATE_PATH = "spec.endpoint.tls.clientCertificateRef"
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\s(.+?)-----END \1-----", re.DOTALL)
_PRIVATE_KEYS = (b"PRIVATE KEY", b"EC PRIVATE KEY", b"RSA PRIVATE KEY")


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
    """

    verify: bool = True
    authorities: str | None = None
    certificate: ClientCertificate | None = None


def read_tls(subject: Subject, endpoint: Endpoint, snapshot: Snapshot) -> UpstreamTls | Finding:
    """What an endpoint's ``tls`` comes to, with what it refers to; or what is wrong with that."""
    tls = endpoint.tls
    if tls is None or not tls.enabled:
        return UpstreamTls()
    authorities = _maybe_authorities(subject, tls.ca_certificate_ref, snapshot)
    if isinstance(authorities, Finding):
        return authorities
    certificate = _maybe_certificate(subject, tls.client_certificate_ref, snapshot)
    if isinstance(certificate, Finding):
        return certificate
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
    value = secret_value(asking, ref, _CA_KEY, snapshot.secrets, snapshot.grants, ref.kind)
    if isinstance(value, Finding):
        return value
    where = f"the key {quoted(ref.key or _CA_KEY)} of {ref.kind} {quoted(ref.name)}"
    if len(value) > _MAX_CA_BYTES:
        return _malformed(asking, f"{where} has {len(value)} bytes, and at most {_MAX_CA_BYTES} can be used")
    found = list(_blocks(value))
    if not found or any(label != b"CERTIFICATE" for label in found):
        return _malformed(asking, f"{where} must hold certificates in PEM and nothing else")
    return value.decode("ascii")


def _maybe_certificate(
    subject: Subject, ref: CertificateRef | None, snapshot: Snapshot
) -> ClientCertificate | Finding | None:
    if ref is None:
        return None
    asking = Asking(subject, _CERTIFICATE_PATH)
    store, grants = snapshot.secrets, snapshot.grants
    whole = secret_data(asking, SecretRef(name=ref.name, namespace=ref.namespace), store, grants)
    if isinstance(whole, Finding):
        return whole
    pair: list[str] = []
    for key, kinds in ((_CERTIFICATE_KEY, (b"CERTIFICATE",)), (_KEY_KEY, _PRIVATE_KEYS)):
        named = SecretRef(name=ref.name, namespace=ref.namespace, key=key)
        value = secret_value(asking, named, key, store, grants)
        if isinstance(value, Finding):
            return value
        found = list(_blocks(value))
        if not found or any(label not in kinds for label in found):
            what = "certificates in PEM" if key == _CERTIFICATE_KEY else "a private key in PEM that is not encrypted"
            return _malformed(asking, f"the key {quoted(key)} of Secret {quoted(ref.name)} must hold {what}")
        pair.append(value.decode("ascii"))
    file = f"{subject.namespace}.{subject.name}.tls.{digest([ref.name, ref.namespace])[:8]}"
    name = file if len(file) <= 250 else digest(file)
    return ClientCertificate(name, _sds(name, *pair))


def _blocks(pem: bytes) -> Iterator[bytes]:
    """The label of each block of a PEM text; an empty one for a block, or anything else, that cannot be read."""
    if not pem.isascii():
        yield b""
    for block in _BLOCK.finditer(pem):
        try:
            b64decode(b"".join(block[2].split()), validate=True)
        except NoBase64:
            yield b""
        yield block[1]


def _sds(name: str, chain: str, key: str) -> bytes:
    certificate = {"certificate_chain": {"inline_string": chain}, "private_key": {"inline_string": key}}
    return json.dumps(discovery_response(SDS_RESOURCE, [{"name": name, "tls_certificate": certificate}])).encode()


def _malformed(asking: Asking, message: str) -> Finding:
    return Finding(asking.subject, asking.path, message, Reason.CREDENTIAL_MALFORMED)
