"""LLMRoute: which requests go to which backends."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr
from pydantic.alias_generators import to_camel

from controller.api.client_auth import ClientAuth
from controller.api.shape import (
    API_VERSION,
    DURATION_PATTERN,
    GROUP_PATTERN,
    HEADER_NAME_PATTERN,
    HOSTNAME_PATTERN,
    LABEL_PATTERN,
    NAME_PATTERN,
    Metadata,
    Part,
    cel,
    one_of,
)
from extproc.config.names import CLIENT_DIALECTS

#: Characters of a regular expression. RE2 is linear in the input, but thousands of states are a burden for every rule.
MAX_REGEX = 1024

UNIQUE_RULE_NAMES = "rule names must be unique within the route"
REGEX_LENGTH = f"a regular expression may have at most {MAX_REGEX} characters"

Hostname = Annotated[StrictStr, Field(min_length=1, max_length=253, pattern=HOSTNAME_PATTERN)]


class InputSchema(Part):
    """The API that the clients of a route speak."""

    schema_: Annotated[
        StrictStr,
        one_of(CLIENT_DIALECTS),
        Field(
            alias="schema",
            description="The clients' API. Requests in another API skip this route.",
            json_schema_extra={"enum": list(CLIENT_DIALECTS)},
        ),
    ]
    version: Annotated[
        StrictStr | None,
        Field(max_length=64, description="The version of that API, for information. Nothing depends on it today."),
    ] = None


class HeaderMatch(Part):
    """A condition on one request header."""

    name: Annotated[
        StrictStr,
        Field(
            min_length=1,
            max_length=256,
            pattern=HEADER_NAME_PATTERN,
            description="The header's name, in any case. The model that the request's body names is matched as "
            "x-ai-eg-model or x-envoy-ai-gateway-llm-model: two names for one value. Headers that belong to the "
            "gateway are never taken from the client.",
        ),
    ]
    value: Annotated[
        StrictStr,
        Field(min_length=1, max_length=4096, description="The value, or an RE2 expression for the whole value."),
    ]
    type: Annotated[
        Literal["Exact", "RegularExpression"],
        Field(description="Exact compares the whole value; RegularExpression is RE2 and must match the whole value."),
    ] = "Exact"

    model_config = ConfigDict(
        json_schema_extra=cel((f"self.type != 'RegularExpression' || size(self.value) <= {MAX_REGEX}", REGEX_LENGTH))
    )


class RouteMatch(Part):
    """One set of conditions, all of which must hold."""

    headers: Annotated[
        tuple[HeaderMatch, ...],
        Field(
            max_length=16,
            description="Conditions on headers, all of which must hold. None: every request matches.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = ()


class RouteBackendRef(Part):
    """A share of a rule's traffic."""

    name: Annotated[
        StrictStr,
        Field(min_length=1, max_length=253, description="The name of an LLMBackend in the route's namespace."),
    ]
    weight: Annotated[
        StrictInt,
        Field(
            ge=0,
            le=1_000_000,
            description="The share of this backend: its weight over the sum of the rule's weights. 0: never chosen.",
        ),
    ] = 1
    model_name_override: Annotated[
        StrictStr | None,
        Field(
            min_length=1,
            max_length=2048,
            description="The model's name at this backend, sent instead of the one the client named.",
        ),
    ] = None


class Timeouts(Part):
    """How long a rule's requests may take."""

    request: Annotated[
        StrictStr | None,
        Field(
            max_length=32,
            pattern=DURATION_PATTERN,
            description="The longest time from the end of the request to the end of the response, streams included; "
            "then the client gets a 504, or a cut stream. 0s or nothing: no limit but the idle timeout.",
        ),
    ] = None


class RouteRule(Part):
    """Which requests go to which backends."""

    name: Annotated[
        StrictStr | None,
        Field(
            min_length=1,
            max_length=63,
            pattern=NAME_PATTERN,
            description="A name for logs, metrics and errors in place of the rule's number.",
        ),
    ] = None
    matches: Annotated[
        tuple[RouteMatch, ...],
        Field(
            max_length=128,
            description="The rule takes a request that meets any of these. None: it takes every request. Among rules, "
            "more header conditions win, then the older route, then namespace and name, then the order in the route.",
        ),
    ] = ()
    backend_refs: Annotated[
        tuple[RouteBackendRef, ...],
        Field(max_length=128, description="Where the requests go, by weight. None: they are answered with 503."),
    ] = ()
    timeouts: Annotated[Timeouts | None, Field(description="Limits on the time that requests of this rule take.")] = (
        None
    )
    stickiness: Annotated[
        Literal["Conversation"] | None,
        Field(
            description="Conversation: all turns of a conversation go to the same backend, picked by its weight and by "
            "what the conversation begins with (system text and first message), so that prompt caches and signed "
            "thinking stay valid. Nothing: each request is picked anew."
        ),
    ] = None


class ParentRef(Part):
    """A Gateway to attach to."""

    group: Annotated[
        StrictStr,
        Field(max_length=253, pattern=GROUP_PATTERN, description="The API group of the parent."),
    ] = "gateway.networking.k8s.io"
    kind: Annotated[
        StrictStr,
        Field(
            min_length=1,
            max_length=63,
            pattern=r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$",
            description="The kind of the parent.",
        ),
    ] = "Gateway"
    namespace: Annotated[
        StrictStr | None,
        Field(
            min_length=1,
            max_length=63,
            pattern=LABEL_PATTERN,
            description="The parent's namespace; nothing: the route's own.",
        ),
    ] = None
    name: Annotated[StrictStr, Field(min_length=1, max_length=253, description="The name of the parent.")]
    section_name: Annotated[
        StrictStr | None,
        Field(
            min_length=1,
            max_length=253,
            pattern=NAME_PATTERN,
            description="One listener of the parent; nothing: all of them.",
        ),
    ] = None
    port: Annotated[
        StrictInt | None, Field(ge=1, le=65535, description="One port of the parent; nothing: all of them.")
    ] = None


class RouteSpec(Part):
    """What an LLMRoute asks for."""

    input_schema: Annotated[
        InputSchema | None, Field(description="The API of the clients that this route is for. Nothing: all of them.")
    ] = None
    hostnames: Annotated[
        tuple[Hostname, ...],
        Field(
            max_length=16,
            description="The hosts that clients ask for: exact, or *.example.com for one label in its place. None: "
            "every host. A more specific host wins over all else.",
            json_schema_extra={"x-kubernetes-list-type": "set"},
        ),
    ] = ()
    parent_refs: Annotated[
        tuple[ParentRef, ...],
        Field(max_length=32, description="The Gateways that serve this route. Read in Envoy Gateway mode only."),
    ] = ()
    client_auth: Annotated[
        ClientAuth | None,
        Field(
            description="Who may use this route; one of the ways is enough where both are set. Nothing: everybody who "
            "reaches the gateway. What a caller is let in by never goes on to a backend."
        ),
    ] = None
    rules: Annotated[
        tuple[RouteRule, ...],
        Field(
            min_length=1,
            max_length=128,
            description="Which requests go where.",
            json_schema_extra=cel(
                (
                    "self.all(a, !has(a.name) || self.exists_one(b, has(b.name) && b.name == a.name))",
                    UNIQUE_RULE_NAMES,
                )
            ),
        ),
    ]


class LLMRoute(BaseModel):
    """Routes requests for LLMs by model name and headers to LLMBackends, and translates between their APIs."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)

    api_version: Annotated[StrictStr, one_of((API_VERSION,))]
    kind: Literal["LLMRoute"]
    metadata: Metadata
    spec: RouteSpec
    #: Written by the operator, never read.
    status: Any = None
