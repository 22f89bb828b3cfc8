"""How pods come and go, and what they are allowed to be."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from controller.translate.envoy.documents import address, extension
from e2e.support.helm import Helm
from e2e.support.pod_dns import Dns, Lookup
from tests.support.background import held_open
from tests.support.chart import RELEASE, chart_envoy, envoy_files, mount_config, one, rendered
from tests.support.chart_values import Values
from tests.support.waiting import until

_DEPLOYMENT = f"{RELEASE}-extproc"
_TOTAL = "cluster.llmroute-extproc.membership_total"


@pytest.mark.envoy
def test_a_new_pod_is_found_whatever_the_dns_says_of_time(helm: Helm, tmp_path: Path) -> None:
    """Within seconds, though the DNS lets every answer be kept for 30 s; else nobody would be there to take over."""
    mount_config(tmp_path, 9)
    files = envoy_files(rendered(helm, values={"extproc": {"workers": 1}}))
    addresses = ["127.0.0.2"]
    asked = set[str]()

    def lookup(name: str) -> list[str]:
        asked.add(name)
        return list(addresses)

    with _dns(lookup) as port:
        cluster = files["envoy.yaml"]["static_resources"]["clusters"][0]
        # As text: a port that is a number is moved to loopback, and with it the host that is to be looked up.
        [worker] = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
        worker["endpoint"]["address"]["socket_address"]["port_value"] = "1063"
        cluster["cluster_type"]["typed_config"]["typed_dns_resolver_config"] = _resolver(port)
        with chart_envoy(files, tmp_path) as envoy:

            def members() -> int:
                text = envoy.ask(envoy.ports.admin, f"/stats?filter=^{_TOTAL}$")[2].decode()
                return int(text.rpartition(": ")[2])

            until(lambda: members() == 1, "not found")
            addresses.append("127.0.0.3")
            until(lambda: members() == 2, "the new one is not found", 5)

    assert asked == {"llmroute-extproc.llmroute-system.svc.cluster.local"}


@pytest.mark.parametrize(
    ("seconds", "hook"),
    [(35, {"exec": {"command": ["python", "-c", "import time; time.sleep(35)"]}}), (0, None)],
)
def test_pods_wait_until_everybody_knows_them(helm: Helm, seconds: int, hook: dict[str, Any] | None) -> None:
    """Longer than a DNS may keep an answer: a new one before an old one goes, and a leaving one before it says so."""
    spec = one(rendered(helm, values={"extproc": {"discoverySeconds": seconds}}), "Deployment", _DEPLOYMENT)["spec"]
    [container] = spec["template"]["spec"]["containers"]

    assert spec["minReadySeconds"] == seconds
    assert container.get("lifecycle", {}).get("preStop") == hook
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] == seconds + 313


@pytest.mark.parametrize(
    ("memory", "heap"),
    [
        ("2Gi", 1825361100),
        ("512Mi", 456340275),
        ("1.5Gi", 1369020825),
        ("1G", 850000000),
        (1000000000, 850000000),
        ("100000000", 85000000),
        (None, None),
    ],
)
def test_envoy_knows_how_much_memory_it_has(helm: Helm, memory: str | int | None, heap: int | None) -> None:
    """Of whatever limit there is it takes a part, and refuses requests before it is killed."""
    overload = envoy_files(rendered(helm, values={"envoy": {"resources": {"limits": {"memory": memory}}}}))[
        "envoy.yaml"
    ]["overload_manager"]
    limits = [
        monitor["typed_config"]["max_heap_size_bytes"]
        for monitor in overload["resource_monitors"]
        if "heap" in monitor["name"]
    ]

    assert limits == ([heap] if heap else [])
    assert [action["name"].rpartition(".")[2] for action in overload.get("actions", ())] == (
        ["shrink_heap", "stop_accepting_requests", "reset_high_memory_stream"] if heap else []
    )


@pytest.mark.envoy
def test_an_envoy_without_room_refuses_and_is_ready(helm: Helm, tmp_path: Path) -> None:
    """Clients get a 503 at once, and the kubelet's probe its answer."""
    mount_config(tmp_path, 9)
    files = envoy_files(rendered(helm, values={"envoy": {"resources": {"limits": {"memory": "1Mi"}}}}))
    with chart_envoy(files, tmp_path) as envoy:
        until(lambda: b"overload" in envoy.ask(envoy.ports.http, "/v1/models")[2], "it takes requests")

        assert envoy.ask(envoy.ports.http, "/v1/models")[0] == 503
        assert envoy.is_ready()


@pytest.mark.parametrize("placement", ["Deployment", "Sidecar"])
def test_envoy_is_not_ready_before_it_can_leave(helm: Helm, placement: str) -> None:
    """What sees to its way out has to listen, or a pod that goes early would take its requests along."""
    envoy = one(rendered(helm, values={"extproc": {"placement": placement}}), "Deployment", f"{RELEASE}-envoy")
    containers = {each["name"]: each for each in envoy["spec"]["template"]["spec"]["containers"]}
    [port] = containers["drain"]["ports"]
    hook = containers["envoy"]["lifecycle"]["preStop"]["httpGet"]

    assert containers["drain"]["startupProbe"]["tcpSocket"] == {"port": port["name"]}
    assert hook["port"] == port["containerPort"]


def test_the_placement_can_be_changed_in_two_steps(helm: Helm) -> None:
    """With both there are sidecars, and the pods that Envoys of the other placement send their requests to."""
    one_way, both = (
        rendered(helm, values={"extproc": {"placement": "Sidecar", "keepDeployment": keep}}) for keep in (False, True)
    )
    [alone] = one(both, "Deployment", _DEPLOYMENT)["spec"]["template"]["spec"]["containers"]
    beside = one(both, "Deployment", f"{RELEASE}-envoy")["spec"]["template"]["spec"]["containers"]

    assert _DEPLOYMENT not in {each["metadata"]["name"] for each in one_way if each["kind"] == "Deployment"}
    assert [each["name"] for each in beside] == ["envoy", "drain", "extproc"]
    assert "--listen=0.0.0.0:1063" in alone["args"]
    assert one(both, "Service", _DEPLOYMENT)["spec"]["clusterIP"] == "None"
    assert one(both, "NetworkPolicy", _DEPLOYMENT)


def test_a_platform_may_choose_the_user(helm: Helm) -> None:
    """A null takes away what the chart says, and what is said besides stays."""
    values: Values = {"podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}}
    pods = [each["spec"]["template"]["spec"] for each in rendered(helm, values=values) if each["kind"] == "Deployment"]

    assert [sorted(pod["securityContext"]) for pod in pods] == [
        ["fsGroupChangePolicy", "runAsNonRoot", "seccompProfile"]
    ] * 3


def test_services_have_the_families_that_are_asked_for(helm: Helm) -> None:
    """All of them, and nothing is said unless it is asked for."""
    asked: Values = {"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6", "IPv4"]}
    for values, policy in ((asked, "RequireDualStack"), ({}, None)):
        services = [each["spec"] for each in rendered(helm, values=values) if each["kind"] == "Service"]

        assert [each.get("ipFamilyPolicy") for each in services] == [policy] * 2
        assert [each.get("ipFamilies") for each in services] == [values.get("ipFamilies")] * 2


@pytest.mark.parametrize("mode", ["Bundled", "EnvoyGateway"])
def test_the_test_is_python(helm: Helm, mode: str) -> None:
    """What ``helm test`` runs compiles, whatever is tested."""
    pod = one(rendered(helm, values={"gateway": {"mode": mode}}), "Pod", f"{RELEASE}-test")
    [container] = pod["spec"]["containers"]

    compile(container["args"][0], "test", "exec")
    assert len(container["args"]) == 2


@contextmanager
def _dns(lookup: Lookup) -> Iterator[int]:
    """A DNS server that answers from ``lookup``; its port."""

    @asynccontextmanager
    async def serving() -> AsyncIterator[int]:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: Dns(lookup), local_addr=("127.0.0.1", 0)
        )
        yield int(transport.get_extra_info("sockname")[1])
        transport.close()

    with held_open(serving()) as port:
        yield port


def _resolver(port: int) -> dict[str, Any]:
    return extension(
        "envoy.network.dns_resolver.cares",
        "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
        resolvers=[address("127.0.0.1", port)],
    )
