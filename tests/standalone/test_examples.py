"""Every example is right, and sends its requests to the backend that its comments speak of."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from controller.standalone.compiled import compiled
from controller.standalone.demo import MANIFEST, DemoProvider
from controller.standalone.manifests import read_manifests
from tests.support.background import held_open
from tests.support.every_host import every_host
from tests.support.gateway import RunningGateway, running_gateway
from tests.support.upstreams import Upstream, running_upstream

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
    Request("sticky", "claude", "default/anthropic|default/invoke|default/converse"),
]
#: The demo provider speaks the formats of three vendors; these need the others, too.
OF_EVERY_HOST = {"azure", "google", "sticky"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_has_nothing_wrong_with_it(path: Path) -> None:
    """No errors, no warnings, every reference resolved, and a comment that says what it shows."""
    done = compiled(read_manifests([str(path)]))
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
def hosts() -> Iterator[Upstream]:
    with running_upstream() as upstream:
        upstream.answer_with(every_host)
        yield upstream


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    with running_gateway([]) as gateway:
        yield gateway


def localised(example: str, port: int) -> list[Mapping[str, Any]]:
    """An example's objects, with this port in place of every upstream."""
    path = next(path for path in EXAMPLES if path.stem == example)
    objects: list[Any] = [dict(value) for value in read_manifests([str(path)]).objects]
    for value in objects:
        if value["kind"] == "LLMBackend":
            endpoint = {"hostname": "127.0.0.1", "port": port}
            kept = {name: part for name, part in value["spec"].items() if name != "backendRef"}
            value["spec"] = {**kept, "endpoint": endpoint}
    return objects


@pytest.mark.envoy
@pytest.mark.parametrize("request_", REQUESTS, ids=lambda r: f"{r.example}-{r.backend or r.status}")
def test_an_example_does_what_it_says(
    gateway: RunningGateway, provider: DemoProvider, hosts: Upstream, request_: Request
) -> None:
    """The request reaches the backend that the example is about."""
    gateway.reload(localised(request_.example, hosts.port if request_.example in OF_EVERY_HOST else provider.port))
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

    assert seen == set(request_.backend.split("|") if request_.backend else [None])
