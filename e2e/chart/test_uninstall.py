"""``helm uninstall``: what is left is what the user made, and the definitions of it."""

import pytest

from e2e.chart.conftest import NewRelease
from e2e.conftest import Tell
from e2e.support.helm import HELM_4, RELEASES, Release
from e2e.support.release import SMALL, routed
from e2e.support.stand import running_provider
from e2e.support.status import until_says
from tests.support.sdk import sdk, user
from tests.support.waiting import until

WRITTEN = {"Accepted": "True", "ResolvedRefs": "True", "Programmed": "True"}


@pytest.mark.parametrize("version", RELEASES, ids=lambda release: f"helm {release.version}")
def test_nothing_stays(new_release: NewRelease, tell: Tell, version: Release) -> None:
    """Pods, Leases and all that the operator made go; routes, backends and definitions stay, and serve once more."""
    with new_release(version) as gateway, running_provider("one") as upstream:
        gateway.install(SMALL)
        routes = routed(gateway.provider(upstream.port))
        gateway.until_rolled_out()
        gateway.kubectl.apply(routes)
        until_says(gateway.api, "LLMRoute", gateway.namespace, "to-one", WRITTEN, 30)
        made = gateway.left()
        url = gateway.url()
        gateway.until_served(url, "m")
        with sdk(url) as client:
            assert client.chat.completions.create(model="m", messages=user("hi")).choices[0].message.content == "one:m"

        assert gateway.uninstall().code == 0
        gateway.until_gone()
        ours = {"llmroute.aigateway.envoyproxy.io/to-one", "llmbackend.aigateway.envoyproxy.io/one"}
        until(lambda: gateway.left() == ours, f"left: {gateway.left() - ours}", 45)
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
