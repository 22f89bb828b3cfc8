"""Random valid configurations, small enough to fail readably."""

from typing import Any

from hypothesis import strategies as st

from extproc.config.auth import Auth, ClientAuth
from extproc.config.names import CLIENT_DIALECTS, GCP_SCHEMAS, PLATFORMS
from extproc.config.schema import (
    MAX_INTEGER,
    Backend,
    CapabilityOverrides,
    Config,
    Defaults,
    GoogleCloud,
    HeaderMatch,
    InputSchema,
    Match,
    OutputSchema,
    Rule,
    WeightedBackend,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
NAMES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=6)
HEADER_NAMES = st.text("aZ0!#$%&'*+.^_`|~-", min_size=1, max_size=6)
HOSTNAMES = st.sampled_from(["a", "a.example.com", "*.example.com", "x-1.example.com", "*.com"])
SCHEMAS = st.builds(
    OutputSchema,
    schema=st.sampled_from(list(PLATFORMS)),
    version=st.none() | st.text("aZ0._~/-", max_size=4).filter(lambda text: {".", ".."}.isdisjoint(text.split("/"))),
)
HEADERS = st.lists(
    st.builds(
        HeaderMatch,
        name=HEADER_NAMES,
        value=TEXT.filter(bool),
        type=st.sampled_from(["Exact", "RegularExpression"]),
    ),
    max_size=2,
).map(tuple)
CAPABILITIES = st.builds(
    CapabilityOverrides,
    structured_output=st.sampled_from([None, "schema", "tool"]),
    reasoning=st.sampled_from([None, "none", "budget", "gpt_oss"]),
    prompt_cache=st.sampled_from([None, True, False]),
    efforts=st.sampled_from([None, ("low",), ("none", "max")]),
    budget_range=st.none() | st.tuples(st.integers(0, 9), st.integers(9, 99)),
)
DEFAULTS = st.builds(Defaults, max_output_tokens=st.none() | st.integers(1, 99))
GOOGLE_CLOUD = st.builds(GoogleCloud, project=st.sampled_from(["p", "example.com:p-1", "123"]), location=st.just("eu"))
INLINE_BACKENDS = st.lists(
    st.builds(
        WeightedBackend,
        name=NAMES,
        weight=st.integers(0, 1_000_000),
        output_schema=SCHEMAS,
        model_name_override=st.none() | NAMES,
    ),
    max_size=2,
).map(tuple)


SAID: tuple[dict[str, Any], ...] = (
    {"apiKey": {"file": "f", "header": "X-Key", "prefix": ""}},
    {"aws": {}},
    {"aws": {"source": "keys", "file": "f", "region": "us-east-1"}},
    {"gcp": {"source": "workloadIdentity", "audience": "a"}},
    {"azure": {"source": "federatedToken", "tenantId": "t", "clientId": "c"}},
    {"passthrough": {}},
    {"none": {}},
)
AUTHS = st.sampled_from([None, *map(Auth.model_validate, SAID)])
CLIENT_AUTHS = st.sampled_from(
    [None, ClientAuth.model_validate({"apiKeys": {"file": "f"}}), ClientAuth.model_validate({"jwt": {"provider": "p"}})]
)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    """A rule in either form."""
    old_form = draw(st.booleans())
    return Rule(
        name=draw(st.none() | TEXT),
        source=draw(st.none() | TEXT),
        hostnames=tuple(draw(st.lists(HOSTNAMES, max_size=2))),
        input_schema=draw(st.none() | st.builds(InputSchema, schema=st.sampled_from(list(CLIENT_DIALECTS)))),
        headers=draw(st.none() | HEADERS) if old_form else None,
        matches=None if old_form else tuple(Match(headers=h) for h in draw(st.lists(HEADERS, min_size=1, max_size=2))),
        backends=draw(INLINE_BACKENDS),
        stickiness=draw(st.sampled_from([None, "Conversation"])),
        refusal=draw(st.none() | TEXT),
        client_auth=draw(CLIENT_AUTHS),
        created=draw(st.integers(0, MAX_INTEGER)),
        owned_by=draw(TEXT),
    )


@st.composite
def configs(draw: st.DrawFn) -> Config:
    """A whole configuration."""
    names = draw(st.lists(NAMES, unique=True, max_size=3))
    backends = [
        Backend(
            name=n,
            output_schema=(schema := draw(SCHEMAS)),
            host=draw(st.none() | TEXT),
            capabilities=draw(CAPABILITIES),
            defaults=draw(st.none() | DEFAULTS),
            gcp=draw(GOOGLE_CLOUD) if schema.schema_ in GCP_SCHEMAS else None,
            auth=draw(AUTHS),
        )
        for n in names
    ]
    return Config(
        version=draw(st.sampled_from([1, 2])),
        revision=draw(st.integers(0, MAX_INTEGER)),
        model_name_header_key=draw(st.sampled_from(["x-ai-eg-model", "X-Model-Name"])),
        path_prefix=draw(st.sampled_from(["", "/llm", "/a/b.c"])),
        backends=tuple(backends),
        rules=tuple(draw(st.lists(rules(), max_size=3))),
    )
