"""The CRDs on a real API server: what it takes, what it refuses, what kubectl makes of them."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.support.api import PLACES, Api, Refused
from e2e.support.kubectl import Kubectl
from e2e.support.programs import Programs

SAMPLES = Path(__file__).parents[2] / "crds/samples"
VALID, INVALID = (sorted((SAMPLES / kind).glob("*.yaml")) for kind in ("valid", "invalid"))

#: What 1.20 says where later servers say something else.
_OLD_WORDS = ("Invalid value", "Too many")


def _notes(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^# ([a-z-]+): (.*)$", path.read_text(), re.MULTILINE))


def _invalid(*checked_by: str) -> list[Path]:
    return [path for path in INVALID if _notes(path)["checked-by"] in checked_by]


def _unnumbered(message: str) -> str:
    """Without the places in lists, which older servers leave out of some messages."""
    return re.sub(r"\[\d+\]", "", message)


def _in(namespace: str, path: Path) -> dict[str, Any]:
    sample: dict[str, Any] = yaml.safe_load(path.read_text())
    return {**sample, "metadata": {**sample["metadata"], "namespace": namespace}}


def test_valid_samples_are_taken_whole(api: Api, namespace: str) -> None:
    """Every valid sample is created, and nothing of its spec is dropped."""
    for path in VALID:
        sample = _in(namespace, path)
        kept = api.create(sample)
        assert _without_additions(kept["spec"], sample["spec"]) == sample["spec"], path.stem
        api.delete(sample["kind"], namespace, sample["metadata"]["name"])


def test_kubectl_applies_every_valid_sample(kubectl: Kubectl, namespace: str) -> None:
    """Client-side and server-side, with kubectl's own strict validation."""
    for flag in ("--server-side=false", "--server-side=true"):
        said = kubectl(
            "apply", flag, "--force-conflicts=" + flag.rpartition("=")[2], "-n", "default", "-f", str(SAMPLES / "valid")
        )
        assert len(said.splitlines()) == len(VALID)
    kubectl("delete", "-n", "default", "-f", str(SAMPLES / "valid"))


@pytest.mark.parametrize("path", _invalid("schema", "list-type"), ids=lambda path: path.stem)
def test_an_invalid_sample_is_refused(api: Api, namespace: str, programs: Programs, path: Path) -> None:
    """The API server says what the sample's header promises, in the words of its time."""
    promised, (old, new) = _notes(path)["apiserver"], _OLD_WORDS
    with pytest.raises(Refused) as refusal:
        api.create(_in(namespace, path))

    assert refusal.value.status == 422
    wanted = promised if programs.has_cel else promised.replace(new, old)
    assert _unnumbered(wanted) in _unnumbered(refusal.value.message)


@pytest.mark.needs_cel
@pytest.mark.parametrize("path", _invalid("cel"), ids=lambda path: path.stem)
def test_a_sample_against_a_cel_rule_is_refused(api: Api, namespace: str, path: Path) -> None:
    """The API server answers with the rule's own message."""
    with pytest.raises(Refused) as refusal:
        api.create(_in(namespace, path))

    assert refusal.value.status == 422
    assert _notes(path)["apiserver"] in refusal.value.message


@pytest.mark.parametrize("path", _invalid("parser"), ids=lambda path: path.stem)
def test_what_only_we_check_reaches_us(api: Api, namespace: str, path: Path) -> None:
    """The API server takes a sample whose fault only the operator can see."""
    assert api.create(_in(namespace, path))["metadata"]["uid"]


def test_empty_strings_survive(api: Api, namespace: str) -> None:
    """An empty string in a resource stays one: the server's build is sound."""
    made = api.create(_in(namespace, SAMPLES / "valid/route-minimal.yaml"))
    name = made["metadata"]["name"]
    condition = {
        "type": "Accepted",
        "status": "True",
        "reason": "Accepted",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    api.merge("LLMRoute", namespace, name, {"status": {"conditions": [condition]}}, "status")

    assert api.get("LLMRoute", namespace, name)["status"]["conditions"] == [condition]


def test_the_spec_is_out_of_reach_of_status_writers(api: Api, namespace: str) -> None:
    """A write to ``status`` changes no spec, and one to the object no status."""
    made = api.create(_in(namespace, SAMPLES / "valid/route-minimal.yaml"))
    name = made["metadata"]["name"]

    api.merge("LLMRoute", namespace, name, {"spec": {"hostnames": ["a.example"]}}, "status")
    api.merge("LLMRoute", namespace, name, {"status": {"models": ["a"]}})

    kept = api.get("LLMRoute", namespace, name)
    assert kept["spec"] == made["spec"]
    assert "status" not in kept


def test_names_that_people_type(kubectl: Kubectl, api: Api, namespace: str) -> None:
    """Short names, singulars and the category work, also where one resource is named."""
    name = api.create(_in(namespace, SAMPLES / "valid/route-minimal.yaml"))["metadata"]["name"]
    for kind in ("llmroute", "llmroutes", "llmr"):
        assert name in kubectl("describe", kind, name)
    for words in (["get", "llmr"], ["get", "llmb"], ["get", "llm"], ["get", "llmroute"], ["get", "llmr,llmb"]):
        assert kubectl.run(*words).code == 0, words
    resources = kubectl("api-resources", "--categories=llm", "-o", "name").split()
    assert resources == [f"{PLACES[kind].plural}.aigateway.envoyproxy.io" for kind in ("LLMBackend", "LLMRoute")]


@pytest.mark.parametrize(
    "field", ["llmroute.spec.rules", "llmroute.spec.rules.backendRefs", "llmbackend.spec.endpoint"]
)
def test_explain(kubectl: Kubectl, field: str) -> None:
    """``kubectl explain`` has a text for a field and for each field in it."""
    said = kubectl("explain", field)

    assert "DESCRIPTION:" in said
    assert "<no description>" not in said


def _without_additions(kept: Any, wanted: Any) -> Any:
    """``kept`` without the members that defaults have added."""
    if isinstance(wanted, dict):
        return {key: _without_additions(kept[key], value) for key, value in wanted.items() if key in kept}
    if isinstance(wanted, list):
        return [_without_additions(a, b) for a, b in zip(kept, wanted, strict=True)]
    return kept
