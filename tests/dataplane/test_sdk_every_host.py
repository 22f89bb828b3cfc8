"""Both official SDKs against every platform, through real Envoy: the matrix, cell by cell."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import anthropic
import openai
import pytest

from tests.support.every_host import INPUT_TOKENS, OUTPUT_TOKENS, WORDS, every_host
from tests.support.gateway import Document, RunningGateway, backend, route, rule, running_gateway
from tests.support.sdk import sdk
from tests.support.upstreams import Upstream, running_upstream

pytestmark = [pytest.mark.envoy, pytest.mark.xdist_group("hosts")]

CLAUDE_ON_BEDROCK = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
_QUOTED = "us.anthropic.claude-sonnet-4-5-20250929-v1%3A0"
_VERTEX = "/v1/projects/acme/locations/europe-west4/publishers"
_GCP = {"gcp": {"project": "acme", "location": "europe-west4"}}


@dataclass(frozen=True, slots=True)
class Host:
    """A platform: what its backend says, and where requests must arrive."""

    schema: str
    model: str
    path: str
    stream_path: str
    count_path: str | None = None
    spec: dict[str, Any] = field(default_factory=dict)
    version: str | None = None

    def documents(self, port: int) -> list[Document]:
        """The backend."""
        schema = {"schema": self.schema} | ({"version": self.version} if self.version else {})
        return [backend(self.schema.lower(), port, **{"outputSchema": schema, **self.spec})]


HOSTS = [
    Host("OpenAI", "gpt", "/v1/chat/completions", "/v1/chat/completions"),
    Host(
        "AzureOpenAI",
        "my-gpt",
        "/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21",
        "/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21",
        version="2024-10-21",
    ),
    Host("Anthropic", "claude-sonnet-4-5", "/v1/messages", "/v1/messages", "/v1/messages/count_tokens"),
    Host(
        "AWSBedrock",
        CLAUDE_ON_BEDROCK,
        f"/model/{_QUOTED}/converse",
        f"/model/{_QUOTED}/converse-stream",
        "/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/count-tokens",
    ),
    Host(
        "AWSAnthropic",
        CLAUDE_ON_BEDROCK,
        f"/model/{_QUOTED}/invoke",
        f"/model/{_QUOTED}/invoke-with-response-stream",
        "/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/count-tokens",
    ),
    Host(
        "GCPVertexAI",
        "gemini-3-pro",
        f"{_VERTEX}/google/models/gemini-3-pro:generateContent",
        f"{_VERTEX}/google/models/gemini-3-pro:streamGenerateContent?alt=sse",
        f"{_VERTEX}/google/models/gemini-3-pro:countTokens",
        spec=_GCP,
    ),
    Host(
        "Gemini",
        "gemini-3-pro",
        "/v1beta/models/gemini-3-pro:generateContent",
        "/v1beta/models/gemini-3-pro:streamGenerateContent?alt=sse",
        "/v1beta/models/gemini-3-pro:countTokens",
    ),
    Host(
        "GCPAnthropic",
        "claude-sonnet-4-5@20250929",
        f"{_VERTEX}/anthropic/models/claude-sonnet-4-5@20250929:rawPredict",
        f"{_VERTEX}/anthropic/models/claude-sonnet-4-5@20250929:streamRawPredict",
        f"{_VERTEX}/anthropic/models/count-tokens:rawPredict",
        spec=_GCP,
    ),
]
each_host = pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.schema)


@dataclass(frozen=True, slots=True)
class World:
    """The gateway, the upstream behind all backends, and a client of each kind."""

    gateway: RunningGateway
    upstream: Upstream
    openai: openai.OpenAI
    anthropic: anthropic.Anthropic

    def arrived(self) -> Any:
        """The one request that the upstream was sent."""
        [received] = self.upstream.received
        return received


@pytest.fixture(scope="module")
def running() -> Iterator[World]:
    with running_upstream() as upstream:
        upstream.answer_with(every_host)
        documents = [document for host in HOSTS for document in host.documents(upstream.port)]
        rules = [rule(host.schema, {"name": host.schema.lower(), "modelNameOverride": host.model}) for host in HOSTS]
        with (
            running_gateway([route(*rules), *documents]) as gateway,
            sdk(gateway.base_url) as client,
            anthropic.Anthropic(base_url=gateway.base_url, api_key="key", max_retries=0, timeout=20) as claude,
        ):
            yield World(gateway, upstream, client, claude)


@pytest.fixture
def world(running: World) -> World:
    running.upstream.forget()
    return running


@each_host
def test_openai_to(world: World, host: Host) -> None:
    """An OpenAI client gets words and usage from every platform, each at its own path."""
    done = world.openai.chat.completions.create(model=host.schema, messages=[{"role": "user", "content": "hi"}])

    assert done.choices[0].message.content == WORDS
    assert done.choices[0].finish_reason == "stop"
    assert done.usage is not None
    assert (done.usage.prompt_tokens, done.usage.completion_tokens) == (INPUT_TOKENS, OUTPUT_TOKENS)
    assert world.arrived().path == host.path


@each_host
def test_openai_stream_to(world: World, host: Host) -> None:
    """The same as a stream, whatever frames it came in, with its usage last."""
    chunks = list(
        world.openai.chat.completions.create(
            model=host.schema,
            messages=[{"role": "user", "content": "hi"}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )

    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices) == WORDS
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (INPUT_TOKENS, OUTPUT_TOKENS)
    assert world.arrived().path == host.stream_path


@each_host
def test_anthropic_to(world: World, host: Host) -> None:
    """An Anthropic client gets a message with its usage and an id from every platform."""
    done = world.anthropic.messages.create(
        model=host.schema, max_tokens=100, messages=[{"role": "user", "content": "hi"}]
    )

    assert [block.text for block in done.content if block.type == "text"] == [WORDS]
    assert (done.type, done.role, done.stop_reason) == ("message", "assistant", "end_turn")
    assert (done.usage.input_tokens, done.usage.output_tokens) == (INPUT_TOKENS, OUTPUT_TOKENS)
    assert done._request_id
    assert world.arrived().path == host.path


@each_host
def test_anthropic_stream_to(world: World, host: Host) -> None:
    """The same as a stream: the SDK puts the message together without a complaint."""
    with world.anthropic.messages.stream(
        model=host.schema, max_tokens=100, messages=[{"role": "user", "content": "hi"}]
    ) as stream:
        done = stream.get_final_message()

    assert [block.text for block in done.content if block.type == "text"] == [WORDS]
    assert done.stop_reason == "end_turn"
    assert (done.usage.input_tokens, done.usage.output_tokens) == (INPUT_TOKENS, OUTPUT_TOKENS)
    assert world.arrived().path == host.stream_path


@each_host
def test_anthropic_counts_at(world: World, host: Host) -> None:
    """Tokens are counted wherever there is a way to count them, and refused with the reason elsewhere."""
    asked: Any = {"model": host.schema, "messages": [{"role": "user", "content": "hi"}]}
    if host.count_path is None:
        with pytest.raises(anthropic.BadRequestError, match=r"cannot serve /v1/messages/count_tokens.*no way"):
            world.anthropic.messages.count_tokens(**asked)
        assert world.upstream.received == []
        return

    assert world.anthropic.messages.count_tokens(**asked).input_tokens == INPUT_TOKENS
    assert world.arrived().path == host.count_path


@each_host
def test_beta_headers_reach_anthropic_alone(world: World, host: Host) -> None:
    """What belongs to the client's API stays where that API ends; the old way of naming the key becomes the common."""
    world.anthropic.messages.create(
        model=host.schema,
        max_tokens=100,
        messages=[{"role": "user", "content": "hi"}],
        extra_headers={"x-api-key": "sk-old", "authorization": "", "anthropic-beta": "interleaved-thinking-2025-05-14"},
    )
    received = world.arrived()
    of_anthropic = {name.lower() for name, _ in received.headers if name.lower().startswith("anthropic-")}

    expected = {
        "Anthropic": {"anthropic-version", "anthropic-beta"},
        "GCPAnthropic": {"anthropic-beta"},
    }.get(host.schema, set())
    assert of_anthropic == expected


@pytest.mark.parametrize("schema", ["Anthropic", "AWSAnthropic", "OpenAI"])
def test_beta_headers_come_with_a_query(world: World, schema: str) -> None:
    """What older SDKs ask below ``beta`` has a query, which only Anthropic itself is shown."""
    done = world.anthropic.messages.create(
        model=schema, max_tokens=9, messages=[{"role": "user", "content": "hi"}], extra_query={"beta": "true"}
    )

    assert done.content[0].type == "text"
    assert world.arrived().path.endswith("?beta=true") == (schema == "Anthropic")


def test_anthropic_bearer_and_xapikey(world: World) -> None:
    """A key in x-api-key reaches Anthropic as it came, and everybody else as a bearer token."""
    old = anthropic.Anthropic(
        base_url=world.gateway.base_url, api_key="k", max_retries=0, default_headers={"x-api-key": "sk-old"}
    )
    for schema, name, value in (("Anthropic", "x-api-key", "sk-old"), ("OpenAI", "authorization", "Bearer k")):
        world.upstream.forget()
        old.messages.create(model=schema, max_tokens=9, messages=[{"role": "user", "content": "hi"}])
        assert world.arrived().header(name) == value
