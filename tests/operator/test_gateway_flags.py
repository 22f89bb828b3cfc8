"""The flags of Envoy Gateway mode."""

from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from controller.cli import main
from controller.operator import command
from controller.operator.settings import Settings
from controller.translate.settings import GatewaySettings


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings of every operator that would have been started."""
    found: list[Settings] = []

    async def operate(settings: Settings, listening: Callable[[int], None]) -> None:
        found.append(settings)
        listening(1)

    monkeypatch.setattr(command, "_runner", lambda: operate)
    return found


def call(*arguments: str) -> Any:
    return CliRunner().invoke(main, ["operator", "--own-namespace", "gw", *arguments])


@pytest.mark.parametrize(
    ("flags", "ports"),
    [([], (1063,)), (["--extproc-port", "7000", "--extproc-port", "7001", "--extproc-port", "7000"], (7000, 7001))],
)
def test_the_mode_says_where_the_processor_is(started: list[Settings], flags: list[str], ports: tuple[int]) -> None:
    """The Service is in the operator's namespace, which also marks what is made; each port counts once."""
    result = call("--gateway-mode", "envoy-gateway", "--extproc-service", "x", *flags)

    assert result.exit_code == 0, result.output
    [settings] = started
    assert settings.translate.gateway == GatewaySettings(controller="gw", service="x", namespace="gw", ports=ports)
    assert not settings.bundled


def test_without_it_the_bundled_envoy_serves(started: list[Settings]) -> None:
    """Whatever is said of the Service."""
    assert call("--extproc-service", "x").exit_code == 0
    assert started[0].bundled


def test_more_ports_than_a_policy_takes_are_refused(started: list[Settings]) -> None:
    """With the number that it takes."""
    ports = [word for port in range(17) for word in ("--extproc-port", str(7000 + port))]
    result = call("--gateway-mode", "envoy-gateway", *ports)

    assert result.exit_code == 2
    assert "at most 16" in result.output
    assert started == []
