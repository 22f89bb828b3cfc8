"""Every example is right, and sends its requests to the backend that its comments speak of."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from controller.standalone.compiled import compiled
from controller.standalone.demo import MANIFEST, DemoProvider
from controller.standalone.manifests import Manifests, read_manifests
from controller.standalone.placeholders import filled_in
from tests.support.background import held_open
from tests.support.example_keys import example_keys, hosts_and_tokens
from tests.support.gateway import RunningGateway, running_gateway
from tests.support.upstreams import Upstream, running_upstream
from tests.support.waiting import until

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


@dataclass(frozen=True, slots=True)
class Request:
    """A request to an example and the backend that is to serve it; None: nobody, with this status."""

    example: str
    model: str
    backend: str | None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    path: str = "/v1/chat/completions"
    #: What the upstream is to be shown, or how that begins.
    shown: str | None = None


REQUESTS = [
    Request("demo", "demo-openai", "default/demo-openai"),
    Request("demo", "demo-bedrock", "default/demo-bedrock"),
    Request("demo", "demo-anthropic", "default/demo-anthropic"),
    Request("demo", "demo-openai", "default/demo-openai", path="/v1/messages"),
    Request("demo", "demo", None, 404),
    Request("openai", "any", "default/openai"),
    Request("weights", "assistant", "default/openai|default/bedrock"),
    Request("vllm", "llama", "inference/vllm"),
    Request("local", "any", "default/ollama"),
    # The demo provider serves /v1 only, so an answer of 200 would mean that the path was not the example's.
    Request("path", "any", "default/models", 404),
    Request("hostnames", "m", "default/large", headers={"host": "chat.example.com:8080"}),
    Request("hostnames", "m", "default/small", headers={"host": "search.example.com"}),
    Request("hostnames", "m", None, 404, headers={"host": "a.b.example.com"}),
    Request("teams", "gpt-4o", "default/research", headers={"X-Team": "research"}),
    Request("teams", "gpt-4o", "default/shared", headers={"x-team": "sales"}),
    Request("teams", "gpt-4o", "default/shared"),
    Request("families", "gpt-4o-mini", "default/openai"),
    Request("families", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "default/bedrock"),
    Request("families", "my-gpt-4o", None, 404),
    Request("anthropic", "claude-opus-5-5", "default/anthropic"),
    Request("anthropic", "claude-opus-5-5", "default/anthropic", path="/v1/messages"),
    Request("anthropic", "gpt-4o", None, 404, path="/v1/messages"),
    Request("azure", "gpt-4o", "default/azure"),
    Request("azure", "gpt-4o-dated", "default/azure-dated"),
    Request("google", "gemini", "default/vertex"),
    Request("google", "claude", "default/vertex-claude"),
    Request("google", "gemini-flash", "default/gemini-api"),
    Request("credentials", "gpt-4o", "default/openai", shown="Bearer sk-openai"),
    Request("credentials", "claude", "default/bedrock", shown="AWS4-HMAC-SHA256 Credential=AKIA1/"),
    Request("credentials", "gpt-4o-azure", "default/azure", shown="Bearer of /contoso.onmicrosoft.com/"),
    Request("credentials", "gemini", "default/vertex", shown="Bearer of /google/token"),
    Request("sticky", "claude", "default/anthropic|default/invoke|default/converse"),
]
#: The demo provider speaks the formats of three vendors; these need the others, too.
OF_EVERY_HOST = {"azure", "credentials", "google", "sticky"}


def manifests_of(path: Path, folder: Path) -> Manifests:
    """An example's manifests where the files are that it names."""
    copy = folder / path.name
    copy.write_text(path.read_text())
    return read_manifests([str(copy)])


@pytest.fixture(scope="module")
def hosts() -> Iterator[Upstream]:
    with running_upstream() as upstream:
        upstream.answer_with(hosts_and_tokens)
        yield upstream


@pytest.fixture(scope="module")
def keys(hosts: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory for copies of examples, with what they need beside them and in the environment."""
    folder = tmp_path_factory.mktemp("examples")
    with example_keys(folder, hosts.port):
        yield folder


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_has_nothing_wrong_with_it(path: Path, keys: Path) -> None:
    """No errors, no warnings, every reference resolved, and a comment that says what it shows."""
    done = compiled(manifests_of(path, keys))
    conditions = [condition for status in done.translation.statuses for condition in status.conditions]

    assert [str(note) for note in done.notes] == []
    assert {condition.status for condition in conditions} == {"True"}
    assert done.translation.config.rules
    assert path.read_text().startswith("# ")


def test_the_demo_is_the_packaged_one() -> None:
    """What a reader finds among the examples is what ``--demo`` runs."""
    assert next(path for path in EXAMPLES if path.stem == "demo").read_text() == MANIFEST.read_text()


def test_every_example_is_driven() -> None:
    """An example without a request in the table above is not tested."""
    assert {path.stem for path in EXAMPLES} == {request.example for request in REQUESTS}


@pytest.fixture(scope="module")
def provider() -> Iterator[DemoProvider]:
    with held_open(DemoProvider(wishes="delay 0")) as provider:
        yield provider


@pytest.fixture(scope="module")
def gateway(keys: Path) -> Iterator[RunningGateway]:
    del keys  # whose environment the processor has from its start
    with running_gateway([]) as gateway:
        yield gateway


def localised(example: str, port: int, folder: Path) -> list[Mapping[str, Any]]:
    """An example's objects, with this port in place of every upstream."""
    path = next(path for path in EXAMPLES if path.stem == example)
    objects: list[Any] = [dict(value) for value in filled_in(manifests_of(path, folder), os.environ).objects]
    for value in objects:
        if value["kind"] == "LLMBackend":
            endpoint = {"hostname": "127.0.0.1", "port": port}
            kept = {name: part for name, part in value["spec"].items() if name != "backendRef"}
            value["spec"] = {**kept, "endpoint": endpoint}
    return objects


@pytest.mark.envoy
@pytest.mark.parametrize("request_", REQUESTS, ids=lambda r: f"{r.example}-{r.backend or r.status}")
def test_an_example_does_what_it_says(
    gateway: RunningGateway, provider: DemoProvider, hosts: Upstream, keys: Path, request_: Request
) -> None:
    """The request reaches the backend that the example is about."""
    gateway.reload(
        localised(request_.example, hosts.port if request_.example in OF_EVERY_HOST else provider.port, keys)
    )
    if request_.shown is not None:
        _until_there_is_a_token(gateway, request_)
    # With nine to one, 150 requests miss a backend once in ten million runs; a hash of the text draws as well as a lot.
    count = 150 if "|" in (request_.backend or "") else 1
    request_ids = [f"{id(request_)}-{i}" for i in range(count)]
    with httpx2.Client() as client:
        for i, request_id in enumerate(request_ids):
            response = client.post(
                f"{gateway.base_url}{request_.path}",
                json={
                    "model": request_.model,
                    "messages": [{"role": "user", "content": f"Hello {i}"}],
                    "max_tokens": 64,
                },
                headers={**request_.headers, "x-request-id": request_id},
            )
            assert response.status_code == request_.status, response.text
    seen = {gateway.records.access_of(request_id)["backend"] for request_id in request_ids}

    assert request_.shown is None or (hosts.received[-1].header("authorization") or "").startswith(request_.shown)
    assert seen == set(request_.backend.split("|") if request_.backend else [None])


def _until_there_is_a_token(gateway: RunningGateway, request: Request) -> None:
    """The processor fetches tokens by itself when it hears of the backend, and answers 503 until then."""
    body = {"model": request.model, "messages": [{"role": "user", "content": "Hello"}]}
    url = f"{gateway.base_url}{request.path}"
    until(lambda: httpx2.post(url, json=body).status_code != 503, "there was no token")
