"""What all parts of the API share: the group, the base model, the patterns and their plain words."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, StrictStr
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from extproc.config.errors import nearest, quoted

GROUP = "aigateway.envoyproxy.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
NAME_PATTERN = rf"^{_LABEL}(\.{_LABEL})*$"
LABEL_PATTERN = rf"^{_LABEL}$"
GROUP_PATTERN = rf"^$|^{_LABEL}(\.{_LABEL})*$"
HOSTNAME_PATTERN = rf"^(\*\.)?{_LABEL}(\.{_LABEL})*$"
ENDPOINT_PATTERN = rf"^({_LABEL}(\.{_LABEL})*|[0-9a-fA-F.]*:[0-9a-fA-F:.]*)$"
HEADER_NAME_PATTERN = r"^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$"
VERSION_PATTERN = r"^[A-Za-z0-9._~/-]*$"
GCP_PROJECT_PATTERN = r"^[a-z0-9]([-a-z0-9.:]*[a-z0-9])?$"
GCP_LOCATION_PATTERN = rf"^{_LABEL}$"
DATA_KEY_PATTERN = r"^[-._a-zA-Z0-9]+$"
HEADER_PREFIX_PATTERN = r"^([!-~][ -~]*)?$"
AWS_WORD_PATTERN = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
ROLE_ARN_PATTERN = r"^arn:aws(-[a-z]+)*:iam::[0-9]{12}:role/[-A-Za-z0-9+=,.@_/]+$"
GCP_AUDIENCE_PATTERN = r"^//iam\.googleapis\.com/[-A-Za-z0-9._~/]+$"
GCP_ACCOUNT_PATTERN = r"^[a-z0-9][-a-z0-9.]*@[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
AZURE_TENANT_PATTERN = r"^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?$"
AZURE_CLIENT_PATTERN = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
#: Who can change what a plain-text answer says can let anybody in, so HTTP is for what never leaves the cluster.
JWKS_URI_PATTERN = (
    rf"^(https://{_LABEL}(\.{_LABEL})*|http://(localhost|127\.0\.0\.1|{_LABEL}(\.{_LABEL})*\.svc(\.cluster\.local)?))"
    r"(:[1-9][0-9]{0,4})?/[!-~]*$"
)
CLAIM_PATTERN = r"^[!-~]+$"
DURATION_PATTERN = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"

#: What a pattern asks for, for people.
IN_WORDS: Mapping[str, str] = {
    NAME_PATTERN: "must be lower-case letters, digits, '-' and '.', as Kubernetes names are",
    LABEL_PATTERN: "must be lower-case letters, digits and '-', as namespaces are",
    GROUP_PATTERN: "must be an API group such as gateway.envoyproxy.io, or empty for the core group",
    HOSTNAME_PATTERN: "must be a lower-case host name such as llm.example.com or *.example.com, nothing around it",
    ENDPOINT_PATTERN: "must be a lower-case DNS name or an IP address, without scheme, port or path",
    HEADER_NAME_PATTERN: "must be an HTTP header name: letters, digits and !#$%&'*+-.^_`|~",
    VERSION_PATTERN: "may hold only letters, digits, '.', '_', '~', '/' and '-'",
    GCP_PROJECT_PATTERN: "must be the id or number of a project of Google Cloud, in lower case",
    HEADER_PREFIX_PATTERN: "may hold only visible ASCII and spaces, none in front",
    AWS_WORD_PATTERN: "must be a region or service of AWS, as us-east-1 or bedrock",
    ROLE_ARN_PATTERN: "must be the ARN of a role, as arn:aws:iam::123456789012:role/llmroute",
    GCP_AUDIENCE_PATTERN: "must be a provider of a workload identity pool, as //iam.googleapis.com/projects/123456/"
    "locations/global/workloadIdentityPools/POOL/providers/PROVIDER",
    GCP_ACCOUNT_PATTERN: "must be the address of a service account, as llmroute@acme-models.iam.gserviceaccount.com",
    AZURE_TENANT_PATTERN: "must be the id of a tenant, or a domain of it, as contoso.onmicrosoft.com",
    AZURE_CLIENT_PATTERN: "must be the id of an application, as 11111111-2222-3333-4444-555555555555",
    DATA_KEY_PATTERN: "may hold only letters, digits, '-', '_' and '.', as keys of Secrets do",
    JWKS_URI_PATTERN: "must be an https:// URL with a path; http:// is for localhost and for names that end in .svc",
    CLAIM_PATTERN: "may hold visible ASCII characters only, no space",
    DURATION_PATTERN: "must be a duration such as 30s, 2m or 1h30m",
}


class Part(BaseModel):
    """The base of every part of a spec: frozen, camelCase, unknown fields are errors, no silent conversions."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


class Metadata(BaseModel):
    """What is needed of an object's metadata. Everything else in there is Kubernetes' own and passes."""

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel, populate_by_name=True)

    name: Annotated[StrictStr, Field(min_length=1, max_length=253, pattern=NAME_PATTERN)]
    namespace: Annotated[StrictStr, Field(min_length=1, max_length=63, pattern=LABEL_PATTERN)] = "default"
    generation: Annotated[StrictInt, Field(ge=0)] = 1
    uid: str = ""
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None

    @property
    def created(self) -> int | None:
        """Unix seconds of the creation; None for an object that no API server has seen."""
        moment = self.creation_timestamp
        if moment is None:
            return None
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def one_of(known: Iterable[str]) -> BeforeValidator:
    """A check that a value is one of ``known``, whose refusal lists them and guesses what was meant."""
    names = tuple(known)

    def check(value: Any) -> Any:
        if isinstance(value, str) and value not in names:
            raise PydanticCustomError(
                "not_one_of",
                "must be {known}, not {value}{hint}",
                {"value": quoted(value), "known": either(names), "hint": did_you_mean(value, names)},
            )
        return value

    return BeforeValidator(check)


def cel(*rules: tuple[str, str]) -> dict[str, Any]:
    """``json_schema_extra`` for CEL rules, each an expression and the message that is shown when it does not hold."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in rules]}


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean "x"?`` for the end of a message, empty when nothing known is near."""
    names = sorted(known)
    guess = nearest(word, names)
    return "" if guess is None or names == [guess] else f"; did you mean {quoted(guess)}?"


def either(names: Iterable[str]) -> str:
    """``"a", "b" or "c"``."""
    *most, last = [quoted(name) for name in names]
    return f"{', '.join(most)} or {last}" if most else last
