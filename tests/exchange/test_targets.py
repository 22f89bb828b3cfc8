"""Where requests go, which is looked up once for each backend and model."""

import pytest

from extproc.config.loader import load
from extproc.exchange.gateway import Gateway
from extproc.routing.index import Choice

LONGEST = 160


def gateway(version: str, limit: int) -> tuple[Gateway, Choice]:
    """A backend that speaks OpenAI's API, and where it is."""
    config = f"""
backends: [{{name: b, outputSchema: {{schema: OpenAI, version: {version}}}, defaults: {{maxOutputTokens: {limit}}}}}]
rules: [{{backends: [{{name: b}}]}}]
"""
    made = Gateway.compile(load(config.encode()))
    route = made.index.match("gw", {}, "m", client="OpenAI")
    assert route is not None
    return made, route.backends[0]


def test_backends_of_two_configurations_do_not_mix() -> None:
    """One name, another version and another limit: each backend's requests go where its own configuration says."""
    for version, limit in (("v1", 5), ("v2", 7), ("v1", 5)):
        made, backend = gateway(version, limit)
        target = made.targets.maybe_target(backend, "anthropic", "chat", "m", stream=False)
        assert target is not None
        assert target.path == f"/{version}/chat/completions"
        assert made.targets.destination(backend, target).max_output_tokens == limit


@pytest.mark.parametrize(("size", "kept"), [(LONGEST, True), (LONGEST + 1, False)])
def test_absurd_names_are_not_kept(size: int, *, kept: bool) -> None:
    """What is found for a model is found once, and a client that makes up long names fills no memory with them."""
    made, backend = gateway("v1", 5)
    found = [made.targets.maybe_target(backend, "anthropic", "chat", "m" * size, stream=True) for _ in range(2)]
    assert found[0] is not None
    destinations = [made.targets.destination(backend, found[0]) for _ in range(2)]

    assert found[0] == found[1]
    assert (found[0] is found[1]) is kept
    assert (destinations[0] is destinations[1]) is kept


def test_many_names_of_models_are_forgotten() -> None:
    """However many a client makes up, some are known at a time, and all are found."""
    made, backend = gateway("v1", 5)
    for i in range(3000):
        target = made.targets.maybe_target(backend, "anthropic", "chat", f"m{i}", stream=False)
        assert target is not None
        assert made.targets.destination(backend, target).model == f"m{i}"

    assert len(made.targets) <= 1024
