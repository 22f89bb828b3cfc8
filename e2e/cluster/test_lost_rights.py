"""A right that goes costs what it is for: the namespace or the kind, and no other; and so it is after a restart."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import yaml

from e2e.cluster.conftest import clear, fresh_name
from e2e.support.accounts import EXAMPLES, grant, make_namespace, withdraw
from e2e.support.api import Api
from e2e.support.control_plane import ControlPlane
from e2e.support.operators import ACCOUNT, Operator, running_operator
from e2e.support.stand import placed
from e2e.support.status import until_says
from tests.support.gateway import backend, route, rule
from tests.support.waiting import until

WRITTEN = {"Accepted": "True", "ResolvedRefs": "True", "Programmed": "True"}


@contextmanager
def another_namespace(api: Api) -> Iterator[str]:
    name = fresh_name("t")
    make_namespace(api, name)
    try:
        yield name
    finally:
        clear(api, name)


def reading_rights(own: str, other: str) -> list[dict[str, Any]]:
    """The Role that a namespace needs beside the operator's own, and who has it."""
    text = (EXAMPLES / "namespaced.yaml").read_text().replace("llmroute-system", own)
    documents = [each for each in yaml.safe_load_all(text) if each and each["metadata"]["name"] == "llmroute-reader"]
    return [{**each, "metadata": {**each["metadata"], "namespace": other}} for each in documents]


def configured(api: Api, namespace: str) -> str:
    """The text of the processor's ConfigMap."""
    return str((api.get("ConfigMap", namespace, "llmroute-extproc") or {}).get("data", ""))


def test_a_namespace_without_its_role(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> None:
    """The other goes on, also from a restart on; what was known of the first stays until then, and it comes back."""
    api, own = control_plane.admin, namespace
    with another_namespace(api) as other:
        grant(api, "namespaced.yaml", {"llmroute-system": own})
        rights = [api.apply(each) for each in reading_rights(own, other)]
        for name, model in ((own, "model-own"), (other, "model-other")):
            for document in placed(name, [route(rule(model, "one")), backend("one", 9)]):
                api.apply(document)

        def running(name: str) -> Any:
            flags = ("--namespace", own, "--namespace", other, "--resync", "2")
            return running_operator(control_plane, tmp_path, f"{own}/{ACCOUNT}", *flags, name=name)

        with running("before") as operator:
            operator.wait_ready()
            until_says(api, "LLMRoute", other, "route", WRITTEN)
            withdraw(api, rights)
            until(lambda: _denied(operator) == 1, "the metric does not tell")
            api.apply(placed(own, [route(rule("model-new", "one"))])[0])
            until(lambda: "model-new" in configured(api, own), "the other namespace stands still")
            api.delete("LLMRoute", own, "route")
            until(lambda: "model-new" not in configured(api, own), "a deletion elsewhere is not seen")
            assert "model-other" in configured(api, own)
        with running("after") as operator:
            operator.wait_ready()
            api.apply(placed(own, [route(rule("model-newer", "one"))])[0])
            until_says(api, "LLMRoute", own, "route", WRITTEN)
            for each in reading_rights(own, other):
                api.apply(each)
            until(lambda: _denied(operator) == 0, "the Role is not noticed")
            api.apply(placed(other, [route(rule("model-back", "one"))])[0])
            until(lambda: "model-back" in configured(api, own), "the namespace does not come back", 20)


def _denied(operator: Operator) -> float:
    return operator.metric('llmroute_controller_denied_namespaces{kind="llmroutes.aigateway.envoyproxy.io"}')


def test_a_kind_that_may_not_be_read_any_more(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> None:
    """What is known of Services is used for a moment, since the judge of rights may be away; a restart forgets it."""
    api = control_plane.admin
    rights = grant(api, "cluster-wide.yaml", {"llmroute-system": namespace})

    def running(name: str) -> AbstractContextManager[Operator]:
        return running_operator(control_plane, tmp_path, f"{namespace}/{ACCOUNT}", "--resync", "2", name=name)

    def demand_a_service(name: str) -> None:
        [document] = placed(namespace, [backend(name, 0)])
        reference = {"kind": "Service", "name": name, "port": 80}
        document["spec"] = {"outputSchema": {"schema": "OpenAI"}, "backendRef": reference}
        api.apply(document)

    try:
        with running("before") as operator:
            operator.wait_ready()
            demand_a_service("missing")
            until_says(api, "LLMBackend", namespace, "missing", {"ResolvedRefs": "False"})
            [role] = [made for made in rights if made["kind"] == "ClusterRole"]
            blind = {**role, "rules": [each for each in role["rules"] if "services" not in each["resources"]]}
            api.apply({**blind, "metadata": {"name": role["metadata"]["name"]}})
            until(lambda: "services; what is known is used" in operator.log, "the right is not missed")
            demand_a_service("later")
            until_says(api, "LLMBackend", namespace, "later", {"ResolvedRefs": "False"})
        with running("after") as operator:
            operator.wait_ready()
            for name in ("missing", "later"):
                until_says(api, "LLMBackend", namespace, name, {"ResolvedRefs": "True", "Programmed": "True"})
    finally:
        withdraw(api, rights)


def test_a_kind_that_one_namespace_hides(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> None:
    """It is watched in the other, and all the rest in both: no change waits for the next complete list."""
    api, own = control_plane.admin, namespace
    with another_namespace(api) as other:
        grant(api, "namespaced.yaml", {"llmroute-system": own})
        for each in reading_rights(own, other):
            if "rules" in each:
                each["rules"] = [one for one in each["rules"] if "services" not in one["resources"]]
            api.apply(each)
        flags = ("--namespace", own, "--namespace", other, "--resync", "600")
        with running_operator(control_plane, tmp_path, f"{own}/{ACCOUNT}", *flags) as operator:
            operator.wait_ready()
            assert operator.metric('llmroute_controller_denied_namespaces{kind="services"}') == 1
            for name, missing in ((own, "False"), (other, "True")):
                for document in placed(name, [route(rule(f"model-{name}", "one")), backend("one", 9)]):
                    api.apply(document)
                until_says(api, "LLMRoute", name, "route", WRITTEN, 5)
                [document] = placed(name, [backend("two", 0)])
                reference = {"kind": "Service", "name": "llm", "port": 80}
                document["spec"] = {"outputSchema": {"schema": "OpenAI"}, "backendRef": reference}
                api.apply(document)
                until_says(api, "LLMBackend", name, "two", {"ResolvedRefs": missing}, 5)
            service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "llm", "namespace": own}}
            api.apply({**service, "spec": {"ports": [{"port": 80, "protocol": "TCP"}]}})
            until_says(api, "LLMBackend", own, "two", {"ResolvedRefs": "True"}, 5)
