"""The processor's own identity in a cloud: who may let it be shown, and to whom.

It needs no Secret, so that whoever writes an LLMBackend would have it for the asking, sent to wherever the backend is.
"""

from fnmatch import fnmatchcase
from typing import Final

from controller.api.auth import BackendAuth
from controller.api.findings import Finding
from controller.api.reasons import Reason
from controller.translate.reading import ReadBackend
from controller.translate.settings import Settings
from controller.translate.upstreams import Upstream, is_local
from extproc.config.errors import quoted

#: Ends of the names of the clouds' own services, where nobody else can read what is sent; China and the governments
#: included.
_HOSTS: Final = {
    "aws": (".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".api.amazonwebservices.com.cn"),
    "gcp": (".googleapis.com",),
    "azure": tuple(
        f".{service}.azure.{end}"
        for service in ("openai", "cognitiveservices", "services.ai")
        for end in ("com", "us", "cn")
    ),
}


def maybe_own_identity(auth: BackendAuth) -> str | None:
    """The cloud (``aws``) in which the processor's own identity would be used; None: what is shown is in a Secret."""
    if (aws := auth.aws) is not None and aws.secret_ref is None and aws.bedrock_api_key is None:
        return "aws"
    if auth.gcp is not None and auth.gcp.service_account_secret_ref is None:
        return "gcp"
    if auth.azure is not None and auth.azure.federated_token is not None:
        return "azure"
    return None


def maybe_not_lent(read: ReadBackend, upstream: Upstream, settings: Settings) -> Finding | None:
    """Why a backend at ``upstream`` may not use the identity that its ``auth`` asks for."""
    assert read.spec is not None
    cloud = None if read.spec.auth is None else maybe_own_identity(read.spec.auth)
    if cloud is None or settings.ambient_identities is None:
        return None
    path, namespace = f"spec.auth.{cloud}", read.subject.namespace
    if not any(fnmatchcase(namespace, pattern) for pattern in settings.ambient_identities):
        message = f"backends of namespace {quoted(namespace)} may not use the gateway's own identity; name a Secret"
        return Finding(read.subject, path, message, Reason.IDENTITY_NOT_PERMITTED)
    if settings.local_endpoints and all(is_local(host) for host, _ in upstream.endpoints):
        return None
    if (why := _maybe_stranger(upstream, _HOSTS[cloud])) is not None:
        message = f"the gateway's own identity is for hosts of that cloud, {why}"
        return Finding(read.subject, path, message, Reason.IDENTITY_NOT_PERMITTED)
    return None


def _maybe_stranger(upstream: Upstream, hosts: tuple[str, ...]) -> str | None:
    """Why somebody else might read what is sent. Only a certificate says who is there."""
    named = [host for host, _ in upstream.endpoints]
    named += [] if upstream.tls_name is None else [upstream.tls_name]
    if others := [name for name in named if not name.lower().rstrip(".").endswith(hosts)]:
        return f"and {quoted(others[0])} is none of them ({', '.join(f'*{host}' for host in hosts)})"
    if upstream.tls_name is None:
        return "by TLS"
    if not upstream.tls.verify or upstream.tls.authorities is not None:
        return "by a certificate that the system's authorities vouch for"
    return None
