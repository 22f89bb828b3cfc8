"""From the command line to settings."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from controller.cli import main
from controller.operator import command
from controller.operator.settings import Scope, Settings
from controller.translate import Settings as TranslateSettings


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, kept_logging: None) -> list[Settings]:
    """The settings of every operator that would have been started."""
    found: list[Settings] = []

    async def operate(settings: Settings, listening: Callable[[int], None]) -> None:
        found.append(settings)
        listening(1)

    monkeypatch.setattr(command, "_runner", lambda: operate)
    monkeypatch.delenv("POD_NAMESPACE", raising=False)
    monkeypatch.delenv("POD_NAME", raising=False)
    return found


#: A cluster's backends are other people's, and neither its operator's Secrets nor its identity are for them.
_COMPILING = TranslateSettings(
    local_endpoints=False,
    own_secrets=frozenset({("gw", "llmroute-credentials"), ("gw", "llmroute-envoy-secrets")}),
    ambient_identities=("gw",),
)


def call(*arguments: str, **environment: str) -> Any:
    """``llmroute operator`` in a pod's environment."""
    return CliRunner().invoke(main, ["operator", *arguments], env=environment)


def test_a_pods_environment_is_enough(started: list[Settings]) -> None:
    """The namespace and the name come from the downward API; all else has a default."""
    result = call(POD_NAMESPACE="gw", POD_NAME="op-1")

    assert (result.exit_code, started) == (0, [Settings(namespace="gw", identity="op-1", translate=_COMPILING)])


def test_flags_reach_the_settings(started: list[Settings]) -> None:
    """Each flag sets what it says."""
    flags = {
        "--own-namespace": "gw",
        "--identity": "me",
        "--extproc-config-map": "p",
        "--http": "127.0.0.1:0",
        "--lease": "l",
        "--path-prefix": "/llm/",
        "--cluster-domain": "corp.local",
        "--resync": "30",
        "--removal": "0",
        "--ambient-credentials": "team-*",
        "--envoy-secrets": "e",
    }
    result = call(*(part for flag in flags.items() for part in flag), "--no-leader-election")

    assert result.exit_code == 0, result.output
    [settings] = started
    assert (settings.namespace, settings.identity, settings.extproc_config_map) == ("gw", "me", "p")
    assert (settings.http_address, settings.http_port, settings.lease_name) == ("127.0.0.1", 0, "l")
    assert (settings.translate.path_prefix, settings.translate.cluster_domain) == ("/llm", "corp.local")
    assert settings.translate.ambient_identities == ("gw", "team-*")
    assert settings.translate.own_secrets == {("gw", "llmroute-credentials"), ("gw", "e")}
    assert (settings.resync_s, settings.removal_s, settings.leader_election) == (30, 0, False)


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [(":8080", "", 8080), ("[::1]:80", "::1", 80), ("0.0.0.0:0", "0.0.0.0", 0), ("off", "", None)],
)
def test_where_the_pages_are(started: list[Settings], text: str, address: str, port: int | None) -> None:
    """On all interfaces unless one is named, or nowhere."""
    call("--http", text, POD_NAMESPACE="gw")

    assert [(settings.http_address, settings.http_port) for settings in started] == [(address, port)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--http", "8080"], "must be :PORT, ADDRESS:PORT or off"),
        (["--http", ":99999"], "must be :PORT"),
        (["--namespace", "Team"], "'Team' is neither a namespace's name nor a pattern"),
        (["--namespace", "a,b"], "neither a namespace's name"),
        (["--path-prefix", "llm"], "with a slash before each"),
        (["--resync", "0"], "--resync"),
        ([], "--own-namespace"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_2(started: list[Settings], arguments: list[str], words: str) -> None:
    """The message names the flag or what it takes."""
    result = call(*arguments)

    assert (result.exit_code, started) == (2, [])
    assert words in result.output


def test_an_unreadable_kubeconfig_is_told_in_one_line(tmp_path: Path) -> None:
    """With the file's name, and no traceback."""
    arguments = ["operator", "--own-namespace", "gw", "--http", "off", "--kubeconfig", str(tmp_path / "missing")]

    done = subprocess.run(
        [sys.executable, "-m", "controller", *arguments], capture_output=True, text=True, check=False, timeout=50
    )

    assert done.returncode == 1
    assert "Error: cannot read how to reach the cluster" in done.stderr
    assert "missing" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("namespaces", "covered", "patterns"),
    [
        ((), {"a", "team-a", "team-b"}, False),
        (("a",), {"a"}, False),
        (("team-*", "a"), {"a", "team-a", "team-b"}, True),
    ],
)
def test_what_a_scope_covers(namespaces: tuple[str, ...], covered: set[str], patterns: bool) -> None:
    """All, some by name, or some by pattern."""
    scope = Scope(namespaces)

    assert {name for name in ("a", "team-a", "team-b") if scope.covers(name)} == covered
    assert (scope.is_cluster, scope.has_patterns) == (not namespaces, patterns)
    assert not namespaces or not scope.covers("b")


def test_the_command_line_loads_nothing_of_the_operator() -> None:
    """Help, validation and the standalone mode do not wait for libraries that only the operator needs."""
    strangers = ("kopf", "kubernetes", "aiohttp", "prometheus_client")
    code = f"import sys, controller.cli; print(sorted(set({strangers!r}) & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=50)

    assert done.stdout.strip() == "[]"
