"""What a kubelet would do for our pods: project volumes into directories, and say of pods where and how they are."""

import base64
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any

from e2e.support.accounts import POD_ACCOUNT
from e2e.support.api import Api, Object, Refused, Watch
from tests.support.configmap_volume import ConfigMapVolume
from tests.support.waiting import until

_RETRY_S = 0.1
#: In a pod's finalizers while it ends.
_KEPT = "e2e.llmroute.io/ending"


class Source:
    """A ConfigMap or Secret, followed from a thread; ``tell`` is called with each state of it."""

    def __init__(self, api: Api, namespace: str, kind: str, name: str, tell: Callable[[Object], None]) -> None:
        self.kind, self.name = kind, name
        self._api, self._namespace, self._tell = api, namespace, tell
        self._ending = threading.Lock()
        self._ended = False
        self._watch: Watch | None = None
        self._thread = threading.Thread(target=self._follow, name=f"source-{name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop following."""
        with self._ending:
            self._ended = True
            if self._watch is not None:
                self._watch.stop()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def _follow(self) -> None:
        selector = {"fieldSelector": f"metadata.name={self.name}"}
        while not self._ended:
            try:
                for found in self._api.list(self.kind, self._namespace, **selector):
                    self._tell(found)
                    self._listen(found["metadata"]["resourceVersion"], selector)
            except (OSError, HTTPException, Refused):
                pass  # the server is away, or its history is: from the start
            time.sleep(_RETRY_S)

    def _listen(self, since: str, selector: Mapping[str, str]) -> None:
        watch = self._api.watch(self.kind, self._namespace, since, **selector)
        try:
            with self._ending:
                self._watch = watch
                if self._ended:
                    return
            for kind, found in watch:
                if kind == "ERROR":
                    return
                if kind != "DELETED":
                    self._tell(found)
        finally:
            with self._ending:
                self._watch = None
            watch.close()


class Volume:
    """A mounted ConfigMap or Secret, or a projection of several of them, kept up to date from threads.

    ``delay_s`` lies between the first change that was not seen yet and the swap, which brings the newest content, as a
    kubelet's rounds do; it may be set at any time. A deleted object leaves the content as it is. All sources but the
    first are optional.
    """

    def __init__(self, api: Api, namespace: str, mount: Path, *sources: tuple[str, str]) -> None:
        """``sources``: kinds and names."""
        self.mount = mount
        #: The moments of the swaps so far, monotonic seconds.
        self.swaps: list[float] = []
        self._volume = ConfigMapVolume(mount)
        self._first = sources[0]
        self._newest: dict[tuple[str, str], Object] = {}
        self._changed = threading.Condition()
        self._delay_s = 0.0
        self._ended = False
        self._thread = threading.Thread(target=self._project, name=f"volume-{mount.name}", daemon=True)
        self._thread.start()
        self._sources = [Source(api, namespace, *source, partial(self._saw, source)) for source in sources]

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
        until(lambda: self.swaps, f"nobody wrote the {' '.join(self._first)}", 30)

    def close(self) -> None:
        """Stop following."""
        for source in self._sources:
            source.close()
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def _saw(self, source: tuple[str, str], found: Object) -> None:
        with self._changed:
            self._newest = {**self._newest, source: found}
            self._changed.notify_all()

    def _project(self) -> None:
        shown: Mapping[tuple[str, str], Object] = {}
        while True:
            with self._changed:
                while (self._newest is shown or self._first not in self._newest) and not self._ended:
                    self._changed.wait()
                noticed = time.monotonic()
                while not self._ended and (left := noticed + self._delay_s - time.monotonic()) > 0:
                    self._changed.wait(left)
                if self._ended:
                    return
                shown = self._newest
            files = [files_of(found) for found in shown.values()]
            merged = {name: content for each in files for name, content in each.items()}
            assert len(merged) == sum(map(len, files)), "two sources of a volume have a file of one name"
            self._volume.swap(merged)
            self.swaps.append(time.monotonic())


class Kubelet:
    """For the pods of one namespace."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.namespace = namespace
        self._open = ExitStack()

    def mount(self, config_map: str, mount: Path, kind: str = "ConfigMap") -> Volume:
        """A volume of a pod; ``kind`` may be ``Secret``."""
        return self.project(mount, (kind, config_map))

    def project(self, mount: Path, *sources: tuple[str, str]) -> Volume:
        """A projected volume of several objects, by kind and name; there must be the first."""
        volume = Volume(self.api, self.namespace, mount, *sources)
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
        self.api.merge("Pod", self.namespace, name, {"metadata": {"finalizers": None}})
        self.api.delete("Pod", self.namespace, name)

    def end_pod(self, name: str) -> None:
        """The pod is being deleted, and there until ``remove_pod`` says that its containers have ended."""
        self.api.merge("Pod", self.namespace, name, {"metadata": {"finalizers": [_KEPT]}})
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
