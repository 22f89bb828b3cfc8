from collections.abc import Mapping

import pytest

from extproc.config.loader import load
from extproc.routing.index import compile_index
from tests.support.routing_configs import HAND_WRITTEN, index_of, name_of, route_of

MODEL = "x-ai-eg-model"


@pytest.mark.parametrize(
    ("model", "backends"),
    [("llama3.3333", [("kserve", 1), ("awsbedrock", 10)]), ("gpt4.4444", [("openai", 1)]), ("gpt4x4444", None)],
)
def test_the_hand_written_file_routes_as_it_reads(model: str, backends: list[tuple[str, int]] | None) -> None:
    """The file of the design sends each model to its backends, and no other model anywhere."""
    route = compile_index(load(HAND_WRITTEN)).match("any.host", {}, model, "OpenAI")

    assert (None if route is None else [(b.name, b.weight) for b in route.backends]) == backends


@pytest.mark.parametrize("name", ["x-ai-eg-model", "X-Envoy-AI-Gateway-LLM-Model", "x-my-model"])
def test_the_model_answers_to_all_its_names(name: str) -> None:
    """The two documented headers and the configured one are the model, whatever a client sends under these names."""
    text = f"modelNameHeaderKey: x-my-model\nrules: [{{name: r, headers: [{{name: {name}, value: m}}]}}]"

    assert name_of(route_of(text, "m", headers={name.lower(): "other"})) == "r"
    assert route_of(text, "other", headers={name.lower(): "m"}) is None


@pytest.mark.parametrize("name", ["x-llmroute-backend", "x-my-backend"])
@pytest.mark.parametrize("kind", ["Exact", "RegularExpression"])
def test_no_client_can_choose_by_a_gateway_header(name: str, kind: str) -> None:
    """A condition on the backend header never holds, because only the gateway sets it, after routing."""
    text = (
        "backendRoutingHeaderKey: x-my-backend\n"
        f"rules: [{{headers: [{{name: {name}, value: secret, type: {kind}}}]}}, {{name: other}}]"
    )

    assert name_of(route_of(text, headers={name: "secret"})) == "other"


@pytest.mark.parametrize(
    ("host", "rule"),
    [
        ("api.example.com", "exact"),
        ("API.Example.COM:8080", "exact"),
        ("api.example.com.", "exact"),
        ("api.example.com.:443", "exact"),
        ("web.example.com", "wildcard"),
        ("api.web.example.com", "any"),
        ("example.com", "any"),
        (".example.com", "any"),
        ("*.example.com", "any"),
        ("", "any"),
        ("[2001:db8::1]:443", "any"),
    ],
)
def test_the_more_specific_host_name_wins(host: str, rule: str) -> None:
    """The exact name, then a wildcard for exactly one label, then no host name, wherever they stand in the file."""
    text = (
        "rules:\n- {name: any}\n- {name: wildcard, hostnames: ['*.example.com']}\n"
        "- {name: exact, hostnames: [other.org, api.example.com]}\n"
    )

    expected = "wildcard" if host == "*.example.com" else rule

    assert name_of(route_of(text, host=host)) == expected


def test_a_specific_host_falls_back_to_the_others() -> None:
    """Where no rule of the exact name fits, the wildcard's and then everyone's rules are tried."""
    text = (
        "rules:\n"
        f"- {{name: any, headers: [{{name: {MODEL}, value: c}}]}}\n"
        f"- {{name: wildcard, hostnames: ['*.x'], headers: [{{name: {MODEL}, value: b}}]}}\n"
        f"- {{name: exact, hostnames: [a.x], headers: [{{name: {MODEL}, value: a}}]}}\n"
    )

    assert [name_of(route_of(text, model, host="a.x")) for model in "abcd"] == ["exact", "wildcard", "any", None]
    assert [name_of(route_of(text, model, host="b.x")) for model in "abc"] == [None, "wildcard", "any"]


def test_a_host_goes_before_headers_and_headers_before_order() -> None:
    """Precedence is by host name, then by the number of conditions, then by position."""
    two = "[{name: x-a, value: '1'}, {name: x-b, value: '.*', type: RegularExpression}]"
    text = (
        f"rules:\n- {{name: first}}\n- {{name: second}}\n- {{name: one, headers: [{{name: x-a, value: '1'}}]}}\n"
        f"- {{name: two, headers: {two}}}\n- {{name: host, hostnames: [h.x]}}\n"
    )

    assert name_of(route_of(text)) == "first"
    assert name_of(route_of(text, headers={"x-a": "1"})) == "one"
    assert name_of(route_of(text, headers={"x-a": "1", "x-b": ""})) == "two"
    assert name_of(route_of(text, host="h.x", headers={"x-a": "1", "x-b": ""})) == "host"


def test_an_earlier_pattern_goes_before_a_later_name() -> None:
    """Exact names get no precedence over patterns, only a cheaper look."""
    text = (
        "rules:\n"
        f"- {{name: late, headers: [{{name: {MODEL}, value: gpt-5}}]}}\n"
        f"- {{name: pattern, headers: [{{name: {MODEL}, value: 'gpt-.*', type: RegularExpression}}]}}\n"
        f"- {{name: exact, headers: [{{name: {MODEL}, value: gpt-4}}]}}\n"
    )

    assert [name_of(route_of(text, model)) for model in ("gpt-4", "gpt-5")] == ["pattern", "late"]


@pytest.mark.parametrize(
    ("headers", "rule"),
    [
        ({"x-team": "a"}, "by-team"),
        ({"x-team": "A"}, None),
        ({"x-team": "ab"}, None),
        ({"x-tier": "gold"}, "by-tier"),
        ({"x-tier": "golden"}, None),
        ({"x-tier": "g\nold"}, None),
        ({"x-tier": ""}, None),
        ({}, None),
    ],
)
def test_values_match_whole_and_with_case(headers: Mapping[str, str], rule: str | None) -> None:
    """An exact value is compared with case, a pattern must match all of it, and any match of a rule is enough."""
    text = (
        "rules:\n- name: by-team\n  matches:\n"
        "  - headers: [{name: x-team, value: z}]\n  - headers: [{name: X-Team, value: a}]\n"
        "- {name: by-tier, headers: [{name: x-tier, value: 'g.ld|s', type: RegularExpression}]}\n"
    )

    assert name_of(route_of(text, headers=headers)) == rule


def test_all_conditions_of_a_match_must_hold() -> None:
    """Also several on one header, and on the model under both of its names."""
    text = (
        "rules:\n- name: r\n  headers:\n"
        "  - {name: x-ai-eg-model, value: 'gpt-.*', type: RegularExpression}\n"
        "  - {name: x-envoy-ai-gateway-llm-model, value: '.*-mini', type: RegularExpression}\n"
        "  - {name: x-team, value: a}\n"
    )

    assert name_of(route_of(text, "gpt-5-mini", headers={"x-team": "a"})) == "r"
    assert [
        route_of(text, model, headers={"x-team": team})
        for model, team in (("gpt-5", "a"), ("phi-mini", "a"), ("gpt-5-mini", "b"))
    ] == [None, None, None]


def test_the_host_header_is_the_authority() -> None:
    """A condition on ``host`` looks where Envoy keeps it, as the client sent it."""
    text = "rules: [{name: r, headers: [{name: Host, value: 'gw:8080'}]}]"

    assert name_of(route_of(text, headers={":authority": "gw:8080"})) == "r"
    assert route_of(text, headers={"host": "gw:8080", ":authority": "gw"}) is None


def test_header_values_are_compared_as_utf_8() -> None:
    """Headers come as latin-1 text; a configured é is the two bytes that a client sends for it, and one character."""
    wire = "é".encode().decode("latin-1")
    text = "rules:\n- {name: exact, headers: [{name: x-a, value: é}]}\n"
    pattern = "rules:\n- {name: pattern, headers: [{name: x-a, value: '.', type: RegularExpression}]}\n"

    assert name_of(route_of(text, headers={"x-a": wire})) == "exact"
    assert name_of(route_of(pattern, headers={"x-a": wire})) == "pattern"
    assert route_of(text, headers={"x-a": "é"}) is None
    assert route_of(pattern, headers={"x-a": "\xff\xfe"}) is None


@pytest.mark.parametrize("model", ["", "x" * 4097])
def test_odd_model_names_match_no_condition(model: str) -> None:
    """An empty or an endless model name is the name of no model; rules without conditions still apply."""
    named = f"{{name: named, headers: [{{name: {MODEL}, value: '.*', type: RegularExpression}}]}}"

    assert name_of(route_of(f"rules: [{named}, {{name: all}}]", model)) == "all"
    assert name_of(route_of(f"rules: [{named}, {{name: all}}]", model[:4096] or "x")) == "named"


def test_a_model_that_no_encoding_holds_is_no_failure() -> None:
    """Half a surrogate pair, which some JSON readers let through, is a name like another."""
    text = f"rules: [{{headers: [{{name: {MODEL}, value: 'm.*', type: RegularExpression}}]}}]"

    assert route_of(text, "\ud800") is None


@pytest.mark.parametrize(("client", "rule"), [("OpenAI", "openai"), ("Anthropic", "other")])
def test_rules_for_another_client_api_are_skipped(client: str, rule: str) -> None:
    """``inputSchema`` of a rule is a condition on the client."""
    text = "rules: [{name: openai, inputSchema: {schema: OpenAI}}, {name: other}]"

    assert name_of(route_of(text, client=client)) == rule


def test_the_files_client_api_holds_for_all_its_rules() -> None:
    """``inputSchema`` of the file is that of every rule without one."""
    text = "inputSchema: {schema: OpenAI}\nrules: [{name: r}]"

    assert name_of(route_of(text)) == "r"
    assert route_of(text, client="Anthropic") is None


def test_no_rules_serve_nobody() -> None:
    """An empty configuration has no route for anything."""
    assert index_of("{}").match("gw", {}, "m", "OpenAI") is None
    assert index_of("{}").models("gw") == ()


def test_a_route_says_where_it_comes_from() -> None:
    """The provenance is the file's, or the position for files that have none."""
    text = "rules: [{headers: [{name: x, value: y}]}, {name: n, source: 't/c@7#rules[1]'}]"
    route, other = route_of(text), route_of(text, headers={"x": "y"})

    assert route is not None
    assert other is not None
    assert (route.index, route.source, route.name, route.refusal) == (1, "t/c@7#rules[1]", "n", None)
    assert (other.index, other.source, other.name) == (0, "rules[0]", None)
