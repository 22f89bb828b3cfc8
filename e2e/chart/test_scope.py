"""``operator.namespaces``: an operator of some namespaces has no right in any other."""

from collections.abc import Iterator

import pytest

from e2e.chart.conftest import NewRelease
from e2e.support.accounts import make_namespace
from e2e.support.api import Object
from e2e.support.pod_node import GATEWAY
from e2e.support.release import SMALL, Installed, merged, routed
from e2e.support.status import conditions, until_says
from tests.support.sdk import sdk
from tests.support.waiting import until

WRITTEN = {"Accepted": "True", "ResolvedRefs": "True", "Programmed": "True"}
_NOWHERE = (GATEWAY, 9)
#: Beside what the API server lets every account do: asking what it may do, and which kinds there are.
_READS = ("llmroutes", "llmbackends", "services", "secrets", "configmaps", "pods", "leases", "events")


@pytest.fixture(scope="module")
def gateway(new_release: NewRelease) -> Iterator[Installed]:
    """Serves its own namespace and no other."""
    with new_release() as made:
        made.install(merged(SMALL, {"operator": {"namespaces": [made.namespace]}}))
        made.until_rolled_out()
        yield made


@pytest.fixture(scope="module")
def other(gateway: Installed) -> Iterator[str]:
    """Another namespace, with a route and a Secret in it."""
    name = f"{gateway.namespace}-other"
    make_namespace(gateway.api, name)
    for document in routed(_NOWHERE, model="theirs", name="their"):
        gateway.api.apply({**document, "metadata": {**document["metadata"], "namespace": name}})
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key", "namespace": name}}
    gateway.api.create({**secret, "stringData": {"apiKey": "theirs"}})
    yield name
    for kind in ("LLMRoute", "LLMBackend"):  # which an operator of all namespaces would read
        gateway.api.delete_all(kind, name)


def may(gateway: Installed, verb: str, resource: str, namespace: str) -> bool:
    """What the API server's own authorizer says of the operator's account."""
    spec = {
        "user": f"system:serviceaccount:{gateway.account.replace('/', ':')}",
        "groups": ["system:serviceaccounts", "system:authenticated"],
        "resourceAttributes": {
            "verb": verb,
            "resource": resource,
            "group": "aigateway.envoyproxy.io" if resource.startswith("llm") else "",
            "namespace": namespace,
        },
    }
    review: Object = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    answer = gateway.api.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return bool(answer["status"]["allowed"])


@pytest.mark.parametrize("verb", ["get", "list", "watch", "create", "patch", "delete"])
def test_no_right_elsewhere(gateway: Installed, other: str, verb: str) -> None:
    """Not even to read; cluster-wide neither."""
    assert [resource for resource in _READS if may(gateway, verb, resource, other)] == []
    assert [resource for resource in (*_READS, "namespaces") if may(gateway, verb, resource, "")] == []


def test_it_works_with_roles_alone(gateway: Installed, other: str) -> None:
    """It serves its own, is refused nothing, asks of nothing elsewhere, and leaves the others' route alone."""
    gateway.kubectl.apply(routed(_NOWHERE, model="ours", name="our"))
    until_says(gateway.api, "LLMRoute", gateway.namespace, "to-our", WRITTEN, 30)
    with sdk(gateway.url()) as client:
        until(lambda: [each.id for each in client.models.list()] == ["ours"], "not served")

    assert gateway.refused() == []
    assert {each.namespace for each in gateway.asked() if each.resource} <= {gateway.namespace, ""}
    unscoped = {each.resource for each in gateway.asked() if each.resource and not each.namespace}
    assert unscoped <= {"selfsubjectaccessreviews", "selfsubjectrulesreviews"}
    assert conditions(gateway.api.get("LLMRoute", other, "to-their")) == {}
    rules = gateway.kubectl("get", "clusterroles,clusterrolebindings", f"--selector={label(gateway)}", "--output=name")
    assert rules == ""


def label(gateway: Installed) -> str:
    """Of all objects of the release."""
    return f"app.kubernetes.io/instance={gateway.name}"
