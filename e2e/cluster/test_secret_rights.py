"""The operator's rights to Secrets, as narrow as they get: one by one, by name, and each verb for a reason."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from e2e.support.accounts import grant, withdraw
from e2e.support.api import Api
from e2e.support.control_plane import ControlPlane
from e2e.support.data_plane import CREDENTIALS
from e2e.support.kubelet import files_of
from e2e.support.operators import ACCOUNT, Operator, running_operator
from e2e.support.secrets import put_secret, right_to, with_key
from e2e.support.stand import placed
from e2e.support.status import conditions, until_says
from tests.support.gateway import backend, route, rule
from tests.support.waiting import until

WRITTEN = {"Accepted": "True", "ResolvedRefs": "True", "Programmed": "True"}
Rules = list[dict[str, Any]]


@contextmanager
def running(
    plane: ControlPlane, folder: Path, namespace: str, users: Rules, own: Rules
) -> Iterator[tuple[Operator, list[dict[str, Any]]]]:
    """An operator whose rights to Secrets are these; and all the roles that it was meant to have."""
    granted = grant(plane.admin, "cluster-wide.yaml", {"llmroute-system": namespace})
    for role in granted:
        if "rules" in role:
            _replace(plane.admin, role, [*_without_secrets(role), *(users if role["kind"] == "ClusterRole" else own)])
    try:
        with running_operator(plane, folder, f"{namespace}/{ACCOUNT}") as operator:
            operator.wait_ready()
            yield operator, granted
    finally:
        withdraw(plane.admin, granted)


def _without_secrets(role: dict[str, Any]) -> Rules:
    return [each for each in role["rules"] if "secrets" not in each["resources"]]


def _replace(api: Api, role: dict[str, Any], rules: Rules) -> None:
    metadata = role["metadata"]
    api.merge(role["kind"], metadata.get("namespace"), metadata["name"], {"rules": rules})


def apply_some(api: Api, namespace: str) -> None:
    """Two backends with a Secret each, and one without."""
    names = ("first", "second", "plain")
    for document in placed(namespace, [route(*(rule(name, name) for name in names)), backend("plain", 9)]):
        api.apply(document)
    for name in ("first", "second"):
        put_secret(api, namespace, f"{name}-key", apiKey=f"sk-{name}")
        api.apply(with_key(namespace, name, 9, f"{name}-key"))


def reason(api: Api, namespace: str, name: str, condition: str) -> str:
    """Why a backend's condition is as it is."""
    found = conditions(api.get("LLMBackend", namespace, name)).get(condition, {})
    return str(found.get("reason"))


def held(api: Api, namespace: str) -> dict[str, bytes]:
    """The processors' credentials."""
    found = api.maybe_get("Secret", namespace, CREDENTIALS)
    return {} if found is None else {name.rpartition(".")[0]: data for name, data in files_of(found).items()}


OWN = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [CREDENTIALS, "llmroute-envoy-secrets"]}
ALL_OWN = [{**OWN, "verbs": ["get", "watch", "create", "patch"]}]
USERS = {"apiGroups": [""], "resources": ["secrets", "configmaps"]}


def named(*names: str) -> Rules:
    """The right to these Secrets and no others."""
    return [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": list(names), "verbs": ["get", "watch"]}]


def test_a_right_to_one_secret(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> None:
    """It is read and followed, another one is not, and says so until it may be read as well."""
    api = control_plane.admin
    account = {"name": ACCOUNT, "namespace": namespace}
    right_to(api, namespace, account, "one-secret", named("first-key"))
    apply_some(api, namespace)
    with running(control_plane, tmp_path, namespace, [], ALL_OWN) as (operator, _):
        until_says(api, "LLMBackend", namespace, "first", WRITTEN)
        until_says(api, "LLMBackend", namespace, "plain", WRITTEN)
        until_says(api, "LLMBackend", namespace, "second", {"ResolvedRefs": "False"})
        assert reason(api, namespace, "second", "ResolvedRefs") == "SecretUnreadable"
        assert held(api, namespace) == {f"{namespace}.first": b"sk-first"}
        put_secret(api, namespace, "first-key", apiKey="sk-rotated")
        until(lambda: held(api, namespace) == {f"{namespace}.first": b"sk-rotated"}, "it is not followed", 2)
        assert operator.metric('llmroute_controller_named_objects{standing="denied"}') == 1
        assert operator.metric('llmroute_controller_named_objects{standing="found"}') == 1

        right_to(api, namespace, account, "one-secret", named("first-key", "second-key"))
        until_says(api, "LLMBackend", namespace, "second", WRITTEN, 20)

    denied = [each for each in operator.asked() if each.status == 403]
    assert {(each.verb, each.resource, each.name) for each in denied} == {
        ("watch", "secrets", "second-key"),
        ("get", "secrets", "second-key"),
    }


@pytest.mark.parametrize("verb", ["get", "watch"])
def test_a_verb_on_users_secrets(control_plane: ControlPlane, namespace: str, tmp_path: Path, verb: str) -> None:
    """Without ``get`` they are not known; without ``watch`` a change is seen when they are asked for again."""
    api = control_plane.admin
    apply_some(api, namespace)
    users = [{**USERS, "verbs": [each for each in ("get", "watch") if each != verb]}]
    with running(control_plane, tmp_path, namespace, users, ALL_OWN) as (operator, roles):
        until_says(api, "LLMBackend", namespace, "plain", WRITTEN)
        until(lambda: refused(operator, verb, "first-key"), "it was not tried")
        if verb == "get":
            until_says(api, "LLMBackend", namespace, "first", {"ResolvedRefs": "False"})
            assert reason(api, namespace, "first", "ResolvedRefs") == "SecretUnreadable"
        else:
            until_says(api, "LLMBackend", namespace, "first", WRITTEN)
            put_secret(api, namespace, "first-key", apiKey="sk-rotated")
            time.sleep(2)
            assert held(api, namespace)[f"{namespace}.first"] == b"sk-first"
            assert operator.metric("llmroute_controller_named_objects_polled") == 2
        _give_back(api, roles)
        put_secret(api, namespace, "first-key", apiKey="sk-again")
        until(lambda: held(api, namespace).get(f"{namespace}.first") == b"sk-again", "it is not read", 20)
        until_says(api, "LLMBackend", namespace, "first", WRITTEN, 20)


@pytest.mark.parametrize("verb", ["get", "watch", "create", "patch"])
def test_a_verb_on_our_own_secrets(control_plane: ControlPlane, namespace: str, tmp_path: Path, verb: str) -> None:
    """Without one, the backends with credentials say so, or hand edits stay; the others go on in any case."""
    api = control_plane.admin
    apply_some(api, namespace)
    own = [{**OWN, "verbs": [each for each in ("get", "watch", "create", "patch") if each != verb]}]
    # A right to all Secrets is one to these two as well.
    right_to(api, namespace, {"name": ACCOUNT, "namespace": namespace}, "two", named("first-key", "second-key"))
    with running(control_plane, tmp_path, namespace, [], own) as (operator, roles):
        until_says(api, "LLMBackend", namespace, "plain", WRITTEN)
        until(lambda: refused(operator, "patch" if verb == "create" else verb, CREDENTIALS), "it was not tried")
        if verb == "watch":
            until_says(api, "LLMBackend", namespace, "first", WRITTEN)
            api.delete("Secret", namespace, CREDENTIALS)
            time.sleep(2)
            assert held(api, namespace) == {}
        else:
            until_says(api, "LLMBackend", namespace, "first", {"ResolvedRefs": "True", "Programmed": "False"})
            assert reason(api, namespace, "first", "Programmed") == "ConfigNotWritten"
        _give_back(api, roles)
        until(lambda: len(held(api, namespace)) == 2, "it is not written", 20)
        until_says(api, "LLMBackend", namespace, "first", WRITTEN, 20)


def refused(operator: Operator, verb: str, name: str) -> bool:
    """Whether this was asked for, and refused."""
    return any((each.verb, each.name, each.status) == (verb, name, 403) for each in operator.asked())


def _give_back(api: Api, roles: list[dict[str, Any]]) -> None:
    for role in roles:
        if "rules" in role:
            _replace(api, role, role["rules"])
