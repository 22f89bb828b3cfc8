"""The names both sides must agree on: API schemas, header names, the metadata namespace."""

#: The shape that ``schema`` describes. A processor reads this version and the one before it.
VERSION = 2
OLDEST_VERSION = VERSION - 1

#: ``outputSchema.schema`` -> the module under ``extproc.platforms`` that serves it. A new platform is one line here.
PLATFORMS = {
    "OpenAI": "openai",
    "AzureOpenAI": "azure",
    "Anthropic": "anthropic",
    "AWSBedrock": "bedrock",
    "AWSAnthropic": "aws_anthropic",
    "GCPVertexAI": "vertex",
    "Gemini": "gemini",
    "GCPAnthropic": "gcp_anthropic",
}

#: Platforms of Google Cloud, whose paths name a project and a location, and what is said of a backend that has none
#: where it must, or has them where it cannot use them. The same words stand in the CRD.
GCP_SCHEMAS = ("GCPVertexAI", "GCPAnthropic")
GCP_NEEDED = "gcp is required when outputSchema.schema is GCPAnthropic"
GCP_ONLY = f"gcp is for {' and '.join(GCP_SCHEMAS)} only"
#: Servers and proxies resolve these segments, so that the path would lead out of the API.
VERSION_CLIMBS = "'.' and '..' are no segments of a version"

#: ``inputSchema.schema`` -> the package under ``extproc.dialects`` that reads it. A new client dialect is one line
#: here.
CLIENT_DIALECTS = {"OpenAI": "openai", "Anthropic": "anthropic"}

#: The two documented names of the model, matchable in rules. They are never sent upstream.
MODEL_HEADERS = ("x-envoy-ai-gateway-llm-model", "x-ai-eg-model")

#: The header that Envoy's routes are keyed on. Not ``x-envoy-*``: ext_proc may not set those by default.
BACKEND_HEADER = "x-llmroute-backend"

#: Dynamic metadata namespace of token usage, listed in the filter's ``receiving_namespaces``.
METADATA_NAMESPACE = "io.envoy.ai_gateway"

#: Keys that may appear in that namespace.
METADATA_KEYS = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cached_input_tokens",
    "reasoning_tokens",
    "model",
    "backend",
    "route",
    "client_dialect",
    "caller",
)

#: Dynamic metadata namespace in which Envoy's ``jwt_authn`` filter says what it found, listed in the filter's
#: ``forwarding_namespaces``. It is fixed there.
VERIFIED_NAMESPACE = "envoy.filters.http.jwt_authn"


def gateway_headers(backend_header: str, model_header: str) -> tuple[str, ...]:
    """Every header a client can never set, lower-case: stripped by Envoy on the way in and by the processor again."""
    return tuple(dict.fromkeys((backend_header.lower(), model_header.lower(), BACKEND_HEADER, *MODEL_HEADERS)))


def verified_token(provider: str) -> str:
    """The key in ``VERIFIED_NAMESPACE`` of the claims of a token that was verified (``payload_in_metadata``)."""
    return provider


def failed_token(provider: str) -> str:
    """The key in ``VERIFIED_NAMESPACE`` of why a token was not (``failed_status_in_metadata``)."""
    return f"failed:{provider}"


def keyed(key: str, fingerprint: str | None) -> str:
    """A route's key for one very upstream, ``team-a/openai@3f2a90cc1b7e``: what the backend header says."""
    return key if fingerprint is None else f"{key}@{fingerprint}"
