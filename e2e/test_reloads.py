"""Changes of the configuration under a load of streams: nothing is lost, mixed up, or late."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import yaml

from controller.standalone.probes import free_port
from e2e.conftest import Tell
from tests.support.configmap_volume import ConfigMapVolume
from tests.support.deployed import Deployed, deployed, serve
from tests.support.gateway import Document, backend, route, rule
from tests.support.load import Streamed, numbered, short_requests, streams
from tests.support.plane import chat
from tests.support.upstreams import Received, Reply, Upstream
from tests.support.waiting import eventually

#: Streams of about two seconds, which see several changes each.
PARTS, PAUSE_S = 40, 0.05
STREAMS, CLIENTS = 12, 2
#: ``swing`` goes to OpenAI's dialect after even changes and to Bedrock's after odd ones.
MODELS = ("plain", "bedrock", "swing")
BODIES = [chat(model) for model in MODELS]
STREAM_BODIES = [chat(model, stream=True) for model in MODELS]
LIVE_S = 0.5


def documents(port: int, number: int, suffix: str = "") -> list[Document]:
    """The models by the names of this change upstream, at backends whose names end in ``suffix``."""
    swinging = "bedrock" if number % 2 else "plain"
    targets = {"plain": "plain", "bedrock": "bedrock", "swing": swinging}
    override = f"change-{number}"
    return [
        route(*(rule(m, {"name": f"{t}{suffix}", "modelNameOverride": override}) for m, t in targets.items())),
        backend(f"plain{suffix}", port),
        backend(f"bedrock{suffix}", port, "AWSBedrock"),
    ]


@dataclass
class Changes:
    """When each change was made, and when it was found to be live; monotonic seconds, by its number."""

    made: list[float] = field(default_factory=lambda: [0.0])
    live: list[float] = field(default_factory=lambda: [0.0])

    @property
    def took_s(self) -> list[float]:
        return [live - made for made, live in zip(self.made[1:], self.live[1:], strict=True)]

    @property
    def most_took_s(self) -> float:
        """What nine in ten took no longer than; the rest is left to what else this machine does."""
        return sorted(self.took_s)[len(self.took_s) * 9 // 10 - 1]

    def faults(self, seen: Sequence[Streamed]) -> list[str]:
        """What is wrong with the streams: broken ones, and those on a configuration of another time."""
        broken = [stream.fault for stream in seen if stream.fault]
        return broken + [str(stream) for stream in seen if not stream.fault and not self._was_live(stream)]

    def lived_through(self, stream: Streamed) -> int:
        """How many changes came while the stream ran."""
        return sum(stream.began < live < stream.ended for live in self.live)

    def _was_live(self, stream: Streamed) -> bool:
        """Whether the stream's change was made before the stream's first piece and not yet overtaken at its begin."""
        number = int(stream.model.removeprefix("change-"))
        overtaken = self.live[number + 1] if number + 1 < len(self.live) else float("inf")
        return self.made[number] < stream.ended - PARTS * PAUSE_S and stream.began < overtaken


async def test_fifty_swaps_of_the_processors_file(tell: Tell) -> None:
    """Each is served by both workers within half a second, and a stream ends on the configuration it began with."""
    changes = Changes()
    async with Upstream() as upstream:
        upstream.answer_with(numbered(PARTS, PAUSE_S))
        with deployed(documents(upstream.port, 0), 2, "--shutdown-grace", "0") as made:
            port = made.envoy.port
            async with (
                short_requests(port, BODIES, CLIENTS, pause_s=0.01) as tally,
                streams(port, STREAM_BODIES, STREAMS, PARTS) as seen,
            ):
                for number in range(1, 51):
                    await asyncio.sleep(0.1)
                    await swap(made, documents(upstream.port, number), changes)
            backends = {(line["upstream_model"], line["provider"]) for line in made.lines if line["model"] == "swing"}
            assert made.metric("llmroute_internal_errors_total") == 0
            assert "Traceback" not in made.log

    tell_all(tell, changes, seen, tally.done, len(tally.failures))
    assert tally.failures == []
    assert changes.faults(seen) == []
    assert median(map(changes.lived_through, seen)) >= 3
    assert changes.most_took_s < LIVE_S
    assert all((provider == "aws.bedrock") == (int(model[7:]) % 2 == 1) for model, provider in backends)


async def swap(made: Deployed, to: Sequence[Document], changes: Changes) -> None:
    """Make a change and wait until both workers serve it."""
    changes.made.append(time.monotonic())
    wanted = made.swap(to)
    await eventually(lambda: serve(made, wanted, 2), "not live")
    changes.live.append(time.monotonic())


async def test_manifests_that_change_with_their_backends(tell: Tell, tmp_path: Path) -> None:
    """``llmroute run`` follows a mounted volume whose every change has new backends: nothing fails on the way."""
    changes = Changes()
    volume = ConfigMapVolume(tmp_path / "volume")
    async with Upstream() as upstream:
        arrived = Arrivals(numbered(PARTS, PAUSE_S))
        upstream.answer_with(arrived)
        volume.swap(manifest(documents(upstream.port, 0, "-0")))
        with running(volume.mount / "manifest.yaml", tmp_path) as port:
            await eventually(lambda: "is ready" in (tmp_path / "told.txt").read_text(), "it does not start")
            async with (
                short_requests(port, BODIES, CLIENTS, pause_s=0.01) as tally,
                streams(port, STREAM_BODIES, STREAMS, PARTS) as seen,
            ):
                for number in range(1, 21):
                    await asyncio.sleep(0.2)
                    changes.made.append(time.monotonic())
                    volume.swap(manifest(documents(upstream.port, number, f"-{number}")))
                    changes.live.append(await arrived.when(f"change-{number}"))

    tell_all(tell, changes, seen, tally.done, len(tally.failures))
    assert tally.failures == []
    assert [stream.fault for stream in seen if stream.fault] == []
    assert max(map(changes.lived_through, seen)) >= 2
    assert changes.most_took_s < 2 * LIVE_S
    assert (tmp_path / "told.txt").read_text().count("reloaded") == 20


class Arrivals:
    """A script that notes when the upstream was first asked for each model."""

    def __init__(self, script: Callable[[Received], Reply]) -> None:
        self.first: dict[str, float] = {}
        self._script = script

    async def when(self, model: str) -> float:
        """The moment at which it was first asked for, once that has come."""
        await eventually(lambda: model in self.first, f"nobody asked for {model}")
        return self.first[model]

    def __call__(self, request: Received) -> Reply:
        model = request.path.split("/")[2] if request.path.startswith("/model/") else request.json["model"]
        self.first.setdefault(model, time.monotonic())
        return self._script(request)


def manifest(objects: Sequence[Document]) -> dict[str, bytes]:
    return {"manifest.yaml": yaml.safe_dump_all(objects).encode()}


@contextmanager
def running(path: Path, folder: Path) -> Iterator[int]:
    """``llmroute run``, stopped at the end; what it tells goes to ``told.txt``."""
    port = free_port()
    command = [sys.executable, "-m", "controller", "run", str(path), "--port", str(port)]
    command += ["--access-log", str(folder / "access.log")]
    with (folder / "told.txt").open("wb") as told:
        process = subprocess.Popen(command, stdout=told, stderr=told)
    try:
        yield port
    finally:
        process.terminate()
        code = process.wait(30)
    assert code == 0, (folder / "told.txt").read_text()


def tell_all(tell: Tell, changes: Changes, seen: Sequence[Streamed], requests: int, failed: int) -> None:
    tell(
        changes=len(changes.took_s),
        live_median_s=median(changes.took_s),
        live_90_percent_s=changes.most_took_s,
        live_max_s=max(changes.took_s),
        streams=len(seen),
        broken=sum(bool(stream.fault) for stream in seen),
        changes_in_a_stream=median(map(changes.lived_through, seen)),
        short_requests=requests,
        failed=failed,
    )
