"""Which headers and parameters are for keys, at which backend, and what of the client's stands beside the gateway's."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from extproc.config.loader import load
from extproc.credentials.held import Token
from extproc.exchange.gateway import Gateway
from extproc.exchange.machine import Exchange
from extproc.exchange.messages import Action, RequestBody, RequestHeaders
from tests.support.exchange_driver import EDGES, chat, error_of, proceed, reply, request_headers

OWN = {"apiKey": {"file": "f"}}


def _asked(backends: Mapping[str, dict[str, Any]], rule: tuple[str, ...], headers: dict[str, str], path: str) -> Action:
    """What becomes of a request to a rule with these backends, in a file with all of them, each with its own rule."""
    rules = [rule, *[(name,) for name in backends if (name,) != rule]]
    config = {
        "backends": [{"name": name, **more} for name, more in backends.items()],
        "rules": [
            {
                "headers": [{"name": "x-ai-eg-model", "value": "+".join(names)}],
                "backends": [{"name": name, "weight": int(name == names[0])} for name in names],
            }
            for names in rules
        ],
    }
    gateway = Gateway.compile(load(json.dumps(config).encode()))
    made = Exchange(gateway, replace(EDGES, credential=lambda _name, _auth: Token("the-gateways-key")))
    made.receive(RequestHeaders({**request_headers(path).headers, **headers}, end=False))
    return made.receive(RequestBody(chat("+".join(rule), max_tokens=9), end=True))


def _arrived(action: Action, headers: dict[str, str], path: str) -> dict[str, str]:
    sending = proceed(action)
    sent = {":path": path, **headers}
    return {name: value for name, value in sent.items() if name not in sending.remove_headers} | dict(
        sending.set_headers
    )


def _with_header(header: str, kind: str = "apiKey") -> dict[str, Any]:
    more = {"file": "f"} if kind == "apiKey" else {}
    return {"outputSchema": {"schema": "OpenAI"}, "auth": {kind: {**more, "header": header}}}


VICTIM = {"outputSchema": {"schema": "Anthropic"}}
FUNCTIONAL = [
    "anthropic-version",
    "anthropic-beta",
    "openai-beta",
    "idempotency-key",
    "x-stainless-retry-count",
    "accept-encoding",
    "traceparent",
    "x-team-key",
]


@pytest.mark.parametrize("kind", ["apiKey", "passthrough"])
@pytest.mark.parametrize("header", FUNCTIONAL)
def test_one_backends_header_is_nobody_elses_matter(header: str, kind: str) -> None:
    """What a tenant calls its key's header is taken away from no request that cannot reach that backend."""
    backends, sent, path = {"victim": VICTIM, "other": _with_header(header, kind)}, {header: "x"}, "/v1/messages"

    assert _arrived(_asked(backends, ("victim",), sent, path), sent, path)[header] == "x"


@pytest.mark.parametrize("kind", ["apiKey", "passthrough"])
def test_a_key_for_one_backend_of_a_rule_reaches_none_of_the_others(kind: str) -> None:
    """Where the rule can choose a backend with a header of its own, whatever is chosen gets none of it."""
    backends, sent, path = (
        {"plain": VICTIM, "keyed": _with_header("x-team-key", kind)},
        {"x-team-key": "K"},
        "/v1/messages",
    )

    assert "x-team-key" not in _arrived(_asked(backends, ("plain", "keyed"), sent, path), sent, path)


@pytest.mark.parametrize("header", FUNCTIONAL[:-1])
def test_a_rule_keeps_what_vendors_are_told(header: str) -> None:
    """Even a backend that names such a header for its key does not take it from its rule's other backends."""
    backends, sent, path = {"plain": VICTIM, "keyed": _with_header(header)}, {header: "x"}, "/v1/messages"

    assert _arrived(_asked(backends, ("plain", "keyed"), sent, path), sent, path)[header] == "x"


@pytest.mark.parametrize(
    "header",
    [
        *FUNCTIONAL[:-1],
        "User-Agent",
        "content-length",
        "Host",
        "transfer-encoding",
        "x-envoy-retry-on",
        "connection",
        "te",
        "OpenAI-Organization",
    ],
)
def test_a_header_that_is_not_for_keys_is_given_none(header: str) -> None:
    """A key in what frames, routes or explains the request would be another request: 503 names the field."""
    told = reply(_asked({"b": _with_header(header)}, ("b",), {}, "/v1/chat/completions"))

    assert told.status == 503
    assert "'auth.apiKey.header'" in error_of(told)["message"]


def test_no_key_chooses_the_backend() -> None:
    """Were a key's header the one that Envoy routes by, what the gateway says in it stands."""
    header = "x-llmroute-backend"
    action = _asked({"b": _with_header(header)}, ("b",), {}, "/v1/chat/completions")

    assert [value for name, value in proceed(action).set_headers if name == header][-1] == "b"


ACCOUNTS = dict.fromkeys(
    ["openai-organization", "openai-project", "ocp-apim-subscription-key", "x-litellm-api-key", "helicone-auth"], "c"
)
SHUT: dict[str, dict[str, Any]] = {
    "own": OWN,
    "named": {"apiKey": {"file": "f", "header": "x-team-key"}},
    "fallback": {"passthrough": {"file": "f"}},
    "none": {"none": {}},
}
SCHEMAS = {
    "OpenAI": ("/v1/chat/completions", {"schema": "OpenAI"}, "/v1/chat/completions"),
    "Azure": (
        "/v1/chat/completions",
        {"schema": "AzureOpenAI", "version": "2024-10-21"},
        "/openai/deployments/b/chat/completions?api-version=2024-10-21",
    ),
    "Anthropic": ("/v1/messages", {"schema": "Anthropic"}, "/v1/messages"),
}


@pytest.mark.parametrize("auth", SHUT)
@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("api-key=C", ""),
        ("key=C&x=1", "x=1"),
        ("x=1&API-KEY=C", "x=1"),
        ("x=1&Subscription%2DKey=C&y=2", "x=1&y=2"),
        ("x=1;access_token=C", ""),
        ("+key=C", ""),
        ("keys=1&monkey=2&beta=true", "keys=1&monkey=2&beta=true"),
    ],
)
def test_nothing_of_the_clients_stands_beside_the_gateways(auth: str, schema: str, query: str, kept: str) -> None:
    """With a credential of the gateway's, or none at all, no client chooses an account, or adds a key by the query."""
    path, output, upstream = SCHEMAS[schema]
    action = _asked({"b": {"outputSchema": output, "auth": SHUT[auth]}}, ("b",), ACCOUNTS, f"{path}?{query}")
    arrived = _arrived(action, ACCOUNTS, f"{path}?{query}")

    joined = f"{upstream}{'&' if '?' in upstream else '?'}{kept}" if kept else upstream
    assert arrived[":path"] == joined
    assert not ACCOUNTS.keys() & arrived.keys()


@pytest.mark.parametrize("auth", [None, {"passthrough": {}}, {"passthrough": {"file": "f"}}])
def test_beside_a_key_of_its_own_a_client_says_what_it_likes(auth: dict[str, Any] | None) -> None:
    """Who brings the key also names the organisation and the project."""
    headers, path = {**ACCOUNTS, "authorization": "Bearer K"}, "/v1/chat/completions?api-key=C"
    backend = {"outputSchema": {"schema": "OpenAI"}, **({} if auth is None else {"auth": auth})}
    arrived = _arrived(_asked({"b": backend}, ("b",), headers, path), headers, path)

    assert arrived[":path"] == path
    assert ACCOUNTS.items() <= arrived.items()
