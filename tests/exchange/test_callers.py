"""Who is let in, as whom, and what becomes of the credential that did it."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import pytest

from extproc.config.auth import Auth, ClientAuth
from extproc.config.loader import load
from extproc.credentials.held import Held, Token
from extproc.exchange.callers import Visitor
from extproc.exchange.edges import Edges
from extproc.exchange.gateway import Gateway
from extproc.exchange.machine import Exchange
from extproc.exchange.messages import Action, Proceed, Reply, RequestBody, RequestHeaders
from tests.support.exchange_driver import EDGES, chat, proceed, reply, request_headers

ALICE, BOB, STRANGE = "alice-key-0123456789", "bob-key-0123456789ab", "someone-elses-0123456"
CALLERS = {"t.r.callers": {sha256(key.encode()).hexdigest(): name for name, key in (("alice", ALICE), ("bob", BOB))}}
KEYS, JWT = {"apiKeys": {"file": "t.r.callers"}}, {"jwt": {"provider": "p"}}
BACKENDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "own": {"auth": {"apiKey": {"file": "f"}}},
    "passed": {"auth": {"passthrough": {"header": "x-api-key"}}, "outputSchema": {"schema": "Anthropic"}},
    "custom": {"auth": {"passthrough": {"header": "x-vendor-key"}}},
}
RULES: dict[str, tuple[str | None, dict[str, Any]]] = {
    "keys": ("own", KEYS),
    "plain": ("plain", KEYS),
    "passed": ("passed", KEYS | JWT),
    "custom": ("custom", KEYS),
    "jwt": ("own", JWT),
    "both": ("own", {"apiKeys": {"file": "t.gone"}} | JWT),
    "shut": (None, KEYS),
    "open": ("plain", {}),
}
CONFIG = {
    "backends": [{"name": name, "outputSchema": {"schema": "OpenAI"}, **more} for name, more in BACKENDS.items()],
    "rules": [
        {
            "source": f"t/r@1#{model}",
            "headers": [{"name": "x-ai-eg-model", "value": model}],
            "backends": [{"name": backend}] if backend else [],
            **({} if backend else {"refusal": "nothing here"}),
            **({"clientAuth": door} if door else {}),
        }
        for model, (backend, door) in RULES.items()
    ],
}
GATEWAY = Gateway.compile(load(json.dumps(CONFIG).encode()))
CLAIMS = {"iss": "https://issuer", "aud": "gateway", "sub": "carol"}
OTHERS = {"failed:p": {"code": "25", "message": "Audiences in Jwt are not allowed"}}
SIGNED = {"authorization": "Bearer a.b.c"}
EXPIRED = {"failed:p": {"code": "3", "message": "Jwt is expired"}}
Tokens = Mapping[str, Mapping[str, str]]


def _credential(backend: str, auth: Auth) -> Held:
    del backend, auth
    return Token("the-gateways-own-key")


def _asking(path: str, headers: Mapping[str, str], tokens: Tokens | None, *, end: bool = False) -> RequestHeaders:
    method = "GET" if end else "POST"
    return RequestHeaders({**request_headers(path, method=method).headers, **headers}, end, tokens or {})


def _made() -> Exchange:
    return Exchange(GATEWAY, Edges(EDGES.draw, EDGES.now, EDGES.wall, EDGES.new_id, _credential, CALLERS.get))


def _sent(
    model: str, headers: Mapping[str, str], tokens: Tokens | None = None, path: str = "/v1/chat/completions"
) -> tuple[Exchange, Action]:
    made = _made()
    made.receive(_asking(path, headers, tokens))
    fields = {"max_tokens": 5} if "messages" in path else {}
    return made, made.receive(RequestBody(chat(model, **fields), end=True))


def _bearer(key: str) -> str:
    return f"Bearer {key}"


def _told(answer: Reply) -> tuple[int, Any]:
    return answer.status, json.loads(answer.body)["error"]


@pytest.mark.parametrize("header", ["x-api-key", "api-key", "x-goog-api-key"])
def test_a_known_key_lets_in_wherever_sdks_put_it(header: str) -> None:
    """Any of the SDKs' headers will do, and the caller's id, not the key, is in record and metadata."""
    made, action = _sent("keys", {header: ALICE})
    sending = proceed(action)

    assert made.record.caller == "t/alice"
    assert sending.metadata is not None
    assert sending.metadata["caller"] == "t/alice"
    assert header in sending.remove_headers
    assert ("authorization", "Bearer the-gateways-own-key") in sending.set_headers
    assert ALICE not in f"{made.record}{sending.metadata}"


@pytest.mark.parametrize("value", [_bearer(BOB), f"bearer {BOB}", f"BEARER   {BOB}  ", BOB])
def test_authorization_is_read_in_every_spelling(value: str) -> None:
    """The scheme's case and spaces do not matter, and neither does whether there is one."""
    made, action = _sent("keys", {"authorization": value})

    assert (made.record.caller, dict(proceed(action).set_headers)["authorization"]) == (
        "t/bob",
        "Bearer the-gateways-own-key",
    )


@pytest.mark.parametrize(
    ("headers", "word"),
    [
        ({}, "asks who calls"),
        ({"authorization": _bearer(STRANGE)}, "lets nobody in"),
        ({"authorization": "Bearer "}, "asks who calls"),
        ({"authorization": _bearer(ALICE[:-1])}, "lets nobody in"),
        ({"authorization": f"{_bearer(ALICE)},{_bearer(STRANGE)}"}, "lets nobody in"),
        ({"authorization": sha256(ALICE.encode()).hexdigest()}, "lets nobody in"),
        ({"x-other-key": ALICE}, "asks who calls"),
    ],
)
def test_a_stranger_is_told_so_in_openais_words(headers: dict[str, str], word: str) -> None:
    """No key, or one that is not exactly a known one, is a 401 that no SDK tries again and that repeats no key."""
    made, action = _sent("keys", headers)
    answer = reply(action)
    status, error = _told(answer)

    assert (status, error["code"], error["type"]) == (401, "invalid_api_key", "invalid_request_error")
    assert word in error["message"]
    assert {("www-authenticate", "Bearer"), ("x-should-retry", "false")} <= set(answer.headers)
    assert (made.record.outcome, made.record.route, made.record.caller) == ("client_error", "t/r@1#keys", "")
    assert not any(key in f"{answer}{made.record}" for key in (ALICE[:-1], STRANGE))


def test_a_stranger_is_told_so_in_anthropics_words() -> None:
    """A client of the Messages API gets its ``authentication_error``."""
    _, action = _sent("keys", {"anthropic-version": "2023-06-01", "x-api-key": STRANGE}, path="/v1/messages")
    status, error = _told(reply(action))

    assert (status, error["type"]) == (401, "authentication_error")


def test_a_stranger_learns_nothing_of_a_rule() -> None:
    """Who is not let in is told so also where the rule could serve nobody, and no backend is named."""
    _, action = _sent("shut", {})
    assert _told(reply(action))[0] == 401

    _, action = _sent("shut", {"x-api-key": ALICE})
    assert _told(reply(action))[0] == 503


def test_nobody_is_let_in_while_the_callers_are_not_known() -> None:
    """Without its file a rule answers 503 whatever is sent, but for those whom Envoy has verified."""
    for headers in ({}, {"x-api-key": ALICE}):
        _, action = _sent("both", headers)
        answer = reply(action)
        status, error = _told(answer)
        assert (status, error["code"]) == (503, "no_callers")
        assert ("retry-after", "1") in answer.headers

    made, action = _sent("both", SIGNED, {"p": CLAIMS})
    assert isinstance(action, Proceed)
    assert made.record.caller == "t/carol"


def test_a_verified_token_lets_in_as_its_subject() -> None:
    """What Envoy verified counts; the token goes no further."""
    made, action = _sent("jwt", SIGNED, {"p": CLAIMS})

    assert made.record.caller == "t/carol"
    assert "a.b.c" not in str(dict(proceed(action).set_headers))


@pytest.mark.parametrize(
    ("tokens", "status"),
    [
        ({}, 401),
        (EXPIRED, 401),
        (OTHERS, 403),
        ({"q": CLAIMS}, 401),
        ({"p": {"code": "0", "message": "no claims"}}, 401),
        ({"failed:p": CLAIMS}, 401),
    ],
)
def test_what_is_not_verified_for_this_rule_lets_nobody_in(tokens: Tokens, status: int) -> None:
    """Another provider's token, a failure, or anything without claims is no token; one for others is forbidden."""
    _, action = _sent("jwt", SIGNED, tokens)
    told, error = _told(reply(action))

    assert told == status
    assert error["type"] == ("permission_error" if status == 403 else "invalid_request_error")


def _caller(claims: Mapping[str, str]) -> str:
    """As whom a token with these claims beside the issuer's is let in."""
    told = {name: value.encode().decode("latin-1") for name, value in claims.items()}
    made, action = _sent("jwt", SIGNED, {"p": {"iss": "https://issuer", **told}})
    assert isinstance(action, Proceed)
    return made.record.caller


def _digest(text: str) -> str:
    return f"~{sha256(text.encode()).hexdigest()[:16]}"


@pytest.mark.parametrize(
    ("sub", "shown"),
    [
        ("a" * 128, "a" * 128),
        ("a" * 500, "a" * 111 + _digest("a" * 500)),
        ('x"\n{}', 'x"\\n{}' + _digest('x"\n{}')),
        ("\u2028\x1b[2J", "\\u2028\\x1b[2J" + _digest("\u2028\x1b[2J")),
        ("\n" * 200, "\\n" * 55 + "\\" + _digest("\n" * 200)),
        ("CORP\\anna", "CORP\\anna"),
        ("other/alice", "other/alice"),
        ("Zoë", "Zoë"),
    ],
)
def test_a_subject_is_cut_and_escaped(sub: str, shown: str) -> None:
    """A subject is the issuer's text: neither its length nor a control character gets any further."""
    assert _caller({"sub": sub}) == f"t/{shown}"
    assert len(shown) <= 128


def test_no_two_subjects_look_alike() -> None:
    """What is cut or escaped ends in a digest of all of it, and so does what looks as if it did."""
    long = ["a" * 500, "a" * 501, "a" * 128 + "b"]
    subjects = [*long, "a" * 111 + _digest("a" * 500), "x\n", "x\\n", "x\\n" + _digest("x\n")]

    assert len({_caller({"sub": sub}) for sub in subjects}) == len(subjects)


@pytest.mark.parametrize(
    ("claims", "caller"),
    [
        ({"sub": "s", "client_id": "c", "azp": "a"}, "t/s"),
        ({"sub": "", "client_id": "c", "azp": "a"}, "t/c"),
        ({"azp": "a"}, "t/a"),
        ({}, ""),
    ],
)
def test_a_client_without_a_subject_is_known_by_its_id(claims: dict[str, str], caller: str) -> None:
    """``client_id`` or else ``azp`` stands for a missing subject; without any of them nobody has a name."""
    assert _caller(claims) == caller


def test_the_same_name_in_two_namespaces_is_two_callers() -> None:
    """Each route's callers are those of its namespace; a file that says none has them without."""
    named = {"team-a/r@1#rules[0]": "team-a/alice", "team-b/r@1#rules[0]": "team-b/alice", "rules[3]": "alice"}
    door = ClientAuth.model_validate(KEYS)

    for source, caller in named.items():
        assert Visitor({"x-api-key": ALICE}, {}, CALLERS.get).enter(door, source).caller == caller


@pytest.mark.parametrize(
    ("model", "headers", "kept"),
    [
        ("plain", {"authorization": _bearer(ALICE)}, None),
        ("plain", {"authorization": _bearer(ALICE), "x-api-key": "sk-vendor"}, None),
        ("plain", {"x-api-key": BOB, "authorization": _bearer(ALICE)}, None),
        (
            "custom",
            {"authorization": _bearer(ALICE), "x-vendor-key": "sk-vendor"},
            ("authorization", "Bearer sk-vendor"),
        ),
        (
            "custom",
            {"authorization": _bearer(ALICE), "x-api-key": STRANGE, "x-vendor-key": "v"},
            ("authorization", "Bearer v"),
        ),
    ],
)
def test_what_lets_in_goes_no_further(model: str, headers: dict[str, str], kept: tuple[str, str] | None) -> None:
    """No key in a usual place reaches an upstream; that in the header of its own that a backend names does."""
    _, action = _sent(model, headers)
    sending = proceed(action)
    left = {n: v for n, v in headers.items() if n not in sending.remove_headers}
    left |= dict(sending.set_headers)

    assert not any(key in str(left) for key in (ALICE, BOB, STRANGE))
    assert left.get("authorization") == (None if kept is None else kept[1])


def test_the_vendors_key_may_stand_beside_a_token() -> None:
    """With the token in one header, a backend's named header has the client's own key; alone it lets nobody in."""
    path = "/v1/messages"
    _, action = _sent("passed", {**SIGNED, "x-api-key": "sk-ant"}, {"p": CLAIMS}, path)
    sending = proceed(action)

    assert "x-api-key" not in sending.remove_headers
    assert "authorization" in sending.remove_headers

    _, refused = _sent("passed", {"x-api-key": ALICE}, path=path)
    assert reply(refused).status == 401
    assert ALICE not in str(reply(refused).body)


def test_an_open_rule_asks_nobody() -> None:
    """Without ``clientAuth`` everything is as it was: the client's key goes on."""
    made, action = _sent("open", {"authorization": _bearer(ALICE)})

    assert "authorization" not in proceed(action).remove_headers
    assert made.record.caller == ""


@pytest.mark.parametrize(
    ("headers", "tokens", "listed"),
    [
        ({}, {}, ["open"]),
        ({"x-api-key": STRANGE}, {}, ["open"]),
        ({"x-api-key": ALICE}, {}, ["custom", "keys", "open", "passed", "plain"]),
        (SIGNED, {"p": CLAIMS}, ["both", "jwt", "open", "passed"]),
    ],
)
def test_models_are_listed_for_those_who_may_use_them(
    headers: dict[str, str], tokens: Tokens, listed: list[str]
) -> None:
    """``GET /v1/models`` tells a stranger of what is open, and each caller of what it may use besides."""
    action = _made().receive(_asking("/v1/models", headers, tokens, end=True))

    assert [model["id"] for model in json.loads(reply(action).body)["data"]] == listed
