"""Credentials in the file: what a backend is shown, and who may use a rule. Never a secret: secrets are files."""

from typing import Annotated, Literal, Self

from pydantic import Field, StrictStr, model_validator

from extproc.config.errors import Finding, MisfitError
from extproc.config.shape import FILE_PATTERN, REGION_PATTERN, HeaderName, Name, Shape

CredentialFile = Annotated[StrictStr, Field(min_length=1, max_length=253, pattern=FILE_PATTERN)]


class ApiKeyAuth(Shape):
    """A key in a header. Nothing said: the header, and ``Bearer `` or nothing in front, as the platform takes it."""

    file: CredentialFile
    header: HeaderName | None = None
    prefix: Annotated[StrictStr, Field(max_length=64)] | None = None


class AwsAuth(Shape):
    """Signature Version 4, or with ``bedrockAPIKey`` a bearer token.

    ``keys``: a shared credentials file. ``webIdentity``: the processor's own token, for ``roleArn``. ``default``: the
    chain of AWS's SDKs (environment, shared files, web identity, container, instance). ``region`` None: the host's.
    """

    source: Literal["keys", "webIdentity", "bedrockAPIKey", "default"] = "default"
    file: CredentialFile | None = None
    role_arn: Annotated[StrictStr, Field(min_length=20, max_length=2048)] | None = None
    region: Annotated[StrictStr, Field(min_length=1, max_length=63, pattern=REGION_PATTERN)] | None = None
    service: Annotated[StrictStr, Field(min_length=1, max_length=63, pattern=REGION_PATTERN)] = "bedrock"


class GcpAuth(Shape):
    """An access token of Google Cloud.

    ``serviceAccount``: a key file. ``workloadIdentity``: the processor's own token, exchanged for ``audience``, and for
    ``serviceAccount`` where one is to be impersonated. ``default``: Application Default Credentials.
    """

    source: Literal["serviceAccount", "workloadIdentity", "default"] = "default"
    file: CredentialFile | None = None
    audience: Annotated[StrictStr, Field(min_length=1, max_length=1024)] | None = None
    service_account: Annotated[StrictStr, Field(min_length=1, max_length=320)] | None = None


class AzureAuth(Shape):
    """An access token of Microsoft Entra ID, for a client secret or for the processor's own federated token."""

    source: Literal["clientSecret", "federatedToken"]
    tenant_id: Annotated[StrictStr, Field(min_length=1, max_length=253)]
    client_id: Annotated[StrictStr, Field(min_length=1, max_length=253)]
    file: CredentialFile | None = None


class PassthroughAuth(Shape):
    """The client's own credential goes on, from ``header`` or from wherever its SDK puts one.

    ``file``: the key that is used for a client that shows none.
    """

    header: HeaderName | None = None
    file: CredentialFile | None = None


class NoAuth(Shape):
    """Nothing is shown to the upstream, nor anything of the client's."""


class Auth(Shape):
    """What a backend is shown; exactly one of these. Secrets are in files, whose names stand here."""

    api_key: ApiKeyAuth | None = None
    aws: AwsAuth | None = None
    gcp: GcpAuth | None = None
    azure: AzureAuth | None = None
    passthrough: PassthroughAuth | None = None
    none: NoAuth | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if len(self.model_fields_set) != 1 or self.kind is None:
            raise MisfitError(Finding("", "exactly one of apiKey, aws, gcp, azure, passthrough and none must be set"))
        return self

    @property
    def kind(self) -> ApiKeyAuth | AwsAuth | GcpAuth | AzureAuth | PassthroughAuth | NoAuth | None:
        """The one that is set."""
        return self.api_key or self.aws or self.gcp or self.azure or self.passthrough or self.none


class ClientKeys(Shape):
    """API keys of callers: a file with a JSON object of their ids and the SHA-256 of each key, in hex."""

    file: CredentialFile


class ClientTokens(Shape):
    """Callers' JSON Web Tokens, which Envoy has verified: under which name its ``jwt_authn`` filter says so."""

    provider: Name


class ClientAuth(Shape):
    """Who may use a rule. One of them is enough where both are set."""

    api_keys: ClientKeys | None = None
    jwt: ClientTokens | None = None

    @model_validator(mode="after")
    def _not_nothing(self) -> Self:
        if self.api_keys is None and self.jwt is None:
            raise MisfitError(Finding("", "at least one of apiKeys and jwt must be set"))
        return self
