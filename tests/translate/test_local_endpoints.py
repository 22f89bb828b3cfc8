"""Backends at addresses of Envoy's own machine, where strangers may write backends."""

import pytest

from controller.api.reasons import Reason
from controller.translate import Settings, Snapshot, translate
from controller.translate.upstreams import is_local
from tests.support.api_objects import backend, route, rule

LOCAL = [
    "127.0.0.1",
    "127.8.9.10",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "0.0.0.0",
    "::",
    "169.254.169.254",
    "fe80::1",
    "fd00:ec2::254",
    "168.63.129.16",
    "localhost",
    "foo.localhost",
    "metadata.google.internal",
    "metadata.goog",
    "instance-data",
    "instance-data.ec2.internal",
    "localhost.localdomain",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a9fe:a9fe",
    "::127.0.0.1",
    "2002:7f00:1::1",
    "2002:a9fe:a9fe::",
]
ELSEWHERE = [
    "api.openai.com",
    "10.0.0.1",
    "192.168.1.1",
    "2001:db8::1",
    "fd00::1",
    "64:ff9b::808:808",
    "2002:808:808::1",
    "localhost.example.com",
]


@pytest.mark.parametrize("host", LOCAL)
def test_an_address_of_envoys_own_machine_is_refused(host: str) -> None:
    """Nothing of the backend is configured, and its status says why; its route refuses."""
    objects = [route(rule("a", "openai")), backend(endpoint={"hostname": host, "port": 80})]
    made = translate(Snapshot.of(objects, Settings(local_endpoints=False)))

    [finding] = [one for one in made.findings if one.reason is Reason.TARGET_NOT_PERMITTED]
    assert finding.path == "spec.endpoint.hostname"
    assert made.config.backends == ()
    assert made.config.rules[0].refusal is not None
    assert translate(Snapshot.of(objects)).config.backends != ()


def test_names_are_the_same_in_capitals_and_with_a_dot() -> None:
    """As objects of other people's kinds may have them."""
    assert is_local("Metadata.Google.Internal.")


@pytest.mark.parametrize("host", ELSEWHERE)
def test_what_is_in_the_network_may_be_a_backend(host: str) -> None:
    """Private addresses are where one's own model servers are."""
    assert not is_local(host)


def test_neither_may_the_proxy_be_there() -> None:
    """A tunnel to it is as good as a connection."""
    endpoint = {"hostname": "api.openai.com", "proxy": {"hostname": "127.0.0.1", "port": 9901}}
    made = translate(Snapshot.of([backend(endpoint=endpoint)], Settings(local_endpoints=False)))

    assert [one.path for one in made.findings if one.reason is Reason.TARGET_NOT_PERMITTED] == [
        "spec.endpoint.proxy.hostname"
    ]


def test_neither_may_a_key_set_be_there() -> None:
    """Envoy would ask for it, whoever wrote the route."""
    asking = route(rule("a", "openai"))
    tokens = {"issuer": "https://a.example.com", "audiences": ["b"], "jwksURI": "http://localhost:9901/keys"}
    asking["spec"]["clientAuth"] = {"jwt": tokens}
    made = translate(Snapshot.of([asking, backend()], Settings(local_endpoints=False)))

    assert [one.path for one in made.findings if one.reason is Reason.TARGET_NOT_PERMITTED] == [
        "spec.clientAuth.jwt.jwksURI"
    ]
    assert all(one.refusal is not None for one in made.config.rules)


def test_a_gateway_backend_is_looked_at_as_well() -> None:
    """The address is in another object then, which the same people may write."""
    target = {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "Backend",
        "metadata": {"name": "imds", "namespace": "team-a"},
        "spec": {"endpoints": [{"ip": {"address": "169.254.169.254", "port": 80}}]},
    }
    ref = {"group": "gateway.envoyproxy.io", "kind": "Backend", "name": "imds"}
    made = translate(Snapshot.of([backend(backendRef=ref), target], Settings(local_endpoints=False)))

    [finding] = [one for one in made.findings if one.reason is Reason.TARGET_NOT_PERMITTED]
    assert finding.path == "spec.backendRef.name"
