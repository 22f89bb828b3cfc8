"""What the README shows is what happens."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from controller.cli import main
from tests.support.gateway import RunningGateway, translation_of

pytestmark = [pytest.mark.envoy, pytest.mark.xdist_group("demo")]

README = (Path(__file__).parents[2] / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """The README's code blocks in a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_client_of_the_readme_is_answered(demo: RunningGateway, capsys: pytest.CaptureFixture[str]) -> None:
    """The Python that a reader copies prints the demo's answer, word by word."""
    [code] = blocks("python")
    base_url = "http://127.0.0.1:1975"
    assert base_url in code
    shown: dict[str, Any] = {}
    exec(code.replace(base_url, demo.base_url), shown)
    shown["client"].close()

    assert capsys.readouterr().out.startswith("You said: hello This is ")


def test_the_manifest_of_the_readme_is_valid() -> None:
    """The YAML that a reader starts from routes its model to its backend, and nothing is to be said against it."""
    [text] = blocks("yaml")
    done = CliRunner().invoke(main, ["validate", "-"], input=text)
    [rule] = translation_of(text).config.rules

    assert (done.exit_code, done.stdout) == (0, "")
    assert [backend.name for backend in rule.backends] == ["default/openai"]


def test_the_example_for_a_cluster_lacks_nothing_but_its_secrets() -> None:
    """With the two that the README makes there is nothing to be said against it."""
    made = re.findall(r"create secret generic (\S+) --from-literal=(\S+?)=(\S+)", README)
    example = (Path(__file__).parents[2] / "examples/cluster/openai.yaml").read_text()
    secrets = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {key: value}}
        for name, key, value in made
    ]
    text = "\n---\n".join([example, *(yaml.safe_dump(secret) for secret in secrets)])
    done = CliRunner().invoke(main, ["validate", "-"], input=text)

    assert (done.exit_code, done.stdout, len(secrets)) == (0, "", 2)
