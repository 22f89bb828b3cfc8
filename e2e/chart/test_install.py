"""``helm install`` with the chart's own values: the whole gateway answers, under no more rights than it needs."""

from collections.abc import Iterator

import pytest

from e2e.chart.conftest import NewRelease
from e2e.support.accounts import make_namespace
from e2e.support.release import Installed, routed
from e2e.support.stand import placed, running_provider
from e2e.support.status import until_says
from tests.support.sdk import sdk, until_listed, user

WRITTEN = {"Accepted": "True", "ResolvedRefs": "True", "Programmed": "True"}
COMPONENTS = ("operator", "extproc", "envoy")


@pytest.fixture(scope="module")
def gateway(new_release: NewRelease) -> Iterator[Installed]:
    """Installed, rolled out."""
    with new_release() as made:
        made.install({"envoy": {"drain": {"minSeconds": 1}}})
        made.until_rolled_out()
        yield made


@pytest.fixture(scope="module")
def url(gateway: Installed) -> Iterator[str]:
    """Of a gateway with one model, ``m``."""
    with running_provider("one") as upstream:
        gateway.kubectl.apply(routed(gateway.provider(upstream.port)))
        until_says(gateway.api, "LLMRoute", gateway.namespace, "to-one", WRITTEN, 30)
        found = gateway.url()
        gateway.until_served(found, "m")
        yield found


def test_the_openai_sdk_is_answered(gateway: Installed, url: str) -> None:
    """A route that kubectl applied is served by the Service, and the gateway lists its model."""
    with sdk(url) as client:
        until_listed(client, "m")
        answer = client.chat.completions.create(model="m", messages=user("hello"))
    assert answer.choices[0].message.content == "one:m"
    assert {each.component for each in gateway.pods()} == set(COMPONENTS)


def test_helm_test(gateway: Installed, url: str) -> None:
    """The chart's own test asks the Service, by its name, and finds the model."""
    assert url
    assert "Succeeded" in gateway.helm("test", gateway.name)
    [log] = gateway.host.folder.glob(f"{gateway.namespace}_{gateway.name}-test_*/models.log")
    assert log.read_text() == "1 models: m\n"


def test_a_namespace_that_comes_later_is_served(gateway: Installed, url: str) -> None:
    """The chart's own scope is the whole cluster: routes of any namespace, from when they come until they go."""
    name = f"{gateway.namespace}-later"
    make_namespace(gateway.api, name)
    with running_provider("late") as upstream, sdk(url) as client:
        documents = placed(name, routed(gateway.provider(upstream.port), "late-model", "late"))
        gateway.kubectl.apply(documents)
        try:
            until_says(gateway.api, "LLMRoute", name, "to-late", {**WRITTEN, "Serving": "True"}, 30)
            gateway.until_served(url, "late-model")
            answer = client.chat.completions.create(model="late-model", messages=user("hello"))
            assert answer.choices[0].message.content == "late:late-model"
        finally:
            for kind in ("LLMRoute", "LLMBackend"):
                gateway.api.delete_all(kind, name)
        until_listed(client, "m")


def test_nothing_is_refused(gateway: Installed, url: str) -> None:
    """The operator may do all that it tries to do."""
    assert gateway.refused() == []
    assert gateway.asked() != []
    assert url


@pytest.mark.parametrize("component", ["extproc", "envoy"])
def test_what_serves_has_no_token(gateway: Installed, component: str) -> None:
    """Neither extproc nor Envoy could ask the API server for anything."""
    for pod in gateway.pods(component):
        for container in pod.containers.values():
            assert container.execute("/bin/ls", "/var/run/secrets/kubernetes.io").code != 0


@pytest.mark.parametrize("component", COMPONENTS)
def test_privileges_are_given_away(gateway: Installed, component: str) -> None:
    """What runs has no capability and can get none, and writes nothing into its image."""
    for pod in gateway.pods(component):
        for container in pod.containers.values():
            status = container.execute("/bin/cat", f"/proc/{container.pid}/status").out
            fields = dict(line.split(":\t", 1) for line in status.splitlines())
            none = "0" * 16
            wanted = {"CapInh": none, "CapPrm": none, "CapEff": none, "CapBnd": none, "CapAmb": none, "NoNewPrivs": "1"}
            assert {name: fields[name] for name in wanted} == wanted
            assert container.execute("/usr/bin/touch", "/here").code != 0


def test_the_same_again_changes_nothing(gateway: Installed) -> None:
    """``helm upgrade`` with the same values restarts no pod."""
    before = {each.uid for each in gateway.pods()}
    generations = {each["metadata"]["name"]: each["metadata"]["generation"] for each in gateway.deployments()}
    gateway.upgrade({"envoy": {"drain": {"minSeconds": 1}}})
    gateway.until_rolled_out()
    assert {each["metadata"]["name"]: each["metadata"]["generation"] for each in gateway.deployments()} == generations
    assert {each.uid for each in gateway.pods()} == before
