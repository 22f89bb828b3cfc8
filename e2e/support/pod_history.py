"""What became of a release's pods, moment by moment, for whoever has to find out why a request failed."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e.support.pods import PodHost, RunningPod

_LOOK_S = 0.05
_MANY = 40


class History:
    """Of the pods of a namespace, and of where a Service leads; times are monotonic seconds, as ``load`` tells them."""

    def __init__(self, host: PodHost, namespace: str, service: str, port: str) -> None:
        self._host, self._namespace, self._service, self._port = host, namespace, service, port
        self._said: list[str] = []
        self._before: dict[str, str] = {}

    def look(self) -> None:
        """Write down what has changed since the last time."""
        now = {
            f"{pod.component} {pod.address}": _state(pod)
            for pod in self._host.all_pods()
            if pod.namespace == self._namespace
        }
        now["the Service leads to"] = str(self._host.network.ready(self._namespace, self._service, self._port))
        at = time.monotonic()
        for name in sorted(now.keys() | self._before.keys()):
            if now.get(name) != self._before.get(name):
                self._said.append(f"{at:.3f} {name}: {now.get(name, 'gone')}")
        self._before = now

    def text(self) -> str:
        """The changes, and the answers that Envoys, also those that are gone, gave otherwise than well."""
        began = time.time() - time.monotonic()
        answers = list(_bad_answers(self._host.folder, self._namespace))
        return "\n".join([*self._said, f"0 was {began:.3f} s after 1970; bad answers:", *answers[-_MANY:]])


@contextmanager
def followed(host: PodHost, namespace: str, service: str, port: str) -> Iterator[History]:
    """Looked at all the time, from a thread, until the context ends."""
    history, ended = History(host, namespace, service, port), threading.Event()

    def follow() -> None:
        while not ended.wait(_LOOK_S):
            history.look()

    thread = threading.Thread(target=follow, name="history", daemon=True)
    thread.start()
    try:
        yield history
    finally:
        ended.set()
        thread.join()


def _state(pod: RunningPod) -> str:
    containers = [
        f"{name} {'ready' if each.ready else 'up' if each.runs else 'down'} ({each.restarts} restarts)"
        for name, each in list(pod.containers.items())
    ]
    return f"{'leaving, ' if pod.is_ending else ''}{', '.join(containers) or pod.waits_for or 'new'}"


def _bad_answers(folder: Path, namespace: str) -> Iterator[str]:
    """Lines of access logs: no 200, or flags of Envoy's."""
    for log in sorted(folder.glob(f"{namespace}_*/envoy.log")):
        for line in log.read_text(errors="replace").splitlines():
            if not line.startswith("{"):
                continue
            try:
                found = json.loads(line)
            except ValueError:
                continue  # it was cut off in mid-word
            if found.get("status") != 200 or found.get("flags") != "-":
                yield f"{log.parent.name}: {line}"
