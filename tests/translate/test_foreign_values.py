"""Values that Envoy would refuse, with everybody else's routes and clusters."""

from typing import Any

import pytest

from controller.api import GROUP, Reason, Severity
from controller.translate import Snapshot, translate
from tests.support.api_objects import API_VERSION, backend, route, rule

GOOD = (route(rule("gpt", "openai")), backend())
FQDN = {"fqdn": {"hostname": "a.example.com", "port": 443}}


def _foreign(**spec: Any) -> list[dict[str, Any]]:
    """An LLMBackend and the Backend of Envoy Gateway that it refers to."""
    metadata = {"name": "up", "namespace": "team-a"}
    ref = {"group": "gateway.envoyproxy.io", "kind": "Backend", "name": "up"}
    target = {"apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "Backend", "metadata": metadata, "spec": spec}
    return [backend("to-up", backendRef=ref), target]


def _ip(address: Any, port: Any) -> dict[str, Any]:
    return {"endpoints": [{"ip": {"address": address, "port": port}}]}


def _name(hostname: Any, port: Any = 443) -> dict[str, Any]:
    return {"endpoints": [{"fqdn": {"hostname": hostname, "port": port}}]}


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        *(
            (_ip("10.0.0.1", port), "spec.endpoints[0].ip.port")
            for port in (0, -1, 65536, 70000, True, "80", 1.5, None)
        ),
        *((_ip(host, 80), "spec.endpoints[0].ip.address") for host in ("", "a.b", "10.0.0.1\n", "fe80::1%e", 1, None)),
        *(
            (_name(host), "spec.endpoints[0].fqdn.hostname")
            for host in ("", "a\n", "A.example.com", "a b", "a..b", "http://a", "a" * 254, ["a"], None)
        ),
        ({"endpoints": [FQDN, {"fqdn": "a.example.com"}]}, "spec.endpoints[1].fqdn.hostname"),
        *(({"endpoints": [FQDN], "tls": {"sni": sni}}, "spec.tls.sni") for sni in ("", "a\n", "a" * 256, 5)),
        ({"endpoints": [FQDN], "tls": True}, "spec.tls"),
    ],
)
def test_a_foreign_value_that_envoy_would_refuse_costs_its_own_backend(spec: dict[str, Any], field: str) -> None:
    """The reason is TargetUnusable with the field in it, and Envoy's files are as if the object were not there."""
    without, result = translate(Snapshot.of(GOOD)), translate(Snapshot.of([*GOOD, *_foreign(**spec)]))

    finding = next(f for f in result.findings if f.reason is Reason.TARGET_UNUSABLE)
    assert f" {field} must be " in finding.message
    assert (result.envoy, result.config) == (without.envoy, without.config)


@pytest.mark.parametrize(
    ("spec", "target"),
    [
        (_ip("2001:db8::1", 65535), "[2001:db8::1]:65535"),
        (_name("a.example.com", 1), "a.example.com:1"),
        ({"endpoints": [FQDN], "tls": {"sni": None}}, "a.example.com:443"),
    ],
)
def test_a_foreign_value_at_its_limit_is_used(spec: dict[str, Any], target: str) -> None:
    """Nothing that Envoy takes is refused."""
    statuses = translate(Snapshot.of(_foreign(**spec))).statuses

    assert [status.fields for status in statuses] == [{"target": target}]


@pytest.mark.parametrize("name", ["vllm\n", "vllm\nx", "VLLM", "v llm", "a.b", "a" * 64, "-a", "a/b"])
def test_a_service_with_an_odd_name_costs_its_own_backend(name: str) -> None:
    """It ends in a Host header and an address; a YAML block scalar has a line break at its end."""
    odd = backend("odd", backendRef={"name": name, "port": 8000})
    without, result = translate(Snapshot.of(GOOD)), translate(Snapshot.of([*GOOD, odd]))

    assert [(f.path, f.reason) for f in result.findings] == [("spec.backendRef.name", Reason.INVALID)]
    assert (result.envoy, result.config) == (without.envoy, without.config)


@pytest.mark.parametrize(
    ("kind", "meant"),
    [("LLMRoutes", "LLMRoute"), ("LLMroute", "LLMRoute"), ("LLMBackends", "LLMBackend"), ("LLMBakend", "LLMBackend")],
)
def test_a_misspelt_kind_of_our_group_is_an_error(kind: str, meant: str) -> None:
    """It would be served nowhere, and its owner would wait for it."""
    (finding,) = Snapshot.of([{**GOOD[0], "kind": kind}]).findings

    assert finding.severity is Severity.ERROR
    assert finding.message.endswith(f'; did you mean "{meant}"?')


@pytest.mark.parametrize(
    "kind",
    ["AIGatewayRoute", "AIServiceBackend", "BackendSecurityPolicy", "GatewayConfig", "MCPRoute", "QuotaPolicy"],
)
def test_the_kinds_of_the_original_are_only_mentioned(kind: str) -> None:
    """They share our group and are read by somebody else."""
    assert API_VERSION.startswith(GROUP)
    assert [f.severity for f in Snapshot.of([{**GOOD[0], "kind": kind}]).findings] == [Severity.WARNING]


def test_an_empty_document_is_nothing() -> None:
    """YAML gives None for what stands between two separators."""
    assert Snapshot.of([None, *GOOD, None]) == Snapshot.of(GOOD)
