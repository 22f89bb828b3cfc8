"""The chart, installed on the control plane by helm, with its pods running."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from e2e.support.api import Api, Object
from e2e.support.audit import Request
from e2e.support.control_plane import ControlPlane
from e2e.support.helm import Helm, Release, find_helm
from e2e.support.kubectl import Kubectl, Said
from e2e.support.pods import PodHost, RunningPod
from e2e.support.stand import ask
from tests.support.gateway import backend, route, rule
from tests.support.waiting import until

CHART = Path(__file__).parents[2] / "charts/llmroute"
#: One of each, quick to leave: what most tests need.
SMALL: Mapping[str, Any] = {
    # The providers of these tests are on loopback.
    "operator": {"replicas": 1, "localEndpoints": True},
    # The DNS of these tests keeps nothing.
    "extproc": {"replicas": 1, "workers": 1, "discoverySeconds": 3},
    "envoy": {"replicas": 1, "concurrency": 1, "drain": {"minSeconds": 0, "maxSeconds": 20}},
}
_LIMIT_S = 90.0
#: Envoy takes the workers in turn; none of the tests has as many.
_IN_A_ROW = 10
#: What a namespace has from Kubernetes itself, and what tells of the past.
_KUBERNETES = (
    "configmap/kube-root-ca.crt",
    "serviceaccount/default",
    "secret/default-token-",
    "event/",
    "event.events",
)
#: This server keeps no CEL rules, and refuses them in a server-side apply; helm 4 applies so unless it is told not to.
_OLD_SERVER_FLAGS = ("--server-side=false",)


@dataclass(frozen=True)
class Installed:
    """A release. ``name`` is also the beginning of its objects' names."""

    name: str
    namespace: str
    helm: Helm
    kubectl: Kubectl
    plane: ControlPlane
    host: PodHost
    flags: Sequence[str]

    @property
    def api(self) -> Api:
        return self.plane.admin

    @property
    def account(self) -> str:
        """The operator's, as ``NAMESPACE/NAME``."""
        return f"{self.namespace}/{self.name}-operator"

    def install(self, values: Object, chart: Path = CHART, *more: str) -> str:
        """``helm install``; without ``--wait`` returns at once, before the pods run. What helm printed."""
        flags = ("--create-namespace", *self.flags, *more)
        return self.helm("install", self.name, str(chart), *flags, *self._values(values))

    def upgrade(self, values: Object, chart: Path = CHART, *more: str) -> str:
        """``helm upgrade`` to these values alone; without ``--wait`` returns at once."""
        flags = ("--reset-values", *self.flags, *more)
        return self.helm("upgrade", self.name, str(chart), *flags, *self._values(values))

    def rollback(self, revision: int) -> str:
        """``helm rollback``; returns at once."""
        return self.helm("rollback", self.name, str(revision), *self.flags)

    def uninstall(self) -> Said:
        """``helm uninstall``; well when there is nothing."""
        return self.helm.run("uninstall", self.name, "--ignore-not-found")

    def pods(self, component: str = "") -> list[RunningPod]:
        """Those that have not been told to end."""
        return self.host.pods(self.namespace, component)

    def deployments(self) -> list[dict[str, Any]]:
        """As they are in the API."""
        return self.api.list("Deployment", self.namespace)

    def until_rolled_out(self, limit_s: float = _LIMIT_S) -> None:
        """Returns when every Deployment has its pods, all new and ready, and no old one is left, not even leaving."""
        deadline = time.monotonic() + limit_s
        try:
            until(lambda: all(map(_is_rolled_out, found := self.deployments())) and found, "not rolled out", limit_s)
            wanted = sum(each["spec"]["replicas"] for each in self.deployments())
            until(lambda: len(self._all_pods()) == wanted, "old pods stay", max(1.0, deadline - time.monotonic()))
        except Exception as fault:
            fault.add_note(self.story())
            raise

    def until_gone(self, limit_s: float = _LIMIT_S) -> None:
        """Returns when no pod of the namespace runs any more."""
        until(lambda: not self._all_pods(), "pods stay", limit_s)

    def left(self, *namespaces: str) -> set[str]:
        """What somebody made in its namespace, or in these, and the release elsewhere, as ``kind/name``."""
        kinds = self.kubectl("api-resources", "--namespaced", "--verbs=list", "--output=name").split()
        listed: list[str] = []
        for namespace in namespaces or (self.namespace,):
            every = ("get", ",".join(kinds), "--output=name", "--ignore-not-found", f"--namespace={namespace}")
            listed += self.kubectl(*every).split()
        everywhere = "clusterroles,clusterrolebindings,roles,rolebindings"
        label = f"app.kubernetes.io/instance={self.name}"
        listed += self.kubectl("get", everywhere, "--all-namespaces", f"--selector={label}", "--output=name").split()
        return {each for each in listed if not each.startswith(_KUBERNETES)}

    def url(self) -> str:
        """Of the gateway's Service, for clients on this machine, without ``/v1``."""
        return f"http://127.0.0.1:{self.host.network.open(self.namespace, self.name, 'http')}"

    def until_served(self, url: str, model: str) -> None:
        """Returns when all workers of all pods serve a model: it is answered many times in a row."""
        port = int(url.rpartition(":")[2])
        until(lambda: all(ask(port, model).status == 200 for _ in range(_IN_A_ROW)), f"{model} is not served", 30)

    def provider(self, port: int) -> tuple[str, int]:
        """Where in the cluster a provider on this machine's loopback is."""
        return self.host.network.expose(port)

    def asked(self) -> list[Request]:
        """What the operator has asked of the API server so far."""
        return self.plane.requests(self.account)

    def refused(self) -> list[Request]:
        """And was not allowed."""
        return [each for each in self.asked() if each.status in {401, 403}]

    def story(self) -> str:
        """For a person who wants to know why."""
        waiting = [f"{each.name} waits: {each.waits_for}" for each in self.host.all_pods() if each.waits_for]
        texts = [each.text for each in self.host.all_pods() if each.namespace == self.namespace]
        shown = self.kubectl.run("get", "deployments,pods,endpoints,configmaps", "-o", "wide").out
        return "\n".join([shown, *waiting, *texts, *map(str, self.host.faults)])

    def _all_pods(self) -> list[RunningPod]:
        return [each for each in self.host.all_pods() if each.namespace == self.namespace]

    def _values(self, values: Object) -> list[str]:
        path = self.helm.home / f"{self.name}-values.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(json.loads(json.dumps(values))))
        return ["--values", str(path)]


@contextmanager
def release(plane: ControlPlane, host: PodHost, folder: Path, namespace: str, version: Release) -> Iterator[Installed]:
    """A release that is not installed yet, and is uninstalled in the end. ``NoHelm`` without helm."""
    config = plane.kubeconfig(folder / f"{namespace}.kubeconfig", plane.admin.token, namespace=namespace)
    helm = Helm(find_helm(version), folder / f"{namespace}-helm", config, namespace)
    flags = _OLD_SERVER_FLAGS if version.major >= 4 and not plane.programs.has_cel else ()
    # A name of its own: what is cluster-wide, and what is not gone yet, must not meet.
    made = Installed(f"llmroute-{namespace}", namespace, helm, Kubectl(config), plane, host, flags)
    try:
        yield made
    except BaseException as fault:
        fault.add_note(made.story())
        raise
    finally:
        for kind in ("LLMRoute", "LLMBackend"):
            made.kubectl.run("delete", kind.lower(), "--all", "--ignore-not-found")
        made.uninstall()
        made.until_gone()
    assert host.faults == [], list(map(str, host.faults))


def routed(address: tuple[str, int], model: str = "m", name: str = "one") -> list[dict[str, Any]]:
    """A route of one model to one backend, for ``kubectl apply``."""
    hostname, port = address
    endpoint = {"hostname": hostname, "port": port, "tls": {"enabled": False}}
    to = dict(backend(name, port))
    to["spec"] = {**to["spec"], "endpoint": endpoint}
    return [dict(route(rule(model, name), name=f"to-{name}")), to]


def merged(*layers: Object) -> dict[str, Any]:
    """Values on values, as helm merges them."""
    whole: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            both = isinstance(value, Mapping) and isinstance(whole.get(key), Mapping)
            whole[key] = merged(whole[key], value) if both else value
    return whole


def _is_rolled_out(deployment: Object) -> bool:
    status, wanted = deployment.get("status") or {}, deployment["spec"]["replicas"]
    numbers = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")]
    return status.get("observedGeneration") == deployment["metadata"]["generation"] and numbers == [wanted] * 4
