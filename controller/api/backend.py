"""LLMBackend: one upstream, where it is and which API it speaks."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr
from pydantic.alias_generators import to_camel

from controller.api.auth import SPEC_RULES, BackendAuth
from controller.api.endpoint import Endpoint
from controller.api.shape import (
    API_VERSION,
    GCP_LOCATION_PATTERN,
    GCP_PROJECT_PATTERN,
    GROUP_PATTERN,
    LABEL_PATTERN,
    NAME_PATTERN,
    VERSION_PATTERN,
    Metadata,
    Part,
    cel,
    one_of,
)
from extproc.config.names import GCP_ONLY, GCP_SCHEMAS, PLATFORMS, VERSION_CLIMBS
from extproc.config.schema import MAX_TOKENS

ENVOY_GATEWAY_GROUP = "gateway.envoyproxy.io"

EXACTLY_ONE_TARGET = "exactly one of backendRef and endpoint must be set"
SERVICE_NAME = "the name of a Service has at most 63 characters and no dots"
SERVICE_NEEDS_PORT = "port is required when kind is Service"
BUDGET_RISES = "the least number of tokens comes first, then the most"
GROUP_FITS_KIND = f'group must be "" when kind is Service and "{ENVOY_GATEWAY_GROUP}" when kind is Backend'


class OutputSchema(Part):
    """The API that a backend speaks."""

    schema_: Annotated[
        StrictStr,
        one_of(PLATFORMS),
        Field(
            alias="schema",
            description="The backend's API. Requests are translated into it and responses back.",
            json_schema_extra={"enum": list(PLATFORMS)},
        ),
    ]
    version: Annotated[
        StrictStr | None,
        Field(
            max_length=64,
            pattern=VERSION_PATTERN,
            description="For OpenAI and Anthropic: the path in front of /chat/completions or /messages, v1 unless set; "
            "for Anthropic with the anthropic-version behind it or alone (anthropic/v1/2026-10-21). For AzureOpenAI: "
            "the api-version (2024-10-21), with which requests go to /openai/deployments; without it to /openai/v1. "
            "For AWSAnthropic and GCPAnthropic: the anthropic_version of the body. For GCPVertexAI and Gemini: the "
            "version in the path. AWSBedrock ignores it.",
        ),
    ] = None

    model_config = ConfigDict(
        json_schema_extra=cel(
            (r"!has(self.version) || !self.version.matches('(^|/)[.][.]?(/|$)')", VERSION_CLIMBS),
        )
    )


class BackendRef(Part):
    """An object in the cluster that holds the upstream's addresses."""

    group: Annotated[
        StrictStr | None,
        Field(
            max_length=253,
            pattern=GROUP_PATTERN,
            description=f"Nothing or empty for a Service, {ENVOY_GATEWAY_GROUP} for a Backend.",
        ),
    ] = None
    kind: Annotated[
        Literal["Service", "Backend"],
        Field(description="Service of Kubernetes, spoken to without TLS, or Backend of Envoy Gateway."),
    ] = "Service"
    name: Annotated[
        StrictStr,
        Field(
            min_length=1,
            max_length=253,
            pattern=NAME_PATTERN,
            description="The object's name. That of a Service has at most 63 characters and no dots.",
        ),
    ]
    namespace: Annotated[
        StrictStr | None,
        Field(
            min_length=1,
            max_length=63,
            pattern=LABEL_PATTERN,
            description="The object's namespace; nothing: the LLMBackend's own. Another needs a ReferenceGrant there.",
        ),
    ] = None
    port: Annotated[
        StrictInt | None,
        Field(ge=1, le=65535, description="The port of a Service. A Backend has the port in its endpoints."),
    ] = None

    model_config = ConfigDict(
        json_schema_extra=cel(
            ("self.kind != 'Service' || has(self.port)", SERVICE_NEEDS_PORT),
            ("self.kind != 'Service' || (size(self.name) <= 63 && !self.name.contains('.'))", SERVICE_NAME),
            (
                f"(has(self.group) ? self.group : '') == (self.kind == 'Backend' ? '{ENVOY_GATEWAY_GROUP}' : '')",
                GROUP_FITS_KIND,
            ),
        )
    )


EffortWord = Annotated[
    Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"], Field(description="An effort.")
]
Budget = Annotated[StrictInt, Field(ge=0, le=MAX_TOKENS, description="A number of tokens.")]


class Capabilities(Part):
    """What this backend's models can do, where the gateway's own table is wrong or silent."""

    structured_output: Annotated[
        Literal["schema", "tool"] | None,
        Field(
            description="schema: it constrains its output to a JSON Schema itself; tool: a forced tool call stands in."
        ),
    ] = None
    reasoning: Annotated[
        Literal["none", "adaptive", "budget", "level", "nova", "gpt_oss", "openai"] | None,
        Field(
            description="How the model is told to think: by an effort word, a token budget, its family's field, or not."
        ),
    ] = None
    thinking_off: Annotated[
        StrictBool | None, Field(description="Whether the model lets its thinking be switched off.")
    ] = None
    forced_tool_choice: Annotated[
        StrictBool | None, Field(description="Whether a call of any, or of one named tool, may be demanded.")
    ] = None
    named_tool_choice: Annotated[
        StrictBool | None, Field(description="Whether, of these two, a call of one named tool may be demanded.")
    ] = None
    tools_while_thinking_forced: Annotated[
        StrictBool | None, Field(description="Whether a demanded tool call may go together with reasoning.")
    ] = None
    disable_parallel_tools: Annotated[
        StrictBool | None, Field(description="Whether the vendor's switch against parallel tool calls may be sent.")
    ] = None
    system_in_messages: Annotated[
        StrictBool | None, Field(description="Whether a system message may stand between other messages.")
    ] = None
    prompt_cache: Annotated[StrictBool | None, Field(description="Whether cache points are understood.")] = None
    tool_cache: Annotated[
        StrictBool | None, Field(description="Whether a cache point may stand among the tools, too.")
    ] = None
    long_cache: Annotated[
        StrictBool | None, Field(description="Whether a cache point may ask for an hour instead of five minutes.")
    ] = None
    thinking_blocks: Annotated[
        StrictBool | None, Field(description="Whether signed reasoning blocks of earlier turns are taken back.")
    ] = None
    sampling: Annotated[
        Literal["both", "one", "none"] | None,
        Field(description="Whether temperature and topP may be set: both, one of the two, or neither."),
    ] = None
    top_k: Annotated[
        Literal["none", "plain", "nova"] | None, Field(description="Where top_k goes in the request, if anywhere.")
    ] = None
    maker: Annotated[
        Literal["anthropic", "google", "amazon", "openai"] | None,
        Field(description="Who signs the model's reasoning; only the maker takes it back."),
    ] = None
    max_output_tokens: Annotated[
        StrictInt | None,
        Field(ge=1, le=MAX_TOKENS, description="The most that the model can be asked to say, in tokens."),
    ] = None
    prefill: Annotated[
        StrictBool | None,
        Field(description="Whether a conversation may end with the beginning of the assistant's answer."),
    ] = None
    efforts: Annotated[
        tuple[EffortWord, ...] | None,
        Field(
            min_length=1,
            max_length=7,
            description="The efforts that the model knows; others become the nearest of these. Nothing: all.",
            json_schema_extra={"x-kubernetes-list-type": "set"},
        ),
    ] = None
    budget_range: Annotated[
        tuple[Budget, ...] | None,
        Field(
            min_length=2,
            max_length=2,
            description="The least and the most tokens of thinking that may be asked for.",
            json_schema_extra=cel(("self[0] <= self[1]", BUDGET_RISES)),
        ),
    ] = None
    thinking_between_tools: Annotated[
        StrictBool | None, Field(description="Whether the model can be told to think only between tool calls.")
    ] = None
    tools_while_reasoning: Annotated[
        StrictBool | None, Field(description="Whether function tools and reasoning go together in this API.")
    ] = None
    developer_role: Annotated[
        StrictBool | None, Field(description="Whether system text is sent as the developer's.")
    ] = None
    legacy_max_tokens: Annotated[
        StrictBool | None,
        Field(description="Whether the limit on the answer is called max_tokens instead of max_completion_tokens."),
    ] = None
    custom_tools: Annotated[
        StrictBool | None, Field(description="Whether tools that take plain text are understood.")
    ] = None
    json_object: Annotated[
        StrictBool | None, Field(description="Whether any JSON object may be demanded, without a schema.")
    ] = None
    json_schema_tools: Annotated[
        StrictBool | None,
        Field(description="Whether tools are described by JSON Schema; by the older OpenAPI subset when not."),
    ] = None
    media_in_tool_results: Annotated[StrictBool | None, Field(description="Whether a tool may answer with images.")] = (
        None
    )
    checks_signatures: Annotated[
        StrictBool | None,
        Field(description="Whether a call without its signature is refused in the turn that made it."),
    ] = None
    call_ids: Annotated[
        StrictBool | None, Field(description="Whether a call carries an id that its result must repeat.")
    ] = None
    image_detail: Annotated[
        StrictBool | None, Field(description="Whether an image can say how closely it is to be looked at.")
    ] = None
    format_with_tools: Annotated[
        StrictBool | None, Field(description="Whether an output format may go together with function tools.")
    ] = None
    stored_files: Annotated[
        StrictBool | None,
        Field(
            description="Whether clients may name files in the cloud's own stores (s3, gs, uploaded files, cached "
            "contents), which the cloud reads as the gateway, whoever asks. Nothing: they may not."
        ),
    ] = None


class Defaults(Part):
    """What requests say where the client says nothing."""

    max_output_tokens: Annotated[
        StrictInt | None,
        Field(
            ge=1,
            le=MAX_TOKENS,
            description="The limit on an answer, in tokens, for an API that demands one. Nothing: the most that the "
            "model is known to take.",
        ),
    ] = None


class GoogleCloud(Part):
    """Where in Google Cloud a backend is."""

    project: Annotated[
        StrictStr,
        Field(
            min_length=1,
            max_length=128,
            pattern=GCP_PROJECT_PATTERN,
            description="The project's id or number, a part of every path.",
        ),
    ]
    location: Annotated[
        StrictStr,
        Field(
            min_length=1,
            max_length=63,
            pattern=GCP_LOCATION_PATTERN,
            description="The location, a part of every path: a region such as europe-west4, us, eu, or global.",
        ),
    ]


class BackendSpec(Part):
    """What an LLMBackend describes."""

    output_schema: Annotated[OutputSchema, Field(description="The API that the backend speaks.")]
    backend_ref: Annotated[
        BackendRef | None, Field(description="A Service or an Envoy Gateway Backend that is the upstream.")
    ] = None
    endpoint: Annotated[Endpoint | None, Field(description="The upstream by address.")] = None
    capabilities: Annotated[
        Capabilities | None,
        Field(
            description="What the models behind this backend can do, where the gateway's own table is wrong or silent."
        ),
    ] = None
    defaults: Annotated[Defaults | None, Field(description="What requests say where the client says nothing.")] = None
    gcp: Annotated[
        GoogleCloud | None,
        Field(
            description="Where in Google Cloud the backend is. GCPAnthropic needs it; GCPVertexAI without it takes the "
            "paths for API keys. It may stand in auth.gcp instead."
        ),
    ] = None
    auth: Annotated[
        BackendAuth | None,
        Field(description="What the backend is shown. Nothing: the client's own credential, in the backend's form."),
    ] = None

    @property
    def place(self) -> GoogleCloud | None:
        """Where in Google Cloud the backend is, whichever part of the spec says so."""
        found = None if self.auth is None else self.auth.gcp
        if self.gcp is not None or found is None or found.project is None or found.location is None:
            return self.gcp
        return GoogleCloud(project=found.project, location=found.location)

    model_config = ConfigDict(
        json_schema_extra=cel(
            ("has(self.backendRef) != has(self.endpoint)", EXACTLY_ONE_TARGET),
            (f"!has(self.gcp) || self.outputSchema.schema in {list(GCP_SCHEMAS)}", GCP_ONLY),
            *SPEC_RULES,
        )
    )


class LLMBackend(BaseModel):
    """One upstream of LLMRoutes: where it is, which API it speaks and what its models can do."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)

    api_version: Annotated[StrictStr, one_of((API_VERSION,))]
    kind: Literal["LLMBackend"]
    metadata: Metadata
    spec: BackendSpec
    #: Written by the operator, never read.
    status: Any = None
