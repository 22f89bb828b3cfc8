"""Who may use a route: callers' API keys, and JSON Web Tokens."""

from typing import Annotated

from pydantic import ConfigDict, Field, StrictStr

from controller.api.secrets import WholeSecretRef
from controller.api.shape import (
    CLAIM_PATTERN,
    DATA_KEY_PATTERN,
    JWKS_URI_PATTERN,
    NAME_PATTERN,
    Part,
    cel,
)

#: Characters of a key set as it stands in a manifest, and bytes of one in a ConfigMap.
MAX_JWKS = 65_536

AT_LEAST_ONE = "at least one of apiKeys and jwt must be set"
ONE_KEY_SET = "exactly one of jwks, jwksURI and jwksConfigMapRef must be set"

Audience = Annotated[StrictStr, Field(min_length=1, max_length=512, pattern=CLAIM_PATTERN)]


class CallerKeysRef(WholeSecretRef):
    """A whole Secret: each of its keys is a caller's id, and the value that caller's API key."""


class CallerKeys(Part):
    """Callers by API key."""

    secret_ref: Annotated[
        CallerKeysRef,
        Field(
            description="A Secret with one key for each caller: the name is the caller's id (letters, digits, '-', "
            "'_' and '.', at most 63), which logs show, and the value is the API key, of at least 16 characters."
        ),
    ]


class JwksConfigMapRef(Part):
    """A key set in a ConfigMap of the route's namespace."""

    name: Annotated[
        StrictStr, Field(min_length=1, max_length=253, pattern=NAME_PATTERN, description="The ConfigMap's name.")
    ]
    key: Annotated[
        StrictStr,
        Field(
            min_length=1, max_length=253, pattern=DATA_KEY_PATTERN, description="The key under which the key set is."
        ),
    ]


class CallerTokens(Part):
    """Callers by JSON Web Token."""

    issuer: Annotated[
        StrictStr,
        Field(
            min_length=1,
            max_length=512,
            pattern=CLAIM_PATTERN,
            description="Who must have issued the token: its iss claim, character by character.",
        ),
    ]
    audiences: Annotated[
        tuple[Audience, ...],
        Field(
            min_length=1,
            max_length=16,
            description="Whom the token must be for: one of these stands in its aud claim. A valid token for somebody "
            "else is answered with 403.",
            json_schema_extra={"x-kubernetes-list-type": "set"},
        ),
    ]
    jwks: Annotated[
        StrictStr | None,
        Field(
            min_length=1,
            max_length=MAX_JWKS,
            description="The issuer's public keys: a JSON Web Key Set as text. RSA, EC and Ed25519 keys are used.",
        ),
    ] = None
    jwks_uri: Annotated[
        StrictStr | None,
        Field(
            alias="jwksURI",
            max_length=1024,
            pattern=JWKS_URI_PATTERN,
            description="Where the issuer publishes its public keys. Envoy fetches them ahead and again every ten "
            "minutes, directly (through no proxy), and checks the certificate. http:// only within the machine or the "
            "cluster (.svc).",
        ),
    ] = None
    jwks_config_map_ref: Annotated[
        JwksConfigMapRef | None,
        Field(description="A ConfigMap in the route's namespace that holds the key set."),
    ] = None

    model_config = ConfigDict(
        json_schema_extra=cel(
            ("[has(self.jwks), has(self.jwksURI), has(self.jwksConfigMapRef)].exists_one(each, each)", ONE_KEY_SET),
        )
    )

    @property
    def key_sets(self) -> int:
        """How many of the three places of a key set are given."""
        return sum(place is not None for place in (self.jwks, self.jwks_uri, self.jwks_config_map_ref))


class ClientAuth(Part):
    """Who may use a route."""

    api_keys: Annotated[
        CallerKeys | None,
        Field(
            description="Callers that show an API key, as the SDKs do: Authorization: Bearer, x-api-key, api-key or "
            "x-goog-api-key."
        ),
    ] = None
    jwt: Annotated[
        CallerTokens | None,
        Field(
            description="Callers that show a JSON Web Token as Authorization: Bearer, which Envoy verifies. For the "
            "bundled data plane; with Envoy Gateway, use its SecurityPolicy."
        ),
    ] = None

    model_config = ConfigDict(json_schema_extra=cel(("has(self.apiKeys) || has(self.jwt)", AT_LEAST_ONE)))
