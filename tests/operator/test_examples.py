"""The example rights are enough for what is read and written, and no more."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.operator.kinds import KINDS
from controller.operator.settings import Settings

EXAMPLES = sorted((Path(__file__).parents[2] / "examples/operator").glob("*.yaml"))
SETTINGS = Settings(namespace="llmroute-system", identity="op-0")

pytestmark = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)


def documents(path: Path) -> list[dict[str, Any]]:
    """All objects of a file."""
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def rules(path: Path) -> Iterator[dict[str, Any]]:
    """All rules of all roles."""
    for document in documents(path):
        yield from document.get("rules", ())


def test_every_kind_that_is_read_may_be_read(path: Path) -> None:
    """Listed and watched, the optional ones too."""
    granted = {
        (group, resource, verb)
        for rule in rules(path)
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }

    assert {(kind.group, kind.plural, verb) for kind in KINDS for verb in ("list", "watch")} <= granted
    for verb in ("patch", "update"):
        assert {(kind.group, f"{kind.plural}/status", verb) for kind in KINDS if not kind.optional} <= granted


def test_nothing_is_granted_wholesale(path: Path) -> None:
    """No wildcards, no list of Secrets, no Secret written but by name, and of users' resources only the status is."""
    for rule in rules(path):
        if "secrets" in rule["resources"]:
            assert set(rule["verbs"]) <= {"get", "watch"} | ({"create", "patch"} if "resourceNames" in rule else set())
        assert "*" not in {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
        if rule["apiGroups"] == ["aigateway.envoyproxy.io"]:
            written = set(rule["verbs"]) - {"list", "watch"}
            assert not written or all(resource.endswith("/status") for resource in rule["resources"])


def test_the_names_are_those_of_the_defaults(path: Path) -> None:
    """What is narrowed to names is narrowed to the ones that are used without flags."""
    names = {name for rule in rules(path) for name in rule.get("resourceNames", ())}

    maps, secrets = (
        {SETTINGS.extproc_config_map, SETTINGS.envoy_config_map},
        {SETTINGS.credentials, SETTINGS.envoy_secrets},
    )
    assert names == {*maps, *secrets, SETTINGS.lease_name}


def test_every_role_is_bound_to_the_account(path: Path) -> None:
    """Each by a binding of its own, in its own namespace."""
    roles = {(d["metadata"]["name"], d["metadata"].get("namespace")) for d in documents(path) if "rules" in d}
    bound = {(d["roleRef"]["name"], d["metadata"].get("namespace")) for d in documents(path) if "roleRef" in d}
    subjects = [subject for d in documents(path) for subject in d.get("subjects", ())]

    assert roles == bound
    assert {(s["name"], s["namespace"]) for s in subjects} == {("llmroute-controller", SETTINGS.namespace)}


def test_certain_namespaces_need_nothing_cluster_wide(path: Path) -> None:
    """The namespaced example has Roles alone."""
    kinds = {document["kind"] for document in documents(path)}

    assert ("ClusterRole" in kinds) == (path.stem != "namespaced")
