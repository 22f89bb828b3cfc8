"""The pods that serve: extproc at addresses of their own, and one real Envoy, on volumes that the kubelet keeps."""

import json
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller.chart import CONFIG_DIRECTORY
from controller.standalone.probes import free_port
from controller.translate.envoy.processor import EXTPROC_CLUSTER
from e2e.support.kubelet import Kubelet, Volume
from e2e.support.private_mount import etc_mount
from e2e.support.process import Process
from tests.support.running_envoy import RunningEnvoy, envoy_on
from tests.support.waiting import until

EXTPROC_MAP, ENVOY_MAP = "llmroute-extproc", "llmroute-envoy"
CREDENTIALS, ENVOY_SECRETS = "llmroute-credentials", "llmroute-envoy-secrets"
#: Pods have addresses of their own and equal ports; these addresses are loopback's too.
_FIRST_ADDRESS = 11


@dataclass
class ExtprocPod:
    """One processor."""

    name: str
    address: str
    admin_port: int
    volume: Volume
    credentials: Volume
    process: Process

    def config(self) -> dict[str, Any]:
        """Its ``/config`` page."""
        with urllib.request.urlopen(f"http://{self.address}:{self.admin_port}/config", timeout=5) as page:
            found: dict[str, Any] = json.load(page)
            return found

    def wait(self) -> None:
        """Returns when it serves something."""
        until(lambda: self.process.code is not None or self.revision is not None, "extproc is not ready", 30)
        self.process.demand_running()

    @property
    def revision(self) -> int | None:
        """What it serves; None while it serves nothing or cannot be asked."""
        try:
            revision: int | None = self.config()["revision"]
        except OSError:
            return None
        return revision


@dataclass(frozen=True, slots=True)
class Starter:
    """Starts processors at the ``places`` that Envoy knows of. ``flags`` are theirs; an address has one at a time."""

    kubelet: Kubelet
    folder: Path
    grpc: int
    admin: int
    places: Sequence[str]
    flags: Sequence[str]

    def start(self, name: str, address: str, *flags: str, environment: Mapping[str, str] | None = None) -> ExtprocPod:
        """On volumes of its own; the API server does not hear of it. Returns when its volumes have something."""
        volume = self.kubelet.mount(EXTPROC_MAP, self.folder / f"{name}-volume")
        credentials = self.kubelet.mount(CREDENTIALS, self.folder / f"{name}-credentials", "Secret")
        volume.wait()
        credentials.wait()
        command: list[str | Path] = [sys.executable, "-m", "extproc", "--config", volume.mount / "config.yaml"]
        command += ["--listen", f"{address}:{self.grpc}", "--admin", f"{address}:{self.admin}"]
        command += ["--credentials", credentials.mount, "--shutdown-grace", "0", "--drain-timeout", "2"]
        process = Process(name, [*command, *self.flags, *flags], self.folder, environment)
        return ExtprocPod(name, address, self.admin, volume, credentials, process)


@dataclass
class DataPlane:
    """Envoy and the processors behind it."""

    envoy: RunningEnvoy
    envoy_volume: Volume
    pods: list[ExtprocPod]
    starter: Starter

    @property
    def base_url(self) -> str:
        """For clients, without ``/v1``."""
        return f"http://127.0.0.1:{self.envoy.port}"

    def until_healthy(self, processors: int, *, or_more: bool = False) -> None:
        """Returns when Envoy sees so many. ``or_more``: some that run and are no pods yet may be among them."""
        wanted = range(processors, len(self.starter.places) + 1 if or_more else processors + 1)
        healthy = f"cluster.{EXTPROC_CLUSTER}.membership_healthy"
        until(lambda: self.envoy.stat(healthy) in wanted, f"Envoy does not see {processors} processors")


def admin_port() -> int:
    """A port for the admin pages of all pods."""
    return free_port()


@contextmanager
def running_data_plane(
    kubelet: Kubelet,
    folder: Path,
    admin: int,
    pods: int = 1,
    log_level: str = "info",
    *,
    spare: int = 0,
    mounted: bool = False,
) -> Iterator[DataPlane]:
    """Starts when both ConfigMaps are there, as their pods would, and is entered when all of it is ready.

    ``spare``: addresses of processors that a test starts; ``mounted``: Envoy has its volume where the chart mounts it.
    """
    with ExitStack() as stack:
        sources = ("ConfigMap", ENVOY_MAP), ("Secret", ENVOY_SECRETS)
        envoy_volume = kubelet.project(folder / "envoy-volume", *sources)
        addresses = [f"127.0.0.{_FIRST_ADDRESS + index}" for index in range(pods + spare)]
        starter = Starter(kubelet, folder, free_port(), admin, addresses, ("--log-level", log_level))
        made = [starter.start(f"extproc-{i}", at) for i, at in enumerate(addresses[:pods])]
        for pod in made:
            stack.callback(pod.process.close)
        for pod in made:
            pod.wait()
            kubelet.add_pod(pod.name, "extproc", pod.address)
        envoy_volume.wait()
        (folder / "envoy").mkdir()
        at, within = envoy_volume.mount, list[str]()
        if mounted:
            at = Path(CONFIG_DIRECTORY)
            within = etc_mount(envoy_volume.mount, at, folder / "envoy" / "etc")
        workers = (f"{address}:{starter.grpc}" for address in addresses)
        envoy = stack.enter_context(envoy_on(folder / "envoy", at, "yaml", *workers, within=within))
        kubelet.add_pod("envoy-0", "envoy", "127.0.0.1")
        data = DataPlane(envoy, envoy_volume, made, starter)
        data.until_healthy(pods)
        yield data
