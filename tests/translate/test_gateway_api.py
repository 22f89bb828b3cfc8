from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from controller.translate import Settings, Snapshot, Translation, translate
from controller.translate.gateway_api.names import object_name
from controller.translate.gateway_api.rules import MAX_ALL_MATCHES, MAX_MATCHES, MAX_RULES, maybe_key
from controller.translate.secrets import SecretStore
from controller.translate.settings import GatewaySettings
from extproc.config.names import keyed
from tests.support.api_objects import backend, route, rule
from tests.support.authority import Authority
from tests.support.gateway_definitions import faults, needs_definitions

ROOT = Path(__file__).parents[1] / "golden/gateway_api"
CASES = sorted(path.parent.name for path in ROOT.glob("*/in.yaml"))
GATEWAY = GatewaySettings(
    controller="llmroute-system", service="llmroute-extproc", namespace="llmroute-system", ports=(1063, 1064)
)
PARENT = [{"name": "eg"}]


class _Plain(yaml.SafeDumper):
    """Without anchors, which a reader would have to follow."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


def translated(objects: Iterable[Mapping[str, Any]], **settings: Any) -> Translation:
    return translate(Snapshot.of(objects, Settings(gateway=GATEWAY, **settings)))


def of_case(case: str) -> Translation:
    documents = [each for each in yaml.safe_load_all((ROOT / case / "in.yaml").read_text()) if each]
    settings: dict[str, Any] = next((each["settings"] for each in documents if "settings" in each), {})
    return translated([each for each in documents if "settings" not in each], **settings)


def of_kind(result: Translation, kind: str) -> list[dict[str, Any]]:
    return [each for each in result.gateway.documents if each["kind"] == kind]


def keys_of(result: Translation) -> list[str]:
    rules = [rule for each in of_kind(result, "HTTPRoute") for rule in each["spec"]["rules"]]
    return [key for rule in rules if (key := maybe_key(rule)) is not None]


@pytest.mark.parametrize("case", CASES)
def test_a_case_gives_what_its_golden_files_say(case: str, *, update_golden: bool) -> None:
    """The objects and the statuses are exactly the recorded ones."""
    result = of_case(case)
    statuses = [{"of": str(each.subject), **each.document()} for each in result.statuses]
    texts = {
        "objects.yaml": yaml.dump_all(result.gateway.documents, Dumper=_Plain, sort_keys=False, width=1000),
        "status.yaml": yaml.dump(statuses, Dumper=_Plain, sort_keys=False, width=1000),
    }
    for name, text in texts.items():
        path = ROOT / case / name
        if update_golden:
            path.write_text(text)
        assert path.exists(), f"{path} is missing; pytest --update-golden writes it"
        assert text == path.read_text()


def test_no_golden_file_is_without_a_case() -> None:
    """A file that no case writes, or a folder without an input, is an error."""
    expected = {ROOT / case / name for case in CASES for name in ("in.yaml", "objects.yaml", "status.yaml")}

    assert {path for path in ROOT.rglob("*") if path.is_file()} == expected
    assert len(CASES) >= 4


@needs_definitions
@pytest.mark.parametrize("case", CASES)
def test_every_object_is_what_its_definition_asks_for(case: str) -> None:
    """No field is unknown, missing or out of its range by the kinds' own schemas."""
    assert [fault for each in of_case(case).gateway.documents for fault in faults(each)] == []


@needs_definitions
def test_a_wrong_field_is_seen_by_the_definition() -> None:
    """An object that an old API server would silently prune is told from one that it takes."""
    [found] = of_kind(of_case("by-address"), "EnvoyExtensionPolicy")
    found["spec"]["extProc"][0]["maxMessageSize"] = 5

    assert any("maxMessageSize" in fault for fault in faults(found))


def test_without_gateway_settings_nothing_is_made() -> None:
    """A bundled Envoy's installation takes no notice of parentRefs."""
    objects = [route(rule("m", "openai"), parentRefs=PARENT), backend()]

    assert translate(Snapshot.of(objects)).gateway.documents == []
    assert len(translate(Snapshot.of(objects)).config.rules) == 1


def test_a_route_without_parents_takes_no_requests() -> None:
    """Nothing of it is in the processor's configuration, and its status says what is missing."""
    result = of_case("without-parents")
    [adrift, _] = [each for each in result.statuses if each.subject.kind == "LLMRoute"]

    assert [rule.source.partition("@")[0] for rule in result.config.rules if rule.source] == ["team-a/moored"]
    assert [str(each.reason) for each in adrift.conditions if each.type == "Programmed"] == ["NoParents"]
    assert adrift.part == ""


def test_the_keys_are_those_that_the_processor_chooses() -> None:
    """Every key that the configuration can put into the header has a rule, and no other has."""
    result = of_case("by-address")
    prints = {each.name: each.fingerprint for each in result.config.backends}
    chosen = {
        keyed(each.route_key or each.name, prints[each.name]) for rule in result.config.rules for each in rule.backends
    }

    assert sorted(keys_of(result)) == sorted(chosen)


@pytest.mark.parametrize("path_prefix", ["", "/llm"])
def test_no_path_of_the_catch_all_is_longer_than_a_keyed_one(path_prefix: str) -> None:
    """A longer path would win over the header, and lead every request to the 503."""
    result = translated([route(rule("m", "openai"), parentRefs=PARENT), backend()], path_prefix=path_prefix)
    [made] = of_kind(result, "HTTPRoute")
    entry, keyed_rule = made["spec"]["rules"]
    paths = [each["path"] for each in entry["matches"]]

    assert [each["value"] for each in paths] == [f"{path_prefix}{path}" for path in ("/v1", "/openai", "/anthropic")]
    assert [each["path"] for each in keyed_rule["matches"]] == [*paths, {"type": "PathPrefix", "value": "/"}]
    assert "backendRefs" not in entry


def test_the_host_that_is_signed_is_the_host_that_is_sent() -> None:
    """A port in the Host header cannot be asked for, so the processor does not reckon with one."""
    endpoint = {"hostname": "bedrock.example.com", "port": 8443, "tls": {}}
    result = translated([route(rule("m", "openai"), parentRefs=PARENT), backend(endpoint=endpoint)])
    [made] = of_kind(result, "HTTPRoute")
    rewrite = made["spec"]["rules"][1]["filters"][1]["urlRewrite"]

    assert rewrite == {"hostname": "bedrock.example.com"}
    assert [each.host for each in result.config.backends] == ["bedrock.example.com"]


def test_tls_settings_reach_the_backend() -> None:
    """Authorities, our own certificate and the lack of a check are said in Envoy Gateway's words."""
    authority = Authority("ca")
    tls = {"sni": "other.example.com", "caCertificateRef": {"name": "ca"}, "insecureSkipVerify": False}
    private = backend("private", endpoint={"hostname": "a.example.com", "tls": tls})
    unchecked = backend("unchecked", endpoint={"hostname": "b.example.com", "tls": {"insecureSkipVerify": True}})
    snapshot = replace(
        Snapshot.of([route(rule("m", "private", "unchecked"), parentRefs=PARENT), private, unchecked]),
        settings=Settings(gateway=GATEWAY),
        secrets=SecretStore({("ConfigMap", "team-a", "ca"): {"ca.crt": authority.pem.encode()}}),
    )

    assert [each["spec"]["tls"] for each in of_kind(translate(snapshot), "Backend")] == [
        {
            "sni": "other.example.com",
            "insecureSkipVerify": False,
            "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "ca"}],
        },
        {"sni": "b.example.com", "insecureSkipVerify": True},
    ]


def test_tokens_that_nobody_verifies_are_told() -> None:
    """A route that asks for them lets nobody in by one, and its status says why."""
    keys = '{"keys": []}'
    door = {"jwt": {"issuer": "https://issuer.example.com", "audiences": ["llm"], "jwks": keys}}
    result = translated([route(rule("m", "openai"), parentRefs=PARENT, clientAuth=door), backend()])
    [found] = [each for each in result.statuses if each.subject.kind == "LLMRoute"]

    assert any(each.path == "spec.clientAuth.jwt" and each.reason == "NotExpressible" for each in found.findings)


@given(st.integers(0, 70))
def test_any_number_of_keys_is_shared_out_within_the_limits(count: int) -> None:
    """No HTTPRoute has more rules or matches than it may have, the policy is for all of them, and no key is lost."""
    names = [f"b{i}" for i in range(count)]
    rules = [rule(f"m{i}", name) for i, name in enumerate(names)] or [rule("m", "missing")]
    result = translated([route(*rules, parentRefs=PARENT), *map(backend, names)])
    made = of_kind(result, "HTTPRoute")
    matches = [[len(each["matches"]) for each in one["spec"]["rules"]] for one in made]
    [policy] = of_kind(result, "EnvoyExtensionPolicy")

    assert all(len(each) <= MAX_RULES and max(each) <= MAX_MATCHES for each in matches)
    assert all(sum(each) < MAX_ALL_MATCHES for each in matches)
    assert [each["name"] for each in policy["spec"]["targetRefs"]] == [each["metadata"]["name"] for each in made]
    assert len(set(keys_of(result))) == len(keys_of(result)) == count
    assert len(made) == 1 + max(0, -(-(count - 15) // 16))


@given(st.text("ab-.", min_size=1, max_size=260), st.sampled_from(["", "0", "12", "0123456789ab"]))
def test_names_fit(owner: str, suffix: str) -> None:
    """A name is never longer than Kubernetes takes, and a cut one still ends in its suffix."""
    name = object_name(owner, suffix)

    assert len(name) <= 253
    assert name.endswith(suffix)


def test_long_names_differ() -> None:
    """Two owners whose names differ in the last letter have objects of their own."""
    assert object_name("a" * 252 + "b") != object_name("a" * 252 + "c")
