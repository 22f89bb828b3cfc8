"""Where each kind of ``auth`` has its credential from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, assert_never

from extproc.config.auth import ApiKeyAuth, Auth, AwsAuth, AzureAuth, GcpAuth, NoAuth, PassthroughAuth
from extproc.server.credentials import contents

_ROOM: Final = "extproc.server.credentials"


@dataclass(frozen=True, slots=True)
class Source:
    """Backends with equal ones share one credential: it is read or fetched once.

    Attributes:
        kind: in the words of the API, for the admin page.
        file: in the credentials directory; None where no secret of the user's is needed.
        read: makes a credential of the file's content, or the provider's first argument. Raises ``MalformedError``.
        provider: the class that fetches, by name, as its module is imported by its first user; "" for files alone.
        settings: the provider's other arguments.
        extra: of this distribution, with the libraries that the provider needs.
    """

    kind: str
    file: str | None = None
    read: Callable[[bytes], Any] | None = None
    provider: str = ""
    settings: tuple[str | None, ...] = ()
    extra: str = ""


def maybe_source(auth: Auth) -> Source | None:
    """None when the gateway has nothing of its own to show."""
    kind = auth.kind
    match kind:
        case None | NoAuth():
            return None
        case ApiKeyAuth():
            return Source("apiKey", kind.file, contents.read_token)
        case PassthroughAuth():
            return None if kind.file is None else Source("passthrough", kind.file, contents.read_token)
        case AwsAuth():
            return _aws(kind)
        case GcpAuth():
            return _gcp(kind)
        case AzureAuth():
            return _azure(kind)
        case _:
            assert_never(kind)


def _aws(auth: AwsAuth) -> Source:
    name = f"aws/{auth.source}"
    match auth.source:
        case "keys":
            return Source(name, auth.file, contents.read_aws_keys)
        case "bedrockAPIKey":
            return Source(name, auth.file, contents.read_token)
        case "webIdentity":
            settings = auth.role_arn, auth.region
            return Source(name, provider=f"{_ROOM}.aws:WebIdentity", settings=settings, extra="aws")
        case "default":
            return Source(name, provider=f"{_ROOM}.aws:DefaultChain", extra="aws")
        case _:
            assert_never(auth.source)


def _gcp(auth: GcpAuth) -> Source:
    name = f"gcp/{auth.source}"
    match auth.source:
        case "serviceAccount":
            return Source(name, auth.file, contents.read_google_key, f"{_ROOM}.gcp:ServiceAccount", extra="gcp")
        case "workloadIdentity":
            settings = auth.audience, auth.service_account
            return Source(name, provider=f"{_ROOM}.gcp:WorkloadIdentity", settings=settings, extra="gcp")
        case "default":
            return Source(name, provider=f"{_ROOM}.gcp:Default", extra="gcp")
        case _:
            assert_never(auth.source)


def _azure(auth: AzureAuth) -> Source:
    name, settings = f"azure/{auth.source}", (auth.tenant_id, auth.client_id)
    match auth.source:
        case "clientSecret":
            return Source(name, auth.file, contents.read_secret, f"{_ROOM}.azure:ClientSecret", settings)
        case "federatedToken":
            return Source(name, provider=f"{_ROOM}.azure:FederatedToken", settings=settings)
        case _:
            assert_never(auth.source)
