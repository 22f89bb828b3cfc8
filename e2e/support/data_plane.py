"""The pods that serve: extproc at addresses of their own, and one real Envoy, on volumes that the kubelet keeps."""

import json
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller.standalone.probes import free_port
from controller.translate.envoy.processor import EXTPROC_CLUSTER
from e2e.support.kubelet import Kubelet, Volume
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


@dataclass
class DataPlane:
    """Envoy and the processors behind it."""

    envoy: RunningEnvoy
    envoy_volume: Volume
    pods: list[ExtprocPod]

    @property
    def base_url(self) -> str:
        """For clients, without ``/v1``."""
        return f"http://127.0.0.1:{self.envoy.port}"


def admin_port() -> int:
    """A port for the admin pages of all pods."""
    return free_port()


@contextmanager
def running_data_plane(
    kubelet: Kubelet, folder: Path, admin: int, pods: int = 1, log_level: str = "info"
) -> Iterator[DataPlane]:
    """Starts when both ConfigMaps are there, as their pods would, and is entered when all of it is ready."""
    grpc = free_port()
    with ExitStack() as stack:
        sources = ("ConfigMap", ENVOY_MAP), ("Secret", ENVOY_SECRETS)
        envoy_volume = kubelet.project(folder / "envoy-volume", *sources)
        addresses = [f"127.0.0.{_FIRST_ADDRESS + index}" for index in range(pods)]
        flags = ("--log-level", log_level)
        made = [_start(kubelet, folder, f"extproc-{i}", at, (grpc, admin), flags) for i, at in enumerate(addresses)]
        for pod in made:
            stack.callback(pod.process.close)
        for pod in made:
            pod.wait()
            kubelet.add_pod(pod.name, "extproc", pod.address)
        envoy_volume.wait()
        (folder / "envoy").mkdir()
        places = (f"{address}:{grpc}" for address in addresses)
        envoy = stack.enter_context(envoy_on(folder / "envoy", envoy_volume.mount, "yaml", *places))
        kubelet.add_pod("envoy-0", "envoy", "127.0.0.1")
        healthy = f"cluster.{EXTPROC_CLUSTER}.membership_healthy"
        until(lambda: envoy.stat(healthy) == pods, "Envoy does not see the processors")
        yield DataPlane(envoy, envoy_volume, made)


def _start(
    kubelet: Kubelet, folder: Path, name: str, address: str, ports: tuple[int, int], flags: Sequence[str]
) -> ExtprocPod:
    volume = kubelet.mount(EXTPROC_MAP, folder / f"{name}-volume")
    credentials = kubelet.mount(CREDENTIALS, folder / f"{name}-credentials", "Secret")
    volume.wait()
    credentials.wait()
    grpc, admin = ports
    command: list[str | Path] = [sys.executable, "-m", "extproc", "--config", volume.mount / "config.yaml"]
    command += ["--listen", f"{address}:{grpc}", "--admin", f"{address}:{admin}"]
    command += ["--credentials", credentials.mount, "--shutdown-grace", "0", "--drain-timeout", "2", *flags]
    return ExtprocPod(name, address, admin, volume, credentials, Process(name, command, folder))
