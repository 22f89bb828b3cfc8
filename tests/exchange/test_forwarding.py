"""Which headers of a client reach whom, which of an upstream reach the client, and under what name a key goes on."""

import json
from typing import Any

import pytest

from extproc.config.loader import load
from extproc.exchange.gateway import Gateway
from extproc.exchange.machine import Exchange
from extproc.exchange.messages import Proceed, RequestBody
from tests.support.exchange_driver import chat, exchange, proceed, request_headers, response_headers

SCHEMAS = (
    "OpenAI",
    "AzureOpenAI",
    "Anthropic",
    "AWSBedrock",
    "AWSAnthropic",
    "GCPVertexAI",
    "Gemini",
    "GCPAnthropic",
)
GCP = {"project": "p", "location": "eu"}
MODELS = {
    "AWSBedrock": "anthropic.claude-sonnet-4-5-20250929-v1:0",
    "AWSAnthropic": "anthropic.claude-sonnet-4-5-20250929-v1:0",
    "GCPVertexAI": "gemini-3-pro",
    "Gemini": "gemini-3-pro",
}
EMBEDDERS = {"AWSBedrock": "amazon.titan-embed-text-v2:0", "GCPVertexAI": "text-embedding-005"}


def _config(*, own_names: bool) -> dict[str, Any]:
    named = {"modelNameHeaderKey": "X-Model-Name", "backendRoutingHeaderKey": "X-Backend-Name"} if own_names else {}
    backends = [
        {"name": schema, "outputSchema": {"schema": schema}, **({"gcp": GCP} if schema.startswith("GCP") else {})}
        for schema in SCHEMAS
    ]
    rules = [
        {
            "headers": [{"name": "x-ai-eg-model", "value": f"{word}{schema}"}],
            "backends": [{"name": schema, "modelNameOverride": models.get(schema, "claude-sonnet-4-5")}],
        }
        for word, models in (("", MODELS), ("embed-", EMBEDDERS))
        for schema in SCHEMAS
    ]
    return {**named, "backends": backends, "rules": rules}


GATEWAY = Gateway.compile(load(json.dumps(_config(own_names=False)).encode()))
RENAMED = Gateway.compile(load(json.dumps(_config(own_names=True)).encode()))
OPENAI, ANTHROPIC, COUNT, EMBED = (
    "/v1/chat/completions",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/embeddings",
)
#: What an upstream that the client did not choose must not see, and what tracing and proxies need.
PRIVATE = {
    "cookie": "sid=1",
    "openai-organization": "org-x",
    "openai-project": "proj-x",
    "x-amz-security-token": "tok",
    "x-amz-target": "t",
    "x-amzn-bedrock-guardrailidentifier": "none",
    "x-goog-user-project": "victim",
    "x-goog-request-params": "a=b",
    "x-stainless-lang": "python",
    "x-http-method-override": "DELETE",
    "x-llmroute-debug": "1",
    "x-mine": "secret",
    "accept-encoding": "gzip",
    "anthropic-workspace-id": "w",
    "api-key": "az",
    "x-api-key": "ant",
    "x-goog-api-key": "goog",
}
PUBLIC = {
    "accept": "*/*",
    "accept-language": "de",
    "user-agent": "sdk/1",
    "traceparent": "00-1-2-01",
    "tracestate": "a=b",
    "baggage": "c=d",
    "x-request-id": "r",
    "x-b3-traceid": "1",
    "b3": "0",
    "x-forwarded-for": "10.0.0.1",
}
CREDENTIALS = {"authorization", "x-api-key", "api-key", "x-goog-api-key"}


def going(
    schema: str, path: str, headers: dict[str, str], gateway: Gateway = GATEWAY, **fields: Any
) -> tuple[Exchange, dict[str, str], Proceed]:
    """An exchange whose request went out, and the headers with which the upstream gets it."""
    event = request_headers(path)
    made = exchange(gateway)
    made.receive(type(event)({**event.headers, **headers}, event.end))
    model = f"embed-{schema}" if path == EMBED else schema
    body = {"input": "x"} if path == EMBED else {"max_tokens": 9}
    action = proceed(made.receive(RequestBody(chat(model, **{**body, **fields}), end=True)))
    arrived = {**event.headers, **headers}
    for name in action.remove_headers:
        del arrived[name]
    return made, {**arrived, **dict(action.set_headers)}, action


def _paths(schema: str) -> list[str]:
    paths = [OPENAI, ANTHROPIC]
    if schema not in {"OpenAI", "AzureOpenAI"}:
        paths.append(COUNT)
    return [*paths, EMBED] if schema in EMBEDDERS else paths


EVERY = [(schema, path) for schema in SCHEMAS for path in _paths(schema)]
PASSED = [("OpenAI", OPENAI), ("AzureOpenAI", OPENAI), ("Anthropic", ANTHROPIC), ("Anthropic", COUNT)]
EXPECTED_KEY = {
    "AzureOpenAI": ("api-key", "az"),
    "Anthropic": ("x-api-key", "ant"),
    "Gemini": ("x-goog-api-key", "goog"),
}


@pytest.mark.parametrize(("schema", "path"), [each for each in EVERY if each not in PASSED])
def test_a_vendor_that_the_client_did_not_choose_gets_what_is_on_the_list(schema: str, path: str) -> None:
    """Translated, counted, embedded or in a cloud: tracing and the user agent arrive, and nothing else."""
    _, arrived, _ = going(schema, path, {**PRIVATE, **PUBLIC, "authorization": "Bearer sk"})
    name, value = EXPECTED_KEY.get(schema, ("authorization", "Bearer sk"))
    own = {"anthropic-version"} if schema == "Anthropic" else set()

    assert PUBLIC.items() <= arrived.items()
    assert {(key, arrived[key]) for key in CREDENTIALS & arrived.keys()} == {(name, value)}
    assert arrived.keys() == {
        *(":method", ":path", ":authority", "content-type", "content-length", "x-llmroute-backend", name),
        *PUBLIC,
        *own,
    }


@pytest.mark.parametrize(("schema", "path"), PASSED)
def test_the_vendor_of_the_clients_choice_gets_what_may_be_meant_for_it(schema: str, path: str) -> None:
    """Cookies, other vendors' headers and keys, and the gateway's own names stay behind; the rest passes."""
    _, arrived, _ = going(schema, path, {**PRIVATE, **PUBLIC, "authorization": "Bearer sk"})
    name, value = EXPECTED_KEY.get(schema, ("authorization", "Bearer sk"))
    gone = {each for each in PRIVATE if each == "cookie" or each.startswith(("x-amz", "x-goog-", "x-llmroute-"))}

    assert not (gone - {name}) & arrived.keys()
    assert {(key, arrived[key]) for key in CREDENTIALS & arrived.keys()} == {(name, value)}
    assert (PUBLIC.keys() | (PRIVATE.keys() - gone - CREDENTIALS)) <= arrived.keys()


@pytest.mark.parametrize(("schema", "path"), EVERY)
@pytest.mark.parametrize(
    "sent",
    [{"authorization": "Bearer K"}, {"x-api-key": "K"}, {"api-key": "K"}, {"authorization": "", "x-api-key": "K"}],
    ids=["bearer", "x-api-key", "api-key", "empty"],
)
def test_one_key_goes_on_as_the_upstream_takes_it(schema: str, path: str, sent: dict[str, str]) -> None:
    """Whichever header the client's SDK uses, the upstream finds the key where it looks for one."""
    _, arrived, _ = going(schema, path, sent)
    bearer = "authorization" in sent and sent["authorization"] != ""
    form = {"AzureOpenAI": "api-key", "Anthropic": "x-api-key", "Gemini": "x-goog-api-key"}.get(schema, "authorization")
    if bearer and schema != "Gemini":
        form = "authorization"

    expected = {form: "Bearer K" if form == "authorization" else "K"}
    assert {name: arrived[name] for name in CREDENTIALS & arrived.keys()} == expected


def test_without_a_key_none_is_made_up() -> None:
    """A request without credentials, or with one that the upstream has no form for, goes without."""
    for headers in ({}, {"authorization": "Basic dTpw"}, {"authorization": "Bearer "}):
        _, arrived, _ = going("Gemini", OPENAI, headers)
        assert not CREDENTIALS & arrived.keys()


@pytest.mark.parametrize("gateway", [GATEWAY, RENAMED], ids=["default", "renamed"])
@pytest.mark.parametrize(("schema", "path"), PASSED)
def test_the_names_of_the_model_never_leave(schema: str, path: str, gateway: Gateway) -> None:
    """The configured header of the model and both documented ones are for matching alone, whoever sends them."""
    config = gateway.config
    names = {config.model_name_header_key, "x-ai-eg-model", "x-envoy-ai-gateway-llm-model"}
    _, arrived, _ = going(schema, path, dict.fromkeys((*names, "x-llmroute-backend"), "z"), gateway)

    assert not names & arrived.keys()
    assert arrived[config.backend_routing_header_key] == schema
    assert arrived.get("x-llmroute-backend", schema) == schema


def test_a_header_that_is_set_is_not_removed() -> None:
    """The version that Anthropic is told arrives, also when a client of OpenAI's API sent the same one."""
    _, arrived, action = going("Anthropic", OPENAI, {"anthropic-version": "2023-06-01", "anthropic-beta": "b"})

    assert arrived["anthropic-version"] == "2023-06-01"
    assert "anthropic-beta" not in arrived
    assert not {name for name, _ in action.set_headers} & set(action.remove_headers)


ANSWERED = {
    "set-cookie": "__cf_bm=x",
    "openai-organization": "acme",
    "openai-project": "p",
    "anthropic-organization-id": "org",
}
FOREIGN = {"x-amzn-requestid": "aws-1", "alt-svc": "h3", "strict-transport-security": "x", "x-accel": "y"}
KEPT = {
    "date": "today",
    "server-timing": "a;dur=1",
    "x-ratelimit-remaining": "1",
    "anthropic-ratelimit-tokens-limit": "9",
    "request-id": "req_1",
}


@pytest.mark.parametrize(("schema", "path"), EVERY)
@pytest.mark.parametrize("status", [200, 400])
def test_no_answer_tells_whose_account_it_was(schema: str, path: str, status: int) -> None:
    """Cookies and account names go from every answer, and from another vendor's all that is not on a list."""
    made, _, _ = going(schema, path, {})
    event = response_headers(status)
    action = proceed(
        made.receive(type(event)({**event.headers, **ANSWERED, **FOREIGN, **KEPT}, False, event.attributes))
    )
    removed = set(action.remove_headers)

    assert removed >= ANSWERED.keys()
    assert (removed >= FOREIGN.keys()) == ((schema, path) not in PASSED)
    assert not removed & (KEPT.keys() - dict(action.set_headers).keys())
