"""``LLMBackend.spec.auth``: what a backend is shown. Secrets are named here and never said."""

import re
from typing import Annotated

from pydantic import ConfigDict, Field, StrictStr

from controller.api.secrets import SecretRef
from controller.api.shape import (
    AWS_WORD_PATTERN,
    AZURE_CLIENT_PATTERN,
    AZURE_TENANT_PATTERN,
    GCP_ACCOUNT_PATTERN,
    GCP_AUDIENCE_PATTERN,
    GCP_LOCATION_PATTERN,
    GCP_PROJECT_PATTERN,
    HEADER_NAME_PATTERN,
    HEADER_PREFIX_PATTERN,
    ROLE_ARN_PATTERN,
    Part,
    cel,
)
from extproc.config.names import GCP_NEEDED, GCP_SCHEMAS

AWS_SCHEMAS = ("AWSBedrock", "AWSAnthropic")
AZURE_SCHEMAS = ("AzureOpenAI",)

#: The keys of Secrets where a reference names none: those of Envoy AI Gateway's BackendSecurityPolicy
#: (https://aigateway.envoyproxy.io/docs/api/, read 2026-11-23), so that its Secrets serve here as they are.
API_KEY, AWS_CREDENTIALS = "apiKey", "credentials"
SERVICE_ACCOUNT, CLIENT_SECRET = "service_account.json", "client-secret"

EXACTLY_ONE_AUTH = "exactly one of apiKey, aws, gcp, azure, passthrough and none must be set"
ONE_AWS_SOURCE = "at most one of secretRef, webIdentity and bedrockAPIKey may be set"
ONE_GCP_SOURCE = "at most one of serviceAccountSecretRef and workloadIdentity may be set"
ONE_AZURE_SOURCE = "exactly one of secretRef and federatedToken must be set"
PLACE_IS_TWO = "project and location are set together"
HEADER_IS_TAKEN = (
    "this header is not for keys: the connection, the body, a vendor or the gateway needs it, or everybody reads it"
)
AWS_ONLY = f"auth.aws is for {' and '.join(AWS_SCHEMAS)} only"
GCP_AUTH_ONLY = f"auth.gcp is for {' and '.join(GCP_SCHEMAS)} only"
AZURE_ONLY = f"auth.azure is for {' and '.join(AZURE_SCHEMAS)} only"
PLACE_NEEDED = "auth.gcp needs project and location, its own or those of gcp"
SAME_PLACE = "gcp and auth.gcp must name the same project and location where both do"

_CONNECTION = "connection|expect|host|keep-alive|te|trailer|transfer-encoding|upgrade"
#: ``extproc.exchange.header_names`` lets these pass to everybody.
_PUBLIC = "accept|b3|baggage|traceparent|tracestate|user-agent|x-request-id"
_FAMILIES = "accept|content|proxy|x-ai-eg|x-b3|x-envoy|x-forwarded|x-llmroute"
#: By these clients tell vendors what they want; a key there would take that from every request of the rule.
_FUNCTIONAL = "idempotency-key|(anthropic|openai|x-stainless)-.*"
_TAKEN = f"(?i)^({_CONNECTION}|{_PUBLIC}|{_FUNCTIONAL}|({_FAMILIES})-.*)$"
_taken = re.compile(_TAKEN)

Header = Annotated[StrictStr, Field(min_length=1, max_length=256, pattern=HEADER_NAME_PATTERN)]
_free_header = cel((f"!has(self.header) || !self.header.matches('{_TAKEN}')", HEADER_IS_TAKEN))


def is_taken(header: str) -> bool:
    """Whether a header has a meaning that a credential in it would destroy."""
    return _taken.match(header) is not None


def _set(*names: str) -> str:
    """How many of these are set, in CEL."""
    return " + ".join(f"(has(self.{name}) ? 1 : 0)" for name in names)


class ApiKey(Part):
    """An API key."""

    secret_ref: Annotated[SecretRef, Field(description=f"The Secret with the key, as {API_KEY} unless said otherwise.")]
    header: Annotated[
        Header | None,
        Field(description="The header that the key is sent in. Nothing: the one that outputSchema takes keys in."),
    ] = None
    prefix: Annotated[
        StrictStr | None,
        Field(
            max_length=64,
            pattern=HEADER_PREFIX_PATTERN,
            description="What stands before the key, its space included. Nothing: 'Bearer ' in authorization, and "
            "nothing in other headers.",
        ),
    ] = None

    model_config = ConfigDict(json_schema_extra=_free_header)


class WebIdentity(Part):
    """A role that is taken on with the token of the processor's own pod (IRSA)."""

    role_arn: Annotated[
        StrictStr,
        Field(min_length=20, max_length=2048, pattern=ROLE_ARN_PATTERN, description="The role."),
    ]


class BedrockApiKey(Part):
    """An API key of Bedrock's, which is a bearer token."""

    secret_ref: Annotated[SecretRef, Field(description=f"The Secret with the key, as {API_KEY} unless said otherwise.")]


class AwsCloud(Part):
    """Credentials of AWS. Without any of secretRef, webIdentity and bedrockAPIKey: the default chain."""

    region: Annotated[
        StrictStr | None,
        Field(
            min_length=1,
            max_length=63,
            pattern=AWS_WORD_PATTERN,
            description="The region to sign for. Nothing: the one that the endpoint's host name says.",
        ),
    ] = None
    service: Annotated[
        StrictStr | None,
        Field(
            min_length=1,
            max_length=63,
            pattern=AWS_WORD_PATTERN,
            description="The service to sign for; nothing: bedrock.",
        ),
    ] = None
    secret_ref: Annotated[
        SecretRef | None,
        Field(
            description="The Secret with a shared credentials file (an INI with aws_access_key_id and "
            f"aws_secret_access_key), as {AWS_CREDENTIALS} unless said otherwise."
        ),
    ] = None
    web_identity: Annotated[
        WebIdentity | None, Field(description="A role that is taken on with the token of the processor's pod (IRSA).")
    ] = None
    bedrock_api_key: Annotated[
        BedrockApiKey | None,
        Field(alias="bedrockAPIKey", description="An API key of Bedrock's. Nothing is signed with it."),
    ] = None

    model_config = ConfigDict(
        json_schema_extra=cel((f"{_set('secretRef', 'webIdentity', 'bedrockAPIKey')} <= 1", ONE_AWS_SOURCE))
    )


class WorkloadIdentity(Part):
    """The token of the processor's own pod, exchanged for one of Google's."""

    audience: Annotated[
        StrictStr,
        Field(
            min_length=1,
            max_length=1024,
            pattern=GCP_AUDIENCE_PATTERN,
            description="The provider of the workload identity pool, //iam.googleapis.com/projects/...",
        ),
    ]
    service_account: Annotated[
        StrictStr | None,
        Field(
            min_length=1,
            max_length=320,
            pattern=GCP_ACCOUNT_PATTERN,
            description="The service account to impersonate. Nothing: the pool's identity itself.",
        ),
    ] = None


class GcpCloud(Part):
    """Credentials of Google Cloud. Without serviceAccountSecretRef and workloadIdentity: the default credentials."""

    project: Annotated[
        StrictStr | None,
        Field(
            min_length=1,
            max_length=128,
            pattern=GCP_PROJECT_PATTERN,
            description="The project's id or number; the same as gcp.project, which may be left out then.",
        ),
    ] = None
    location: Annotated[
        StrictStr | None,
        Field(
            min_length=1,
            max_length=63,
            pattern=GCP_LOCATION_PATTERN,
            description="The location; the same as gcp.location, which may be left out then.",
        ),
    ] = None
    service_account_secret_ref: Annotated[
        SecretRef | None,
        Field(description=f"The Secret with a service account's key, as {SERVICE_ACCOUNT} unless said otherwise."),
    ] = None
    workload_identity: Annotated[
        WorkloadIdentity | None,
        Field(description="The token of the processor's own pod, exchanged for one of Google's."),
    ] = None

    model_config = ConfigDict(
        json_schema_extra=cel(
            (f"{_set('serviceAccountSecretRef', 'workloadIdentity')} <= 1", ONE_GCP_SOURCE),
            ("has(self.project) == has(self.location)", PLACE_IS_TWO),
        )
    )


class FederatedToken(Part):
    """The token of the processor's own pod (AZURE_FEDERATED_TOKEN_FILE)."""


class AzureCloud(Part):
    """Credentials of Microsoft Entra ID."""

    tenant_id: Annotated[
        StrictStr,
        Field(
            alias="tenantID",
            min_length=1,
            max_length=253,
            pattern=AZURE_TENANT_PATTERN,
            description="The tenant's id, or a domain of it.",
        ),
    ]
    client_id: Annotated[
        StrictStr,
        Field(
            alias="clientID",
            min_length=36,
            max_length=36,
            pattern=AZURE_CLIENT_PATTERN,
            description="The application's id.",
        ),
    ]
    secret_ref: Annotated[
        SecretRef | None,
        Field(description=f"The Secret with a client secret, as {CLIENT_SECRET} unless said otherwise."),
    ] = None
    federated_token: Annotated[
        FederatedToken | None,
        Field(description="The token of the processor's own pod, as the workload identity webhook puts it there."),
    ] = None

    model_config = ConfigDict(
        json_schema_extra=cel(("has(self.secretRef) != has(self.federatedToken)", ONE_AZURE_SOURCE))
    )


class Fallback(Part):
    """What is shown for a client that shows nothing."""

    secret_ref: Annotated[SecretRef, Field(description=f"The Secret with the key, as {API_KEY} unless said otherwise.")]


class Passthrough(Part):
    """The client's own credential."""

    header: Annotated[
        Header | None,
        Field(description="The client's header with it. Nothing: wherever SDKs put keys."),
    ] = None
    fallback: Annotated[
        Fallback | None, Field(description="The key for clients that show none. Nothing: they get 401.")
    ] = None

    model_config = ConfigDict(json_schema_extra=_free_header)


class NoAuth(Part):
    """Nothing, of the gateway's or the client's."""


class BackendAuth(Part):
    """What a backend is shown; exactly one of these."""

    api_key: Annotated[ApiKey | None, Field(description="An API key.")] = None
    aws: Annotated[
        AwsCloud | None,
        Field(
            description="Credentials of AWS, for AWSBedrock and AWSAnthropic: requests are signed (SigV4). Without "
            "secretRef, webIdentity and bedrockAPIKey: the default chain of AWS's SDKs."
        ),
    ] = None
    gcp: Annotated[
        GcpCloud | None,
        Field(
            description="Credentials of Google Cloud, for GCPVertexAI and GCPAnthropic. Without "
            "serviceAccountSecretRef and workloadIdentity: Application Default Credentials."
        ),
    ] = None
    azure: Annotated[AzureCloud | None, Field(description="Credentials of Microsoft Entra ID, for AzureOpenAI.")] = None
    passthrough: Annotated[Passthrough | None, Field(description="The client's own credential.")] = None
    none: Annotated[NoAuth | None, Field(description="Nothing, not even what the client sent.")] = None

    model_config = ConfigDict(
        json_schema_extra=cel(
            (f"{_set('apiKey', 'aws', 'gcp', 'azure', 'passthrough', 'none')} == 1", EXACTLY_ONE_AUTH)
        )
    )


def _same(field: str) -> str:
    own, whole = f"self.auth.gcp.{field}", f"self.gcp.{field}"
    return f"(!has({own}) || {own} == {whole})"


_WITHOUT_GCP = "!has(self.auth) || !has(self.auth.gcp)"

#: What a whole spec must hold: credentials fit the API, and Google's know their place.
SPEC_RULES = (
    (f"!has(self.auth) || !has(self.auth.aws) || self.outputSchema.schema in {list(AWS_SCHEMAS)}", AWS_ONLY),
    (f"{_WITHOUT_GCP} || self.outputSchema.schema in {list(GCP_SCHEMAS)}", GCP_AUTH_ONLY),
    (f"!has(self.auth) || !has(self.auth.azure) || self.outputSchema.schema in {list(AZURE_SCHEMAS)}", AZURE_ONLY),
    (
        "self.outputSchema.schema != 'GCPAnthropic' || has(self.gcp) || (has(self.auth) && has(self.auth.gcp))",
        GCP_NEEDED,
    ),
    (f"{_WITHOUT_GCP} || has(self.gcp) || has(self.auth.gcp.project) || has(self.auth.gcp.location)", PLACE_NEEDED),
    (f"{_WITHOUT_GCP} || !has(self.gcp) || ({_same('project')} && {_same('location')})", SAME_PLACE),
)
