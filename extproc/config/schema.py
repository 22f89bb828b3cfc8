"""What the extproc ConfigMap may hold.

The original hand-written format stays valid (``headers`` and inline ``outputSchema``); generated files use
``matches`` and the top-level ``backends`` list, so that ten thousand rules do not repeat what their backends are.
Unknown fields are refused. Everything is frozen: a loaded configuration is a value that an exchange can keep for its
whole life.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StrictBool, StrictInt, StrictStr, model_validator

from extproc.config.auth import Auth, ClientAuth
from extproc.config.errors import Finding, MisfitError, nearest, quoted
from extproc.config.names import (
    BACKEND_HEADER,
    CLIENT_DIALECTS,
    GCP_NEEDED,
    GCP_ONLY,
    GCP_SCHEMAS,
    MODEL_HEADERS,
    OLDEST_VERSION,
    PLATFORMS,
    VERSION,
)
from extproc.config.shape import (
    FINGERPRINT_PATTERN,
    GCP_LOCATION_PATTERN,
    GCP_PROJECT_PATTERN,
    NAME_PATTERN,
    PATH_PREFIX_PATTERN,
    PATH_VERSION_PATTERN,
    HeaderName,
    Hostname,
    Name,
    Shape,
    descending,
    one_of,
)

#: The largest integer that every JSON reader and a Prometheus gauge hold exactly.
MAX_INTEGER = 2**53 - 1

#: More than any model will ever say or think in one go; it fits into 32 bits.
MAX_TOKENS = 100_000_000

EffortWord = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Budget = Annotated[StrictInt, Field(ge=0, le=MAX_TOKENS)]


class InputSchema(Shape):
    """The API that clients speak."""

    schema_: Annotated[StrictStr, one_of(CLIENT_DIALECTS)] = Field(alias="schema")
    version: StrictStr | None = None


class OutputSchema(Shape):
    """The API that a backend speaks.

    ``version`` is the platform's to read: a path prefix, an api-version, an anthropic_version.
    """

    schema_: Annotated[StrictStr, one_of(PLATFORMS)] = Field(alias="schema")
    version: (
        Annotated[StrictStr, Field(max_length=64, pattern=PATH_VERSION_PATTERN), AfterValidator(descending)] | None
    ) = None


class HeaderMatch(Shape):
    """One condition on one header. RegularExpression is RE2 and must match the whole value."""

    name: HeaderName
    value: Annotated[StrictStr, Field(min_length=1, max_length=4096)]
    type: Literal["Exact", "RegularExpression"] = "Exact"


class Match(Shape):
    """All headers must match; none at all matches everything."""

    headers: Annotated[tuple[HeaderMatch, ...], Field(max_length=16)] = ()


class CapabilityOverrides(Shape):
    """What this backend's models can do, where the bundled table is wrong or silent.

    See ``conversation.capabilities``.
    """

    structured_output: Literal["schema", "tool"] | None = None
    reasoning: Literal["none", "adaptive", "budget", "level", "nova", "gpt_oss", "openai"] | None = None
    thinking_off: StrictBool | None = None
    forced_tool_choice: StrictBool | None = None
    named_tool_choice: StrictBool | None = None
    tools_while_thinking_forced: StrictBool | None = None
    disable_parallel_tools: StrictBool | None = None
    system_in_messages: StrictBool | None = None
    prompt_cache: StrictBool | None = None
    tool_cache: StrictBool | None = None
    long_cache: StrictBool | None = None
    thinking_blocks: StrictBool | None = None
    sampling: Literal["both", "one", "none"] | None = None
    top_k: Literal["none", "plain", "nova"] | None = None
    maker: Literal["anthropic", "google", "amazon", "openai"] | None = None
    max_output_tokens: Annotated[StrictInt, Field(ge=1, le=MAX_TOKENS)] | None = None
    prefill: StrictBool | None = None
    efforts: Annotated[tuple[EffortWord, ...], Field(min_length=1, max_length=7)] | None = None
    budget_range: Annotated[tuple[Budget, ...], Field(min_length=2, max_length=2)] | None = None
    thinking_between_tools: StrictBool | None = None
    tools_while_reasoning: StrictBool | None = None
    developer_role: StrictBool | None = None
    legacy_max_tokens: StrictBool | None = None
    custom_tools: StrictBool | None = None
    json_object: StrictBool | None = None
    json_schema_tools: StrictBool | None = None
    media_in_tool_results: StrictBool | None = None
    checks_signatures: StrictBool | None = None
    call_ids: StrictBool | None = None
    image_detail: StrictBool | None = None
    format_with_tools: StrictBool | None = None
    stored_files: StrictBool | None = None

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.budget_range is not None and self.budget_range[0] > self.budget_range[1]:
            raise MisfitError(Finding("budgetRange", "the least comes first, then the most"))
        return self


class Defaults(Shape):
    """What requests to a backend say where the client says nothing."""

    max_output_tokens: Annotated[StrictInt, Field(ge=1, le=MAX_TOKENS)] | None = None


class GoogleCloud(Shape):
    """Where in Google Cloud a backend is; both are parts of its paths."""

    project: Annotated[StrictStr, Field(min_length=1, max_length=128, pattern=GCP_PROJECT_PATTERN)]
    location: Annotated[StrictStr, Field(min_length=1, max_length=63, pattern=GCP_LOCATION_PATTERN)]


class Backend(Shape):
    """One upstream, all that translation needs to know of it. Never a secret."""

    name: Name
    output_schema: OutputSchema
    #: The upstream's own host name as Envoy sends it; what a signature will cover.
    host: StrictStr | None = None
    #: Tells this upstream from others that this name stood for before, or will. Part of the backend header, so that no
    #: request written for the one can reach the other.
    fingerprint: Annotated[StrictStr, Field(min_length=1, max_length=64, pattern=FINGERPRINT_PATTERN)] | None = None
    capabilities: CapabilityOverrides | None = None
    defaults: Defaults | None = None
    gcp: GoogleCloud | None = None
    #: None: the client's own credential goes on, in the form that the platform takes.
    auth: Auth | None = None
    #: Why it can be sent nothing at the moment: its share of the requests answers 503 with this.
    refusal: StrictStr | None = None


class WeightedBackend(Shape):
    """A rule's choice of a backend. ``outputSchema`` inline (hand-written files) or by name from ``backends``.

    ``routeKey`` is what the backend header shall hold when that is not the name: a rule's own time limit is a route of
    its own in Envoy (``team-a/openai;timeout=30s``), and routes are keyed by that header alone. The fingerprint of the
    backend, where it has one, is appended to either.
    """

    name: Name
    weight: Annotated[StrictInt, Field(ge=0, le=1_000_000)] = 1
    output_schema: OutputSchema | None = None
    model_name_override: Annotated[StrictStr, Field(min_length=1, max_length=2048)] | None = None
    route_key: Annotated[StrictStr, Field(min_length=1, max_length=600, pattern=NAME_PATTERN)] | None = None


class Rule(Shape):
    """Where requests go. ``headers`` is one match (the original format); ``matches`` is any of several.

    ``source`` is the provenance (``team-a/chat@7#rules[1]``) for logs, metrics and errors. ``refusal`` keeps a rule
    whose backends are all unresolved in place: it answers 503 with this reason instead of letting another rule take
    its traffic. ``stickiness`` keeps all turns of a conversation at one backend for as long as the weights stay.
    """

    name: StrictStr | None = None
    source: StrictStr | None = None
    hostnames: tuple[Hostname, ...] = ()
    input_schema: InputSchema | None = None
    headers: Annotated[tuple[HeaderMatch, ...], Field(max_length=16)] | None = None
    matches: Annotated[tuple[Match, ...], Field(min_length=1, max_length=128)] | None = None
    backends: Annotated[tuple[WeightedBackend, ...], Field(max_length=128)] = ()
    stickiness: Literal["Conversation"] | None = None
    refusal: StrictStr | None = None
    #: None: everybody who reaches the gateway.
    client_auth: ClientAuth | None = None
    #: Unix seconds of the resource, shown by ``GET /v1/models``.
    created: Annotated[StrictInt, Field(ge=0, le=MAX_INTEGER)] = 0
    owned_by: StrictStr = "llmroute"

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.headers is not None and self.matches is not None:
            raise MisfitError(Finding("", "headers and matches are two forms of one thing; keep matches"))
        return self

    @property
    def alternatives(self) -> tuple[Match, ...]:
        """The matches, whichever form the file used; a rule without any matches everything."""
        if self.matches is not None:
            return self.matches
        return (Match(headers=self.headers or ()),)


class Config(Shape):
    """The whole file."""

    version: Annotated[StrictInt, Field(ge=OLDEST_VERSION, le=VERSION)] = VERSION
    revision: Annotated[StrictInt, Field(ge=0, le=MAX_INTEGER)] = 0
    input_schema: InputSchema | None = None
    backend_routing_header_key: HeaderName = BACKEND_HEADER
    model_name_header_key: HeaderName = MODEL_HEADERS[1]
    path_prefix: Annotated[StrictStr, Field(max_length=256, pattern=PATH_PREFIX_PATTERN)] = ""
    backends: tuple[Backend, ...] = ()
    rules: tuple[Rule, ...] = ()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        faults = self._header_clash(), self._doubled_backends(), self._unknown_backends(), self._misplaced_clouds()
        if findings := tuple(chain.from_iterable(faults)):
            raise MisfitError(*findings)
        return self

    def _header_clash(self) -> Iterator[Finding]:
        if self.backend_routing_header_key in (self.model_name_header_key, *MODEL_HEADERS):
            yield Finding("backendRoutingHeaderKey", "is a header of the model; the backend needs one of its own")

    def _doubled_backends(self) -> Iterator[Finding]:
        known = set[str]()
        for i, backend in enumerate(self.backends):
            if backend.name in known:
                yield Finding(f"backends[{i}].name", f"{quoted(backend.name)} is used twice; names are unique")
            known.add(backend.name)

    def _unknown_backends(self) -> Iterator[Finding]:
        known = {backend.name for backend in self.backends}
        for i, rule in enumerate(self.rules):
            for j, choice in enumerate(rule.backends):
                if choice.output_schema is None and choice.name not in known:
                    reason = (
                        f"no backend {quoted(choice.name)} in backends, and no outputSchema here; add one of the two"
                    )
                    yield Finding(f"rules[{i}].backends[{j}].name", reason, nearest(choice.name, known))

    def _misplaced_clouds(self) -> Iterator[Finding]:
        for i, backend in enumerate(self.backends):
            schema = backend.output_schema.schema_
            if backend.gcp is None and schema == "GCPAnthropic":
                yield Finding(f"backends[{i}].gcp", GCP_NEEDED)
            elif backend.gcp is not None and schema not in GCP_SCHEMAS:
                yield Finding(f"backends[{i}].gcp", f"{GCP_ONLY}, not for {schema}")
