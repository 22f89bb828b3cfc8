"""No right too many: each verb that the chart grants is taken away once, and each time the operator misses it."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import yaml

from e2e.chart.conftest import defined
from e2e.conftest import Tell
from e2e.support.api import Api, Object
from e2e.support.control_plane import ControlPlane
from e2e.support.foreign import foreign_definition
from e2e.support.pod_node import GATEWAY
from e2e.support.release import CHART, routed
from e2e.support.rights import NAME, ChartRights, Outcome, served
from e2e.support.stand import placed
from tests.support.gateway_definitions import definition, needs_definitions

_LONG_AGO = "2026-01-01T00:00:00Z"
_ENVOY_GATEWAY = ("--set", "gateway.mode=EnvoyGateway")
#: Of Gateway API and of Envoy Gateway, that the operator reads, and those of which it makes some.
_READ = ("Backend", "ReferenceGrant")
_MADE = ("HTTPRoute", "EnvoyExtensionPolicy", "HTTPRouteFilter", "Backend")
#: For all of them; less than the test may take, so that its own words are the last ones.
_ALL_S = 480.0
#: Makes the chart's rights, to be tried with flags for ``helm template`` and something to do.
NewRights = Callable[[Sequence[str], Callable[[Api, str], None]], ChartRights]


@pytest.fixture
def new_rights(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> NewRights:
    """With our own kinds defined."""
    ours = [yaml.safe_load(path.read_text()) for path in sorted((CHART / "crds").glob("*.yaml"))]
    plane.define(missing(plane, ours))
    return lambda flags, work: ChartRights(plane, tmp_path_factory.mktemp("rights"), flags, work)


def missing(plane: ControlPlane, definitions: Sequence[Object]) -> list[Object]:
    """Those that the API server does not have."""
    there = {each["metadata"]["name"] for each in plane.admin.list("CustomResourceDefinition")}
    return [each for each in definitions if each["metadata"]["name"] not in there]


def some_work(api: Api, namespace: str) -> None:
    """Everything that an operator reads and writes: routes, a Secret, a ConfigMap, pods, and a route that is wrong."""
    keys = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "keys"}, "data": {"jwks": '{"keys": []}'}}
    jwt = {"issuer": "https://idp.example.com", "audiences": ["a"], "jwksConfigMapRef": {"name": "keys", "key": "jwks"}}
    wrong, _ = routed((GATEWAY, 9), name="missing", model="n")
    for document in placed(served(namespace), [keys, wrong]):
        api.apply(document)
    route, backend = some_route(api, namespace, clientAuth={"jwt": jwt})
    for document in (backend, route):
        # Nobody else may add a condition of our types: the operator takes it away.
        strange = {
            "type": "Warnings",
            "status": "True",
            "reason": "Added",
            "message": "",
            "lastTransitionTime": _LONG_AGO,
        }
        meta = {name: document["metadata"][name] for name in ("name", "namespace")}
        body = {"apiVersion": document["apiVersion"], "kind": document["kind"], "metadata": meta}
        api.apply({**body, "status": {"conditions": [strange]}}, "somebody-else", "status")
    for component in ("extproc", "envoy"):
        labels = {"name": "llmroute", "instance": NAME, "component": component}
        meta = {"name": component, "labels": {f"app.kubernetes.io/{name}": text for name, text in labels.items()}}
        spec = {"nodeName": "elsewhere", "automountServiceAccountToken": False, "serviceAccountName": "pod"}
        spec |= {"containers": [{"name": component, "image": "registry.invalid/none"}]}  # nobody runs it
        [pod] = placed(namespace, [{"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}])
        api.create(pod)
        ready = {"phase": "Running", "podIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}
        api.merge("Pod", namespace, component, {"status": ready}, "status")


def some_route(api: Api, namespace: str, **spec: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """``to-one`` and its backend, which shows a Secret; as the API server has them."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}, "stringData": {"apiKey": "k"}}
    route, backend = routed((GATEWAY, 9))
    backend["spec"]["auth"] = {"apiKey": {"secretRef": {"name": "key"}}}
    route["spec"] |= spec
    secret, backend, route = placed(served(namespace), [secret, backend, route])
    api.apply(secret)
    return api.apply(route), api.apply(backend)


def gateway_work(api: Api, namespace: str) -> None:
    """A route for a Gateway, and what was made for it in other days: one of each kind, to be deleted."""
    route, _ = some_route(api, namespace, parentRefs=[{"name": "eg"}])
    owner = {"apiVersion": route["apiVersion"], "kind": "LLMRoute", "name": "to-one", "uid": route["metadata"]["uid"]}
    meta = {"name": "llmroute-old", "labels": {"llmroute.io/controller": namespace}, "ownerReferences": [owner]}
    for kind in _MADE:
        group = "gateway.networking.k8s.io/v1" if kind == "HTTPRoute" else "gateway.envoyproxy.io/v1alpha1"
        spec = {"endpoints": [{"fqdn": {"hostname": "old.example.com", "port": 443}}]} if kind == "Backend" else {}
        [old] = placed(served(namespace), [{"apiVersion": group, "kind": kind, "metadata": meta, "spec": spec}])
        api.create(old)


def judge(outcomes: Sequence[Outcome], tell: Tell) -> None:
    """Fails with every right that was not missed, by name, and why."""
    slowest = max(outcomes, key=lambda each: each.seconds)
    idle = [each for each in outcomes if each.fault]
    tell(rights=len(outcomes), needed=len(outcomes) - len(idle), slowest=str(slowest.right), seconds=slowest.seconds)
    assert not idle, f"{', '.join(str(each.right) for each in idle)}\n\n" + "\n\n".join(
        f"{each.right}: {each.fault}" for each in idle
    )


@pytest.mark.timeout(600)
def test_each_right_is_needed(plane: ControlPlane, new_rights: NewRights, tell: Tell) -> None:
    """Without any one of them something is refused that the operator tries to do."""
    chart = new_rights((), some_work)
    with defined(plane, [foreign_definition(kind) for kind in _READ]):
        judge(chart.without_each(chart.rights(), "r", _ALL_S), tell)


@needs_definitions
@pytest.mark.timeout(600)
def test_each_right_of_envoy_gateway_mode_is_needed(plane: ControlPlane, new_rights: NewRights, tell: Tell) -> None:
    """Those that it has in this mode alone."""
    chart = new_rights(_ENVOY_GATEWAY, gateway_work)
    more = chart.rights() - new_rights((), gateway_work).rights()
    assert {each.resource for each in more} == {"httproutes", "envoyextensionpolicies", "httproutefilters", "backends"}
    with defined(plane, [definition(kind) for kind in (*_MADE, "ReferenceGrant")]):
        judge(chart.without_each(more, "g", _ALL_S), tell)
