"""What a kubelet would do for our pods: project volumes into directories, and say of pods where and how they are."""

import base64
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

from e2e.support.accounts import POD_ACCOUNT
from e2e.support.api import Api, Object, Refused, Watch
from tests.support.configmap_volume import ConfigMapVolume
from tests.support.waiting import until

_RETRY_S = 0.1


class Volume:
    """A mounted ConfigMap or Secret, kept up to date from a thread.

    ``delay_s`` lies between the first change that was not seen yet and the swap, which brings the newest content, as a
    kubelet's rounds do; it may be set at any time. A deleted object leaves the content as it is.
    """

    def __init__(self, api: Api, namespace: str, kind: str, name: str, mount: Path) -> None:
        self.mount = mount
        #: The moments of the swaps so far, monotonic seconds.
        self.swaps: list[float] = []
        self._volume = ConfigMapVolume(mount)
        self._api, self._namespace, self._kind, self._name = api, namespace, kind, name
        self._newest: Object | None = None
        self._changed = threading.Condition()
        self._delay_s = 0.0
        self._ended = False
        self._watch: Watch | None = None
        works: tuple[Callable[[], None], ...] = (self._follow, self._project)
        self._threads = [threading.Thread(target=work, name=f"volume-{name}", daemon=True) for work in works]
        for thread in self._threads:
            thread.start()

    @property
    def delay_s(self) -> float:
        return self._delay_s

    @delay_s.setter
    def delay_s(self, seconds: float) -> None:
        with self._changed:
            self._delay_s = seconds
            self._changed.notify_all()

    def wait(self) -> None:
        """Returns when there is something: before that no kubelet would start the pod."""
        until(lambda: self.swaps, f"nobody wrote the {self._kind} {self._name}", 30)

    def close(self) -> None:
        """Stop following."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
            if self._watch is not None:
                self._watch.stop()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def _follow(self) -> None:
        selector = {"fieldSelector": f"metadata.name={self._name}"}
        while not self._ended:
            try:
                for found in self._api.list(self._kind, self._namespace, **selector):
                    self._saw(found)
                    self._listen(found["metadata"]["resourceVersion"], selector)
            except (OSError, HTTPException, Refused):
                pass  # the server is away, or its history is: from the start
            time.sleep(_RETRY_S)

    def _listen(self, since: str, selector: Mapping[str, str]) -> None:
        watch = self._api.watch(self._kind, self._namespace, since, **selector)
        try:
            with self._changed:
                self._watch = watch
                if self._ended:
                    return
            for kind, found in watch:
                if kind == "ERROR":
                    return
                if kind != "DELETED":
                    self._saw(found)
        finally:
            with self._changed:
                self._watch = None
            watch.close()

    def _saw(self, found: Object) -> None:
        with self._changed:
            self._newest = found
            self._changed.notify_all()

    def _project(self) -> None:
        shown: Object | None = None
        while True:
            with self._changed:
                while self._newest is shown and not self._ended:
                    self._changed.wait()
                noticed = time.monotonic()
                while not self._ended and (left := noticed + self._delay_s - time.monotonic()) > 0:
                    self._changed.wait(left)
                if self._ended:
                    return
                shown = self._newest
            assert shown is not None
            self._volume.swap(files_of(shown))
            self.swaps.append(time.monotonic())


class Kubelet:
    """For the pods of one namespace."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.namespace = namespace
        self._open = ExitStack()

    def mount(self, config_map: str, mount: Path, kind: str = "ConfigMap") -> Volume:
        """A volume of a pod; ``kind`` may be ``Secret``."""
        volume = Volume(self.api, self.namespace, kind, config_map, mount)
        self._open.callback(volume.close)
        return volume

    def add_pod(self, name: str, component: str, address: str, *, ready: bool = True) -> None:
        """A pod that exists in the API; what runs at its address is the test's own affair."""
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "labels": {"app.kubernetes.io/part-of": "llmroute", "app.kubernetes.io/component": component},
            },
            "spec": {
                "serviceAccountName": POD_ACCOUNT,
                "automountServiceAccountToken": False,
                "containers": [{"name": component, "image": "registry.invalid/llmroute"}],
            },
        }
        self.api.create(pod)
        self.set_pod(name, address, ready=ready)

    def set_pod(self, name: str, address: str, *, ready: bool) -> None:
        """What a kubelet reports of a running pod."""
        condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": _now()}
        status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": [condition]}
        self.api.merge("Pod", self.namespace, name, {"status": status}, "status")

    def remove_pod(self, name: str) -> None:
        """The pod is gone at once."""
        self.api.delete("Pod", self.namespace, name)

    def annotations(self, name: str) -> dict[str, str]:
        """Of a pod."""
        found: dict[str, str] = self.api.get("Pod", self.namespace, name)["metadata"].get("annotations", {})
        return found

    def close(self) -> None:
        """Stop following all volumes."""
        self._open.close()


@contextmanager
def running_kubelet(api: Api, namespace: str) -> Iterator[Kubelet]:
    """One for this namespace."""
    kubelet = Kubelet(api, namespace)
    try:
        yield kubelet
    finally:
        kubelet.close()


def files_of(config_map: Mapping[str, Any]) -> dict[str, bytes]:
    """What a container would see of a ConfigMap or a Secret."""
    if config_map.get("type"):
        return {name: base64.b64decode(data) for name, data in (config_map.get("data") or {}).items()}
    texts = {name: text.encode() for name, text in (config_map.get("data") or {}).items()}
    return texts | {name: base64.b64decode(data) for name, data in (config_map.get("binaryData") or {}).items()}


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
