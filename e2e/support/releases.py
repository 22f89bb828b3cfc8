"""Processors of more than one release behind one Envoy, which come and go as the pods of a Deployment do."""

import re
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import extproc
from e2e.support.data_plane import ExtprocPod
from e2e.support.stand import Stand
from extproc.config.names import OLDEST_VERSION
from tests.support.waiting import until

#: Longer than Envoy takes to see that one is about to go, as by default.
_GRACE = ("--shutdown-grace", "2.5")


@dataclass
class Fleet:
    """The processors of a stand that has room for some. ``close`` it."""

    stand: Stand
    _started: list[ExtprocPod] = field(default_factory=list)

    def start(self, name: str, environment: Mapping[str, str] | None = None) -> ExtprocPod:
        """A pod that runs and is not ready. ``environment`` may make it one of another release."""
        starter = self.stand.data.starter
        taken = {pod.address for pod in self._started if pod.process.code is None}
        address = next(each for each in starter.places if each not in taken)
        pod = starter.start(name, address, *_GRACE, environment=environment)
        self._started.append(pod)
        self.stand.kubelet.add_pod(name, "extproc", address, ready=False)
        return pod

    def admit(self, pod: ExtprocPod) -> None:
        """It serves, is ready, and gets traffic; waits for that."""
        pod.wait()
        self.stand.kubelet.set_pod(pod.name, pod.address, ready=True)
        self.stand.data.pods.append(pod)
        self.stand.data.until_healthy(len(self.stand.data.pods), or_more=True)

    def end(self, pod: ExtprocPod) -> None:
        """It is being deleted, has time for its requests, and is gone."""
        if pod in self.stand.data.pods:
            self.stand.data.pods.remove(pod)
        self.stand.kubelet.end_pod(pod.name)
        assert pod.process.terminate() == 0, pod.process.log[-4000:]
        self.stand.kubelet.remove_pod(pod.name)

    def close(self) -> None:
        """No process stays."""
        running = [pod for pod in self._started if pod.process.code is None]
        for pod in running:
            pod.process.send(signal.SIGTERM)
        for pod in running:
            pod.process.close()  # to be asked twice means at once


def older_release(folder: Path, *, says_so: bool = True) -> Mapping[str, str]:
    """The environment in which extproc is a release that reads no configuration newer than ``OLDEST_VERSION``.

    It is this very code with another number in it, in ``folder``. Without ``says_so`` its admin page tells nothing of
    versions, as that of the first release does.
    """
    copied = folder / extproc.__name__
    shutil.copytree(Path(extproc.__file__).parent, copied, ignore=shutil.ignore_patterns("__pycache__"))
    _edit(copied / "config" / "names.py", r"^VERSION = \d+$", f"VERSION = {OLDEST_VERSION}")
    if not says_so:
        _edit(copied / "server" / "admin.py", r'^ *"accepts": .*\n', "")
    # The working directory would come before PYTHONPATH, and it may be this checkout's.
    return {"PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}


def until_version(stand: Stand, version: int, limit_s: float = 30.0) -> None:
    """Returns when the configuration is written in this version."""
    until(lambda: stand.config()["version"] == version, f"the configuration is not of version {version}", limit_s)


def _edit(path: Path, pattern: str, replacement: str) -> None:
    text, count = re.subn(pattern, replacement, path.read_text(), flags=re.MULTILINE)
    assert count == 1, f"{path}: {count} lines are {pattern}"
    path.write_text(text)
