"""Envoy and the processor as a pod has them: the processor by its own flags, its file on a ConfigMap-like volume.

``gateway`` runs both as ``llmroute run`` does; here they are apart, so that workers can be ended with time to drain.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller.standalone.probes import free_port
from controller.translate import Translation
from controller.translate.envoy.processor import EXTPROC_CLUSTER
from extproc.config.loader import content_hash, dump
from tests.support.configmap_volume import ConfigMapVolume
from tests.support.gateway import Document, translation_of
from tests.support.running_envoy import RunningEnvoy, running_envoy
from tests.support.waiting import is_alive, until

_FILE = "config.json"
_ACTIVE = re.compile(rf"^{EXTPROC_CLUSTER}::(?P<address>\S+)::rq_active::(?P<count>\d+)$", re.MULTILINE)


@dataclass
class Deployed:
    """Both, running. ``log`` is what the processor wrote to standard error, ``lines`` to standard output."""

    envoy: RunningEnvoy
    processor: subprocess.Popen[bytes]
    folder: Path
    admin: int
    revision: int = 0

    @property
    def log(self) -> str:
        return (self.folder / "processor.log").read_text()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "requests.log").read_text().splitlines()]

    def swap(self, documents: Sequence[Document]) -> str:
        """Another content of the processor's volume alone; the hash by which its workers will know it."""
        self.revision += 1
        return _swap(self.folder, translation_of(documents), self.revision)

    def workers(self) -> list[dict[str, Any]]:
        """What the admin page says of each worker; none while it says nothing."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/config", timeout=5) as page:
                workers: list[dict[str, Any]] = json.load(page)["workers"]
                return workers
        except OSError:
            return []

    def metric(self, name: str) -> float:
        """The sum of a metric's series, 0 without any."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=5) as page:
            lines = [line for line in page.read().decode().splitlines() if re.match(rf"{name}(\{{| )", line)]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def active(self) -> list[int]:
        """The streams that Envoy has open on each worker, by its number."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.envoy.admin}/clusters", timeout=5) as page:
            found = _ACTIVE.findall(page.read().decode())
        return [int(count) for _, count in sorted(found)]


@contextmanager
def deployed(documents: Sequence[Document], workers: int = 2, *flags: str) -> Iterator[Deployed]:
    """Start both with these documents and stop both; ``flags`` are further ones of the processor's."""
    with tempfile.TemporaryDirectory(prefix="llmroute-e2e-") as name:
        folder = Path(name)
        translation = translation_of(documents)
        wanted = _swap(folder, translation, revision=0)
        admin = free_port()
        listen = f"unix://{folder}/w"
        command = [*(sys.executable, "-m", "extproc"), "--config", str(folder / "volume" / _FILE), "--listen", listen]
        command += ["--admin", f"127.0.0.1:{admin}", "--workers", str(workers), "--log-level", "info", *flags]
        with (folder / "processor.log").open("wb") as log, (folder / "requests.log").open("wb") as lines:
            processor = subprocess.Popen(command, stdout=lines, stderr=log, env=dict(os.environ))
        try:
            with running_envoy(folder, translation.envoy, *(f"{listen}.{i}" for i in range(workers))) as envoy:
                made = Deployed(envoy, processor, folder, admin)
                healthy = f"cluster.{EXTPROC_CLUSTER}.membership_healthy"
                until(
                    lambda: (
                        processor.poll() is not None
                        or (serve(made, wanted, workers) and envoy.stat(healthy) == workers)
                    ),
                    "the processor is not ready, or Envoy has not noticed",
                )
                assert processor.poll() is None, made.log
                yield made
        finally:
            processor.terminate()
            processor.wait(60)
            assert not is_alive(processor.pid)


def serve(made: Deployed, wanted: str, workers: int) -> bool:
    """Whether all workers do, by the configuration with this hash."""
    found = made.workers()
    return len(found) == workers and all(worker["hash"] == wanted and worker["ready"] for worker in found)


def _swap(folder: Path, translation: Translation, revision: int) -> str:
    data = dump(translation.config.model_copy(update={"revision": revision}))
    ConfigMapVolume(folder / "volume").swap({_FILE: data})
    return content_hash(data)
