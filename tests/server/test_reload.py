"""The configuration file, followed through everything that can happen to a file."""

import asyncio
import gzip
import json
import logging
import shutil
import statistics
import threading
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

from extproc.config.loader import load
from extproc.exchange.gateway import Gateway
from extproc.server import reload, watching
from extproc.server.reload import ConfigState, ConfigStatus, status_message
from tests.support.configmap_volume import ConfigMapVolume
from tests.support.waiting import eventually

BROKEN = {
    "empty": b"",
    "binary": b"\x00\xff\xfe garbage",
    "truncated JSON": b"{",
    "truncated YAML": b"rules: [",
    "wrong type": b"rules: 3",
    "no mapping": b"[1, 2]",
    "unknown field": b"rulez: []",
    "truncated gzip": gzip.compress(b'{"rules": []}', mtime=0)[:-9],
    "bad expression": b"rules: [{headers: [{name: x-a, value: '(', type: RegularExpression}], backends: []}]",
}


def content(revision: int, rules: int = 1) -> bytes:
    """A good file that can be told from others by its revision."""
    rule: dict[str, Any] = {"backends": [{"name": "openai", "outputSchema": {"schema": "OpenAI"}}]}
    return json.dumps({"version": 1, "revision": revision, "rules": [rule] * rules}).encode()


class Follower:
    """A ``ConfigState`` that follows ``path``, and all that it ever said."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.said: list[ConfigStatus] = []
        self.state = ConfigState(str(path), self.said.append)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self.state.watch())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def serves(self, revision: int) -> None:
        """Wait until the file is served without a complaint."""
        await eventually(
            lambda: (
                self.state.status.revision == revision and self.state.status.serving and not self.state.status.error
            ),
            f"revision {revision} was not served: {self.state.status}",
        )
        assert self.state.gateway is not None
        assert self.state.gateway.config.revision == revision

    async def complains(self, words: str = "") -> None:
        """Wait until the status says what is wrong."""
        await eventually(
            lambda: words in (self.state.status.error or "") and self.state.status.error,
            f"no complaint about {words!r}",
        )


@pytest.fixture
async def follower(tmp_path: Path) -> AsyncIterator[Follower]:
    """Follows a file that holds revision 1."""
    found = Follower(tmp_path / "config.yaml")
    found.path.write_bytes(content(1))
    found.start()
    await found.serves(1)
    yield found
    await found.stop()


async def test_configmap_swaps_are_live_within_half_a_second(tmp_path: Path) -> None:
    """Every swap of a ConfigMap volume is seen, the later ones too, and the median one is served within 500 ms."""
    volume = ConfigMapVolume(tmp_path / "mount")
    volume.swap({"config.yaml": content(1)})
    follower = Follower(volume.mount / "config.yaml")
    follower.start()
    await follower.serves(1)
    seconds = []
    for revision in range(2, 9):
        swapped = time.monotonic()
        volume.swap({"config.yaml": content(revision)})
        await follower.serves(revision)
        seconds.append(time.monotonic() - swapped)
    await follower.stop()

    assert statistics.median(seconds) < 0.5, seconds


async def test_in_place_write(follower: Follower) -> None:
    """A file that is written over in place is served when it is whole."""
    follower.path.write_bytes(content(2))

    await follower.serves(2)


async def test_slow_in_place_write_of_a_file_whose_beginning_is_valid(follower: Follower) -> None:
    """While a write goes on nothing is served, though its first half would load."""
    with follower.path.open("wb", buffering=0) as file:
        for line in [b"revision: 2\n", *[b"# a comment\n"] * 30, b"rules: []\n"]:
            file.write(line)
            await asyncio.sleep(0.004)

    await follower.serves(2)
    assert [s.revision for s in follower.said] == [1, 2]
    assert b"rules" in follower.path.read_bytes()


async def test_write_that_pauses_in_the_middle(follower: Follower) -> None:
    """A half-written file is refused, and the rest of it, when it comes, is served."""
    whole = content(2)
    with follower.path.open("wb", buffering=0) as file:
        file.write(whole[:40])
        await follower.complains()
        file.write(whole[40:])

    await follower.serves(2)


async def test_atomic_rename(follower: Follower) -> None:
    """A file that is renamed over the old one is served, again and again."""
    for revision in (2, 3, 4):
        fresh = follower.path.with_suffix(".new")
        fresh.write_bytes(content(revision))
        fresh.rename(follower.path)

        await follower.serves(revision)


async def test_deletion_keeps_the_last_good_configuration(follower: Follower) -> None:
    """A missing file is complained about by its path, nothing else changes, and its return is served."""
    follower.path.unlink()
    await follower.complains("No such file")

    assert str(follower.path) in (follower.state.status.error or "")
    assert follower.state.status.serving
    assert follower.state.status.revision == 1
    follower.path.write_bytes(content(2))
    await follower.serves(2)


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
async def test_broken_file_keeps_the_last_good_configuration(follower: Follower, broken: bytes) -> None:
    """Whatever the file holds, what was served stays, the reason is told, and the next good file is served."""
    before = time.time()
    kept = follower.state.gateway
    follower.path.write_bytes(broken)
    await follower.complains()

    status = follower.state.status
    assert follower.state.gateway is kept
    assert (status.revision, status.serving) == (1, True)
    assert status.error_since is not None
    assert before <= status.error_since <= time.time()
    follower.path.write_bytes(content(2))
    await follower.serves(2)
    assert follower.state.status.error_since is None


async def test_change_there_and_back_ends_where_it_began(follower: Follower) -> None:
    """Good to other and back within a second, and to broken and back: in the end the first content is served."""
    for other in (content(2), b"{", content(3), b"rules: 3"):
        follower.path.write_bytes(other)
        await asyncio.sleep(0.12)
        follower.path.write_bytes(content(1))
        await asyncio.sleep(0.12)

    await follower.serves(1)
    await asyncio.sleep(0.3)
    assert follower.state.status.revision == 1
    assert follower.state.status.error is None


async def test_return_to_what_is_served_compiles_nothing(follower: Follower) -> None:
    """After a broken file, the served content clears the error and stays the very object it was."""
    kept, loaded_at = follower.state.gateway, follower.state.status.loaded_at
    follower.path.write_bytes(b"{")
    await follower.complains()
    follower.path.write_bytes(content(1))
    await follower.serves(1)

    assert follower.state.gateway is kept
    assert follower.state.status.loaded_at == loaded_at


async def test_broken_content_is_reported_once(follower: Follower, caplog: pytest.LogCaptureFixture) -> None:
    """The same broken content, written three times, is logged and told once; another one is told again."""
    with caplog.at_level(logging.ERROR, "extproc.server.reload"):
        for _ in range(3):
            follower.path.write_bytes(b"rules: 3")
            await follower.complains("rules")
            await asyncio.sleep(0.25)
        first = follower.state.status.error_since
        follower.path.write_bytes(b"rulez: []")
        await follower.complains("rulez")

    assert len(caplog.records) == 2
    assert len(follower.said) == 3
    assert follower.state.status.error_since == first


async def test_directory_that_comes_later_and_is_replaced(tmp_path: Path) -> None:
    """A directory may be missing at the start, appear, vanish and come back: what is in it is served each time."""
    follower = Follower(tmp_path / "later" / "config.yaml")
    follower.start()
    await follower.complains("No such file")
    assert not follower.state.status.serving
    assert follower.state.gateway is None
    for revision in (1, 2):
        follower.path.parent.mkdir()
        follower.path.write_bytes(content(revision))
        await follower.serves(revision)
        shutil.rmtree(follower.path.parent)
        await follower.complains("No such file")
    await follower.stop()


async def test_polling_finds_what_events_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that has no watches left delays a change by the poll, and no more."""

    def exhausted(*_: object, **__: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr(watching, "awatch", exhausted)
    monkeypatch.setattr(watching, "_POLL_S", 0.1)
    follower = Follower(tmp_path / "config.yaml")
    follower.path.write_bytes(content(1))
    follower.start()
    await follower.serves(1)
    follower.path.write_bytes(content(2))

    await follower.serves(2)
    await follower.stop()


async def test_link_to_a_file_in_another_directory(tmp_path: Path) -> None:
    """A change of the file that the path links to, which makes no event beside the link, is found by the poll."""
    real = tmp_path / "elsewhere" / "real.yaml"
    real.parent.mkdir()
    real.write_bytes(content(1))
    (tmp_path / "mount").mkdir()
    follower = Follower(tmp_path / "mount" / "config.yaml")
    follower.path.symlink_to(real)
    follower.start()
    await follower.serves(1)
    real.write_bytes(content(2))

    await follower.serves(2)
    await follower.stop()


async def test_slow_load_never_overwrites_a_newer_one(follower: Follower, monkeypatch: pytest.MonkeyPatch) -> None:
    """Content that arrives while an older one compiles slowly is served after it, and stays."""
    compile_config = reload.compile_config
    slow = threading.Event()

    def compile_slowly(data: bytes, path_prefix: str | None) -> Gateway:
        if data == content(2):
            slow.set()
            time.sleep(0.6)
        return compile_config(data, path_prefix)

    monkeypatch.setattr(reload, "compile_config", compile_slowly)
    follower.path.write_bytes(content(2))
    await eventually(slow.is_set)
    follower.path.write_bytes(content(3))
    await follower.serves(3)
    await asyncio.sleep(0.3)

    assert [s.revision for s in follower.said] == [1, 2, 3]


async def test_event_loop_runs_while_a_configuration_compiles(
    follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiling happens in another thread."""
    threads = []
    compile_config = reload.compile_config

    def watched(data: bytes, path_prefix: str | None) -> Gateway:
        threads.append(threading.current_thread())
        return compile_config(data, path_prefix)

    monkeypatch.setattr(reload, "compile_config", watched)
    follower.path.write_bytes(content(2))
    await follower.serves(2)

    assert threads
    assert threading.current_thread() not in threads


async def test_bug_of_the_loader_keeps_the_last_good_configuration(
    follower: Follower, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception that should not be is logged with its traceback, told, and changes nothing that is served."""

    def fail(*_: object) -> Gateway:
        raise ZeroDivisionError

    with monkeypatch.context() as patched, caplog.at_level(logging.CRITICAL):
        patched.setattr(reload, "compile_config", fail)
        follower.path.write_bytes(content(2))
        await follower.complains("ZeroDivisionError")
    assert follower.state.status.revision == 1
    follower.path.write_bytes(content(3))

    await follower.serves(3)


async def test_path_prefix_of_the_command_line_wins(tmp_path: Path) -> None:
    """A prefix that is given replaces the file's, whatever the file says."""
    path = tmp_path / "config.yaml"
    path.write_bytes(b"pathPrefix: /file\nrules: []\n")
    said: list[ConfigStatus] = []
    state = ConfigState(str(path), said.append, "/flag")
    watching = asyncio.create_task(state.watch())
    await eventually(lambda: state.gateway)
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching

    assert state.gateway is not None
    assert state.gateway.config.path_prefix == "/flag"


def test_known_models_are_exact_matches_and_overrides() -> None:
    """The names that stand in a configuration: of every alternative, not patterns, not other headers."""
    config = load(
        b"""
rules:
- matches:
  - headers: [{name: X-AI-EG-Model, value: one}, {name: x-tenant, value: not-this}]
  - headers: [{name: x-envoy-ai-gateway-llm-model, value: two}]
  - headers: [{name: x-ai-eg-model, value: "not.*", type: RegularExpression}]
  backends: [{name: a, outputSchema: {schema: OpenAI}, modelNameOverride: three}]
"""
    )

    assert frozenset({"one", "two", "three"}) == Gateway.compile(config).models


@pytest.mark.parametrize(
    "status",
    [ConfigStatus(), ConfigStatus(3, "h", 1, 5.5, "e", 6.5, Raw(b'[{"source": "s"}]'), frozenset({"m"}), serving=True)],
)
def test_status_message_carries_every_field_but_the_models(status: ConfigStatus) -> None:
    """What the supervisor is told is JSON of a known kind."""
    message = json.loads(status_message(status))

    expected = {
        "kind": "status",
        "revision": status.revision,
        "hash": status.hash,
        "version": status.version,
        "loaded_at": status.loaded_at,
        "error": status.error,
        "error_since": status.error_since,
        "rules": json.loads(bytes(status.rules)),
        "serving": status.serving,
    }
    assert expected == message
