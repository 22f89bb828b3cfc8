"""A host all of whose rules ask who calls: strangers are turned away before their bodies are read."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import pytest
from msgspec.structs import replace

from extproc.config.loader import load
from extproc.exchange.gateway import Gateway
from extproc.exchange.machine import Exchange
from extproc.exchange.messages import PASS, Action, Reply, RequestHeaders
from tests.support.exchange_driver import EDGES, reply, request_headers

ALICE, BOB, STRANGE = "alice-key-0123456789", "bob-key-0123456789ab", "someone-elses-0123456"
CALLERS = {f"t.{who}": {sha256(key.encode()).hexdigest(): who} for who, key in (("alice", ALICE), ("bob", BOB))}
ALICES, BOBS, GONE = ({"apiKeys": {"file": name}} for name in ("t.alice", "t.bob", "t.gone"))
JWT = {"jwt": {"provider": "p"}}
Door = Mapping[str, Any] | None


def _first_action(
    *doors: Door, hosts: tuple[str, ...] = (), key: str = STRANGE, **more: Any
) -> tuple[Exchange, Action]:
    """What a chat's headers are answered, at a gateway with a rule for each door; ``hosts``: whose the last rule is."""
    rules = [
        {
            "headers": [{"name": "x-ai-eg-model", "value": f"m{i}"}],
            "backends": [{"name": "b"}],
            **({"clientAuth": door} if door else {}),
            **({"hostnames": hosts} if hosts and i == len(doors) - 1 else {}),
        }
        for i, door in enumerate(doors)
    ]
    config = {"backends": [{"name": "b", "outputSchema": {"schema": "OpenAI"}}], "rules": rules}
    gateway = Gateway.compile(load(json.dumps(config).encode()))
    made = Exchange(gateway, replace(EDGES, callers=CALLERS.get))
    headers = {**request_headers("/v1/chat/completions").headers, "x-api-key": key, ":authority": "llm.example.com"}
    return made, made.receive(RequestHeaders(headers, end=False, tokens=more.get("tokens", {})))


@pytest.mark.parametrize("doors", [(ALICES,), (ALICES, BOBS), (ALICES, JWT), (JWT,)])
def test_a_stranger_is_turned_away_at_the_headers(doors: tuple[Door, ...]) -> None:
    """Where no rule could let it in, nothing of the body is waited for, and the record says who was refused."""
    made, action = _first_action(*doors)
    answer = reply(action)

    assert answer.status == 401
    assert {("www-authenticate", "Bearer"), ("x-should-retry", "false")} <= set(answer.headers)
    assert (made.record.status, made.record.outcome, made.record.caller) == (401, "client_error", "")
    assert STRANGE not in f"{answer}{made.record}"


def test_what_is_asked_for_names_all_ways_in() -> None:
    """The message speaks for every rule of the host."""
    _, action = _first_action(ALICES, JWT)

    assert "an API key or a token" in reply(action).body.decode()


def test_a_token_for_others_is_forbidden_at_once() -> None:
    """As behind the door: 403."""
    _, action = _first_action(JWT, ALICES, tokens={"failed:p": {"code": "25"}})

    assert reply(action).status == 403


@pytest.mark.parametrize(
    ("doors", "key", "tokens"),
    [
        ((ALICES, None), STRANGE, {}),
        ((ALICES, BOBS), BOB, {}),
        ((ALICES, GONE), STRANGE, {}),
        ((ALICES, JWT), STRANGE, {"p": {"iss": "https://issuer", "sub": "carol"}}),
        ((ALICES, JWT), STRANGE, {"failed:p": {"code": "40"}}),
        ((), STRANGE, {}),
    ],
    ids=["an open rule", "a caller of some rule", "callers unknown", "a verified token", "no key set", "no rules"],
)
def test_who_might_come_in_is_asked_for_the_model(doors: tuple[Door, ...], key: str, tokens: Any) -> None:
    """Where some rule lets the request in, or nobody can tell, the body decides, which rule it is."""
    _, action = _first_action(*doors, key=key, tokens=tokens)

    assert action is PASS


@pytest.mark.parametrize(
    ("hosts", "is_guarded"),
    [
        (("llm.example.com",), False),
        (("*.example.com",), False),
        (("other.example.com",), True),
        (("example.com",), True),
    ],
)
def test_an_open_rule_of_another_host_opens_nothing(hosts: tuple[str, ...], *, is_guarded: bool) -> None:
    """Only rules that could serve this host count."""
    _, action = _first_action(ALICES, None, hosts=hosts)

    assert isinstance(action, Reply) == is_guarded


def test_very_many_doors_are_not_tried_one_by_one() -> None:
    """Where hundreds of routes have callers of their own, the model tells which ones are asked."""
    _, action = _first_action(*({"apiKeys": {"file": f"t.{i}"}} for i in range(100)))

    assert action is PASS
