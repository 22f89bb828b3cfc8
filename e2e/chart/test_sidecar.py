"""``extproc.placement: Sidecar``: the same gateway, with extproc in Envoy's pods."""

from e2e.chart.conftest import NewRelease
from e2e.support.release import SMALL, merged, routed
from e2e.support.stand import running_provider
from e2e.support.status import until_says
from tests.support.sdk import sdk, until_listed, user

WRITTEN = {"Accepted": "True", "ResolvedRefs": "True", "Programmed": "True"}


def test_it_answers(new_release: NewRelease) -> None:
    """Over Unix sockets; the operator finds the processors in Envoy's pods, and a change of the route arrives."""
    values = merged(SMALL, {"extproc": {"placement": "Sidecar", "workers": 2}})
    with new_release() as gateway, running_provider("one") as upstream:
        gateway.install(values)
        gateway.until_rolled_out()
        place = gateway.provider(upstream.port)
        gateway.kubectl.apply(routed(place))
        until_says(gateway.api, "LLMRoute", gateway.namespace, "to-one", WRITTEN, 30)
        url = gateway.url()
        gateway.until_served(url, "m")
        with sdk(url) as client:
            until_listed(client, "m")
            answer = client.chat.completions.create(model="m", messages=user("hello"))
            assert answer.choices[0].message.content == "one:m"
            gateway.kubectl.apply(routed(place, model="other"))
            until_listed(client, "other")

        assert {each.component for each in gateway.pods()} == {"operator", "envoy"}
        assert {*gateway.pods("envoy")[0].containers} == {"envoy", "drain", "extproc"}
        assert gateway.refused() == []
