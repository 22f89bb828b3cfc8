"""From ``kubectl apply`` to an answer and back: real API server, operator, extproc and Envoy, and the openai SDK."""

import random
from collections.abc import Iterator
from contextlib import closing

import openai
import pytest

from e2e.cluster.conftest import fresh_name
from e2e.support.control_plane import ControlPlane
from e2e.support.data_plane import ENVOY_MAP
from e2e.support.kubectl import Kubectl
from e2e.support.stand import Stand, placed, running_provider, running_stand
from e2e.support.status import conditions, until_says
from tests.support.gateway import backend, route, rule
from tests.support.sdk import sdk, user
from tests.support.upstreams import Upstream
from tests.support.waiting import until

GOOD = {"Accepted": "True", "ResolvedRefs": "True", "Programmed": "True", "Serving": "True"}


@pytest.fixture(scope="module")
def stand(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with running_stand(control_plane, tmp_path_factory.mktemp("stand"), fresh_name("traffic"), pods=2) as stand:
        yield stand


@pytest.fixture(scope="module")
def one() -> Iterator[Upstream]:
    with running_provider("one") as upstream:
        yield upstream


@pytest.fixture(scope="module")
def two() -> Iterator[Upstream]:
    with running_provider("two") as upstream:
        yield upstream


def test_a_life(stand: Stand, namespace: str, kubectl: Kubectl, one: Upstream, two: Upstream) -> None:
    """Applied, edited in weight and model, robbed of its backends, deleted: traffic and status follow a route."""
    model, api = f"{namespace}-gpt", stand.api
    refs = [{"name": "one", "weight": 1}, {"name": "two", "weight": 0}]
    backends = [backend("one", one.port), backend("two", two.port, "AWSBedrock")]

    kubectl.apply(placed(namespace, [route(rule(model, *refs)), *backends]))
    stand.until_answers(model, 200)
    with closing(sdk(stand.data.base_url)) as client:
        answer = client.chat.completions.create(model=model, messages=user("hi"))
    assert answer.choices[0].message.content == f"one:{model}"
    until_says(api, "LLMRoute", namespace, "route", GOOD)
    until_says(api, "LLMBackend", namespace, "one", GOOD)

    refs = [{"name": "one", "weight": 0}, {"name": "two", "weight": 1}]
    kubectl.apply(placed(namespace, [route(rule(model, *refs))]))
    stand.until_answers(model, 200, f"two:{model}")
    until_says(api, "LLMRoute", namespace, "route", GOOD)

    refs = [{"name": "one", "weight": 1, "modelNameOverride": "gpt-next"}, {"name": "two", "weight": 0}]
    kubectl.apply(placed(namespace, [route(rule(model, *refs))]))
    stand.until_answers(model, 200, "one:gpt-next")

    kubectl("delete", "llmb", "one")
    kubectl("delete", "llmb", "two")
    refused = stand.until_answers(model, 503, "one")
    assert '"one"' in refused.message
    broken = until_says(api, "LLMRoute", namespace, "route", {"Accepted": "True", "ResolvedRefs": "False"})
    resolved = conditions(broken)["ResolvedRefs"]
    assert resolved["reason"] == "BackendNotFound"
    assert 'spec.rules[0].backendRefs[0].name: LLMBackend "one" not found' in resolved["message"]

    kubectl("delete", "llmr", "route")
    stand.until_answers(model, 404)


def test_a_dead_rule_keeps_its_place(stand: Stand, namespace: str, kubectl: Kubectl, one: Upstream) -> None:
    """Traffic of a rule without a usable backend never falls through to a later, broader one."""
    model = f"{namespace}-gpt"
    broad = rule(None, "one", headers={"x-tenant": namespace})
    narrow = {**rule(model, "opnai", headers={"x-tenant": namespace})}
    kubectl.apply(placed(namespace, [route(narrow, broad), backend("one", one.port)]))
    until_says(stand.api, "LLMRoute", namespace, "route", {"Programmed": "True", "Serving": "True"})

    with closing(sdk(stand.data.base_url)) as client:
        headers = {"x-tenant": namespace}
        other = client.chat.completions.create(model="other", messages=user("hi"), extra_headers=headers)
        assert other.choices[0].message.content == "one:other"
        with pytest.raises(openai.InternalServerError) as refused:
            client.chat.completions.create(model=model, messages=user("hi"), extra_headers=headers)
    assert refused.value.status_code == 503
    assert "opnai" in str(refused.value)


def test_remaining_weights_apply(stand: Stand, namespace: str, kubectl: Kubectl, one: Upstream) -> None:
    """An unresolved backend is left out of its rule; the others take all of its traffic."""
    model = f"{namespace}-gpt"
    kubectl.apply(placed(namespace, [route(rule(model, "missing", "one")), backend("one", one.port)]))
    wanted = {"ResolvedRefs": "False", "Programmed": "True", "Serving": "True"}
    until_says(stand.api, "LLMRoute", namespace, "route", wanted)

    assert {stand.ask(model).text for _ in range(20)} == {f"one:{model}"}


def test_bad_objects_hurt_nobody_else(stand: Stand, namespace: str, kubectl: Kubectl, one: Upstream) -> None:
    """What the API server cannot check gets a status that names the field, and the others go on."""
    model = f"{namespace}-gpt"
    bad = rule(None, "one")
    bad["matches"].append({"headers": [{"name": "x-a", "type": "RegularExpression", "value": "(?=a)"}]})
    kubectl.apply(
        placed(namespace, [route(rule(model, "one")), route(bad, name="bad"), backend("one", one.port)]),
    )
    stand.until_answers(model, 200)

    found = until_says(stand.api, "LLMRoute", namespace, "bad", {"Accepted": "False"})
    assert "spec.rules[0].matches[0].headers[0].value" in conditions(found)["Accepted"]["message"]
    until_says(stand.api, "LLMRoute", namespace, "route", GOOD)


def test_users_objects_stay_theirs(stand: Stand, namespace: str, kubectl: Kubectl, one: Upstream) -> None:
    """No finalizer, no annotation, and of the managed fields nothing but ``status`` is the operator's."""
    kubectl.apply(placed(namespace, [route(rule("m", "one")), backend("one", one.port)]))
    for kind, name in (("LLMRoute", "route"), ("LLMBackend", "one")):
        metadata = until_says(stand.api, kind, namespace, name, GOOD)["metadata"]
        assert "finalizers" not in metadata
        assert set(metadata.get("annotations", {})) <= {"kubectl.kubernetes.io/last-applied-configuration"}
        ours = [entry for entry in metadata["managedFields"] if entry["manager"].startswith(("llmroute", "kopf"))]
        assert [(entry["manager"], list(entry["fieldsV1"])) for entry in ours] == [
            ("llmroute-controller", ["f:status"]),
        ]


def test_what_others_add_to_a_status(stand: Stand, namespace: str, kubectl: Kubectl, one: Upstream) -> None:
    """A condition of our types that another field manager has added goes, and one of a type of its own stays."""
    kubectl.apply(placed(namespace, [route(rule("m", "one")), backend("one", one.port)]))
    before = until_says(stand.api, "LLMRoute", namespace, "route", GOOD)
    common = {"status": "True", "reason": "Added", "message": "", "lastTransitionTime": "2026-11-23T00:00:00Z"}
    added = {"conditions": [{"type": "Warnings", **common}, {"type": "Theirs", **common}]}
    place = {"name": "route", "namespace": namespace}
    body = {"apiVersion": before["apiVersion"], "kind": "LLMRoute", "metadata": place, "status": added}
    since = len(stand.operator.asked())

    stand.api.apply(body, "somebody-else", "status")
    # It is looked at with the next pass, or else with the next complete read.
    kubectl.apply(placed(namespace, [route(rule("other", "one"), name="other")]))

    def types() -> set[str]:
        return set(conditions(stand.api.get("LLMRoute", namespace, "route")))

    until(lambda: types() == {*GOOD, "Theirs"}, "the added condition stays")
    writes = [each for each in stand.operator.writes(since) if each.resource == "llmroutes/status"]
    verbs = [each.verb for each in writes if each.name == "route"]
    assert verbs == ["patch", "update"]


def test_an_edit_elsewhere_rewrites_nothing(stand: Stand, namespace: str, kubectl: Kubectl, one: Upstream) -> None:
    """A change of one route leaves every other object's resource version alone, and costs few writes."""
    kubectl.apply(
        placed(namespace, [*(route(rule(f"m{i}", "one"), name=f"r{i}") for i in range(10)), backend("one", one.port)])
    )
    before = {f"r{i}": until_says(stand.api, "LLMRoute", namespace, f"r{i}", GOOD) for i in range(10)}
    since = len(stand.operator.asked())

    kubectl.apply(placed(namespace, [route(rule("edited", "one"), name="r3")]))
    stand.until_answers("edited", 200)
    until_says(stand.api, "LLMRoute", namespace, "r3", GOOD)

    after = {found["metadata"]["name"]: found for found in stand.api.list("LLMRoute", namespace)}
    same = [n for n in before if before[n]["metadata"]["resourceVersion"] == after[n]["metadata"]["resourceVersion"]]
    assert set(before) - set(same) == {"r3"}
    writes = [(each.resource, each.name) for each in stand.operator.writes(since)]
    assert writes.count(("configmaps", "llmroute-extproc")) == 1
    assert {name for resource, name in writes if resource == "llmroutes/status"} == {"r3"}


def test_a_lagging_pod_is_told(stand: Stand, namespace: str, kubectl: Kubectl, one: Upstream) -> None:
    """While one of two pods has the old configuration, Serving is False and names it; afterwards it is True again."""
    late = stand.data.pods[1]
    late.volume.delay_s = 3600
    try:
        kubectl.apply(placed(namespace, [route(rule("m", "one")), backend("one", one.port)]))
        found = until_says(stand.api, "LLMRoute", namespace, "route", {"Programmed": "True", "Serving": "False"})
        message = conditions(found)["Serving"]["message"]
        assert message.startswith("1 of 2 extproc replicas")
        assert late.name in message
    finally:
        late.volume.delay_s = 0
    found = until_says(stand.api, "LLMRoute", namespace, "route", GOOD)
    assert conditions(found)["Serving"]["message"].startswith("2 of 2 extproc replicas")


def test_a_pod_that_cannot_be_asked_is_told(stand: Stand, namespace: str, kubectl: Kubectl, one: Upstream) -> None:
    """A ready pod at whose address nobody answers makes Serving Unknown; once it is gone, Serving is True again."""
    kubectl.apply(placed(namespace, [route(rule("m", "one")), backend("one", one.port)]))
    until_says(stand.api, "LLMRoute", namespace, "route", GOOD)

    stand.kubelet.add_pod("extproc-9", "extproc", "127.0.0.9")
    try:
        found = until_says(stand.api, "LLMRoute", namespace, "route", {"Serving": "Unknown"}, 30)
        assert "extproc-9" in conditions(found)["Serving"]["message"]
    finally:
        stand.kubelet.remove_pod("extproc-9")
    until_says(stand.api, "LLMRoute", namespace, "route", GOOD, 30)


def test_pods_are_told_of_the_revision(stand: Stand, namespace: str, kubectl: Kubectl, one: Upstream) -> None:
    """After a burst the pods of extproc and Envoy carry the revision as an annotation, which makes a kubelet hurry."""
    kubectl.apply(placed(namespace, [route(rule("m", "one")), backend("one", one.port)]))
    until_says(stand.api, "LLMRoute", namespace, "route", GOOD)

    revision = str(stand.config()["revision"])
    pods = ("extproc-0", "extproc-1", "envoy-0")

    def told(what: str = "config-revision") -> list[str | None]:
        return [stand.kubelet.annotations(pod).get(f"llmroute.io/{what}") for pod in pods]

    until(lambda: told() == [revision] * 3, f"not all were told of revision {revision}")

    def version() -> str:
        return str(stand.api.get("ConfigMap", stand.namespace, ENVOY_MAP)["metadata"]["resourceVersion"])

    stand.api.merge("ConfigMap", stand.namespace, ENVOY_MAP, {"data": {"rds.yaml": "{"}})
    edited = version()
    until(lambda: told("envoy-config") == [version()] * 3 and version() != edited, "the put-back was not announced")


def test_events_tell_of_transitions(stand: Stand, namespace: str, kubectl: Kubectl) -> None:
    """A route that breaks gets one Warning, and ``kubectl describe`` shows it."""
    kubectl.apply(placed(namespace, [route(rule("m", "opnai"))]))
    until_says(stand.api, "LLMRoute", namespace, "route", {"ResolvedRefs": "False"})

    until(lambda: stand.api.list("Event", namespace), "no Event")
    until(lambda: "BackendNotFound" in kubectl("describe", "llmr", "route").partition("Events:")[2], "no such Event")
    [event] = [each for each in stand.api.list("Event", namespace) if each["reason"] == "BackendNotFound"]
    assert (event["type"], event.get("count", 1)) == ("Warning", 1)


def test_a_large_configuration_is_packed(stand: Stand, namespace: str, one: Upstream) -> None:
    """Above 512 KiB the file is gzip, which is served as any other; smaller again, it is text again."""
    model = f"{namespace}-m"
    large = [rule(model, "one"), *(rule(f"{i}-{'x' * 4000}", "one") for i in range(127))]
    for document in placed(
        namespace, [backend("one", one.port), *(route(*large, name=f"large-{i}") for i in range(2))]
    ):
        stand.api.apply(document)
    stand.until_answers(model, 200)
    until(lambda: _packed(stand), "it is not packed")
    stand.until_all_serve()
    assert stand.ask(model).status == 200

    stand.api.delete("LLMRoute", namespace, "large-1")
    stand.api.apply(placed(namespace, [route(rule(f"{model}-2", "one"), name="large-0")])[0])
    stand.until_answers(f"{model}-2", 200)
    assert not _packed(stand)


def test_too_large_a_configuration_is_refused(stand: Stand, namespace: str, one: Upstream) -> None:
    """Above what a ConfigMap can hold nothing is written: what was served is served on, and status says by how much."""
    model, noise = f"{namespace}-m", random.Random(1)
    for document in placed(namespace, [backend("one", one.port), route(rule(model, "one"))]):
        stand.api.apply(document)
    stand.until_answers(model, 200)
    for i in range(6):
        rules = [rule(noise.randbytes(2000).hex(), "one") for _ in range(128)]
        stand.api.apply(placed(namespace, [route(*rules, name=f"large-{i}")])[0])

    found = until_says(stand.api, "LLMRoute", namespace, "large-5", {"Programmed": "False"})
    assert conditions(found)["Programmed"]["reason"] == "ConfigTooLarge"
    assert "more than the 1,048,576 that a ConfigMap may hold" in conditions(found)["Programmed"]["message"]
    assert stand.ask(model).status == 200

    for i in range(6):
        stand.api.delete("LLMRoute", namespace, f"large-{i}")
    stand.api.apply(placed(namespace, [route(rule(f"{model}-2", "one"))])[0])
    stand.until_answers(f"{model}-2", 200)


def _packed(stand: Stand) -> bool:
    return "binaryData" in stand.api.get("ConfigMap", stand.namespace, "llmroute-extproc")
