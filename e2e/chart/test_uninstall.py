"""``helm uninstall``: what is left is what the user made, and the definitions of it."""

import pytest

from e2e.chart.conftest import NewRelease
from e2e.conftest import Tell
from e2e.support.helm import HELM_4, RELEASES, Release
from e2e.support.release import SMALL, Installed, routed
from e2e.support.stand import running_provider
from e2e.support.status import until_says
from tests.support.sdk import sdk, user
from tests.support.waiting import until

WRITTEN = {"Accepted": "True", "ResolvedRefs": "True", "Programmed": "True"}
#: What a namespace has from Kubernetes itself, and what tells of the past.
_KUBERNETES = (
    "configmap/kube-root-ca.crt",
    "serviceaccount/default",
    "secret/default-token-",
    "event/",
    "event.events",
)


def left(release: Installed) -> set[str]:
    """All objects of the namespace that somebody made, as ``kind/name``, and of the release elsewhere."""
    kinds = release.kubectl("api-resources", "--namespaced", "--verbs=list", "--output=name").split()
    listed = release.kubectl("get", ",".join(kinds), "--output=name", "--ignore-not-found").split()
    everywhere = "clusterroles,clusterrolebindings,roles,rolebindings"
    label = f"app.kubernetes.io/instance={release.name}"
    listed += release.kubectl("get", everywhere, "--all-namespaces", f"--selector={label}", "--output=name").split()
    return {each for each in listed if not each.startswith(_KUBERNETES)}


@pytest.mark.parametrize("version", RELEASES, ids=lambda release: f"helm {release.version}")
def test_nothing_stays(new_release: NewRelease, tell: Tell, version: Release) -> None:
    """Pods, Leases and all that the operator made go; routes, backends and definitions stay, and serve once more."""
    with new_release(version) as gateway, running_provider("one") as upstream:
        gateway.install(SMALL)
        routes = routed(gateway.provider(upstream.port))
        gateway.until_rolled_out()
        gateway.kubectl.apply(routes)
        until_says(gateway.api, "LLMRoute", gateway.namespace, "to-one", WRITTEN, 30)
        made = left(gateway)
        url = gateway.url()
        gateway.until_served(url, "m")
        with sdk(url) as client:
            assert client.chat.completions.create(model="m", messages=user("hi")).choices[0].message.content == "one:m"

        assert gateway.uninstall().code == 0
        gateway.until_gone()
        ours = {"llmroute.aigateway.envoyproxy.io/to-one", "llmbackend.aigateway.envoyproxy.io/one"}
        until(lambda: left(gateway) == ours, f"left: {left(gateway) - ours}", 45)
        assert gateway.kubectl("get", "crds", "--output=name").count("aigateway.envoyproxy.io") == 2

        if version is HELM_4:
            gateway.install(SMALL)
            gateway.until_rolled_out()
            url = gateway.url()
            gateway.until_served(url, "m")
            with sdk(url) as client:
                assert (
                    client.chat.completions.create(model="m", messages=user("hi")).choices[0].message.content == "one:m"
                )
    tell(objects_at_work=len(made), left=len(ours))
