"""A whole run with marked secrets: they reach the upstreams that they are for, and nobody else."""

import base64
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
import pytest
from click.testing import CliRunner, Result

from controller.cli import main
from tests.support.upstreams import Upstream, json_reply, running_upstream
from tests.support.waiting import until

pytestmark = pytest.mark.envoy

_READY = re.compile(r"LLMRoute is ready on (\S+) .*admin pages: (\S+) \(metrics, config\), (\S+) \(Envoy\)", re.DOTALL)
_DONE = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": []}
_HELLO = {"messages": [{"role": "user", "content": "Hello"}]}

#: The values that must not be seen. No part of a name, so that each place where one is found is a leak.
MARKERS = {name: f"mk-{name}-5e1d9" for name in ("env", "file", "plain", "rotated", "aws", "client")}
ENCODED = {name: base64.b64encode(marker.encode()).decode()[:-4] for name, marker in MARKERS.items()}

MANIFEST = """\
apiVersion: aigateway.envoyproxy.io/v1alpha1
kind: LLMRoute
metadata: {{name: chat}}
spec:
  rules:
  - {{matches: [{{headers: [{{name: x-ai-eg-model, value: env}}]}}], backendRefs: [{{name: env}}]}}
  - {{matches: [{{headers: [{{name: x-ai-eg-model, value: file}}]}}], backendRefs: [{{name: file}}]}}
  - {{matches: [{{headers: [{{name: x-ai-eg-model, value: plain}}]}}], backendRefs: [{{name: plain}}]}}
  - {{matches: [{{headers: [{{name: x-ai-eg-model, value: aws}}]}}], backendRefs: [{{name: aws}}]}}
"""
BACKEND = """\
---
apiVersion: aigateway.envoyproxy.io/v1alpha1
kind: LLMBackend
metadata: {{name: {name}}}
spec:
  outputSchema: {{schema: {schema}}}
  endpoint: {{hostname: 127.0.0.1, port: {port}}}
  auth: {auth}
"""
SECRET = """\
---
apiVersion: v1
kind: Secret
metadata: {{name: keys}}
stringData:
  env: ${{MARKED_KEY}}
  file: ${{file:key}}
  plain: {plain}
  credentials: |
    [default]
    aws_access_key_id = AKIDEXAMPLE
    aws_secret_access_key = {aws}
"""


def manifest(port: int) -> str:
    keys = {name: f"{{apiKey: {{secretRef: {{name: keys, key: {name}}}}}}}" for name in ("env", "file", "plain")}
    auths = {**keys, "aws": "{aws: {region: us-east-1, secretRef: {name: keys}}}"}
    backends = (
        BACKEND.format(name=name, auth=auth, port=port, schema="AWSBedrock" if name == "aws" else "OpenAI")
        for name, auth in auths.items()
    )
    return MANIFEST.format() + "".join(backends) + SECRET.format(**MARKERS)


def leaks(text: str) -> list[str]:
    """The markers that a text has, as they are or in base64."""
    return [name for name in MARKERS if MARKERS[name] in text or ENCODED[name] in text]


def environment() -> Mapping[str, str]:
    return {**os.environ, "MARKED_KEY": MARKERS["env"]}


class Run:
    """``llmroute run --log-level debug`` with everything that it says."""

    def __init__(self, folder: Path, temporary: Path) -> None:
        self.log = folder / "said.log"
        with self.log.open("wb") as log:
            arguments = ("run", str(folder / "gateway.yaml"), "--port", "0", "--workers", "1", "--log-level", "debug")
            self.process = subprocess.Popen(
                [sys.executable, "-m", "controller", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**environment(), "TMPDIR": str(temporary)},
            )

    def said(self) -> str:
        return self.log.read_text()

    def addresses(self) -> tuple[str, str, str]:
        """For clients, of the processor's admin pages, and of Envoy's."""
        until(lambda: "admin pages" in self.said() or self.process.poll() is not None, "it did not start", limit_s=20)
        found = _READY.search(self.said())
        assert found, self.said()
        return found[1], found[2], found[3]


@contextmanager
def running(folder: Path, temporary: Path) -> Iterator[Run]:
    run = Run(folder, temporary)
    try:
        yield run
    finally:
        run.process.send_signal(signal.SIGTERM)
        run.process.wait(20)


def shown(upstream: Upstream) -> str:
    return upstream.received[-1].header("authorization") or ""


def files_of(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path, path.read_text(errors="replace")


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A directory whose path is short enough for sockets below it."""
    with tempfile.TemporaryDirectory(prefix="llmroute-test-", dir="/tmp") as folder:
        yield Path(folder)


def test_marked_secrets_are_seen_by_their_upstreams_and_nowhere_else(tmp_path: Path, temporary: Path) -> None:
    """Through starting, serving, failing, rotating, refusing and stopping at the most talkative level."""
    (tmp_path / "key").write_text(f"{MARKERS['file']}\n")
    pages: list[str] = []
    with running_upstream() as upstream, httpx2.Client() as client, ExitStack() as stack:
        upstream.answer(json_reply(_DONE))
        (tmp_path / "gateway.yaml").write_text(manifest(upstream.port))
        run = stack.enter_context(running(tmp_path, temporary))
        clients, admin, envoy = run.addresses()

        def ask(model: str) -> httpx2.Response:
            headers = {"authorization": f"Bearer {MARKERS['client']}", "x-api-key": MARKERS["client"]}
            return client.post(
                f"{clients}/v1/chat/completions", json={"model": model, **_HELLO}, headers=headers, timeout=10
            )

        for name in ("env", "file", "plain"):
            assert ask(name).status_code == 200
            assert shown(upstream) == f"Bearer {MARKERS[name]}"
        ask("aws")
        assert shown(upstream).startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
        assert {"client", "aws"}.isdisjoint(leaks(repr(upstream.received)))

        def rotated() -> bool:
            assert ask("file").status_code == 200
            return shown(upstream) == f"Bearer {MARKERS['rotated']}"

        (tmp_path / "key").write_text(MARKERS["rotated"])
        until(rotated, "the rotated key was not used", limit_s=8)
        upstream.answer(json_reply({"error": {"message": f"bad key {MARKERS['plain']}"}}, status=401))
        refused = ask("plain")
        assert (refused.status_code, leaks(refused.text)) == (502, [])
        (tmp_path / "key").unlink()
        until(lambda: "cannot be read" in run.said(), "the missing file was not told of", limit_s=8)
        assert ask("file").status_code == 502
        (tmp_path / "gateway.yaml").write_text(manifest(upstream.port).replace("plain: mk", "plain: *mk"))
        until(lambda: "put it in quotes" in run.said(), "the broken manifest was not told of", limit_s=8)
        pages += [client.get(f"{admin}{path}").text for path in ("/config", "/metrics", "/credentials", "/healthz")]
        pages += [client.get(f"{envoy}{path}").text for path in ("/config_dump?include_eds", "/stats", "/clusters")]
        kept = {path: leaks(text) for path, text in files_of(temporary) if leaks(text)}
        assert {path.parent.name for path in kept} == {"credentials"}
        assert {stat.S_IMODE(path.stat().st_mode) for path in kept} == {0o600}

    assert run.process.returncode == 0
    assert leaks(run.said()) == []
    assert [leaks(page) for page in pages] == [[]] * len(pages)
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("command", [["validate"], ["translate"], ["translate", "--format", "json"]])
@pytest.mark.parametrize("change", [("", ""), ("plain: mk", "plain: *mk"), ("credentials:", "apiKey:")])
def test_the_other_commands_print_no_secret(tmp_path: Path, command: list[str], change: tuple[str, str]) -> None:
    """Whatever is right or wrong with the manifests; files are named."""
    (tmp_path / "key").write_text(MARKERS["file"])
    (tmp_path / "gateway.yaml").write_text(manifest(8080).replace(*change))
    done = call(*command, str(tmp_path / "gateway.yaml"))

    assert leaks(done.output) == []
    assert ("default.env." in done.output) == (command != ["validate"])


def test_files_are_written_without_the_secrets(tmp_path: Path) -> None:
    """``translate --out`` says which files the processor will look for, and writes none of them."""
    (tmp_path / "key").write_text(MARKERS["file"])
    (tmp_path / "gateway.yaml").write_text(manifest(8080))
    done = call("translate", str(tmp_path / "gateway.yaml"), "--out", str(tmp_path / "out"))
    written = [text for _, text in files_of(tmp_path / "out")]

    assert (done.exit_code, leaks("".join([done.output, *written]))) == (0, [])
    assert "--credentials" in done.stderr


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, env={"MARKED_KEY": MARKERS["env"]})
