"""What helm makes of the chart."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from controller import chart
from controller.chart_values import BEGIN, END, table
from controller.cli import main
from controller.operator.command import operator
from e2e.support.helm import Helm
from extproc.server.settings import parse_settings
from tests.support.chart import CHART, NAMESPACE, RELEASE, Object, objects_in, one, rendered, template
from tests.support.chart_values import EVERYTHING, SETS, Values
from tests.support.kubernetes_schemas import NoSchemas, fault

_GOLDEN = Path(__file__).parents[1] / "golden/chart"
_ROOT = CHART.parents[1]
#: Kinds that are not Kubernetes' own.
_OTHERS = {"PodMonitor", "ReferenceGrant"}
_SECURED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
_each_set = pytest.mark.parametrize("values", SETS.values(), ids=SETS)


@pytest.mark.parametrize(("name", "values"), SETS.items(), ids=SETS)
def test_the_chart_renders_as_it_is_written_down(helm: Helm, name: str, values: Values, *, update_golden: bool) -> None:
    """The objects of the main sets of values; Envoy's bootstrap is in the first one alone."""
    text = template(helm, values=values)
    if name != "default":
        text = re.sub(r"(?ms)^  envoy\.yaml: \|\n.*?(?=^  \S|^---)", "  envoy.yaml: (as in default.yaml)\n", text)
    golden = _GOLDEN / f"{name}.yaml"
    if update_golden:
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(text)

    assert golden.read_text() == text


@_each_set
def test_helm_finds_nothing_to_complain_of(either_helm: Helm, values: Values) -> None:
    """``helm lint --strict`` is content with every set."""
    said = either_helm("lint", "--strict", str(CHART), "--values=-", stdin=json.dumps(values))

    assert "0 chart(s) failed" in said


@_each_set
def test_every_object_fits_the_schema_of_its_kind(helm: Helm, values: Values) -> None:
    """No field is misspelt or of the wrong type, by the schemas of a current Kubernetes."""
    objects = [found for found in rendered(helm, values=values) if found["kind"] not in _OTHERS]
    try:
        faults = [found for found in map(fault, objects) if found]
    except NoSchemas as error:
        pytest.skip(str(error))

    assert faults == []


def test_the_schema_of_a_kind_is_closed(helm: Helm) -> None:
    """The test above would see a misspelt field."""
    deployment = one(rendered(helm), "Deployment", f"{RELEASE}-operator")
    deployment["spec"]["template"]["spec"]["containers"][0]["imagePullPolice"] = "Always"
    try:
        assert "imagePullPolice" in (fault(deployment) or "")
    except NoSchemas as error:
        pytest.skip(str(error))


def test_both_helms_render_the_same(either_helm: Helm) -> None:
    """What the golden files say holds for helm 3 as well."""
    golden = objects_in((_GOLDEN / "default.yaml").read_text())

    assert rendered(either_helm) == golden


def test_the_numbers_of_an_installation(helm: Helm) -> None:
    """How much the default values make: as docs/kubernetes.md says."""
    text = template(helm)
    kinds = [found["kind"] for found in objects_in(text)]
    said = f"{len(kinds)} objects, {len(text.splitlines())} lines"

    assert said in (_ROOT / "docs/kubernetes.md").read_text(), said


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"opertor": {"replicas": 3}}, "opertor"),
        ({"envoy": {"tls": {"secret": "x"}}}, "secret"),
        ({"extproc": {"workers": "two"}}, "workers"),
        ({"extproc": {"workers": 0}}, "workers"),
        ({"gateway": {"mode": "bundled"}}, "mode"),
        ({"rbac": {"secrets": "All"}}, "secrets"),
        ({"envoy": {"resources": {"limits": {"memory": "2Gib"}}}}, "not a quantity of memory"),
        ({"ipFamilies": ["IPv5"]}, "ipFamilies"),
        ({"pathPrefix": "llm/"}, "pathPrefix"),
        ({"operator": {"namespaces": ["Team-A"]}}, "namespaces"),
        ({"envoy": {"service": {"type": "Loadbalancer"}}}, "type"),
        ({"envoy": {"http": {"enabled": False}}}, "envoy.tls.enabled"),
        ({"envoy": {"tls": {"enabled": True}}}, "envoy.tls.secretName"),
        ({"gateway": {"mode": "EnvoyGateway"}, "extproc": {"placement": "Sidecar"}}, "extproc.placement"),
        ({"extproc": {"identity": {"gcp": {"enabled": True}}}}, "extproc.identity.gcp.audience"),
    ],
)
def test_a_mistake_in_the_values_is_refused(either_helm: Helm, values: Values, named: str) -> None:
    """A typo, a wrong type and a combination that cannot work stop the installation, and the message says where."""
    said = either_helm.run("template", RELEASE, str(CHART), "--values=-", stdin=json.dumps(values))

    assert said.code != 0
    assert named in said.err


@_each_set
def test_every_pod_is_locked_down(helm: Helm, values: Values) -> None:
    """Nobody runs as root, writes into its root, or may become more than it is."""
    for pod in _pods(rendered(helm, values=values)):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert [container["securityContext"] for container in pod["containers"]] == [_SECURED] * len(pod["containers"])
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()


@_each_set
def test_only_the_operator_has_a_token(helm: Helm, values: Values) -> None:
    """Extproc and Envoy have no way to the API server; a cloud's token is mounted where the values ask for it."""
    objects = rendered(helm, values=values)
    having = {
        name for name, pod in _named_pods(objects).items() if pod.get("automountServiceAccountToken", True) is not False
    }
    accounts = [found for found in objects if found["kind"] == "ServiceAccount"]

    assert having == {f"{RELEASE}-operator"}
    assert {a["metadata"]["name"] for a in accounts if a["automountServiceAccountToken"]} == {f"{RELEASE}-operator"}
    tokens = [
        volume["name"]
        for pod in _pods(objects)
        for volume in pod.get("volumes", ())
        if any("serviceAccountToken" in source for source in volume.get("projected", {}).get("sources", ()))
    ]
    assert tokens == (["aws-identity", "gcp-identity", "azure-identity"] if values is EVERYTHING else [])


@_each_set
def test_the_admin_ports_are_on_no_service(helm: Helm, values: Values) -> None:
    """A Service has the ports of clients, or of the workers, and no other."""
    targets = {
        str(port["targetPort"])
        for found in rendered(helm, values=values)
        if found["kind"] == "Service"
        for port in found["spec"]["ports"]
    }

    assert targets <= {"http", "https", "worker-0", "worker-1"}


@_each_set
def test_the_programs_know_their_arguments(helm: Helm, values: Values) -> None:
    """Every flag in a pod is one that the program of today has, with a value that it takes."""
    pods = _named_pods(rendered(helm, values=values))
    containers = {c["name"]: c for pod in pods.values() for c in pod["containers"]}
    [command, *flags] = containers["operator"]["args"]

    assert command == operator.name
    assert main.commands["operator"] is operator
    assert operator.make_context("operator", list(flags)).params["lease_name"] == f"{RELEASE}-operator"
    assert parse_settings(containers["extproc"]["args"]).workers == 2


def test_a_namespaced_installation_has_no_right_elsewhere(helm: Helm) -> None:
    """With names of namespaces there is nothing cluster-wide."""
    objects = rendered(helm, values=SETS["namespaced"])
    roles = [found for found in objects if "Role" in found["kind"]]

    assert {found["kind"] for found in roles} == {"Role", "RoleBinding"}
    assert {found["metadata"]["namespace"] for found in roles} == {NAMESPACE, "team-a", "team-b"}
    assert not [rule for found in roles for rule in found.get("rules", ()) if _reads_any_secret(rule)]


@_each_set
def test_nobody_may_list_secrets(helm: Helm, values: Values) -> None:
    """Secrets are read one by one, and written under two names only."""
    rules = [rule for found in rendered(helm, values=values) for rule in found.get("rules", ())]
    secrets = [rule for rule in rules if "secrets" in rule.get("resources", ())]

    assert not [rule for rule in secrets if {"list", "delete", "*"} & set(rule["verbs"])]
    ours = [f"{RELEASE}-credentials", f"{RELEASE}-envoy-secrets"]
    written = ours[:1] if values is SETS["envoy-gateway"] else ours
    assert [rule["resourceNames"] for rule in secrets if "patch" in rule["verbs"]] == [written]


def test_an_autoscaler_decides_alone(helm: Helm) -> None:
    """With one the Deployment says no number, which every upgrade would set back to."""
    objects = rendered(helm, values={"envoy": {"autoscaling": {"enabled": True, "minReplicas": 4}}})

    assert one(objects, "HorizontalPodAutoscaler", f"{RELEASE}-envoy")["spec"]["minReplicas"] == 4
    assert "replicas" not in one(objects, "Deployment", f"{RELEASE}-envoy")["spec"]
    assert one(objects, "Deployment", f"{RELEASE}-extproc")["spec"]["replicas"] == 2


def test_only_the_bootstrap_rolls_envoy(helm: Helm) -> None:
    """A change of Envoy's own files starts new pods; a change elsewhere does not."""
    before, elsewhere, inside = (
        one(rendered(helm, values=values), "Deployment", f"{RELEASE}-envoy")["spec"]["template"]
        for values in ({}, {"operator": {"replicas": 3}}, {"envoy": {"maxConnections": 9}})
    )

    assert before == elsewhere
    assert before["metadata"]["annotations"] != inside["metadata"]["annotations"]


def test_pods_have_the_time_that_they_take(helm: Helm) -> None:
    """The grace period is longer than what draining may take."""
    values = {
        "extproc": {"discoverySeconds": 20, "shutdownGraceSeconds": 4.5, "drainTimeoutSeconds": 100},
        "envoy": {"drain": {"maxSeconds": 60}},
    }
    pods = _named_pods(rendered(helm, values=values))

    assert pods[f"{RELEASE}-extproc"]["terminationGracePeriodSeconds"] == 135
    assert pods[f"{RELEASE}-envoy"]["terminationGracePeriodSeconds"] == 80


def test_the_notes_name_what_is_there(helm: Helm) -> None:
    """Three commands with the names of this release, and the warning that the gateway is open."""
    said = helm("install", "mine", str(CHART), "--dry-run=client", "--namespace=team", "--set=pathPrefix=/llm")
    notes = said.partition("NOTES:")[2]

    assert [line.strip() for line in notes.splitlines() if line.startswith("   ")] == [
        "kubectl --namespace team rollout status deployment/mine-llmroute-envoy --timeout 5m",
        "kubectl --namespace team port-forward service/mine-llmroute 1975:80",
        "curl http://127.0.0.1:1975/llm/v1/models",
    ]
    assert "WARNING: the gateway is open" in notes
    assert "The operator may read every Secret of the cluster" in notes
    assert "Prometheus cannot read" in notes


def test_what_is_generated_is_up_to_date() -> None:
    """The chart has the Envoy that the code makes today, and its README the values of today."""
    assert chart.main(["--check", str(CHART)]) == 0


def test_a_stale_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The check says which file is old, and how to renew it."""
    (tmp_path / "values.yaml").write_text("# -- How many.\nreplicas: 2\n")
    (tmp_path / "README.md").write_text(f"# A chart\n{BEGIN}\n{END}\n")

    assert chart.main(["--check", str(tmp_path)]) == 1
    assert "README.md is not up to date; run `make chart`" in capsys.readouterr().err
    assert chart.main([str(tmp_path)]) == 0
    assert chart.main(["--check", str(tmp_path)]) == 0
    assert "| `replicas` | `2` | How many. |" in (tmp_path / "README.md").read_text()


def test_a_value_without_a_comment_is_a_mistake() -> None:
    """Whoever adds a value says what it is for."""
    with pytest.raises(ValueError, match=r"operator\.image\.tag has no comment"):
        table("operator:\n  # -- How many.\n  replicas: 2\n  image:\n    tag: x\n")


def test_the_charts_definitions_are_the_repositorys() -> None:
    """The chart installs the very CRDs that are in crds/."""
    ours, charts = ({p.name: p.read_text() for p in f.glob("*.yaml")} for f in (_ROOT / "crds", CHART / "crds"))

    assert charts == ours


def _pods(objects: list[Object]) -> list[dict[str, Any]]:
    return [*_named_pods(objects).values(), *(found["spec"] for found in objects if found["kind"] == "Pod")]


def _named_pods(objects: list[Object]) -> dict[str, dict[str, Any]]:
    found = [found for found in objects if found["kind"] == "Deployment"]
    return {deployment["metadata"]["name"]: deployment["spec"]["template"]["spec"] for deployment in found}


def _reads_any_secret(rule: Mapping[str, Any]) -> bool:
    return "secrets" in rule["resources"] and "resourceNames" not in rule
