"""Which request goes where, and in what shape, through real Envoy: paths, hosts, weights, headers."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from tests.support.gateway import TEST_OPTIONS, backend, route, rule, running_gateway
from tests.support.scripted import COMPLETION, CONVERSE, CONVERSE_ANSWER, Scripted
from tests.support.sdk import identified, sdk, user
from tests.support.upstreams import Reply, json_reply, running_upstream
from tests.support.waiting import until

pytestmark = [pytest.mark.envoy, pytest.mark.xdist_group("scripted")]

CHAT = "/v1/chat/completions"
JSON_TYPE = {"content-type": "application/json"}
#: Every header that belongs to the gateway.
OWNED = ("x-llmroute-backend", "x-ai-eg-model", "x-envoy-ai-gateway-llm-model")


@pytest.fixture
def http(scripted: Scripted) -> Iterator[httpx2.Client]:
    """A client that sends what it is told."""
    with httpx2.Client(base_url=scripted.gateway.base_url, timeout=10) as client:
        yield client


def asking(model: str) -> dict[str, Any]:
    return {"model": model, "messages": user("hello")}


def error_of(response: httpx2.Response) -> dict[str, Any]:
    """The error object; demands its form."""
    assert response.headers["content-type"] == "application/json"
    assert response.headers["content-length"] == str(len(response.content))
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/", "/v1/chat", "/v2/chat/completions", "/v1/chat/completions/", "/v1/files?purpose=x"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_path_is_not_found(http: httpx2.Client, scripted: Scripted, method: str, path: str) -> None:
    """What is not served is a 404 in the client's dialect that names the path, and reaches no upstream."""
    response = http.request(method, path, json=asking("plain") if method == "POST" else None)

    assert response.status_code == 404
    assert path.partition("?")[0] in error_of(response)["message"]
    assert scripted.up.received == []


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", CHAT, "POST"),
        ("DELETE", "/v1/embeddings", "POST"),
        ("PUT", "/v1/audio/transcriptions", "POST"),
        ("POST", "/v1/models", "GET, HEAD"),
        ("DELETE", "/v1/models/plain", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_not_allowed(
    http: httpx2.Client, scripted: Scripted, method: str, path: str, allowed: str
) -> None:
    """A served path with another method is a 405 that says which ones are allowed."""
    response = http.request(method, path, json=None if method == "GET" else asking("plain"))

    assert (response.status_code, response.headers["allow"]) == (405, allowed)
    assert method in error_of(response)["message"]
    assert scripted.up.received == []


def test_head_is_get_without_a_body(http: httpx2.Client) -> None:
    """``HEAD /v1/models`` answers with the headers of the list and nothing else, and the connection goes on."""
    head, got = http.head("/v1/models"), http.get("/v1/models")

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == got.headers["content-type"] == "application/json"
    assert got.json()["object"] == "list"


@pytest.mark.parametrize(
    ("body", "status", "param", "code"),
    [
        (b"", 400, None, "invalid_json"),
        (b"{", 400, None, "invalid_json"),
        (b"[]", 400, None, "invalid_json"),
        (b"{}", 400, "model", "missing_required_parameter"),
        (b'{"model": 7}', 400, "model", "invalid_type"),
        (b'{"model": ""}', 400, "model", "invalid_value"),
        (b'{"model": "plain", "stream": "yes"}', 400, "stream", "invalid_type"),
        (b'{"model": "nope"}', 404, "model", "model_not_found"),
    ],
)
def test_what_cannot_be_routed_is_refused(
    http: httpx2.Client, scripted: Scripted, body: bytes, status: int, param: str | None, code: str
) -> None:
    """A body without a readable, known model is refused in the client's dialect and reaches no upstream."""
    response = http.post(CHAT, content=body, headers=JSON_TYPE)

    assert response.status_code == status
    error = error_of(response)
    assert (error["param"], error["code"]) == (param, code)
    assert scripted.up.received == []


def test_what_envoy_refuses_by_itself_is_in_the_dialect(http: httpx2.Client) -> None:
    """A request that does not even reach the processor gets an error object as well, with Envoy's reason."""
    response = http.get("/v1/%00")

    assert response.status_code == 400
    assert error_of(response)["type"] == "invalid_request_error"
    assert "path_normalization_failed" in error_of(response)["message"]


def test_a_limit_that_ends_in_mid_answer_is_in_the_dialect(http: httpx2.Client, scripted: Scripted) -> None:
    """A rule's time limit holds for the whole of an answer; that some of it was there does not show."""
    parts = (b'{"id":', b'"1"}')
    scripted.up.answer(Reply(parts, headers={**JSON_TYPE, "content-length": "10"}, delay_s=0.2))
    response = http.post(CHAT, json=asking("hasty"))

    assert response.status_code == 504
    assert (error_of(response)["type"], error_of(response)["code"]) == ("server_error", "timeout")
    until(lambda: scripted.up.abandoned or len(scripted.up.sent) == len(parts))


@pytest.mark.parametrize(
    ("model", "sent_path"),
    [
        ("plain", "/v1/chat/completions?api-version=1&q=a%2Fb"),
        ("renamed", "/v1/chat/completions?api-version=1&q=a%2Fb"),
        ("versioned", "/api/v2/chat/completions?api-version=1&q=a%2Fb"),
        ("over-http2", "/v1/chat/completions?api-version=1&q=a%2Fb"),
        ("converse", CONVERSE),
    ],
)
def test_a_query_is_kept_where_bytes_pass(http: httpx2.Client, scripted: Scripted, model: str, sent_path: str) -> None:
    """A query string goes on to a backend of the client's own dialect; a translated path has none."""
    scripted.up.answer(json_reply(CONVERSE_ANSWER if model == "converse" else COMPLETION))
    response = http.post(f"{CHAT}?api-version=1&q=a%2Fb", json=asking(model))

    assert response.status_code == 200
    assert [received.path for received in scripted.up.received] == [sent_path]


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("api.example.com", "exact"),
        ("API.Example.com", "exact"),
        ("api.example.com:8443", "exact"),
        ("api.example.com.", "exact"),
        ("eu.example.com", "wildcard"),
        ("eu.example.com:80", "wildcard"),
        ("a.b.example.com", "any"),
        ("example.com", "any"),
        ("127.0.0.1:1975", "any"),
    ],
)
def test_the_host_picks_the_most_specific_rule(http: httpx2.Client, scripted: Scripted, host: str, kind: str) -> None:
    """The exact name wins over a wildcard of one label, that over rules for any host; case and port do not count."""
    response = http.post(CHAT, json=asking("hosted"), headers={"host": host})

    assert response.status_code == 200
    [received] = scripted.up.received
    assert received.json["model"] == f"{kind}-host"
    assert received.header("host") == f"127.0.0.1:{scripted.up.port}"


def test_models_are_those_of_the_host(http: httpx2.Client) -> None:
    """Listed are the models that can be served on the host: not those of other hosts, of no weight, of no backend."""
    everywhere = ["converse", "elsewhere", "hasty", "hosted", "never-up", "over-http2", "plain", "renamed", "tiered"]
    everywhere.append("versioned")

    def listed(host: str) -> list[str]:
        return [model["id"] for model in http.get("/v1/models", headers={"host": host}).json()["data"]]

    assert listed("there.example.com") == everywhere
    assert listed("api.example.com") == sorted([*everywhere, "only-there"])
    assert http.get("/v1/models/only-there", headers={"host": "api.example.com"}).status_code == 200
    missing = http.get("/v1/models/only-there")
    assert (missing.status_code, error_of(missing)["code"]) == (404, "model_not_found")


def test_a_model_of_another_host_is_not_found(http: httpx2.Client, scripted: Scripted) -> None:
    """Nor is a model served on a host that does not list it."""
    responses = [
        http.post(CHAT, json=asking("only-there"), headers={"host": host})
        for host in ("api.example.com", "there.example.com")
    ]

    assert [response.status_code for response in responses] == [200, 404]
    assert len(scripted.up.received) == 1


def test_a_backend_of_weight_0_is_never_chosen(http: httpx2.Client, scripted: Scripted) -> None:
    """All traffic goes to the backends that have a weight."""
    responses = [http.post(CHAT, json=asking("never-up")) for _ in range(30)]

    assert {response.status_code for response in responses} == {200}
    assert (len(scripted.up.received), len(scripted.other.received)) == (0, 30)


@pytest.mark.parametrize(
    ("model", "rule_name", "reason"),
    [
        ("nobody", "default/chat@1#empty", "no backend with a weight above 0"),
        ("broken", "default/faulty@1#broken", 'none of its backends can be used: "missing"'),
    ],
)
def test_a_rule_without_a_backend_says_so(
    http: httpx2.Client, scripted: Scripted, model: str, rule_name: str, reason: str
) -> None:
    """A rule that has nobody to send to is a 503 that names the rule and the reason, and asks to come back."""
    response = http.post(CHAT, json=asking(model))
    error = error_of(response)

    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert error["code"] == "no_backend"
    assert rule_name in error["message"]
    assert reason in error["message"]
    assert scripted.up.received == scripted.other.received == []


def test_a_rule_may_ask_for_a_header(http: httpx2.Client, scripted: Scripted) -> None:
    """A match with one more header goes first, whatever the case of its name."""
    for headers in ({"X-Tier": "gold"}, {"x-tier": "silver"}, {}):
        http.post(CHAT, json=asking("tiered"), headers=headers)

    assert (len(scripted.other.received), len(scripted.up.received)) == (1, 2)


def spellings(name: str) -> list[str]:
    """One header's name as somebody might write it who wants to get it past a filter."""
    return [name, name.upper(), name.title(), name.replace("-", "_"), name.replace("-", "_", 1)]


@pytest.mark.parametrize("model", ["plain", "converse"])
@pytest.mark.parametrize("name", OWNED)
def test_a_forged_header_has_no_effect(http: httpx2.Client, scripted: Scripted, name: str, model: str) -> None:
    """A client's own routing headers, however spelt and doubled, change no decision and reach no upstream."""
    answer = CONVERSE_ANSWER if model == "converse" else COMPLETION
    scripted.up.answer(json_reply(answer))
    wanted = "default/other" if name == OWNED[0] else "elsewhere"
    forged = [(spelling, wanted) for spelling in spellings(name)] * 2
    response = http.post(CHAT, json=asking(model), headers=forged)

    assert response.status_code == 200
    assert scripted.other.received == []
    [received] = scripted.up.received
    assert [found for found, _ in received.headers if found.lower().replace("_", "-") in OWNED] == []
    assert "elsewhere" not in received.body.decode()


def test_a_forged_header_cannot_be_matched(http: httpx2.Client, scripted: Scripted) -> None:
    """An unknown model stays unknown, though a header names a known one."""
    response = http.post(CHAT, json=asking("nope"), headers=dict.fromkeys(OWNED, "plain"))

    assert response.status_code == 404
    assert scripted.up.received == []


@pytest.mark.parametrize("model", ["plain", "converse", "over-http2"])
def test_one_credential_goes_on(http: httpx2.Client, scripted: Scripted, model: str) -> None:
    """One credential of the client's goes on, its vendor's headers only to that vendor, its address to nobody."""
    scripted.up.answer(json_reply(CONVERSE_ANSWER if model == "converse" else COMPLETION))
    sent = {
        "authorization": "Bearer sk-Secret/+=",
        "api-key": "azure key",
        "x-api-key": "sk-ant",
        "openai-organization": "org-1",
        "openai-project": "proj-1",
        "x-amz-security-token": "token==",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "user-agent": "a client",
    }
    sneaky = {"x-forwarded-for": "203.0.113.9", "x-envoy-retry-on": "5xx", "x-envoy-upstream-rq-timeout-ms": "1"}
    response = http.post(CHAT, json=asking(model), headers=sent | sneaky)
    [received] = scripted.up.received

    assert response.status_code == 200
    of_openai = {"openai-organization", "openai-project"} if model != "converse" else set()
    kept = {"authorization", "traceparent", "user-agent"} | of_openai
    assert {name: received.header(name) for name in sent} == {n: sent[n] if n in kept else None for n in sent}
    assert received.header("host") == f"127.0.0.1:{scripted.up.port}"
    added = [name for name, _ in received.headers if name.lower().startswith(("x-forwarded", "x-envoy"))]
    assert added == []


def test_credentials_are_not_logged(http: httpx2.Client, scripted: Scripted) -> None:
    """Neither headers, nor query strings, nor what was said are in any log."""
    request = {"model": "plain", "messages": user("the magic word is Xyzzy")}
    headers = {"authorization": "Bearer sk-Xyzzy", **identified()}
    http.post(f"{CHAT}?key=Xyzzy", json=request, headers=headers)
    records = scripted.gateway.records
    lines = [records.access_of(headers["x-request-id"]), records.request_of(headers["x-request-id"])]

    assert "Xyzzy" not in json.dumps(lines) + "".join(records.errors())


@pytest.mark.xdist_group("prefix")
def test_a_path_prefix_stands_before_everything() -> None:
    """With a path prefix the API is below it and nowhere else, and upstreams do not see it."""
    with running_upstream(json_reply(COMPLETION)) as up:
        documents = [route(rule("plain", "up")), backend("up", up.port)]
        with running_gateway(documents, replace(TEST_OPTIONS, path_prefix="/llm")) as gateway:
            with sdk(gateway.base_url) as client:
                done = client.chat.completions.create(model="plain", messages=user("hello"))
                models = [model.id for model in client.models.list()]
            bare = gateway.base_url.removesuffix("/llm")
            outside = [
                httpx2.post(f"{bare}{path}", json=asking("plain")) for path in (CHAT, f"/llmx{CHAT}", f"/llm/llm{CHAT}")
            ]

    assert gateway.base_url.endswith("/llm")
    assert done.choices[0].message.content == "hello"
    assert models == ["plain"]
    assert [received.path for received in up.received] == [CHAT]
    assert [response.status_code for response in outside] == [404] * 3
