"""Every cell of the matrix as a thing that can be driven: a client's body in, the upstream's out, and back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import settings

from extproc.config.loader import load
from extproc.exchange.gateway import Gateway
from extproc.exchange.machine import Exchange
from extproc.exchange.messages import Proceed, Reply, RequestBody, ResponseBody
from tests.support.echo_clouds import ConverseEcho, GeminiEcho, InvokeEcho
from tests.support.echo_makers import AnthropicEcho, OpenAIEcho
from tests.support.echo_upstreams import Echo
from tests.support.exchange_driver import exchange, request_headers, response_headers

#: ``outputSchema.schema`` -> the upstream's model, what else the backend says, and who answers there.
HOSTS: Mapping[str, tuple[str, str, Echo]] = {
    "OpenAI": ("gpt-4.1", "", OpenAIEcho()),
    "AzureOpenAI": ("gpt-4.1", ', version: "2024-10-21"', OpenAIEcho()),
    "Anthropic": ("claude-opus-4-8", "", AnthropicEcho()),
    "AWSBedrock": ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "", ConverseEcho()),
    "AWSAnthropic": ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "", InvokeEcho()),
    "GCPVertexAI": ("gemini-3-flash-preview", "", GeminiEcho(with_ids=True)),
    "Gemini": ("gemini-2.5-flash", "", GeminiEcho(with_ids=False)),
    "GCPAnthropic": ("claude-opus-4-6", "", AnthropicEcho()),
}
CLIENTS: Mapping[str, str] = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}


@dataclass(frozen=True, slots=True)
class Cell:
    """A client and a host."""

    client: str
    schema: str

    def __str__(self) -> str:
        return f"{self.client}-{self.schema}"

    @property
    def echo(self) -> Echo:
        return HOSTS[self.schema][2]

    @property
    def path(self) -> str:
        return CLIENTS[self.client]

    def send(self, body: bytes) -> tuple[Exchange, Proceed | Reply]:
        """The exchange whose request went out, and what became of the request."""
        made = exchange(_gateway(self.schema))
        headers: dict[str, Any] = {"anthropic_version": "2023-06-01"} if self.client == "anthropic" else {}
        made.receive(request_headers(self.path, **headers))
        return made, made.receive(RequestBody(body, end=True))


#: Every cell is tried, so each of them with fewer examples than one property has.
FEW = settings(max_examples=max(1, settings.default.max_examples // 6) if settings.default else 10)
CELLS: Sequence[Cell] = tuple(Cell(client, schema) for client in CLIENTS for schema in HOSTS)
#: Those where the client's body is written anew.
TRANSLATING: Sequence[Cell] = tuple(
    cell
    for cell in CELLS
    if (cell.client == "openai") != (cell.schema in {"OpenAI", "AzureOpenAI"})
    and not (cell.client == "anthropic" and cell.schema in {"Anthropic", "AWSAnthropic", "GCPAnthropic"})
)


def sent_body(action: Proceed | Reply, original: bytes) -> bytes:
    """The upstream's body: the client's own where nothing had to be changed."""
    assert isinstance(action, Proceed), action
    return original if action.body is None else action.body


def whole_answer(made: Exchange, body: bytes) -> bytes:
    """The client's answer to one upstream body."""
    made.receive(response_headers())
    action = made.receive(ResponseBody(body, end=True))
    assert isinstance(action, Proceed), action
    return body if action.body is None else action.body


def streamed_answer(made: Exchange, kind: str, chunks: Sequence[bytes]) -> bytes:
    """The client's stream for an upstream stream that arrives in these chunks."""
    made.receive(response_headers(kind=kind))
    out = b""
    for chunk, end in [*((chunk, False) for chunk in chunks), (b"", True)]:
        action = made.receive(ResponseBody(chunk, end=end))
        assert isinstance(action, Proceed), action
        out += chunk if action.body is None else action.body
    return out


def _gateway(schema: str) -> Gateway:
    return _GATEWAYS[schema]


def _config(schema: str, model: str, more: str) -> bytes:
    google = ", gcp: {project: p, location: l}" if schema.startswith("GCP") else ""
    return f"""
rules:
- backends: [{{name: up, modelNameOverride: "{model}"}}]
backends:
- {{name: up, outputSchema: {{schema: {schema}{more}}}{google}}}
""".encode()


_GATEWAYS: Mapping[str, Gateway] = {
    schema: Gateway.compile(load(_config(schema, model, more))) for schema, (model, more, _) in HOSTS.items()
}
