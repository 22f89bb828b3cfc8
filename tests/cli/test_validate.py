"""``llmroute validate``, ``translate`` and ``version``: the commands that start nothing."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from controller.cli import main
from controller.standalone.envoy import find_envoy

GOOD = """\
apiVersion: aigateway.envoyproxy.io/v1alpha1
kind: LLMRoute
metadata: {name: chat}
spec:
  rules:
  - matches: [{headers: [{name: x-ai-eg-model, value: m}]}]
    backendRefs: [{name: openai}]
---
apiVersion: aigateway.envoyproxy.io/v1alpha1
kind: LLMBackend
metadata: {name: openai}
spec:
  outputSchema: {schema: OpenAI}
  endpoint: {hostname: api.openai.com}
"""
WRONG_REF = GOOD.replace("[{name: openai}]", "[{name: opnai}]")
WRONG_FIELD = GOOD.replace("hostname:", "hostnam:")


def call(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(main, arguments, input=given)


def test_good_manifests_pass() -> None:
    """Nothing wrong, nothing printed, exit code 0."""
    result = call("validate", "-", given=GOOD)

    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "2 objects, 0 errors, 0 warnings\n"


@pytest.mark.parametrize(
    ("text", "line", "path", "words"),
    [
        (WRONG_REF, 7, "spec.rules[0].backendRefs[0].name", 'did you mean "openai"?'),
        (WRONG_FIELD, 14, "spec.endpoint.hostnam", "hostname"),
        (GOOD + "  x: [\n", 15, "", "not valid YAML"),
    ],
)
def test_errors_are_placed_and_fail(tmp_path: Path, text: str, line: int, path: str, words: str) -> None:
    """Each finding is ``file:line: severity: path: message``, and an error makes the exit code 1."""
    file = tmp_path / "route.yaml"
    file.write_text(text)
    result = call("validate", str(file))
    place = f"{file}:{line}: error: {path}"

    assert result.exit_code == 1
    assert [row for row in result.stdout.splitlines() if row.startswith(place) and words in row]


def test_warnings_do_not_fail(tmp_path: Path) -> None:
    """Objects of other kinds, unused backends and second definitions are told of and passed over."""
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "b.yaml").write_text(GOOD + "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n")
    result = call("validate", str(tmp_path))
    rows = result.stdout.splitlines()

    assert result.exit_code == 0
    assert len(rows) == 3
    assert all(": warning: " in row for row in rows)
    assert [row for row in rows if row.startswith(f"{tmp_path}/b.yaml:17: warning: kind: ") and "Deployment" in row]
    assert [row for row in rows if f"is already in {tmp_path}/a.yaml:1" in row]


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("", 1, "-:1: error: no LLMRoute and no LLMBackend in -"),
        ("apiVersion: v1\nkind: Secret\nmetadata: {name: x}\n", 1, "-:1: error: no LLMRoute and no LLMBackend in -"),
        (GOOD.partition("---\n")[2], 0, "-:1: warning: no LLMRoute in -: nothing would be served"),
    ],
)
def test_an_input_that_serves_nothing_is_told_of(text: str, code: int, words: str) -> None:
    """An empty file is an error, since nobody validates nothing; backends alone may be half of something."""
    result = call("validate", "-", given=text)

    assert result.exit_code == code
    assert words in result.stdout.splitlines()


def test_run_without_a_route_is_an_error() -> None:
    """Nothing starts for an input that came out empty."""
    result = call("run", "-", given=GOOD.partition("---\n")[2])

    assert result.exit_code == 1
    assert "Error: no LLMRoute in -" in result.stderr


def test_run_says_when_there_are_no_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend with TLS on a machine without certificates is a fault that names the package."""
    monkeypatch.setattr("controller.standalone.authorities.PLACES", ())
    monkeypatch.setattr("ssl.get_default_verify_paths", lambda: SimpleNamespace(cafile=None))
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    result = call("run", "-", given=GOOD)

    assert result.exit_code == 1
    assert "install the package ca-certificates, or name a PEM file by --ca-certificates" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["validate"], "Missing argument"),
        (["validate", "/does/not/exist"], "Error: /does/not/exist: no such file or directory"),
        (["translate", "-", "--format", "xml"], "xml"),
        (["translate", "-", "--extproc", "nowhere"], "--extproc"),
        (["translate", "-", "--path-prefix", "llm"], "must be segments"),
        (["validate", "-", "--path-prefix", "/a b"], "must be segments"),
        (["run", "--demo", "--address", "localhost"], "must be an IP address"),
        (["run", "--demo", "--port", "70000"], "70000"),
        (["run", "/does/not/exist"], "Error: /does/not/exist: no such file or directory"),
        (["run"], "OPENAI_API_KEY"),
        (["validate", "x" * 5000], "File name too long"),
        (["run", "-", "--ca-certificates", "/no/file"], "--ca-certificates /no/file: no such file"),
        (["run", "-", "--access-log", "/nonexistent/x"], "--access-log /nonexistent/x: No such file or directory"),
        (["nonsense"], "No such command"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_2(
    arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Usage errors are one message and exit code 2, never a traceback."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    result = call(*arguments, given=GOOD)

    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_translate_prints_everything_in_one_document(form: str) -> None:
    """The processor's file, Envoy's four and the statuses, in either format."""
    result = call("translate", "-", "--format", form, given=GOOD)
    shown = yaml.safe_load(result.stdout) if form == "yaml" else json.loads(result.stdout)

    assert result.exit_code == 0
    assert list(shown) == ["extproc", "bootstrap", "lds", "rds", "cds", "ecds", "statuses"]
    assert shown["extproc"]["rules"][0]["source"] == "default/chat@1#rules[0]"
    [cluster] = shown["cds"]["resources"]
    assert cluster["name"] == f"default/openai@{shown['extproc']['backends'][0]['fingerprint']}"
    assert {status["kind"] for status in shown["statuses"]} == {"LLMRoute", "LLMBackend"}
    assert shown["statuses"][0]["status"]["conditions"][0]["type"] == "Accepted"


def test_translate_shows_what_is_left_of_bad_manifests() -> None:
    """Findings go to standard error, the rest is compiled, and the exit code is 1."""
    result = call("translate", "-", given=WRONG_REF)
    shown = yaml.safe_load(result.stdout)

    assert result.exit_code == 1
    assert "-:7: error: spec.rules[0].backendRefs[0].name" in result.stderr
    assert "opnai" in shown["extproc"]["rules"][0]["refusal"]


@pytest.mark.envoy
def test_translated_files_are_accepted_by_both_programs(tmp_path: Path) -> None:
    """What ``--out`` writes passes extproc's and Envoy's own checks, and a second run leaves nothing else behind."""
    out = tmp_path / "out"
    codes = [call("translate", "-", "--out", str(out), given=GOOD).exit_code for _ in range(2)]
    envoy = subprocess.run(
        [find_envoy(None), "--mode", "validate", "--reject-unknown-dynamic-fields", "-c", str(out / "bootstrap.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )
    extproc = subprocess.run(
        [sys.executable, "-m", "extproc", "--check", "--config", str(out / "extproc.yaml")], check=False
    )

    assert codes == [0, 0]
    assert sorted(path.stem for path in out.iterdir()) == [
        "bootstrap",
        "cds",
        "ecds",
        "extproc",
        "lds",
        "rds",
        "statuses",
    ]
    assert envoy.returncode == 0, envoy.stderr
    assert extproc.returncode == 0


def test_translate_says_where_it_cannot_write(tmp_path: Path) -> None:
    """A folder that cannot be made is a failure with its name."""
    (tmp_path / "file").touch()
    result = call("translate", "-", "--out", str(tmp_path / "file" / "out"), given=GOOD)

    assert result.exit_code == 1
    assert f"cannot write to {tmp_path}/file/out" in result.stderr


def test_versions_are_printed() -> None:
    """``version`` names the gateway, Envoy and Python."""
    result = call("version")

    assert result.exit_code == 0
    assert [row.split()[0] for row in result.stdout.splitlines()] == ["llmroute", "envoy", "python"]


@pytest.mark.parametrize("command", [[], ["run"], ["translate"], ["validate"], ["version"]])
def test_every_command_explains_itself(command: list[str]) -> None:
    """``--help`` works everywhere and says more than the usage."""
    result = call(*command, "--help")

    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) > 3


def test_commands_that_start_nothing_need_nothing_to_start() -> None:
    """``validate`` works without Envoy, gRPC and the rest of what ``run`` needs; ``run`` says what is missing."""
    code = (
        "import sys\n"
        "for name in ('grpc', 'envoy', 'h11', 'watchfiles', 'uvloop'): sys.modules[name] = None\n"
        "from controller.cli import main\n"
        "main(sys.argv[1:])"
    )

    def python(*arguments: str) -> Any:
        return subprocess.run(
            [sys.executable, "-c", code, *arguments], input=GOOD, capture_output=True, text=True, check=False
        )

    validated, run = python("validate", "-"), python("run", "-")

    assert validated.returncode == 0, validated.stderr
    assert run.returncode == 1
    assert "pip install 'llmroute[standalone]'" in run.stderr
    assert "Traceback" not in run.stderr
