"""Configurations for routing tests, written as a user would."""

from collections.abc import Mapping

from extproc.config.loader import load
from extproc.routing.index import Index, Route, compile_index

#: The file of the design, section 4, and of docs/config.md.
HAND_WRITTEN = b"""\
inputSchema: {schema: OpenAI}
backendRoutingHeaderKey: x-backend-name
modelNameHeaderKey: x-model-name
rules:
- headers: [{name: x-model-name, value: llama3.3333}]
  backends:
  - {name: kserve,     weight: 1,  outputSchema: {schema: OpenAI}}
  - {name: awsbedrock, weight: 10, outputSchema: {schema: AWSBedrock}}
- headers: [{name: x-model-name, value: gpt4.4444}]
  backends: [{name: openai, outputSchema: {schema: OpenAI}}]
"""


def index_of(text: str) -> Index:
    """The index of a YAML file; ``{}`` stands for no rules."""
    return compile_index(load(text.encode()))


def route_of(
    text: str, model: str = "m", *, host: str = "gw", headers: Mapping[str, str] | None = None, client: str = "OpenAI"
) -> Route | None:
    """The rule that serves one request."""
    return index_of(text).match(host, headers or {}, model, client)


def name_of(route: Route | None) -> str | None:
    """A rule's name, None for no rule."""
    return None if route is None else route.name
