"""``llmroute run`` as a person sees it: a process, its messages, its end."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx2
import pytest

from tests.support.upstreams import Upstream, json_reply, running_upstream
from tests.support.waiting import is_alive, until

pytestmark = pytest.mark.envoy

ROOT = Path(__file__).parents[2]
_READY = re.compile(r"LLMRoute is ready on (http://127\.0\.0\.1:\d+)")
DONE = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": []}


class Running:
    """A process of the command line, with what it says."""

    def __init__(self, folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self.out, self.err = folder / "out.log", folder / "err.log"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "controller", "run", "--port", "0", "--workers", "1", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**_clean(), **(environment or {})},
            )

    def said(self) -> str:
        return self.err.read_text()

    def hears(self, words: str) -> None:
        until(lambda: words in self.said() or self.process.poll() is not None, f"{words!r} was not said")
        assert words in self.said(), self.said()

    def ready(self) -> str:
        self.hears("admin pages")
        found = _READY.search(self.said())
        assert found, self.said()
        return found[1]

    def ends(self) -> int:
        return self.process.wait(20)

    def children(self) -> list[int]:
        """Everything that was started below it."""
        found: list[int] = []
        todo = [self.process.pid]
        while todo:
            text = "".join(path.read_text() for path in Path(f"/proc/{todo.pop()}/task").glob("*/children"))
            todo += map(int, text.split())
            found += map(int, text.split())
        return found


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with running_upstream(json_reply(DONE)) as upstream:
        yield upstream


@contextlib.contextmanager
def running(folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[Running]:
    run = Running(folder, *arguments, environment=environment)
    try:
        yield run
    finally:
        run.process.kill()
        run.process.wait()


def _clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}


def manifest(port: int, model: str = "m") -> str:
    return f"""\
apiVersion: aigateway.envoyproxy.io/v1alpha1
kind: LLMRoute
metadata: {{name: chat}}
spec:
  rules:
  - matches: [{{headers: [{{name: x-ai-eg-model, value: {model}}}]}}]
    backendRefs: [{{name: up}}]
---
apiVersion: aigateway.envoyproxy.io/v1alpha1
kind: LLMBackend
metadata: {{name: up}}
spec:
  outputSchema: {{schema: OpenAI}}
  endpoint: {{hostname: 127.0.0.1, port: {port}}}
"""


def ask(base_url: str, model: str, key: str = "none") -> int:
    body = {"model": model, "messages": [{"role": "user", "content": "x"}]}
    headers = {"authorization": f"Bearer {key}"}
    return httpx2.post(f"{base_url}/v1/chat/completions", json=body, headers=headers, timeout=10).status_code


@pytest.mark.skipif(shutil.which("curl") is None, reason="the printed command is one for curl")
def test_the_demo_answers_the_curls_that_it_prints(tmp_path: Path) -> None:
    """Both printed commands stream to the end as they are; Ctrl-C ends everything with 0 and leaves nothing behind."""
    with running(tmp_path, "--demo", "--demo-port", "0") as run:
        run.ready()
        curls = [line.strip() for line in run.said().splitlines() if line.startswith("  curl")]
        answers = [
            subprocess.run(f"{curl} -s", shell=True, capture_output=True, text=True, check=True) for curl in curls
        ]
        children = run.children()
        run.process.send_signal(signal.SIGINT)
        code = run.ends()
        access = [json.loads(line) for line in run.out.read_text().splitlines()]

    assert len(curls) == 2
    assert re.findall(r'"model": "([\w-]+)"', " ".join(curls)) == ["demo-openai", "demo-anthropic"]
    assert all(answer.stdout.endswith("data: [DONE]\n\n") for answer in answers)
    assert code == 0
    assert len(children) >= 3
    assert not any(map(is_alive, children))
    assert [(line["model"], line["status"]) for line in access] == [("demo-openai", 200), ("demo-anthropic", 200)]
    assert "Traceback" not in run.said()


def test_files_are_followed(tmp_path: Path, upstream: Upstream) -> None:
    """A good change is served, a bad one is explained and not served, and the next good one is served again."""
    file = tmp_path / "routes.yaml"
    file.write_text(manifest(upstream.port))
    with running(tmp_path, str(file)) as run:
        base_url = run.ready()
        first = ask(base_url, "m"), ask(base_url, "other")
        draft = tmp_path / "draft"
        draft.write_text(manifest(upstream.port, "other"))
        draft.replace(file)
        run.hears("reloaded: 1 rule, 1 model (other)")
        second = ask(base_url, "m"), ask(base_url, "other")
        file.write_text(manifest(upstream.port).replace("hostname", "hostnam"))
        run.hears("the configuration before it is served on")
        third = ask(base_url, "m"), ask(base_url, "other")
        file.unlink()
        run.hears("routes.yaml: no such file or directory; the configuration before it is served on")
        file.write_text(manifest(upstream.port))
        run.hears("reloaded: 1 rule, 1 model (m)")
        fourth = ask(base_url, "m"), ask(base_url, "other")
        run.process.terminate()

        assert (first, second, third, fourth) == ((200, 404), (404, 200), (404, 200), (200, 404))
        assert f"{file}:14: error: spec.endpoint.hostnam" in run.said()
        assert run.ends() == 0


def test_a_change_while_envoy_is_stuck_is_served_later(tmp_path: Path, upstream: Upstream) -> None:
    """The gateway says so and goes on; when Envoy is back the change is served without another one."""
    file = tmp_path / "routes.yaml"
    file.write_text(manifest(upstream.port))
    with running(tmp_path, str(file)) as run:
        base_url = run.ready()
        [envoy] = [pid for pid in run.children() if b"bootstrap.json" in _command(pid)]
        os.kill(envoy, signal.SIGSTOP)
        try:
            file.write_text(manifest(upstream.port, "other"))
            run.hears("and the new one is tried again")
        finally:
            os.kill(envoy, signal.SIGCONT)
        run.hears("reloaded: 1 rule, 1 model (other)")
        file.write_text("")
        run.hears(f"no LLMRoute in {file}; the configuration before it is served on")

        assert (ask(base_url, "m"), ask(base_url, "other")) == (404, 200)
        run.process.terminate()
        assert run.ends() == 0
    assert "Traceback" not in run.said()


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A temporary directory with room for the names of sockets, which pytest's own is too deep for."""
    with tempfile.TemporaryDirectory(prefix="t-") as folder:
        yield Path(folder)


def test_the_environment_is_enough(short_path: Path, upstream: Upstream) -> None:
    """With OPENAI_BASE_URL any model goes there with the client's own key; ours is neither shown nor written down."""
    secret = "sk-4711-do-not-tell"
    environment = {
        "OPENAI_API_KEY": secret,
        "OPENAI_BASE_URL": f"http://127.0.0.1:{upstream.port}/api/v9",
        "TMPDIR": str(short_path),
    }
    with running(short_path, "--log-level", "debug", environment=environment) as run:
        base_url = run.ready()
        status = ask(base_url, "whatever", "client-key")
        written = [path.read_bytes() for path in short_path.rglob("*") if path.is_file()]
        run.process.terminate()

        assert run.ends() == 0
    assert status == 200
    assert upstream.received[-1].path == "/api/v9/chat/completions"
    assert upstream.received[-1].header("authorization") == "Bearer client-key"
    assert '-H "Authorization: Bearer $OPENAI_API_KEY"' in run.said()
    assert not any(secret.encode() in content for content in written)
    assert len(written) >= 6
    assert secret not in run.said() + run.out.read_text()


def test_the_folder_it_is_called_in_does_not_matter(tmp_path: Path) -> None:
    """Modules of the names of ours in the current folder are not taken for them."""
    for name in ("extproc.py", "grpc.py"):
        (tmp_path / name).write_text("raise SystemExit('the wrong one')")
    code = "import sys; sys.path.append(sys.argv.pop(1)); from controller.cli import main; main()"
    command = [sys.executable, "-P", "-c", code, str(ROOT), "run", "--demo", "--demo-port", "0", "--port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=_clean()) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        process.terminate()
        process.communicate()

    assert first.startswith("LLMRoute is ready")
    assert process.returncode == 0


def test_errors_in_the_files_are_a_failure_before_anything_starts(tmp_path: Path) -> None:
    """Findings are printed with their places and the exit code is 1."""
    file = tmp_path / "routes.yaml"
    file.write_text(manifest(1).replace("name: up}}", "name: up2}}").replace("hostname", "hostnam"))
    with running(tmp_path, str(file)) as run:
        assert run.ends() == 1
    assert f"{file}:14: error: spec.endpoint.hostnam" in run.said()
    assert "Traceback" not in run.said()


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    """The message says which flag chooses another; the exit code is 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running(tmp_path, "--demo", "--demo-port", "0", "--port", str(port)) as run:
            assert run.ends() == 1
        with running(tmp_path, "--demo", "--demo-port", str(port)) as demo:
            assert demo.ends() == 1
            assert f"Error: port {port} is taken by another program; choose one with --demo-port" in demo.said()


def test_the_exit_code_of_a_child_is_passed_on(tmp_path: Path) -> None:
    """An Envoy that ends at once ends the command with its code and a message."""
    envoy = tmp_path / "envoy"
    envoy.write_text("#!/bin/sh\nexit 7\n")
    envoy.chmod(0o755)
    with running(tmp_path, "--demo", "--demo-port", "0", "--envoy", str(envoy)) as run:
        assert run.ends() == 7
    assert "Error: Envoy exited with code 7 before it was ready" in run.said()


def test_ctrl_c_while_starting_ends_it_too(tmp_path: Path) -> None:
    """A signal before the gateway is ready stops what has been started."""
    envoy = tmp_path / "envoy"
    envoy.write_text("#!/bin/sh\nexec sleep 100\n")
    envoy.chmod(0o755)
    with running(tmp_path, "--demo", "--demo-port", "0", "--envoy", str(envoy)) as run:
        until(lambda: any(b"sleep" in _command(pid) for pid in run.children()))
        children = run.children()
        run.process.send_signal(signal.SIGINT)

        assert run.ends() == 0
    assert not any(map(is_alive, children))


def _command(pid: int) -> bytes:
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""
