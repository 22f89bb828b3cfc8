"""``gateway.mode: EnvoyGateway``: everything that an Envoy Gateway needs is there, and goes again.

No Envoy Gateway runs here: the test says its words in the statuses, and an Envoy is configured from the objects of the
API server as its translator would do it.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from e2e.chart.conftest import NewRelease, defined
from e2e.support.accounts import make_namespace
from e2e.support.api import Api, Object
from e2e.support.control_plane import ControlPlane
from e2e.support.release import CHART, SMALL, Installed, merged, routed
from e2e.support.stand import ask, placed, running_provider
from e2e.support.status import until_says
from tests.support.envoy_gateway import running_gateway_api
from tests.support.gateway_definitions import definition, needs_definitions
from tests.support.sdk import sdk, until_listed, user
from tests.support.upstreams import Upstream
from tests.support.waiting import until

pytestmark = needs_definitions

KINDS = ("Backend", "HTTPRouteFilter", "HTTPRoute", "EnvoyExtensionPolicy")
_PAGE = CHART.parents[1] / "docs/envoy-gateway.md"
_PARENT = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "eg"}
_HERE = "127.0.0.1"
#: The objects of one route to one backend.
_MADE = 4


@pytest.fixture(scope="module", autouse=True)
def _defined(plane: ControlPlane) -> Iterator[None]:
    """The definitions of Gateway API and Envoy Gateway, for the tests of this file."""
    with defined(plane, [definition(kind) for kind in (*KINDS, "ReferenceGrant")]):
        yield


@contextmanager
def installed(new_release: NewRelease, team: str) -> Iterator[Installed]:
    """In this mode, for all namespaces, with leave for one to send its traffic to extproc; ready when helm says so."""
    mode = {"mode": "EnvoyGateway", "envoyGateway": {"referenceGrant": {"namespaces": [team]}}}
    with new_release() as made:
        made.install(merged(SMALL, {"gateway": mode, "extproc": {"workers": 2}}), CHART, "--wait")
        assert {each.component for each in made.pods() if each.ready} == {"operator", "extproc"}
        yield made


@contextmanager
def a_namespace(api: Api, name: str) -> Iterator[str]:
    """One that comes after the operator, and whose routes go in the end."""
    make_namespace(api, name)
    try:
        yield name
    finally:
        for kind in ("LLMRoute", "LLMBackend"):
            api.delete_all(kind, name)


def apply_route(release: Installed, team: str, upstream: Upstream, name: str = "one", model: str = "m") -> None:
    """A route for the Gateway ``eg``, to an upstream on this machine, where the test's Envoy is."""
    to, backend = routed((_HERE, upstream.port), model, name)
    to["spec"]["parentRefs"] = [{"name": "eg"}]
    release.kubectl.apply(placed(team, [to, backend]))


def made_for(api: Api, team: str) -> list[dict[str, Any]]:
    """What there is for Envoy Gateway in a namespace; references come after what they refer to."""
    return [{"kind": kind, **each} for kind in KINDS for each in api.list(kind, team)]


def accept(api: Api, team: str) -> None:
    """Say as Envoy Gateway that all is fine."""
    for found in made_for(api, team):
        fine = [
            {
                "type": kind,
                "status": "True",
                "reason": kind,
                "message": "",
                "observedGeneration": found["metadata"]["generation"],
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
            for kind in ("Accepted", "ResolvedRefs")
        ]
        entry = {"controllerName": "gateway.envoyproxy.io/gatewayclass-controller", "conditions": fine}
        statuses: Mapping[str, Object] = {
            "HTTPRoute": {"parents": [{"parentRef": _PARENT, **entry}]},
            "EnvoyExtensionPolicy": {"ancestors": [{"ancestorRef": _PARENT, **entry}]},
        }
        if found["kind"] in statuses:
            body = {"status": statuses[found["kind"]]}
            api.merge(found["kind"], team, found["metadata"]["name"], body, "status")


def test_the_routes_are_served(new_release: NewRelease, tmp_path: Path) -> None:
    """In a namespace that came later: by extproc's pods, as the policy names them and the grant lets it; then no more.

    ``helm test`` finds the pods, nothing is refused to the operator, and what it makes is deleted when the chart goes
    back to its own Envoy, which serves the same routes.
    """
    with installed(new_release, "team-g") as release, a_namespace(release.api, "team-g") as team:
        api = release.api
        with running_provider("one") as upstream:
            apply_route(release, team, upstream)
            until(lambda: len(made_for(api, team)) == _MADE, "not made", 30)
            accept(api, team)
            until_says(api, "LLMRoute", team, "to-one", {"Programmed": "True", "Serving": "True"}, 30)
            assert answered(release, team, tmp_path) == "one:m"
        assert "Succeeded" in release.helm("test", release.name)
        [log] = release.host.folder.glob(f"{release.namespace}_{release.name}-test_*/ready.log")
        assert log.read_text() == "1 pods of extproc are ready\n"
        assert release.refused() == []

        release.upgrade(merged(SMALL, {"gateway": {"envoyGateway": {"keepRights": True}}}), CHART, "--wait")
        until(lambda: made_for(api, team) == [], "what was made stays", 60)
        with running_provider("two") as upstream:
            release.kubectl.apply(placed(team, routed(release.provider(upstream.port))))
            url = release.url()
            release.until_served(url, "m")
            with sdk(url) as client:
                answer = client.chat.completions.create(model="m", messages=user("hello"))
            assert answer.choices[0].message.content == "two:m"


def answered(release: Installed, team: str, folder: Path) -> str | None:
    """What the openai SDK is told through an Envoy that follows the objects, to extproc's pods by their Service."""
    found = made_for(release.api, team)
    [policy] = [each for each in found if each["kind"] == "EnvoyExtensionPolicy"]
    workers = policy["spec"]["extProc"][0]["backendRefs"]
    [grant] = release.api.list("ReferenceGrant", release.namespace)
    kinds = {"group": "gateway.envoyproxy.io", "kind": "EnvoyExtensionPolicy", "namespace": team}
    assert grant["spec"]["from"] == [kinds]
    assert {(each["name"], each["namespace"]) for each in workers} == {
        (each["name"], release.namespace) for each in grant["spec"]["to"]
    }
    network = release.host.network
    paths = [network.open_path(each["namespace"], each["name"], each["port"]) for each in workers]
    assert len(paths) == 2
    with (
        running_gateway_api(folder, found, paths) as envoy,
        sdk(f"http://{_HERE}:{envoy.port}") as client,
    ):
        until(lambda: ask(envoy.port, "m").status == 200, "it is not served")
        until_listed(client, "m")
        return client.chat.completions.create(model="m", messages=user("hello")).choices[0].message.content


def test_what_stays_after_uninstall(new_release: NewRelease) -> None:
    """The user's objects, and what was made of them: that goes with its route, or with the page's command."""
    with installed(new_release, "team-u") as release, a_namespace(release.api, "team-u") as team:
        api, before = release.api, release.left(team)
        with running_provider("one") as upstream:
            apply_route(release, team, upstream)
            apply_route(release, team, upstream, "two", "other")
            until(lambda: len(made_for(api, team)) == 2 * _MADE, "not made", 30)
        [command] = re.findall(r"^kubectl (delete httproutes,\S+ .*)$", _PAGE.read_text(), re.MULTILINE)

        assert release.uninstall().code == 0
        release.until_gone()
        until(lambda: release.left() == set(), f"left: {release.left()}", 45)
        owners = {each["metadata"]["ownerReferences"][0]["name"] for each in made_for(api, team)}
        assert owners == {"to-one", "one", "to-two", "two"}
        for kind, name in (("LLMRoute", "to-one"), ("LLMBackend", "one")):
            api.delete(kind, team, name)
        until(lambda: len(made_for(api, team)) == _MADE, "what was made of a route outlives it", 60)
        release.kubectl(*command.replace("llmroute-system", release.namespace).split())
        assert release.left(team) - before == {
            "llmroute.aigateway.envoyproxy.io/to-two",
            "llmbackend.aigateway.envoyproxy.io/two",
        }
