"""A kubelet and a scheduler for one node: the pods that the API server holds, run as processes, and told of.

Deployments, ReplicaSets and Endpoints are the business of the real kube-controller-manager. This binds each pod to the
node, makes its volumes, starts its containers in namespaces of their own, probes them, reports, and ends them in order.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from e2e.support.api import PLACES, Api, Object, Refused
from e2e.support.mirror import Mirror
from e2e.support.pod_containers import Maker, copy_code
from e2e.support.pod_life import Container
from e2e.support.pod_network import Network
from e2e.support.pod_node import GATEWAY, Node
from e2e.support.pod_volumes import NotThere, Sources, Volumes

NODE = "e2e"
_TICK_S = 0.25
_KUBERNETES = "10.0.0.1"
#: Which the kubelet tells every container; those of other Services are the older half of discovery.
_VARIABLES = {
    "KUBERNETES_SERVICE_HOST": _KUBERNETES,
    "KUBERNETES_SERVICE_PORT": "443",
    "KUBERNETES_PORT_443_TCP_PORT": "443",
}
_ENDS = {"Never": (True, True), "OnFailure": (True, False), "Always": (False, False)}


class RunningPod:
    """A pod of this node, lived in a thread from its binding to its last DELETE."""

    def __init__(self, host: "PodHost", pod: Object) -> None:
        self.name, self.namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        self.uid = pod["metadata"]["uid"]
        self.address = ""
        self.containers: dict[str, Container] = {}
        #: Why it does not start yet.
        self.waits_for = ""
        self._host = host
        self._folder = host.folder / f"{self.namespace}_{self.name}_{self.uid[:8]}"
        self._newest = pod
        self._woken = threading.Event()
        self._reported: Mapping[str, Any] = {}
        self._ends_by: float | None = None
        self._started_at = _now()
        self._transitions: dict[str, tuple[bool, str]] = {}
        self._thread = threading.Thread(target=self._live, name=f"pod-{self.name}", daemon=True)
        self._thread.start()

    @property
    def component(self) -> str:
        """As the chart labels it."""
        return str((self._newest["metadata"].get("labels") or {}).get("app.kubernetes.io/component", ""))

    @property
    def ready(self) -> bool:
        return bool(self.containers) and all(each.ready and each.runs for each in self.containers.values())

    @property
    def is_ending(self) -> bool:
        return self._ends_by is not None

    @property
    def text(self) -> str:
        """What all of its containers printed, for a person."""
        return "\n".join(f"--- {self.name}/{name}\n{each.text[-4000:]}" for name, each in self.containers.items())

    def update(self, pod: Object) -> None:
        """It has changed, or is to go."""
        self._newest = pod
        meta = pod["metadata"]
        if "deletionTimestamp" in meta and self._ends_by is None:
            self._ends_by = time.monotonic() + meta.get("deletionGracePeriodSeconds", 30)
        self._woken.set()

    def wake(self) -> None:
        """Something that it uses has changed."""
        self._woken.set()

    def end(self) -> None:
        """Kill it without a word; the whole node goes."""
        self._ends_by = time.monotonic()
        self._woken.set()

    def join(self) -> None:
        """Returns when it is over."""
        self._thread.join(120)
        assert not self._thread.is_alive(), f"pod {self.name} does not end"

    def _live(self) -> None:
        network = ""
        try:
            network, self.address = self._host.node.new_network()
            self._prepare_folder()
            self._work((network, self.address))
        except (AssertionError, OSError, KeyError, Refused) as fault:
            fault.add_note(f"pod {self.namespace}/{self.name}")
            self._host.faults.append(fault)
        finally:
            self._leave(network)

    def _prepare_folder(self) -> None:
        self._folder.mkdir()
        (self._folder / "hosts").write_text(f"127.0.0.1 localhost\n::1 localhost\n{self.address} {self.name}\n")
        search = f"{self.namespace}.svc.cluster.local svc.cluster.local cluster.local"
        (self._folder / "resolv.conf").write_text(f"nameserver {GATEWAY}\nsearch {search}\noptions ndots:5\n")

    def _work(self, network: tuple[str, str]) -> None:
        volumes = Volumes(self._host.sources, self._folder / "volumes")
        maker = Maker(self._host.sources, volumes, self._folder, self._host.code, _VARIABLES)
        spec = self._newest["spec"]
        for first in spec.get("initContainers") or ():
            self._run_first(network, first, volumes, maker)
        self.containers = {each["name"]: self._container(network, each) for each in spec["containers"]}
        while not self.is_ending and not self._is_done():
            self._woken.clear()
            self._start_what_waits(volumes, maker)
            self._report()
            self._woken.wait(_TICK_S)
        self._report()
        while not self.is_ending:
            self._woken.wait(_TICK_S)

    def _container(self, network: tuple[str, str], spec: Object) -> Container:
        return Container(self._host.node, network, spec, self._folder / f"{spec['name']}.log", self.wake)

    def _run_first(self, network: tuple[str, str], spec: Object, volumes: Volumes, maker: Maker) -> None:
        container = self._container(network, spec)
        self.containers = {spec["name"]: container}
        while not self.is_ending and not (container.code == 0 and not container.runs):
            self._start_what_waits(volumes, maker)
            self._woken.wait(_TICK_S)
        self.containers = {}

    def _start_what_waits(self, volumes: Volumes, maker: Maker) -> None:
        """Bring the volumes up to date, and start what has not, or has ended and may start again."""
        pod = {**self._newest, "status": {"podIP": self.address, "podIPs": self.address, "hostIP": GATEWAY}}
        try:
            volumes.sync(pod)
            for container in self.containers.values():
                if container.may_start() and not self._has_ended(container):
                    container.start(maker.prepare(pod, container.spec))
            self.waits_for = ""
        except NotThere as missing:
            self.waits_for = str(missing)

    def _has_ended(self, container: Container) -> bool:
        """For good."""
        well, badly = _ENDS[self._newest["spec"].get("restartPolicy", "Always")]
        return container.code is not None and not container.runs and (well if container.code == 0 else badly)

    def _is_done(self) -> bool:
        return bool(self.containers) and all(map(self._has_ended, self.containers.values()))

    def _leave(self, network: str) -> None:
        if self._ends_by is None:
            self._ends_by = time.monotonic()  # after a fault
        ending = [
            threading.Thread(target=each.end, args=(self._ends_by,), daemon=True) for each in self.containers.values()
        ]
        for each in ending:
            each.start()
        for each in ending:
            each.join()
        hooks = [each.hook_fault for each in self.containers.values() if each.hook_fault]
        self._host.faults += [AssertionError(f"{self.namespace}/{self.name}: {each}") for each in hooks]
        with suppress(OSError, AssertionError):  # the whole node may be gone
            self._host.node.drop_network(network)
        self._host.left(self)

    def _report(self) -> None:
        phase = "Running"
        if self._is_done():
            phase = "Failed" if any(each.code for each in self.containers.values()) else "Succeeded"
        elif any(each.code is None and not each.runs for each in self.containers.values()):
            phase = "Pending"
        status = {
            "phase": phase,
            "hostIP": GATEWAY,
            "podIP": self.address,
            "podIPs": [{"ip": self.address}],
            "startTime": self._started_at,
            "conditions": [
                self._condition("Initialized", yes=True),
                self._condition("Ready", yes=self.ready),
                self._condition("ContainersReady", yes=self.ready),
                self._condition("PodScheduled", yes=True),
            ],
            "containerStatuses": [each.status() for each in self.containers.values()],
        }
        if status == self._reported:
            return
        try:
            self._host.api.merge("Pod", self.namespace, self.name, {"status": status}, "status")
            self._reported = status
        except (Refused, OSError):
            self._woken.wait(_TICK_S)  # deleted already, or the server is away: again with the next round

    def _condition(self, kind: str, *, yes: bool) -> dict[str, str]:
        was, since = self._transitions.get(kind, (not yes, ""))
        if was != yes:
            since = _now()
            self._transitions[kind] = yes, since
        return {"type": kind, "status": str(yes), "lastTransitionTime": since}


class PodHost:
    """Runs every pod of the control plane. Entered by ``running_pods``."""

    def __init__(self, api: Api, node: Node, folder: Path) -> None:
        self.api, self.node, self.folder = api, node, folder
        self.code = copy_code(folder)
        #: What went wrong in its threads; a test's end should find none.
        self.faults: list[BaseException] = []
        self._pods: dict[str, RunningPod] = {}
        self._seen: set[str] = set()  # a pod that is over is told of once more
        self._lock = threading.Lock()
        self._ended = False
        self._open = ExitStack()
        self.sources = Sources(api, self._mirror("ConfigMap"), self._mirror("Secret"))
        services, endpoints = self._mirror("Service"), self._mirror("Endpoints")
        self.network = Network(node, services, endpoints)
        self._open.callback(self.network.close)
        self._follower = threading.Thread(target=self._follow_services, name="services", daemon=True)
        self._pod_mirror = Mirror(api, "Pod", self._saw)

    def start(self, apiserver_port: int) -> None:
        """The pods' way to the API server, and Services."""
        self.network.reserve(_KUBERNETES, 443, apiserver_port)
        self._follower.start()

    def pods(self, namespace: str, component: str = "") -> list[RunningPod]:
        """Those of a namespace that have not been told to end."""
        with self._lock:
            found = list(self._pods.values())
        return [
            each
            for each in found
            if each.namespace == namespace and component in {"", each.component} and not each.is_ending
        ]

    def all_pods(self) -> list[RunningPod]:
        """All that run, those that are ending too."""
        with self._lock:
            return list(self._pods.values())

    def left(self, pod: RunningPod) -> None:
        """A pod's thread says that it is over."""
        with suppress(Refused, OSError):
            found = self.api.maybe_get("Pod", pod.namespace, pod.name)
            if found is not None and found["metadata"]["uid"] == pod.uid and not self._ended:
                self.api.delete("Pod", pod.namespace, pod.name)
        with self._lock:
            self._pods.pop(pod.uid, None)

    def close(self) -> None:
        """Kill what runs, and forget all."""
        self._ended = True
        self._pod_mirror.close()
        running = self.all_pods()
        for pod in running:
            pod.end()
        for pod in running:
            pod.join()
        self._follower.join(10)
        self._open.close()

    def _mirror(self, kind: str) -> Mirror:
        made = Mirror(self.api, kind, lambda _event, _found: self._wake())
        self._open.callback(made.close)
        return made

    def _wake(self) -> None:
        for pod in self.all_pods():
            pod.wake()

    def _follow_services(self) -> None:
        while not self._ended:
            try:
                self.network.changed()
            except (OSError, AssertionError) as fault:
                self.faults.append(fault)
                return
            time.sleep(_TICK_S)

    def _saw(self, event: str, pod: Object) -> None:
        meta = pod["metadata"]
        with self._lock:
            running = self._pods.get(meta["uid"])
        if running is not None:
            if event == "DELETED":
                running.end()  # by force
            else:
                running.update(pod)
        elif event != "DELETED" and "deletionTimestamp" not in meta and not pod["spec"].get("nodeName"):
            self._bind(pod)
        elif event != "DELETED" and pod["spec"].get("nodeName") == NODE and not self._ended and not _is_over(pod):
            if meta["uid"] in self._seen:
                return
            self._seen.add(meta["uid"])
            made = RunningPod(self, pod)
            with self._lock:
                self._pods[meta["uid"]] = made
            made.update(pod)

    def _bind(self, pod: Object) -> None:
        meta = pod["metadata"]
        target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
        name = {"name": meta["name"], "namespace": meta["namespace"]}
        body = {"apiVersion": "v1", "kind": "Binding", "metadata": name, "target": target}
        with suppress(Refused):  # twice, or too late
            self.api.post(PLACES["Pod"].path(meta["namespace"], meta["name"], "binding"), body)


@contextmanager
def running_pods(api: Api, node: Node, apiserver_port: int) -> Iterator[PodHost]:
    """Takes every pod of this API server from now on."""
    folder = node.folder / "pods"
    folder.mkdir()
    host = PodHost(api, node, folder)
    try:
        host.start(apiserver_port)
        yield host
    finally:
        host.close()


def _is_over(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
