"""Configurations for routing tests, written as a user would."""

from collections.abc import Mapping

from extproc.config.loader import load
from extproc.routing.index import Index, Route, compile_index


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
