"""No right too many: each verb that the chart grants is taken away once, and each time the operator misses it."""

import itertools
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.standalone.faults import NotReady
from e2e.conftest import Tell
from e2e.support.accounts import make_namespace
from e2e.support.api import Api, Object
from e2e.support.control_plane import ControlPlane
from e2e.support.foreign import foreign_definition
from e2e.support.helm import HELM_4, Helm, find_helm
from e2e.support.operators import Operator
from e2e.support.pod_node import GATEWAY
from e2e.support.release import CHART, routed
from e2e.support.stand import placed
from tests.support.waiting import until

_NAME = "llmroute"
_RIGHTS = ("ServiceAccount", "Role", "RoleBinding")
#: At a time: each is a Python that starts, and the machine has two cores.
_TOGETHER = 4
_LIMIT_S = 60.0
_LONG_AGO = "2026-01-01T00:00:00Z"
_FOREIGN = ("Backend", "ReferenceGrant")


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One verb on one resource, on all of them or on some names."""

    resource: str
    verb: str
    named: bool

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{' by name' if self.named else ''}"


def rights_of(rules: Sequence[Object]) -> list[Right]:
    """What rules grant, one by one."""
    return [
        Right(resource, verb, "resourceNames" in rule)
        for rule in rules
        for resource, verb in itertools.product(rule["resources"], rule["verbs"])
    ]


def without(rules: Sequence[Object], right: Right) -> list[Object]:
    """The rules, less one right."""
    kept: list[Object] = []
    for rule in rules:
        if right not in rights_of([rule]):
            kept.append(rule)
            continue
        others = [each for each in rule["resources"] if each != right.resource]
        verbs = [each for each in rule["verbs"] if each != right.verb]
        kept += [{**rule, "resources": others}] if others else []
        kept += [{**rule, "resources": [right.resource], "verbs": verbs}] if verbs else []
    return kept


@dataclass(frozen=True)
class Chart:
    """The rendered chart, for an operator of one other namespace: the same rules as for all, in Roles.

    Of another one, because rights on its own objects by name would hide behind those on all in the namespace it serves.
    """

    plane: ControlPlane
    folder: Path

    def rendered(self, namespace: str) -> list[dict[str, Any]]:
        helm = Helm(find_helm(HELM_4), self.folder / "helm", None, namespace)
        flags = ("--set", f"operator.namespaces={{{_served(namespace)}}}")
        return [each for each in yaml.safe_load_all(helm("template", _NAME, str(CHART), *flags)) if each]

    @contextmanager
    def operator(self, namespace: str, taken: Right | None) -> Iterator[Operator]:
        """The operator of the chart with its arguments and its rights, but for one, and something to do."""
        api = self.plane.admin
        for name in (namespace, _served(namespace)):
            make_namespace(api, name)
        documents = self.rendered(namespace)
        for each in documents:
            if each["kind"] in _RIGHTS:
                less = {"rules": without(each["rules"], taken)} if taken and "rules" in each else {}
                api.apply({**each, **less})
        [deployment] = [
            each
            for each in documents
            if (each["kind"], each["metadata"]["name"]) == ("Deployment", f"{_NAME}-operator")
        ]
        deployment["spec"]["replicas"] = 0
        api.apply({**deployment, "metadata": {**deployment["metadata"], "namespace": namespace}})
        work(api, namespace)
        arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
        flags = [each for each in arguments if each.partition("=")[0] not in {"operator", "--http"}]
        operator = Operator(self.plane, self.folder, f"{namespace}/{_NAME}-operator", *flags, name=namespace)
        try:
            yield operator
        finally:
            operator.close()
            for kind in ("LLMRoute", "LLMBackend"):
                api.delete_all(kind, _served(namespace))


def work(api: Api, namespace: str) -> None:
    """Everything that an operator reads and writes: routes, a Secret, a ConfigMap, pods, and a route that is wrong."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}, "stringData": {"apiKey": "k"}}
    keys = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "keys"}, "data": {"jwks": '{"keys": []}'}}
    route, backend = routed((GATEWAY, 9))
    backend["spec"]["auth"] = {"apiKey": {"secretRef": {"name": "key"}}}
    jwt = {"issuer": "https://idp.example.com", "audiences": ["a"], "jwksConfigMapRef": {"name": "keys", "key": "jwks"}}
    route["spec"]["clientAuth"] = {"jwt": jwt}
    wrong, _ = routed((GATEWAY, 9), name="missing", model="n")
    for document in placed(_served(namespace), [secret, keys, backend, route, wrong]):
        api.apply(document)
    for document in placed(_served(namespace), [backend, route]):
        # Nobody else may add a condition of our types: the operator takes it away.
        strange = {
            "type": "Warnings",
            "status": "True",
            "reason": "Added",
            "message": "",
            "lastTransitionTime": _LONG_AGO,
        }
        body = {name: document[name] for name in ("apiVersion", "kind", "metadata")}
        api.apply({**body, "status": {"conditions": [strange]}}, "somebody-else", "status")
    for component in ("extproc", "envoy"):
        labels = {"name": "llmroute", "instance": _NAME, "component": component}
        meta = {"name": component, "labels": {f"app.kubernetes.io/{name}": text for name, text in labels.items()}}
        spec = {"nodeName": "elsewhere", "automountServiceAccountToken": False, "serviceAccountName": "pod"}
        spec |= {"containers": [{"name": component, "image": "registry.invalid/none"}]}  # nobody runs it
        [pod] = placed(namespace, [{"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}])
        api.create(pod)
        ready = {"phase": "Running", "podIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}
        api.merge("Pod", namespace, component, {"status": ready}, "status")


def is_missed(operator: Operator, right: Right) -> bool:
    """Whether the API server has refused what it is for, or has told the operator, who asked first, that it would."""
    if not operator.plane.audit.path.exists():  # it begins with the first request
        return False
    # A server-side apply of what is not there yet needs ``create``, and is logged as what it is: a patch.
    verbs = {right.verb, "patch"} if right.verb == "create" else {right.verb}
    if any(each.status == 403 and each.verb in verbs and each.resource == right.resource for each in operator.asked()):
        return True
    denied = rf'kind="{right.resource}[".].*state="denied"}} 1'
    return re.search(denied, operator.page("/metrics")[1]) is not None


def _served(namespace: str) -> str:
    return f"{namespace}-served"


@pytest.fixture(scope="module")
def chart(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chart]:
    """With every kind that the operator can read."""
    ours = [yaml.safe_load(path.read_text()) for path in sorted((CHART / "crds").glob("*.yaml"))]
    wanted = [*ours, *(foreign_definition(kind) for kind in _FOREIGN)]
    there = {each["metadata"]["name"] for each in plane.admin.list("CustomResourceDefinition")}
    plane.define([each for each in wanted if each["metadata"]["name"] not in there])
    yield Chart(plane, tmp_path_factory.mktemp("rights"))
    for each in wanted[len(ours) :]:
        plane.admin.delete("CustomResourceDefinition", None, each["metadata"]["name"])


def test_each_right_is_needed(chart: Chart, tell: Tell) -> None:
    """Without any one of them something is refused that the operator tries to do."""
    rules = [rule for each in chart.rendered("x") if each["kind"] == "Role" for rule in each["rules"]]
    rights = sorted(set(rights_of(rules)))

    def is_needed(place: tuple[int, Right]) -> bool:
        number, right = place
        with chart.operator(f"r{number}", right) as operator:
            try:
                until(lambda: operator.code is not None or is_missed(operator, right), "never missed", _LIMIT_S)
            except NotReady:
                return False
            return is_missed(operator, right)

    with ThreadPoolExecutor(_TOGETHER) as pool:
        needed = list(pool.map(is_needed, enumerate(rights)))
    tell(rights=len(rights), needed=sum(needed))
    idle = [str(right) for right, yes in zip(rights, needed, strict=True) if not yes]
    assert not idle, "; ".join(idle)
