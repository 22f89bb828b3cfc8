"""What ``spec.auth`` comes to: the processor's own form of it, the file with the secret, and what is wrong.

A backend without its secret stays where it is, and the processor answers 503 for it: were it left out, its share of the
traffic would go to others for as long as a Secret is being replaced.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final

from controller.api.auth import API_KEY, AWS_CREDENTIALS, CLIENT_SECRET, SERVICE_ACCOUNT, BackendAuth
from controller.api.findings import Finding, Severity
from controller.api.reasons import Reason
from controller.api.secrets import SecretRef
from controller.translate import credential_forms as forms
from controller.translate.callers import places_of_callers
from controller.translate.canonical import file_name
from controller.translate.grants import Grant, permits
from controller.translate.identities import maybe_not_lent
from controller.translate.reading import ReadBackend
from controller.translate.secret_references import Asking, is_ours, secret_value
from controller.translate.secrets import Place, SecretFiles
from controller.translate.snapshot import Snapshot
from controller.translate.upstream_tls import tls_places
from controller.translate.upstreams import Upstream
from extproc.config.auth import ApiKeyAuth, Auth, AwsAuth, AzureAuth, GcpAuth, NoAuth, PassthroughAuth
from extproc.config.errors import quoted

#: The version of the processor's configuration since which it can say what a backend is shown.
_SINCE_VERSION: Final = 2
#: Ends of names that nobody outside of a machine or a network can be asked by (RFC 6761, RFC 6762, RFC 9476).
_INSIDE: Final = (".localhost", ".local", ".internal", ".svc")


@dataclass(frozen=True, slots=True)
class Credential:
    """What a backend is shown.

    Attributes:
        auth: for the processor's configuration; None: the client's own credential.
        files: the file that it names, unless there is none, or what should be in it cannot be had.
    """

    auth: Auth | None = None
    files: SecretFiles = field(default_factory=SecretFiles)
    findings: tuple[Finding, ...] = ()

    @property
    def is_missing(self) -> bool:
        """Whether there should be a file and is none."""
        return any(finding.severity is Severity.ERROR for finding in self.findings)


@dataclass(frozen=True, slots=True)
class _Asked:
    path: str
    ref: SecretRef
    usual_key: str
    form: forms.Form


def credential_of(read: ReadBackend, upstream: Upstream, snapshot: Snapshot) -> Credential:
    """What a backend at ``upstream`` is shown, with the values that the snapshot knows."""
    if read.spec is None or read.spec.auth is None:
        return Credential()
    auth, asked = read.spec.auth, _maybe_asked(read.spec.auth)
    findings = _in_clear(read, upstream, snapshot) if _is_shown(auth) else []
    if (refused := maybe_not_lent(read, upstream, snapshot.settings)) is not None:
        return Credential(_withheld(read), findings=(refused, *findings))
    if asked is None:
        return Credential(_config_auth(auth, None), findings=tuple(findings))
    file = file_name((read.subject.namespace, read.subject.name), told(auth))
    match _content(read, asked, snapshot):
        case Finding() as finding:
            return Credential(_config_auth(auth, file), findings=(finding, *findings))
        case content:
            return Credential(_config_auth(auth, file), SecretFiles({file: content}), tuple(findings))


def maybe_unsaid(read: ReadBackend, snapshot: Snapshot) -> Finding | None:
    """Why a backend cannot be served by processors that know nothing of ``auth``: they would show the client's key."""
    if read.spec is None or read.spec.auth is None or can_refuse(snapshot):
        return None
    message = "an extproc pod is of a version that has no credentials, or none could be asked; upgrade extproc"
    return Finding(read.subject, "spec.auth", message, Reason.PROCESSOR_TOO_OLD)


def can_refuse(snapshot: Snapshot) -> bool:
    """Whether the processors can be told that a backend is to be shown something, or is to be sent nothing."""
    return snapshot.settings.config_version >= _SINCE_VERSION


def needed_secrets(snapshot: Snapshot) -> set[Place]:
    """The Secrets and ConfigMaps that ``translate`` has to know of: those that may be used, and no others."""
    asked = ((read.subject, place) for read in snapshot.backends for place in _places(read))
    places = places_of_callers(snapshot.routes, snapshot.grants) | {
        (kind, namespace, name)
        for subject, (kind, namespace, name) in asked
        if namespace == subject.namespace
        or permits(snapshot.grants, Grant(subject.namespace, namespace, "", kind, name, subject.kind))
    }
    return {place for place in places if not is_ours(place, snapshot.settings)}


def told(auth: BackendAuth) -> Any:
    """All that ``spec.auth`` says: references and settings. Equal ones are equal."""
    return auth.model_dump(mode="json", by_alias=True, exclude_none=True)


def _places(read: ReadBackend) -> Iterator[Place]:
    if read.spec is None:
        return
    if read.spec.auth is not None and (asked := _maybe_asked(read.spec.auth)) is not None:
        yield "Secret", asked.ref.namespace or read.subject.namespace, asked.ref.name
    if read.spec.endpoint is not None:
        yield from tls_places(read.subject.namespace, read.spec.endpoint)


def _maybe_asked(auth: BackendAuth) -> _Asked | None:
    """The one Secret that a credential is in; None for one that the processor finds where it runs, and for none."""
    return next(_asked(auth), None)


def _asked(auth: BackendAuth) -> Iterator[_Asked]:
    if auth.api_key is not None:
        yield _Asked("spec.auth.apiKey.secretRef", auth.api_key.secret_ref, API_KEY, forms.header_line)
    if (aws := auth.aws) is not None and aws.secret_ref is not None:
        yield _Asked("spec.auth.aws.secretRef", aws.secret_ref, AWS_CREDENTIALS, forms.aws_keys)
    if aws is not None and (bearer := aws.bedrock_api_key) is not None:
        yield _Asked("spec.auth.aws.bedrockAPIKey.secretRef", bearer.secret_ref, API_KEY, forms.header_line)
    if auth.gcp is not None and (ref := auth.gcp.service_account_secret_ref) is not None:
        yield _Asked("spec.auth.gcp.serviceAccountSecretRef", ref, SERVICE_ACCOUNT, forms.service_account)
    if auth.azure is not None and auth.azure.secret_ref is not None:
        yield _Asked("spec.auth.azure.secretRef", auth.azure.secret_ref, CLIENT_SECRET, forms.line)
    if auth.passthrough is not None and (spare := auth.passthrough.fallback) is not None:
        yield _Asked("spec.auth.passthrough.fallback.secretRef", spare.secret_ref, API_KEY, forms.header_line)


def _content(read: ReadBackend, asked: _Asked, snapshot: Snapshot) -> bytes | Finding:
    asking = Asking(read.subject, asked.path)
    value = secret_value(asking, asked.ref, asked.usual_key, snapshot)
    if isinstance(value, Finding):
        return value
    try:
        return asked.form(value)
    except forms.Malformed as malformed:
        key, namespace = asked.ref.key or asked.usual_key, asked.ref.namespace or read.subject.namespace
        where = f"the key {quoted(key)} of Secret {quoted(asked.ref.name)} in namespace {quoted(namespace)}"
        return Finding(read.subject, f"{asked.path}.key", f"{where} {malformed}", Reason.CREDENTIAL_MALFORMED)


def _withheld(read: ReadBackend) -> Auth:
    """A key that nobody has: the processor answers 503, and does not look for an identity of its own."""
    return Auth(api_key=ApiKeyAuth(file=file_name(("_withheld", read.subject.namespace, read.subject.name), None)))


def _config_auth(auth: BackendAuth, file: str | None) -> Auth:
    """The processor's form; a backend whose ``auth`` is valid has exactly one."""
    if auth.api_key is not None:
        assert file is not None
        return Auth(api_key=ApiKeyAuth(file=file, header=auth.api_key.header, prefix=auth.api_key.prefix))
    if auth.aws is not None:
        return Auth(aws=_aws(auth, file))
    if auth.gcp is not None:
        return Auth(gcp=_gcp(auth, file))
    if auth.azure is not None:
        source: Any = "federatedToken" if auth.azure.federated_token is not None else "clientSecret"
        return Auth(
            azure=AzureAuth(
                source=source, tenant_id=auth.azure.tenant_id, client_id=auth.azure.client_id.lower(), file=file
            )
        )
    if auth.passthrough is not None:
        return Auth(passthrough=PassthroughAuth(header=auth.passthrough.header, file=file))
    return Auth(none=NoAuth())


def _aws(auth: BackendAuth, file: str | None) -> AwsAuth:
    aws = auth.aws
    assert aws is not None
    settings: dict[str, Any] = {"region": aws.region} | ({"service": aws.service} if aws.service is not None else {})
    if aws.web_identity is not None:
        return AwsAuth(source="webIdentity", role_arn=aws.web_identity.role_arn, **settings)
    if aws.bedrock_api_key is not None:
        return AwsAuth(source="bedrockAPIKey", file=file, **settings)
    return AwsAuth(source="default" if file is None else "keys", file=file, **settings)


def _gcp(auth: BackendAuth, file: str | None) -> GcpAuth:
    assert auth.gcp is not None
    if (identity := auth.gcp.workload_identity) is not None:
        return GcpAuth(source="workloadIdentity", audience=identity.audience, service_account=identity.service_account)
    return GcpAuth(source="default" if file is None else "serviceAccount", file=file)


def _is_shown(auth: BackendAuth) -> bool:
    """Whether what is sent is of use to who sees it: a signature is not, and a client's own key is the client's."""
    if auth.aws is not None:
        return auth.aws.bedrock_api_key is not None
    if auth.passthrough is not None:
        return auth.passthrough.fallback is not None
    return auth.none is None


def _in_clear(read: ReadBackend, upstream: Upstream, snapshot: Snapshot) -> list[Finding]:
    if upstream.tls_name is not None:
        return []
    hosts = [host for host, _ in upstream.endpoints] + ([] if upstream.proxy is None else [upstream.proxy[0]])
    outside = [host for host in hosts if not _is_inside(host, snapshot.settings.cluster_domain)]
    if not outside:
        return []
    path = "spec.endpoint" if read.spec is not None and read.spec.endpoint is not None else "spec.backendRef"
    message = f"the credential goes to {quoted(outside[0])} without TLS, readable by everybody on the way"
    return [Finding(read.subject, path, message, Reason.CREDENTIAL_IN_CLEAR, Severity.WARNING)]


def _is_inside(host: str, cluster_domain: str) -> bool:
    """Whether a host is on this machine, in this cluster or in a private network, as far as its name says."""
    try:
        address = ip_address(host)
    except ValueError:
        return "." not in host or host.endswith((*_INSIDE, f".{cluster_domain}"))
    return address.is_private or address.is_loopback or address.is_link_local
