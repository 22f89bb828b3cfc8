"""``llmroute run`` in hard times: its processes are killed, it is stopped in mid-stream, it is killed itself."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from controller.standalone.probes import free_port
from e2e.conftest import Tell
from tests.support.gateway import backend, route, rule
from tests.support.load import Client, numbered, short_requests, stream
from tests.support.plane import chat
from tests.support.upstreams import running_upstream
from tests.support.waiting import eventually, is_alive, until

MODELS = ("plain", "bedrock")
BODIES = [chat(model) for model in MODELS]
#: Streams of three seconds.
PARTS, PAUSE_S = 30, 0.1


class Running:
    """The process, and what it says. ``folder`` is its TMPDIR."""

    def __init__(self, home: Path, manifest: Path) -> None:
        self.port = free_port()
        self.folder = home / "tmp"
        self.folder.mkdir()
        self._said = home / "said.txt"
        command = [sys.executable, "-m", "controller", "run", str(manifest), "--port", str(self.port)]
        command += ["--access-log", str(home / "access.log")]
        with self._said.open("wb") as said:
            environment = {**os.environ, "TMPDIR": str(self.folder)}
            self.process = subprocess.Popen(command, stdout=said, stderr=said, env=environment)

    @property
    def said(self) -> str:
        return self._said.read_text()

    def child(self, word: str) -> int:
        """The one process that it supervises and whose command line has this word."""
        [found] = [pid for pid in _children(self.process.pid) if word in _command(pid)]
        return found

    def demand_gone(self, started: set[int]) -> None:
        """It has ended well, and left neither processes nor files."""
        assert self.process.returncode == 0, self.said
        assert [pid for pid in started if is_alive(pid)] == []
        assert list(self.folder.rglob("*")) == []
        assert "Traceback" not in self.said

    def all_children(self) -> set[int]:
        """All that runs below it."""
        found, todo = set[int](), [self.process.pid]
        while todo:
            below = _children(todo.pop())
            found.update(below)
            todo += below
        return found


@pytest.fixture
def run() -> Iterator[Running]:
    with running_upstream() as upstream, tempfile.TemporaryDirectory(prefix="e2e-", dir="/tmp") as name:
        upstream.answer_with(numbered(PARTS, PAUSE_S))
        rules = [rule(model, model) for model in MODELS]
        backends = [backend("plain", upstream.port), backend("bedrock", upstream.port, "AWSBedrock")]
        manifest = Path(name) / "manifest.yaml"
        manifest.write_text(yaml.safe_dump_all([route(*rules), *backends]))
        running = Running(Path(name), manifest)
        try:
            until(lambda: "admin pages" in running.said or running.process.poll() is not None, "not ready", 30)
            assert running.process.poll() is None, running.said
            yield running
        finally:
            running.process.kill()
            running.process.wait()


@pytest.mark.parametrize("word", ["/envoy ", " extproc "])
async def test_a_killed_process_is_back_in_seconds(run: Running, tell: Tell, word: str) -> None:
    """Envoy or the processor dies under load, twice: requests fail for as long as it is gone, and then no more."""
    outages, failed = [], 0
    for _ in range(2):
        async with short_requests(run.port, BODIES, 4, pause_s=0.01) as tally:
            await asyncio.sleep(0.5)
            assert tally.failures == []
            killed = time.monotonic()
            os.kill(run.child(word), signal.SIGKILL)
            await asyncio.sleep(0.1)
            await serves(run.port)
            outages.append(time.monotonic() - killed)
        failed += len(tally.failures)
        async with short_requests(run.port, BODIES, 4) as calm:
            await asyncio.sleep(1)
        assert calm.failures == []
        assert calm.done > 20

    tell(outage_s=outages, failed_meanwhile=failed)
    assert max(outages) < 10
    assert run.said.count("was killed by SIGKILL; starting it again") == 2
    started = run.all_children()
    run.process.send_signal(signal.SIGINT)
    await eventually(lambda: run.process.poll() is not None, "it does not end")
    run.demand_gone(started)


async def test_ctrl_c_in_mid_stream(run: Running, tell: Tell) -> None:
    """Streams that have begun are heard to their end; then no process and no file is left, and the exit code is 0."""
    streams = [asyncio.create_task(stream(run.port, chat(MODELS[i % 2], stream=True), PARTS)) for i in range(10)]
    await asyncio.sleep(1)
    started = run.all_children()
    told = time.monotonic()
    run.process.send_signal(signal.SIGINT)

    ended = await asyncio.gather(*streams)
    await eventually(lambda: run.process.poll() is not None, "it does not end")

    tell(streams=len(ended), cut=sum(bool(one.fault) for one in ended), ended_after_s=time.monotonic() - told)
    assert [one.fault for one in ended if one.fault] == []
    assert len(started) >= 4
    run.demand_gone(started)


def test_nothing_survives_it(run: Running, tell: Tell) -> None:
    """Killed outright, it takes everything that it started along."""
    started = run.all_children()
    assert len(started) >= 4

    run.process.kill()
    killed = time.monotonic()
    until(lambda: not any(map(is_alive, started)), "something runs on")

    tell(all_gone_after_s=time.monotonic() - killed)


async def serves(port: int) -> None:
    """Returns once ten requests in a row were answered."""
    async with asyncio.timeout(20), Client(port) as client:
        row = 0
        while row < 10:
            got = await client.ask(BODIES[row % 2])
            row = row + 1 if got.status == 200 and not got.fault else 0
            await asyncio.sleep(0.01)


def _children(pid: int) -> list[int]:
    texts = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(child) for child in " ".join(texts).split()]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
