"""Single decisions of the translation that deserve a sentence of their own."""

import json
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from controller.api import Reason
from controller.api.crds import definitions
from controller.translate import ProxySettings, Settings, Snapshot, bootstrap, listener, translate
from controller.translate.envoy.local_replies import DIALECTS, FAILURES
from controller.translate.grants import Grant, permits, read_grants
from extproc.config.names import BACKEND_HEADER, CLIENT_DIALECTS, METADATA_KEYS, MODEL_HEADERS
from extproc.routing.route import RouteCompiler
from tests.support.api_objects import backend, route, rule
from tests.support.translate_cases import CASES, snapshot

PROXY = ProxySettings(extproc=("unix:///run/p.0",), lds="/e/lds.json", rds="/e/rds.json", cds="/e/cds.json")


def _clusters(*objects: dict[str, Any]) -> dict[str, dict[str, Any]]:
    envoy = translate(Snapshot.of(objects)).envoy
    return {cluster["alt_stat_name"]: cluster for cluster in envoy.cds["resources"]}


def _reasons(*objects: dict[str, Any]) -> list[Reason]:
    return [finding.reason for finding in translate(Snapshot.of(objects)).findings]


def test_a_rule_without_usable_backends_keeps_its_place() -> None:
    """It refuses by itself, so that the catch-all behind it does not take what was meant for another provider."""
    catch_all = {"backendRefs": [{"name": "openai"}]}
    config = translate(Snapshot.of([route(rule("a", "missing"), catch_all), backend()])).config

    assert [bool(rule.refusal) for rule in config.rules] == [True, False]
    assert config.rules[0].refusal == 'none of its backends can be used: "missing"'
    assert config.rules[0].backends == ()


def test_the_part_that_cannot_be_resolved_is_left_to_the_others() -> None:
    """The weights of the backends that are there are kept as they are."""
    refs = [{"name": "openai", "weight": 3}, {"name": "missing", "weight": 7}]
    config = translate(Snapshot.of([route({"backendRefs": refs}), backend()])).config

    assert [(choice.name, choice.weight) for choice in config.rules[0].backends] == [("team-a/openai", 3)]


def test_a_refusal_says_the_same_whatever_else_there_is() -> None:
    """A guess at the name stands in the status and not in the configuration, where it would change with others."""
    routes = [route(rule("a", "opnai"))]
    lonely, near = (translate(Snapshot.of([*routes, *more])) for more in ([], [backend()]))

    assert lonely.config.rules == near.config.rules
    assert "did you mean" in near.statuses[-1].conditions[1].message


@pytest.mark.parametrize(
    ("earlier", "later", "shadowed"),
    [
        ({"rules": ["a"]}, {"rules": ["a"]}, True),
        ({"rules": ["a"]}, {"rules": ["b"]}, False),
        ({"rules": ["a"], "hostnames": ["x.example.com"]}, {"rules": ["a"]}, False),
        ({"rules": ["a"]}, {"rules": ["a"], "hostnames": ["x.example.com"]}, False),
        ({"rules": ["a"], "hostnames": ["x.com", "y.com"]}, {"rules": ["a"], "hostnames": ["y.com"]}, True),
        ({"rules": ["a"], "hostnames": ["y.com"]}, {"rules": ["a"], "hostnames": ["x.com", "y.com"]}, False),
        ({"rules": ["a"], "inputSchema": {"schema": "OpenAI"}}, {"rules": ["a"]}, False),
        ({"rules": ["a"]}, {"rules": ["a"], "inputSchema": {"schema": "OpenAI"}}, True),
    ],
)
def test_a_rule_is_shadowed_only_when_nothing_is_left_for_it(
    earlier: dict[str, Any], later: dict[str, Any], *, shadowed: bool
) -> None:
    """Same match, same hosts, all of its clients: less than that is no shadow."""
    objects = [backend()]
    for name, spec in (("a-first", earlier), ("b-second", later)):
        rules = [rule(model, "openai") for model in spec["rules"]]
        objects.append(route(*rules, name=name, **{key: value for key, value in spec.items() if key != "rules"}))

    assert (Reason.SHADOWED_RULE in _reasons(*objects)) is shadowed


def test_more_conditions_are_never_shadowed_by_fewer() -> None:
    """A catch-all in an older route takes nothing from a match on a model, which is more specific."""
    catch_all = route({"backendRefs": [{"name": "openai"}]}, name="a-first")

    assert _reasons(catch_all, route(rule("gpt", "openai"), name="b"), backend()) == []


def test_each_key_of_the_routes_is_there_once() -> None:
    """A thousand rules with one limit on one backend are one route beside the plain one."""
    rules = [rule(f"m{i}", "openai", timeouts={"request": "1m"}) for i in range(100)]
    routes = [route(*rules, name=f"r{i}") for i in range(10)]
    envoy = translate(Snapshot.of([*routes, backend()])).envoy

    host = envoy.rds["resources"][0]["virtual_hosts"][0]
    names = [r["name"].partition("@")[0] for r in host["routes"]]
    assert names == ["team-a/openai;timeout=60s", "team-a/openai"]
    assert [r["route"]["timeout"] for r in host["routes"]] == ["60s", "0s"]


def test_a_limit_longer_than_the_idle_timeout_is_not_cut_by_it() -> None:
    """Somebody who allows an hour gets an hour, also of silence."""
    objects = [route(rule("a", "openai", timeouts={"request": "1h"})), backend()]
    envoy = translate(Snapshot.of(objects, Settings(idle_timeout_s=60))).envoy

    routes = envoy.rds["resources"][0]["virtual_hosts"][0]["routes"]
    assert [r["route"]["idle_timeout"] for r in routes] == ["3600s", "60s"]


_PLACE = {"hostname": "api.example.com", "port": 443}
_GCP = {"project": "p", "location": "global"}


@pytest.mark.parametrize(
    "changed",
    [
        {"endpoint": {**_PLACE, "hostname": "api.example.org"}},
        {"endpoint": {**_PLACE, "port": 8443}},
        {"endpoint": {**_PLACE, "tls": {"enabled": False}}},
        {"outputSchema": {"schema": "Anthropic"}},
        {"outputSchema": {"schema": "OpenAI", "version": "api/v1"}},
        {"outputSchema": {"schema": "GCPVertexAI"}, "gcp": {**_GCP, "project": "q"}},
        {"endpoint": None, "backendRef": {"name": "svc", "port": 443}},
    ],
)
def test_another_upstream_is_another_route_and_cluster(changed: dict[str, Any]) -> None:
    """Under the same name, so that no request for the one can ever meet the other."""
    kept = {"outputSchema": {"schema": "GCPVertexAI"}, "gcp": _GCP} if "gcp" in changed else {}
    before, after = (_keys(backend(**{"endpoint": _PLACE, **spec})) for spec in (kept, changed))

    assert before.isdisjoint(after)
    assert {key.partition("@")[0] for key in before} == {key.partition("@")[0] for key in after}


def test_the_same_upstream_stays_the_same_route_and_cluster() -> None:
    """Whatever else of a backend changes, nothing goes through Envoy anew."""
    before = _keys(backend(endpoint=_PLACE))
    after = _keys(backend(endpoint={**_PLACE, "tls": {}}, defaults={"maxOutputTokens": 9}))

    assert before == after


def test_the_processor_and_envoy_mean_the_same_keys() -> None:
    """What the processor puts into the header is a route of Envoy, with and without a time limit."""
    objects = [route(rule("a", "openai"), rule("b", "openai", timeouts={"request": "1m"})), backend()]
    result = translate(Snapshot.of(objects))

    compiler = RouteCompiler(result.config)
    chosen = {compiler.route(i, each).backends[0].route_key for i, each in enumerate(result.config.rules)}
    assert chosen | {cluster["name"] for cluster in result.envoy.cds["resources"]} == _keys(*objects)


def _keys(*objects: dict[str, Any]) -> set[str]:
    """The names of all routes and clusters."""
    envoy = translate(Snapshot.of(objects)).envoy
    routes = envoy.rds["resources"][0]["virtual_hosts"][0]["routes"]
    return {each["name"] for each in (*routes, *envoy.cds["resources"])}


@pytest.mark.parametrize(
    ("endpoint", "sni", "san"),
    [
        ({"hostname": "api.openai.com"}, "api.openai.com", "DNS"),
        ({"hostname": "10.0.0.1", "port": 443}, None, "IP_ADDRESS"),
        ({"hostname": "2001:db8::1"}, None, "IP_ADDRESS"),
    ],
)
def test_the_certificate_must_be_for_the_host(endpoint: dict[str, Any], sni: str | None, san: str) -> None:
    """A name is sent as SNI and looked for in the certificate; an address is only looked for."""
    cluster = _clusters(backend(endpoint=endpoint))["team-a/openai"]

    tls = cluster["transport_socket"]["typed_config"]
    wanted = tls["common_tls_context"]["validation_context"]["match_typed_subject_alt_names"]
    assert tls.get("sni") == sni
    assert wanted == [{"san_type": san, "matcher": {"exact": endpoint["hostname"]}}]


@pytest.mark.parametrize(
    ("endpoint", "authority"),
    [
        ({"hostname": "api.openai.com"}, "api.openai.com"),
        ({"hostname": "api.openai.com", "port": 8443}, "api.openai.com:8443"),
        ({"hostname": "a.example.com", "port": 80}, "a.example.com"),
        ({"hostname": "a.example.com", "port": 80, "tls": {}}, "a.example.com:80"),
        ({"hostname": "2001:db8::1", "port": 8000}, "[2001:db8::1]:8000"),
    ],
)
def test_the_host_that_is_sent_is_the_host_that_will_be_signed(endpoint: dict[str, Any], authority: str) -> None:
    """Envoy's rewrite and the processor's configuration say the same, with the port where it is not the usual one."""
    result = translate(Snapshot.of([backend(endpoint=endpoint)]))

    route_ = result.envoy.rds["resources"][0]["virtual_hosts"][0]["routes"][0]
    assert route_["route"]["host_rewrite_literal"] == authority
    assert result.config.backends[0].host == authority


def test_no_two_ways_to_break_the_processors_cluster() -> None:
    """It is in the bootstrap alone, with a name that no backend can have."""
    names = [cluster["name"] for cluster in bootstrap(PROXY)["static_resources"]["clusters"]]

    assert names == ["llmroute-extproc"]
    assert all("/" in name for name in _clusters(backend(), backend("b", "team-b")))


@pytest.mark.parametrize(
    ("workers", "message"),
    [
        ((), "at least one worker address"),
        (("localhost",), "neither unix:///path nor host:port"),
        (("localhost:http",), "neither unix:///path nor host:port"),
        (("localhost:70000",), "neither unix:///path nor host:port"),
        (("unix:///run/p", "extproc:1063"), "'extproc:1063' must be looked up"),
    ],
)
def test_a_worker_address_that_cannot_be_used_is_named(workers: tuple[str, ...], message: str) -> None:
    """A typing slip in a flag is an error with the address in it, and no broken Envoy."""
    with pytest.raises(ValueError, match=message):
        bootstrap(replace(PROXY, extproc=workers))


@pytest.mark.parametrize(
    ("worker", "place"),
    [
        ("127.0.0.1:1063", {"socket_address": {"address": "127.0.0.1", "port_value": 1063}}),
        ("[::1]:1063", {"socket_address": {"address": "::1", "port_value": 1063}}),
        ("unix:///run/p.0", {"pipe": {"path": "/run/p.0"}}),
    ],
)
def test_a_worker_address_is_taken_as_it_is(worker: str, place: dict[str, Any]) -> None:
    """Paths and IP addresses need no look-up."""
    cluster = bootstrap(replace(PROXY, extproc=(worker,)))["static_resources"]["clusters"][0]

    assert cluster["type"] == "STATIC"
    assert cluster["load_assignment"]["endpoints"][0]["lb_endpoints"] == [{"endpoint": {"address": place}}]


def test_a_relative_path_is_refused() -> None:
    """Envoy would look for it wherever it was started."""
    with pytest.raises(ValueError, match=r"not an absolute path of a file: 'rds\.json'"):
        listener(replace(PROXY, rds="rds.json"))


def test_every_client_dialect_has_its_local_replies() -> None:
    """A dialect that the processor reads has a row here too, and the last row takes what is left."""
    assert {dialect.schema for dialect in DIALECTS} >= {*CLIENT_DIALECTS}
    assert [not dialect.paths for dialect in DIALECTS] == [False] * (len(DIALECTS) - 1) + [True]
    codes = {failure.code for failure in FAILURES}
    text = json.dumps(listener(PROXY))
    assert [code for code in codes if code not in text] == []


def test_the_listener_strips_and_logs_what_the_contract_names() -> None:
    """Each gateway header is removed on the way in, each metadata key is in the access log."""
    manager = listener(PROXY)["resources"][0]["filter_chains"][0]["filters"][0]["typed_config"]

    mutations = manager["early_header_mutation_extensions"][0]["typed_config"]["mutations"]
    removed = {mutation.get("remove") for mutation in mutations}
    logged = manager["access_log"][0]["typed_config"]["log_format"]["json_format"]
    assert {BACKEND_HEADER, *MODEL_HEADERS} <= removed
    assert {*METADATA_KEYS} <= set(logged)


def test_a_grant_is_for_one_kind_from_one_namespace() -> None:
    """By name or for all of a kind; anything that cannot be read permits nothing."""
    spec = {
        "from": [
            {"group": "aigateway.envoyproxy.io", "kind": "LLMBackend", "namespace": "a"},
            {"kind": "HTTPRoute"},
            5,
        ],
        "to": [{"group": "", "kind": "Service", "name": "one"}, {"kind": "Secret"}, None],
    }
    grants = frozenset(read_grants({"metadata": {"namespace": "b"}, "spec": spec}))

    wanted = Grant("a", "b", "", "Service", "one")
    assert permits(grants, wanted)
    assert permits(grants, wanted._replace(kind="Secret", name="any"))
    assert not permits(grants, wanted._replace(name="two"))
    assert not permits(grants, wanted._replace(from_namespace="c"))
    assert not list(read_grants({"spec": None}))


@cache
def schema_of_status(kind: str) -> dict[str, Any]:
    """What the definition of a kind says of ``.status``; to make the definitions takes a while."""
    [crd] = [found for found in definitions().values() if found["spec"]["names"]["kind"] == kind]
    schema: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    return schema


@pytest.mark.parametrize("case", CASES)
def test_every_status_fits_the_crd(case: str) -> None:
    """What is written into .status is what the schema describes, without empty strings."""
    for status in translate(snapshot(case)).statuses:
        document = status.document()
        for condition in document["conditions"]:
            condition["lastTransitionTime"] = "2026-01-01T00:00:00Z"

        schema = schema_of_status(status.subject.kind)
        assert [error.message for error in Draft202012Validator(schema).iter_errors(document)] == []
        assert set(document) <= set(schema["properties"])
        words = [*document.values(), *(word for condition in document["conditions"] for word in condition.values())]
        assert "" not in words


def test_nobody_guesses_among_hundreds() -> None:
    """Near misses are for people with a few backends; among very many a guess costs too much."""
    few, many = (
        translate(Snapshot.of([route(rule("a", "opnai")), *(backend(f"openai{i}") for i in range(count))]))
        for count in (2, 101)
    )

    assert [("did you mean" in result.statuses[-1].conditions[1].message) for result in (few, many)] == [True, False]
