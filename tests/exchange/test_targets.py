"""Where requests go, which is looked up once for each backend and model."""

import pytest

from extproc.config.loader import load
from extproc.exchange import gateway
from extproc.exchange.gateway import Gateway, destination_of, maybe_target
from extproc.routing.index import Choice

LONGEST = 160


def choice(version: str, limit: int) -> Choice:
    """A backend that speaks OpenAI's API."""
    config = f"""
backends: [{{name: b, outputSchema: {{schema: OpenAI, version: {version}}}, defaults: {{maxOutputTokens: {limit}}}}}]
rules: [{{backends: [{{name: b}}]}}]
"""
    route = Gateway.compile(load(config.encode())).index.match("gw", {}, "m", client="OpenAI")
    assert route is not None
    return route.backends[0]


def test_backends_of_two_configurations_do_not_mix() -> None:
    """One name, another version and another limit: each backend's requests go where its own configuration says."""
    for version, limit in (("v1", 5), ("v2", 7), ("v1", 5)):
        backend = choice(version, limit)
        target = maybe_target(backend, "anthropic", "chat", "m", stream=False)
        assert target is not None
        assert target.path == f"/{version}/chat/completions"
        assert destination_of(backend, target).max_output_tokens == limit


@pytest.mark.parametrize(("size", "kept"), [(LONGEST, 1), (LONGEST + 1, 0)])
def test_absurd_names_are_not_kept(size: int, kept: int) -> None:
    """A client that makes up long names of models fills no memory with them."""
    backend = choice("v3", size)
    before = gateway._kept_target.cache_info().currsize, gateway._kept_destination.cache_info().currsize
    target = maybe_target(backend, "anthropic", "chat", "m" * size, stream=True)
    assert target is not None
    destination_of(backend, target)
    after = gateway._kept_target.cache_info().currsize, gateway._kept_destination.cache_info().currsize

    assert after == (before[0] + kept, before[1] + kept)
