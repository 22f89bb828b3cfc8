"""Envoy Gateway mode on a real API server with the real definitions; Envoy Gateway's own part is played by the test."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from controller.operator.gateway_plan import contains
from controller.translate import Settings, Snapshot, translate
from controller.translate.settings import GatewaySettings
from e2e.cluster.conftest import clear
from e2e.support.accounts import grant, withdraw, without_verb
from e2e.support.api import Api, Object
from e2e.support.control_plane import ControlPlane
from e2e.support.operators import ACCOUNT, Operator, running_operator
from e2e.support.stand import placed
from e2e.support.status import conditions, until_object
from tests.support.gateway import rule
from tests.support.gateway_definitions import definition, needs_definitions
from tests.support.waiting import until

pytestmark = needs_definitions

KINDS = ("Backend", "HTTPRouteFilter", "HTTPRoute", "EnvoyExtensionPolicy")
_DEFINED = (*KINDS, "ReferenceGrant")
_MODE = ("--gateway-mode", "envoy-gateway", "--removal", "1", "--resync", "5")
_PARENT = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "eg"}
_CONTROLLER = "gateway.envoyproxy.io/gatewayclass-controller"


@pytest.fixture(scope="module", autouse=True)
def _defined(control_plane: ControlPlane) -> Iterator[None]:
    """The definitions of Gateway API and Envoy Gateway, for the tests of this file."""
    made = [definition(kind) for kind in _DEFINED]
    control_plane.define(made)
    yield
    for each in made:
        control_plane.admin.delete("CustomResourceDefinition", None, each["metadata"]["name"])


@pytest.fixture
def rights(control_plane: ControlPlane, namespace: str) -> Iterator[list[dict[str, Any]]]:
    """The cluster-wide example and the one of this mode, for an operator in the test's namespace."""
    words = {"llmroute-system": namespace}
    granted = [*grant(control_plane.admin, "cluster-wide.yaml", words)]
    granted += grant(control_plane.admin, "envoy-gateway/rights.yaml", words)
    yield granted
    for kind in KINDS:
        control_plane.admin.delete_all(kind, namespace)
    withdraw(control_plane.admin, granted)


@contextmanager
def ready_operator(plane: ControlPlane, folder: Path, namespace: str, *flags: str, name: str) -> Iterator[Operator]:
    with running_operator(plane, folder, f"{namespace}/{ACCOUNT}", *flags, name=name) as operator:
        operator.wait_ready()
        yield operator


@pytest.fixture
def operator(
    control_plane: ControlPlane, rights: list[dict[str, Any]], namespace: str, tmp_path: Path
) -> Iterator[Operator]:
    """One in this mode."""
    assert rights
    with ready_operator(control_plane, tmp_path, namespace, *_MODE, name="gateways") as operator:
        yield operator


def some(namespace: str, *models: str, **spec: Any) -> list[dict[str, Any]]:
    """A route with a rule for each model, and a backend for each."""
    route = {
        "apiVersion": "aigateway.envoyproxy.io/v1alpha1",
        "kind": "LLMRoute",
        "metadata": {"name": "chat"},
        "spec": {"parentRefs": [{"name": "eg"}], **spec, "rules": [rule(model, model) for model in models]},
    }
    backends = [
        {
            "apiVersion": "aigateway.envoyproxy.io/v1alpha1",
            "kind": "LLMBackend",
            "metadata": {"name": model},
            "spec": {"outputSchema": {"schema": "OpenAI"}, "endpoint": {"hostname": f"{model}.example.com"}},
        }
        for model in models
    ]
    return placed(namespace, [route, *backends])


def apply_some(api: Api, namespace: str, *models: str, **spec: Any) -> None:
    for document in some(namespace, *models, **spec):
        api.apply(document)


def made(api: Api, namespace: str) -> dict[tuple[str, str], dict[str, Any]]:
    """All objects of this mode in a namespace, by kind and name."""
    return {(kind, each["metadata"]["name"]): each for kind in KINDS for each in api.list(kind, namespace)}


def until_made(api: Api, namespace: str, count: int) -> dict[tuple[str, str], dict[str, Any]]:
    until(lambda: len(made(api, namespace)) == count, f"there are not {count} objects", 15)
    return made(api, namespace)


def programmed(found: Object) -> Mapping[str, Any]:
    """The condition Programmed of an object, as far as it speaks of it as it is now."""
    condition = conditions(found).get("Programmed", {})
    return condition if condition.get("observedGeneration") == found["metadata"]["generation"] else {}


def until_programmed(api: Api, namespace: str, reason: str, kind: str = "LLMRoute", name: str = "chat") -> str:
    """Returns the condition's message once it has this reason."""
    found = until_object(api, kind, namespace, name, lambda found: programmed(found).get("reason") == reason, 20)
    return str(programmed(found)["message"])


def condition(kind: str, obj: Object, *, good: bool = True, reason: str = "Fine", message: str = "") -> dict[str, Any]:
    return {
        "type": kind,
        "status": "True" if good else "False",
        "reason": reason,
        "message": message or "as Envoy Gateway says it",
        "observedGeneration": obj["metadata"]["generation"],
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }


def judge(api: Api, obj: Object, *said: Mapping[str, Any]) -> None:
    """Say as Envoy Gateway what it thinks of an object."""
    if obj["kind"] == "HTTPRoute":
        status: dict[str, Any] = {
            "parents": [{"parentRef": _PARENT, "controllerName": _CONTROLLER, "conditions": list(said)}]
        }
    else:
        status = {"ancestors": [{"ancestorRef": _PARENT, "controllerName": _CONTROLLER, "conditions": list(said)}]}
    metadata = obj["metadata"]
    api.merge(obj["kind"], metadata["namespace"], metadata["name"], {"status": status}, "status")


def accept_all(api: Api, namespace: str) -> None:
    """Say that everything is fine."""
    for kind in ("HTTPRoute", "EnvoyExtensionPolicy"):
        for obj in ({"kind": kind, **each} for each in api.list(kind, namespace)):
            judge(api, obj, condition("Accepted", obj), condition("ResolvedRefs", obj))


def refused(operator: Operator) -> list[Any]:
    return [each for each in operator.asked() if each.status in {401, 403}]


def test_the_objects_of_a_route(control_plane: ControlPlane, operator: Operator, namespace: str) -> None:
    """All that is compiled is there, the server took every field of it, and no Envoy ConfigMap is written."""
    api = control_plane.admin
    apply_some(api, namespace, "one", "two")
    found = until_made(api, namespace, 5)

    objects = [api.get("LLMRoute", namespace, "chat"), *api.list("LLMBackend", namespace)]
    kinds = ["LLMRoute", "LLMBackend", "LLMBackend"]
    objects = [
        {"apiVersion": "aigateway.envoyproxy.io/v1alpha1", "kind": kind, **each}
        for kind, each in zip(kinds, objects, strict=True)
    ]
    settings = GatewaySettings(controller=namespace, service="llmroute-extproc", namespace=namespace)
    wanted = translate(Snapshot.of(objects, Settings(gateway=settings))).gateway.documents
    assert {(each["kind"], each["metadata"]["name"]) for each in wanted} == set(found)
    for each in wanted:
        live = found[each["kind"], each["metadata"]["name"]]
        assert contains(live["spec"], each["spec"]), live
        assert contains(live["metadata"]["ownerReferences"], each["metadata"]["ownerReferences"])
    assert api.maybe_get("ConfigMap", namespace, "llmroute-envoy") is None
    assert refused(operator) == []


@pytest.mark.needs_kcm
def test_a_deleted_route_takes_its_objects_along(
    control_plane: ControlPlane, rights: list[dict[str, Any]], namespace: str, tmp_path: Path
) -> None:
    """The cluster's garbage collector removes them by their owner references, with no operator there."""
    assert rights
    api = control_plane.admin
    with ready_operator(control_plane, tmp_path, namespace, *_MODE, name="gateways"):
        apply_some(api, namespace, "one")
        until_made(api, namespace, 4)
    clear(api, namespace)

    until(lambda: not made(api, namespace), "something is left", 90)


def test_what_parents_say_is_in_the_status(control_plane: ControlPlane, operator: Operator, namespace: str) -> None:
    """Programmed waits for the Gateway, repeats its refusals in its own words, and is True once all is accepted."""
    api = control_plane.admin
    apply_some(api, namespace, "one")
    assert "Gateway eg" in until_programmed(api, namespace, "ParentSilent")
    until_made(api, namespace, 4)
    accept_all(api, namespace)
    until_programmed(api, namespace, "Programmed")

    route = {"kind": "HTTPRoute", **api.get("HTTPRoute", namespace, "llmroute-chat-0")}
    no = condition("Accepted", route, good=False, reason="NotAllowedByListeners", message="no listener lets it in")
    judge(api, route, no, condition("ResolvedRefs", route))
    message = until_programmed(api, namespace, "ParentRefused")
    assert "NotAllowedByListeners: no listener lets it in" in message
    unresolved = condition("ResolvedRefs", route, good=False, reason="RefNotPermitted", message="no grant")
    judge(api, route, condition("Accepted", route), unresolved)
    assert "RefNotPermitted: no grant" in until_programmed(api, namespace, "ParentUnresolved")
    accept_all(api, namespace)
    until_programmed(api, namespace, "Programmed")

    policy = {"kind": "EnvoyExtensionPolicy", **api.get("EnvoyExtensionPolicy", namespace, "llmroute-chat")}
    judge(api, policy, condition("Accepted", policy, good=False, reason="Invalid", message="no such Service"))
    assert "Invalid: no such Service" in until_programmed(api, namespace, "ParentRefused")
    assert refused(operator) == []


def test_a_route_without_parents_says_so(control_plane: ControlPlane, operator: Operator, namespace: str) -> None:
    """Nothing is made of it, and what was made before its parents were taken away goes."""
    api = control_plane.admin
    apply_some(api, namespace, "one")
    until_made(api, namespace, 4)
    api.apply({**some(namespace, "one")[0], "spec": {"rules": [rule("one", "one")]}})

    assert "spec.parentRefs" in until_programmed(api, namespace, "NoParents")
    until_made(api, namespace, 0)
    assert refused(operator) == []


def test_an_edit_is_put_back(control_plane: ControlPlane, operator: Operator, namespace: str) -> None:
    """Whatever somebody changes, adds, or deletes, is as it was shortly after."""
    api = control_plane.admin
    apply_some(api, namespace, "one")
    until_made(api, namespace, 4)
    before = {key: obj["spec"] for key, obj in made(api, namespace).items()}
    edits: list[Callable[[], object]] = [
        lambda: api.merge("HTTPRoute", namespace, "llmroute-chat-0", {"spec": {"parentRefs": [{"name": "other"}]}}),
        lambda: api.merge("EnvoyExtensionPolicy", namespace, "llmroute-chat", {"spec": {"extProc": []}}),
        lambda: api.merge("HTTPRoute", namespace, "llmroute-chat-0", {"metadata": {"labels": None}}),
        lambda: api.delete("HTTPRouteFilter", namespace, "llmroute-chat"),
    ]
    for edit in edits:
        edit()
        until(lambda: {key: obj["spec"] for key, obj in made(api, namespace).items()} == before, "not put back", 10)
    assert operator.metric("llmroute_controller_writes_total") > 0
    assert refused(operator) == []


def _parents(api: Api, namespace: str) -> list[str]:
    return [each["name"] for each in api.get("HTTPRoute", namespace, "llmroute-chat-0")["spec"]["parentRefs"]]


def test_a_restart_writes_nothing(
    control_plane: ControlPlane, rights: list[dict[str, Any]], namespace: str, tmp_path: Path
) -> None:
    """Equal resources are no reason to write, not even a status; what is new is made beside them."""
    assert rights
    api = control_plane.admin
    with ready_operator(control_plane, tmp_path, namespace, *_MODE, name="first") as first:
        apply_some(api, namespace, "one", "two")
        until_made(api, namespace, 5)
        accept_all(api, namespace)
        until_programmed(api, namespace, "Programmed")
        until_object(api, "LLMRoute", namespace, "chat", lambda found: "Serving" in conditions(found))
        since = len(first.asked())
    with ready_operator(control_plane, tmp_path, namespace, *_MODE, name="second") as second:
        late = [{**each, "metadata": {"name": "late", "namespace": namespace}} for each in some(namespace, "late")]
        for document in late:
            api.apply(document)
        until_made(api, namespace, 9)
        until_programmed(api, namespace, "ParentSilent", name="late")
        kept = {each.name for each in second.writes(since) if "late" not in each.name}

    assert kept <= {"llmroute-extproc", "llmroute-credentials"}


def test_a_changed_backend_is_another_object(control_plane: ControlPlane, operator: Operator, namespace: str) -> None:
    """The new one is there before the old one goes, and the rule for the old one stays until then."""
    api = control_plane.admin
    apply_some(api, namespace, "one")
    until_made(api, namespace, 4)
    [before] = [each["metadata"]["name"] for each in api.list("Backend", namespace)]
    changed = some(namespace, "one")[1]
    api.apply({**changed, "spec": {**changed["spec"], "endpoint": {"hostname": "moved.example.com"}}})

    until(lambda: len(api.list("Backend", namespace)) == 2, "there never are both", 10)
    until(lambda: [each["metadata"]["name"] for each in api.list("Backend", namespace)] != [before], "old", 10)
    until(lambda: len(api.list("Backend", namespace)) == 1, "the old one stays", 15)
    [after] = api.list("Backend", namespace)
    assert after["metadata"]["name"] != before
    assert after["spec"]["endpoints"][0]["fqdn"]["hostname"] == "moved.example.com"
    assert refused(operator) == []


def test_switching_back_removes_them(
    control_plane: ControlPlane, rights: list[dict[str, Any]], namespace: str, tmp_path: Path
) -> None:
    """An operator whose own Envoy serves deletes what another mode has made, and nothing that others have."""
    assert rights
    api = control_plane.admin
    theirs = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "theirs", "namespace": namespace},
        "spec": {"parentRefs": [{"name": "eg"}]},
    }
    api.create(theirs)
    with ready_operator(control_plane, tmp_path, namespace, *_MODE, name="gateways"):
        apply_some(api, namespace, "one")
        until_made(api, namespace, 5)
    with ready_operator(control_plane, tmp_path, namespace, name="bundled") as bundled:
        until(lambda: set(made(api, namespace)) == {("HTTPRoute", "theirs")}, "something is left", 30)
        until_programmed(api, namespace, "Programmed")
        assert refused(bundled) == []


def test_a_strangers_object_is_left_alone(control_plane: ControlPlane, operator: Operator, namespace: str) -> None:
    """One that has the name is not taken over; the status says which one is in the way."""
    api = control_plane.admin
    theirs = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "llmroute-chat-0", "namespace": namespace},
        "spec": {"parentRefs": [{"name": "theirs"}]},
    }
    api.create(theirs)
    apply_some(api, namespace, "one")

    message = until_programmed(api, namespace, "GatewayNotWritten")
    assert "llmroute-chat-0" in message
    assert _parents(api, namespace) == ["theirs"]
    assert operator.code is None


@pytest.mark.parametrize(
    ("verb", "reason"),
    [
        ("list", "GatewayUnavailable"),
        ("watch", "GatewayUnavailable"),
        ("create", "GatewayNotWritten"),
        ("patch", "GatewayNotWritten"),
    ],
)
def test_a_missing_verb_is_told(
    control_plane: ControlPlane,
    rights: list[dict[str, Any]],
    namespace: str,
    tmp_path: Path,
    verb: str,
    reason: str,
) -> None:
    """Each right is needed: without it the status says so, and with it again all is made up for."""
    api = control_plane.admin
    [role] = [each for each in rights if each["metadata"]["name"].endswith("-gateways") and "rules" in each]
    poorer = without_verb(role, verb, "httproutes")
    api.merge("ClusterRole", None, role["metadata"]["name"], {"rules": poorer["rules"]})
    with ready_operator(control_plane, tmp_path, namespace, *_MODE, name="gateways") as operator:
        apply_some(api, namespace, "one")
        assert "httproutes" in until_programmed(api, namespace, reason)
        assert api.get("ConfigMap", namespace, "llmroute-extproc")
        api.merge("ClusterRole", None, role["metadata"]["name"], {"rules": role["rules"]})
        until(lambda: len(made(api, namespace)) == 4, "it is not made up for", 40)
        until_programmed(api, namespace, "ParentSilent")
        assert operator.code is None


def test_without_the_right_to_delete_things_stay(
    control_plane: ControlPlane, rights: list[dict[str, Any]], namespace: str, tmp_path: Path
) -> None:
    """What cannot be deleted is counted and tried again, and keeps nothing else from being done."""
    api = control_plane.admin
    [role] = [each for each in rights if each["metadata"]["name"].endswith("-gateways") and "rules" in each]
    poorer = without_verb(role, "delete", "httproutes")
    api.merge("ClusterRole", None, role["metadata"]["name"], {"rules": poorer["rules"]})
    with ready_operator(control_plane, tmp_path, namespace, *_MODE, name="gateways") as operator:
        apply_some(api, namespace, "one")
        until_made(api, namespace, 4)
        api.apply({**some(namespace, "one")[0], "spec": {"rules": [rule("one", "one")]}})
        until(lambda: set(made(api, namespace)) == {("HTTPRoute", "llmroute-chat-0")}, "the others stay", 20)
        until(lambda: operator.metric("llmroute_controller_write_failures_total") > 0, "it is not counted", 20)
        api.merge("ClusterRole", None, role["metadata"]["name"], {"rules": role["rules"]})
        until_made(api, namespace, 0)


def test_absent_kinds(
    control_plane: ControlPlane, rights: list[dict[str, Any]], namespace: str, tmp_path: Path
) -> None:
    """Without Envoy Gateway's definitions the status says so; when they come, all is made up for."""
    assert rights
    api = control_plane.admin
    missing = definition("EnvoyExtensionPolicy")
    api.delete("CustomResourceDefinition", None, missing["metadata"]["name"])
    gone = missing["metadata"]["name"]
    until(lambda: api.maybe_get("CustomResourceDefinition", None, gone) is None, "it is still there", 20)
    try:
        with ready_operator(control_plane, tmp_path, namespace, *_MODE, name="gateways"):
            apply_some(api, namespace, "one")
            message = until_programmed(api, namespace, "GatewayUnavailable")
            assert message == "the cluster has no envoyextensionpolicies.gateway.envoyproxy.io"
            control_plane.define([missing])
            until_programmed(api, namespace, "ParentSilent")
            until_made(api, namespace, 4)
    finally:
        if api.maybe_get("CustomResourceDefinition", None, gone) is None:
            control_plane.define([missing])
