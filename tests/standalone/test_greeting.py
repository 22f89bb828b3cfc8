"""The commands that the ready line offers, and the gateway from two variables."""

import json
import shlex
from typing import Any

import pytest

from controller.api import Severity
from controller.standalone.environment import BadUrl, is_set, objects_of
from controller.standalone.greeting import ANY_MODEL, curls, models
from controller.translate import Snapshot, translate
from extproc.config.schema import Config
from tests.support.gateway import Document, backend, route, rule, translation_of

BASE = "http://127.0.0.1:1975"


def config(*rules: Document, **spec: Any) -> Config:
    return translation_of([route(*rules, **spec), backend("b", 1)], faulty=True).config


def parsed(curl: str) -> tuple[str, list[str], Any]:
    """URL, headers and body of a command, as the shell would hand them over."""
    words = shlex.split(curl)
    headers = [words[i + 1] for i, word in enumerate(words) if word == "-H"]
    return words[2], headers, json.loads(words[words.index("-d") + 1])


def test_a_curl_asks_for_the_first_model_of_a_rule() -> None:
    """URL, content type and a streaming body for that model."""
    [curl] = curls(config(rule("gpt", "b")), BASE)

    assert parsed(curl) == (
        f"{BASE}/v1/chat/completions",
        ["content-type: application/json"],
        {"model": "gpt", "messages": [{"role": "user", "content": "Hello"}], "stream": True},
    )


def test_a_route_for_anthropic_clients_is_asked_in_their_way() -> None:
    """Where only Anthropic's clients are served, the command is one of theirs."""
    [curl] = curls(config(rule("m", "b"), inputSchema={"schema": "Anthropic"}), BASE)

    url, headers, body = parsed(curl)
    assert url == f"{BASE}/v1/messages"
    assert headers == ["content-type: application/json", "anthropic-version: 2023-06-01"]
    assert body["max_tokens"] == 1024


def test_headers_and_hosts_that_a_rule_wants_are_in_it() -> None:
    """Exact header matches and the first exact host become headers."""
    [curl] = curls(config(rule("m", "b", headers={"x-team": "it's us"}), hostnames=["llm.example.com"]), BASE)

    assert parsed(curl)[1] == ["content-type: application/json", "x-team: it's us", "Host: llm.example.com"]


def test_a_host_with_a_star_is_filled_in() -> None:
    """An exact host is preferred; of a wildcard any host is one."""
    [star] = curls(config(rule("m", "b"), hostnames=["*.example.com"]), BASE)
    [exact] = curls(config(rule("m", "b"), hostnames=["*.example.com", "llm.example.org"]), BASE)

    assert "Host: any.example.com" in parsed(star)[1]
    assert "Host: llm.example.org" in parsed(exact)[1]


def test_rules_that_ask_for_an_expression_are_passed_over() -> None:
    """What an expression matches cannot be made up; another alternative of the rule can."""
    regular = {"headers": [{"name": "x-team", "value": "a.*", "type": "RegularExpression"}]}
    exact = {"headers": [{"name": "x-ai-eg-model", "value": "second"}]}
    found = curls(
        config({**rule(None, "b"), "matches": [regular]}, {**rule(None, "b"), "matches": [regular, exact]}), BASE
    )

    assert [parsed(curl)[2]["model"] for curl in found] == ["second"]


def test_a_rule_for_any_model_leaves_the_name_to_the_user() -> None:
    """Where no model is named, a placeholder stands."""
    [curl] = curls(config(rule(None, "b")), BASE)

    assert parsed(curl)[2]["model"] == ANY_MODEL


def test_rules_that_could_not_answer_are_passed_over() -> None:
    """A rule without a usable backend is no example."""
    found = curls(config(rule("broken", "missing"), rule("empty"), rule("good", "b")), BASE)

    assert [parsed(curl)[2]["model"] for curl in found] == ["good"]


def test_the_key_is_left_to_the_shell() -> None:
    """The variable's name stands in the command, in quotes in which the shell fills it in."""
    [curl] = curls(config(rule("m", "b")), BASE, key_variable="OPENAI_API_KEY")

    assert curl.endswith(' -H "Authorization: Bearer $OPENAI_API_KEY"')


def test_models_are_listed_once_in_the_order_of_the_rules() -> None:
    """Only exact names count."""
    regular = {"headers": [{"name": "x-ai-eg-model", "value": "x.*", "type": "RegularExpression"}]}
    rules = [
        rule("b", "b"),
        rule("a", "b"),
        rule("b", "b", headers={"x-team": "t"}),
        {**rule(None, "b"), "matches": [regular]},
    ]

    assert models(config(*rules)) in (["b", "a"], ["a", "b"])


@pytest.mark.parametrize(
    ("url", "host", "port", "tls", "version"),
    [
        ("https://api.openai.com/v1", "api.openai.com", 443, True, "v1"),
        ("http://localhost:11434/v1/", "localhost", 11434, False, "v1"),
        ("https://gw.example.com:8443/openai/v1", "gw.example.com", 8443, True, "openai/v1"),
        ("http://[::1]:80", "::1", 80, False, "/"),
        ("https://EXAMPLE.com:443", "example.com", 443, True, "/"),
    ],
)
def test_a_base_url_becomes_a_backend(url: str, host: str, port: int, tls: bool, version: str) -> None:
    """Scheme, host, port and path of the SDK's base URL keep their meaning, and the manifests are valid."""
    objects = objects_of({"OPENAI_BASE_URL": url})
    spec = objects[1]["spec"]
    found = translate(Snapshot.of(objects)).findings

    assert spec["endpoint"] == {"hostname": host, "port": port, "tls": {"enabled": tls}}
    assert spec["outputSchema"] == {"schema": "OpenAI", "version": version}
    assert [finding for finding in found if finding.severity is Severity.ERROR] == []


@pytest.mark.parametrize(
    "url",
    ["api.openai.com", "ftp://x/v1", "https://", "http://u:p@host/v1", "http://host/v1?x=1", "http://host:99999/"],
)
def test_a_base_url_that_cannot_be_used_is_refused(url: str) -> None:
    """The message names the variable."""
    with pytest.raises(BadUrl, match="OPENAI_BASE_URL"):
        objects_of({"OPENAI_BASE_URL": url})


def test_a_key_alone_means_openai() -> None:
    """Without a base URL requests go to api.openai.com; empty variables count as unset."""
    assert objects_of({"OPENAI_API_KEY": "k"})[1]["spec"]["endpoint"]["hostname"] == "api.openai.com"
    assert "k" not in json.dumps(objects_of({"OPENAI_API_KEY": "sk-k"})).split("sk-")
    assert is_set({"OPENAI_API_KEY": "k"})
    assert is_set({"OPENAI_BASE_URL": "u"})
    assert not is_set({"OPENAI_API_KEY": "", "OPENAI_BASE_URL": ""})
