"""What the chart lets the operator, and people, do."""

from collections.abc import Mapping
from typing import Any

import pytest

from e2e.support.helm import Helm
from tests.support.chart import NAMESPACE, RELEASE, Object, one, rendered, template
from tests.support.chart_values import SETS, Values


@pytest.mark.parametrize("secrets", ["Cluster", "Named", "None"])
def test_key_sets_and_authorities_can_be_read_whatever_is_said_of_secrets(helm: Helm, secrets: str) -> None:
    """ConfigMaps hold nothing secret: narrowing Secrets takes none of them away."""
    assert _verbs(_reader(helm, {"rbac": {"secrets": secrets}}), "configmaps") == ["get", "watch"]


@pytest.mark.parametrize(
    ("values", "verbs"),
    [
        ({}, ["get", "watch"]),
        ({"secrets": "None"}, None),
        ({"secrets": "Named"}, None),
        ({"watchSecrets": False}, ["get"]),
    ],
)
def test_the_right_to_all_secrets_can_be_narrowed(helm: Helm, values: Values, verbs: list[str] | None) -> None:
    """To none, to named ones, and to those whose name one knows."""
    assert _verbs(_reader(helm, {"rbac": values}), "secrets") == verbs


def test_a_namespace_that_is_named_twice_has_one_role(helm: Helm) -> None:
    """Two of the same name would be one that has the names of the last entry alone."""
    entries = [
        {"namespace": "a", "names": ["x", "y"]},
        {"namespace": "b", "names": ["x"]},
        {"namespace": "a", "names": ["z", "y"]},
    ]
    objects = rendered(helm, values={"rbac": {"secrets": "Named", "secretNames": entries, "watchSecrets": False}})
    roles = [each for each in objects if each["kind"] == "Role" and each["metadata"]["name"] == f"{RELEASE}-secrets"]

    assert {role["metadata"]["namespace"]: role["rules"][0]["resourceNames"] for role in roles} == {
        "a": ["x", "y", "z"],
        "b": ["x"],
    }
    assert len(roles) == 2
    assert {tuple(role["rules"][0]["verbs"]) for role in roles} == {("get",)}


def test_two_releases_do_not_share_cluster_roles(helm: Helm) -> None:
    """Names are of a namespace and a release, and hyphens do not tell where one ends."""
    names = [
        {
            line.removeprefix("  name: ")
            for line in template(helm, f"--namespace={namespace}", f"--set=fullnameOverride={name}").splitlines()
            if line.startswith("  name: ") and line.endswith("-reader")
        }
        for namespace, name in (("a", "b-c"), ("a-b", "c"))
    ]

    assert all(names)
    assert not names[0] & names[1]


def test_pods_are_marked_by_way_of_their_status(helm: Helm) -> None:
    """Who may patch a pod may give it another image."""
    own = one(rendered(helm), "Role", f"{RELEASE}-operator")

    assert (_verbs(own, "pods"), _verbs(own, "pods/status")) == (["list"], ["patch"])


def test_people_get_rights_where_that_is_asked_for(helm: Helm) -> None:
    """Opt-in: who may view or edit a namespace may view or edit the routes in it."""
    before, after = (
        {
            label.rpartition("-to-")[2]: each
            for each in rendered(helm, values={"rbac": {"aggregate": on}})
            for label in each["metadata"]["labels"]
            if "aggregate-to" in label
        }
        for on in (False, True)
    )

    assert before == {}
    assert after.keys() == {"view", "edit", "admin"}
    assert "list" in after["view"]["rules"][0]["verbs"]


def test_all_workers_that_there_may_be_can_be_reached(helm: Helm) -> None:
    """While pods of another number of workers are still there, or already, nobody shuts them out."""
    policy = one(rendered(helm, values={"extproc": {"workers": 1}}), "NetworkPolicy", f"{RELEASE}-extproc")

    assert [each["port"] for each in policy["spec"]["ingress"][0]["ports"]] == list(range(1063, 1079))


def test_envoy_gateway_is_told_a_service_with_an_address(helm: Helm) -> None:
    """Beside the headless one, for an Envoy Gateway that sends requests to Services rather than to their pods."""
    objects = rendered(helm, values=SETS["envoy-gateway"])
    [operator] = one(objects, "Deployment", f"{RELEASE}-operator")["spec"]["template"]["spec"]["containers"]
    [name] = [flag.partition("=")[2] for flag in operator["args"] if flag.startswith("--extproc-service=")]
    granted = one(objects, "ReferenceGrant", f"{RELEASE}-extproc")["spec"]["to"]

    assert one(objects, "Service", name)["spec"].get("clusterIP") is None
    assert [each["name"] for each in granted] == [name]


def _reader(helm: Helm, values: Mapping[str, Any]) -> Object:
    [role] = [each for each in rendered(helm, values=values) if each["kind"] == "ClusterRole"]
    assert role["metadata"]["name"].startswith(f"{NAMESPACE}-{RELEASE}-")
    return role


def _verbs(role: Object, resource: str) -> list[str] | None:
    [found] = [rule["verbs"] for rule in role["rules"] if resource in rule["resources"]] or [None]
    assert found is None or isinstance(found, list)
    return found
