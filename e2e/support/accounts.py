"""Namespaces, and who may do what in them: the operator under the very rights that the examples give it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from e2e.support.api import Api, Object

EXAMPLES = Path(__file__).parents[2] / "examples/operator"


#: Of the pods that serve. Not ``default``, which takes a kube-controller-manager, and time.
POD_ACCOUNT = "pod"


def make_namespace(api: Api, name: str) -> None:
    """A namespace in which pods can be made."""
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": POD_ACCOUNT, "namespace": name}}
    api.create(account)


def grant(api: Api, example: str, replace: Mapping[str, str]) -> list[dict[str, Any]]:
    """Apply an example of rights with some of its words replaced; what was applied."""
    text = (EXAMPLES / example).read_text()
    for old, new in replace.items():
        assert old in text, f"{example} does not speak of {old!r}"
        text = text.replace(old, new)
    return [api.apply(document) for document in yaml.safe_load_all(text) if document]


def withdraw(api: Api, granted: list[dict[str, Any]]) -> None:
    """Delete what ``grant`` applied."""
    for made in reversed(granted):
        api.delete(made["kind"], made["metadata"].get("namespace"), made["metadata"]["name"])


def without_verb(role: Object, verb: str, resource: str) -> dict[str, Any]:
    """A role without one verb on one resource."""
    rules = [
        {**rule, "verbs": [each for each in rule["verbs"] if each != verb]}
        if resource in rule.get("resources", ())
        else rule
        for rule in role["rules"]
    ]
    return {
        "apiVersion": role["apiVersion"],
        "kind": role["kind"],
        "metadata": {key: role["metadata"][key] for key in ("name", "namespace") if key in role["metadata"]},
        "rules": [rule for rule in rules if rule["verbs"]],
    }
