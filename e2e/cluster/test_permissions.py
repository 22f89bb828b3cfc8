"""The rights that the examples give are enough; what is missing is told, never fatal, and taken up when it comes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.cluster.conftest import CRDS
from e2e.support.accounts import grant, make_namespace, withdraw, without_verb
from e2e.support.api import Api, Object
from e2e.support.audit import Request
from e2e.support.control_plane import ControlPlane
from e2e.support.data_plane import CREDENTIALS, ENVOY_SECRETS
from e2e.support.foreign import foreign_definition
from e2e.support.kubectl import Kubectl
from e2e.support.operators import ACCOUNT, Operator, running_operator
from e2e.support.stand import placed
from e2e.support.status import conditions, truths, until_object, until_says
from e2e.support.tcp_proxy import running_wire
from tests.support.gateway import backend, route, rule
from tests.support.waiting import until

WRITTEN = {"Accepted": "True", "ResolvedRefs": "True", "Programmed": "True"}
#: Rights that are taken away from a running operator.
_VERBS = [("patch", "llmroutes/status"), ("patch", "configmaps"), ("watch", "llmroutes"), ("update", "leases")]
_GATEWAY_BACKEND = {
    "apiVersion": "gateway.envoyproxy.io/v1alpha1",
    "kind": "Backend",
    "metadata": {"name": "target"},
    "spec": {"endpoints": [{"fqdn": {"hostname": "api.example.com", "port": 443}}]},
}


@pytest.fixture
def rights(control_plane: ControlPlane, namespace: str) -> Iterator[list[dict[str, Any]]]:
    """The cluster-wide example for an operator in the test's namespace."""
    granted = grant(control_plane.admin, "cluster-wide.yaml", {"llmroute-system": namespace})
    yield granted
    withdraw(control_plane.admin, granted)


@contextmanager
def ready_operator(
    plane: ControlPlane, folder: Path, namespace: str, *flags: str, url: str | None = None
) -> Iterator[Operator]:
    with running_operator(plane, folder, f"{namespace}/{ACCOUNT}", *flags, url=url) as operator:
        operator.wait_ready()
        yield operator


def apply_some(api: Api, namespace: str) -> None:
    for document in placed(namespace, [route(rule("m", "one")), backend("one", 9)]):
        api.apply(document)


def refused(operator: Operator) -> list[Request]:
    return [each for each in operator.asked() if each.status in {401, 403}]


def test_a_role_is_enough(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> None:
    """With ``--namespace`` and a Role alone it works, is refused nothing, and looks nowhere else."""
    api = control_plane.admin
    granted = grant(api, "namespaced.yaml", {"llmroute-system": namespace})
    assert not {made["kind"] for made in granted} & {"ClusterRole", "ClusterRoleBinding"}
    with ready_operator(control_plane, tmp_path, namespace, "--namespace", namespace) as operator:
        apply_some(api, namespace)
        until_says(api, "LLMRoute", namespace, "route", WRITTEN)
        asked = [each for each in operator.asked() if each.resource]

    assert refused(operator) == []
    assert {each.resource for each in asked if each.namespace != namespace} <= {"selfsubjectaccessreviews"}


@pytest.mark.usefixtures("rights")
def test_the_cluster_wide_rights_are_enough(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> None:
    """Everything that it asks for is granted by the example, and it reads no Secret but its own."""
    with ready_operator(control_plane, tmp_path, namespace) as operator:
        apply_some(control_plane.admin, namespace)
        until_says(control_plane.admin, "LLMRoute", namespace, "route", WRITTEN)

    assert refused(operator) == []
    secrets = {(each.namespace, each.name) for each in operator.asked() if each.resource.startswith("secrets")}
    assert secrets == {(namespace, CREDENTIALS), (namespace, ENVOY_SECRETS)}


@pytest.mark.parametrize("at_first", ["absent", "denied"])
def test_an_optional_kind(
    control_plane: ControlPlane, rights: list[dict[str, Any]], namespace: str, tmp_path: Path, at_first: str
) -> None:
    """Absent or forbidden it is a metric and a condition on what needs it; an absent one is picked up when it comes."""
    api, definition = control_plane.admin, foreign_definition("Backend")
    needs_it = placed(namespace, [backend("other", 0)])[0]
    target = {"group": "gateway.envoyproxy.io", "kind": "Backend", "name": "target"}
    needs_it["spec"] = {"outputSchema": {"schema": "OpenAI"}, "backendRef": target}
    if at_first == "denied":
        control_plane.define([definition])
        [role] = [made for made in rights if made["kind"] == "ClusterRole"]
        _replace_rules(api, role, [each for each in role["rules"] if "backends" not in each["resources"]])
    try:
        with ready_operator(control_plane, tmp_path, namespace) as operator:
            apply_some(api, namespace)
            api.apply(needs_it)
            until_says(api, "LLMRoute", namespace, "route", WRITTEN)
            found = until_object(api, "LLMBackend", namespace, "other", lambda found: "ResolvedRefs" in truths(found))
            assert truths(found)["ResolvedRefs"] != "True"
            assert "Backend" in conditions(found)["ResolvedRefs"]["message"]
            assert f'state="{at_first}"}} 1.0' in operator.page("/metrics")[1]
            if at_first == "absent":
                control_plane.define([definition])
                api.create(placed(namespace, [_GATEWAY_BACKEND])[0])
                until_says(api, "LLMBackend", namespace, "other", {"ResolvedRefs": "True"}, 75)
    finally:
        api.delete("CustomResourceDefinition", None, definition["metadata"]["name"])


@pytest.mark.parametrize(("verb", "resource"), _VERBS)
def test_a_revoked_verb(
    control_plane: ControlPlane, rights: list[dict[str, Any]], namespace: str, tmp_path: Path, verb: str, resource: str
) -> None:
    """Without one right the operator does what it still can, stays alive, and catches up when it has it again."""
    api = control_plane.admin
    roles = [made for made in rights if made["kind"] in {"Role", "ClusterRole"}]
    with (
        running_wire(control_plane.port) as wire,
        ready_operator(control_plane, tmp_path, namespace, url=wire.url) as operator,
    ):
        apply_some(api, namespace)
        until_says(api, "LLMRoute", namespace, "route", WRITTEN)
        for role in roles:
            _replace_rules(api, role, without_verb(role, verb, resource)["rules"])
        if verb == "watch":
            wire.cut()  # what is open stays open, whatever rights are left
            wire.mend()
        api.apply(placed(namespace, [route(rule("changed", "one"))])[0])
        until(
            lambda: (verb, resource) in {(each.verb, each.resource) for each in refused(operator)}, "it was not tried"
        )
        if resource == "llmroutes/status":
            until(lambda: "changed" in _config(api, namespace), "the ConfigMap does not follow")
        operator.demand_running()

        for role in roles:
            _replace_rules(api, role, role["rules"])
        api.apply(placed(namespace, [route(rule("changed-again", "one"))])[0])
        until_says(api, "LLMRoute", namespace, "route", WRITTEN, 75)
        until(lambda: "changed-again" in _config(api, namespace), "the ConfigMap does not follow")


@pytest.mark.usefixtures("rights")
def test_definitions_that_come_late(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> None:
    """Started before the CRDs are there, it waits for them; deleted and made again under it, they work again."""
    api = control_plane.admin
    definitions = [yaml.safe_load(path.read_text()) for path in sorted(CRDS.glob("*.yaml"))]

    def remove() -> None:
        for definition in definitions:
            api.delete("CustomResourceDefinition", None, definition["metadata"]["name"])
        names = {definition["metadata"]["name"] for definition in definitions}
        until(lambda: not names & {each["metadata"]["name"] for each in api.list("CustomResourceDefinition")})

    remove()
    try:
        with running_operator(control_plane, tmp_path, f"{namespace}/{ACCOUNT}") as operator:
            until(lambda: operator.page("/healthz")[0] == 200, "it is not alive", 30)
            control_plane.define(definitions)
            apply_some(api, namespace)
            until_says(api, "LLMRoute", namespace, "route", WRITTEN, 75)
            remove()
            operator.demand_running()
            control_plane.define(definitions)
            apply_some(api, namespace)
            until_says(api, "LLMRoute", namespace, "route", WRITTEN, 75)
    finally:
        missing = {each["metadata"]["name"] for each in api.list("CustomResourceDefinition")}
        control_plane.define([each for each in definitions if each["metadata"]["name"] not in missing])


@pytest.mark.usefixtures("rights")
def test_deleting_without_an_operator(
    control_plane: ControlPlane, namespace: str, kubectl: Kubectl, tmp_path: Path
) -> None:
    """With the operator down, objects that it knew go at once, and it does not miss that afterwards."""
    api = control_plane.admin
    with ready_operator(control_plane, tmp_path, namespace) as operator:
        apply_some(api, namespace)
        until_says(api, "LLMRoute", namespace, "route", WRITTEN)
        assert operator.terminate() == 0
        kubectl("delete", "llmr,llmb", "--all", "--timeout=5s")
        assert "m" in _models(api, namespace)
        operator.start()
        until(lambda: "m" not in _models(api, namespace), "the deleted route is still configured", 30)


@pytest.mark.needs_kcm
@pytest.mark.usefixtures("rights")
def test_a_namespace_goes_with_all_that_is_in_it(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> None:
    """Deleting a namespace of users is not held up, and its routes are out of the configuration."""
    api, theirs = control_plane.admin, f"{namespace}-users"
    make_namespace(api, theirs)
    with ready_operator(control_plane, tmp_path, namespace):
        apply_some(api, theirs)
        until_says(api, "LLMRoute", theirs, "route", WRITTEN)
        api.delete("Namespace", None, theirs)
        until(lambda: "m" not in _models(api, namespace), "its route is still configured", 30)
        until(lambda: api.maybe_get("Namespace", None, theirs) is None, "the namespace does not go", 40)


def _config(api: Api, namespace: str) -> str:
    return str(api.get("ConfigMap", namespace, "llmroute-extproc")["data"]["config.yaml"])


def _models(api: Api, namespace: str) -> set[str]:
    rules = yaml.safe_load(_config(api, namespace)).get("rules", ())
    return {header["value"] for each in rules for match in each["matches"] for header in match["headers"]}


def _replace_rules(api: Api, role: Object, rules: object) -> None:
    metadata = role["metadata"]
    api.merge(role["kind"], metadata.get("namespace"), metadata["name"], {"rules": rules})
