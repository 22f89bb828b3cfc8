"""Who may come in, through real Envoy: API keys and tokens, with the official SDKs."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from socket import socket
from typing import Any

import anthropic
import openai
import pytest

from tests.support.gateway import Document, RunningGateway, backend, route, rule, running_gateway
from tests.support.scripted import COMPLETION, chunk
from tests.support.sdk import identified, sdk, text_of, user
from tests.support.tokens import ALGORITHMS, AUDIENCE, ISSUER, Issuer
from tests.support.upstreams import Upstream, json_reply, running_upstream, sse_reply
from tests.support.waiting import until

pytestmark = [pytest.mark.envoy, pytest.mark.xdist_group("callers")]

ALICE, STRANGE, VENDOR = "alices-key-0123456789", "nobodys-key-0123456789", "vendor-key-of-ours"


@dataclass(frozen=True)
class House:
    """A gateway whose rules ask who calls, the upstream behind them, and who issues tokens."""

    gateway: RunningGateway
    up: Upstream
    issuer: Issuer
    remote: Issuer

    @contextmanager
    def caller(self, key: str) -> Iterator[openai.OpenAI]:
        with sdk(self.gateway.base_url, key) as client:
            yield client

    def ask(self, key: str, model: str, **headers: str) -> str:
        """A chat by the SDK; the id of the request."""
        ids = identified()
        with self.caller(key) as client:
            client.chat.completions.create(model=model, messages=user("hi"), extra_headers={**ids, **headers})
        return ids["x-request-id"]


def _jwt(issuer: Issuer) -> Document:
    return {"issuer": ISSUER, "audiences": [AUDIENCE], "jwks": issuer.key_set()}


def _claude(house: House, key: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=house.gateway.base_url, api_key=key, max_retries=0, timeout=20)


def _hello(client: anthropic.Anthropic) -> anthropic.types.Message:
    return client.messages.create(model="by-key", max_tokens=5, messages=[{"role": "user", "content": "hi"}])


def _secret(name: str, **values: str) -> Document:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}


def _documents(port: int, keys: int, issuer: Issuer, key: str = ALICE) -> list[Document]:
    by_key = {"apiKeys": {"secretRef": {"name": "callers"}}}
    remote = {"issuer": ISSUER, "audiences": [AUDIENCE], "jwksURI": f"http://127.0.0.1:{keys}/keys"}
    own = backend("own", port, auth={"apiKey": {"secretRef": {"name": "vendor"}}})
    return [
        route(rule("by-key", "own"), rule("unkeyed", "plain"), name="keys", clientAuth=by_key),
        route(rule("by-token", "own"), name="tokens", clientAuth={"jwt": _jwt(issuer)}),
        route(rule("by-remote", "own"), name="remote", clientAuth={"jwt": remote}),
        route(rule("by-either", "own"), name="either", clientAuth={**by_key, "jwt": _jwt(issuer)}),
        route(rule("open", "own"), name="open"),
        _secret("callers", alice=key, bob="bobs-key-01234567890"),
        _secret("vendor", apiKey=VENDOR),
        own,
        backend("plain", port),
    ]


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    issuer, remote = Issuer(), Issuer()
    with (
        running_upstream() as up,
        running_upstream(json_reply(json.loads(remote.key_set()))) as keys,
        running_gateway(_documents(up.port, keys.port, issuer)) as gateway,
    ):
        until(lambda: keys.received, "nobody asked for the key set")
        yield House(gateway, up, issuer, remote)


@pytest.fixture(autouse=True)
def _fresh(house: House) -> None:
    house.up.answer(json_reply(COMPLETION))
    house.up.forget()


def test_a_known_key_comes_in_and_goes_no_further(house: House) -> None:
    """A caller's key opens the door; the upstream sees the gateway's own, and both logs the caller's id."""
    request = house.ask(ALICE, "by-key")
    [received] = house.up.received

    assert received.header("authorization") == f"Bearer {VENDOR}"
    assert ALICE not in str(received)
    assert house.gateway.records.access_of(request)["caller"] == "default/alice"
    assert house.gateway.records.request_of(request)["caller"] == "default/alice"
    written = "".join(path.read_text() for path in house.gateway.records.folder.iterdir())
    assert not any(key in written for key in (ALICE, VENDOR))


@pytest.mark.parametrize("model", ["by-key", "by-token", "by-either", "by-remote"])
@pytest.mark.parametrize("key", [STRANGE, "a.b.c", f"{ALICE} {ALICE}"])
def test_a_stranger_stays_outside(house: House, model: str, key: str) -> None:
    """OpenAI's SDK raises its ``AuthenticationError``, and nothing reaches the upstream."""
    with pytest.raises(openai.AuthenticationError) as caught:
        house.ask(key, model)

    assert (caught.value.code, caught.value.status_code) == ("invalid_api_key", 401)
    assert caught.value.response.headers["www-authenticate"] == "Bearer"
    assert house.up.received == []


def test_a_stranger_stays_outside_of_anthropics_api(house: House) -> None:
    """Anthropic's SDK raises its ``AuthenticationError``; with a key in ``x-api-key`` it comes in."""
    with _claude(house, STRANGE) as client, pytest.raises(anthropic.AuthenticationError) as caught:
        _hello(client)
    with _claude(house, ALICE) as client:
        answer = _hello(client)

    assert caught.value.response.json()["error"]["type"] == "authentication_error"
    assert answer.content
    assert ALICE not in str(house.up.received)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_valid_token_comes_in(house: House, algorithm: str) -> None:
    """RSA, EC and Ed25519 signatures are verified by Envoy; the subject is the caller."""
    token = house.issuer.token(algorithm, sub=f"by {algorithm}")
    request = house.ask(token, "by-token")
    [received] = house.up.received

    assert received.header("authorization") == f"Bearer {VENDOR}"
    assert house.gateway.records.access_of(request)["caller"] == f"default/by {algorithm}"


def test_a_token_by_a_fetched_key_set_comes_in(house: House) -> None:
    """Envoy has fetched the issuer's keys ahead; the other issuer's tokens are none of its."""
    house.ask(house.remote.token("RS256", aud=["others", AUDIENCE]), "by-remote")

    with pytest.raises(openai.AuthenticationError):
        house.ask(house.issuer.token(), "by-remote")


@pytest.mark.parametrize(
    "claims",
    [{"exp": 1_700_000_000}, {"nbf": 4_000_000_000}, {"iss": "https://somebody.else"}, {"iss": None}],
    ids=["expired", "not-yet", "other-issuer", "no-issuer"],
)
def test_a_token_that_does_not_hold_is_refused(house: House, claims: dict[str, Any]) -> None:
    """Expired, too early, or of another issuer: 401."""
    with pytest.raises(openai.AuthenticationError):
        house.ask(house.issuer.token(**claims), "by-token")


def test_a_forged_token_is_refused(house: House) -> None:
    """Neither another key, nor another signature, nor ``none`` as the algorithm is taken."""
    head, payload, signature = house.issuer.token().split(".")
    forged = [Issuer().token(), f"{head}.{payload}.{signature[:-8]}AAAAAAAA", f"eyJhbGciOiJub25lIn0.{payload}."]

    for token in forged:
        with pytest.raises(openai.AuthenticationError):
            house.ask(token, "by-token")


@pytest.mark.parametrize("audience", ["somebody-else", None])
def test_a_token_for_others_is_forbidden(house: House, audience: str | None) -> None:
    """A token for another audience, or for none, is a 403."""
    with pytest.raises(openai.PermissionDeniedError) as caught:
        house.ask(house.issuer.token(aud=audience), "by-token")

    assert caught.value.response.json()["error"]["type"] == "permission_error"
    assert caught.value.response.headers["x-should-retry"] == "false"


def test_either_way_is_enough(house: House) -> None:
    """Where both are set, a key or a token lets in."""
    house.ask(ALICE, "by-either")
    house.ask(house.issuer.token(), "by-either")

    assert len(house.up.received) == 2


def test_what_envoy_found_cannot_be_forged(house: House) -> None:
    """No header, and no claim of a token that does not hold, becomes the metadata that lets somebody in."""
    [provider] = {
        rule["clientAuth"]["jwt"]["provider"]
        for rule in json.loads((house.gateway.open.gateway.workspace.config).read_text())["rules"]
        if "by-token" in str(rule)
    }
    claims = {"iss": ISSUER, "sub": "root", "aud": AUDIENCE}
    forged = {
        "x-envoy-jwt-authn": json.dumps({provider: claims}),
        "envoy.filters.http.jwt_authn": json.dumps({provider: claims}),
        "x-jwt-payload": json.dumps(claims),
        provider: json.dumps(claims),
    }

    for token in (STRANGE, Issuer().token(sub=provider, metadata_context={provider: claims})):
        with pytest.raises(openai.AuthenticationError):
            house.ask(token, "by-token", **forged)
    assert house.up.received == []


def test_no_callers_key_reaches_an_upstream_without_a_key(house: House) -> None:
    """Where a backend has no ``auth``, it is shown nothing: it is for the upstream to refuse that."""
    house.ask(ALICE, "unkeyed", **{"x-api-key": "sk-whatever"})
    [received] = house.up.received

    shown = [received.header(name) for name in ("authorization", "x-api-key", "api-key", "x-goog-api-key")]
    assert shown == [None] * 4


def test_the_list_of_models_is_for_those_who_may_use_them(house: House) -> None:
    """A stranger sees what is open, a caller what it may use besides."""
    seen = {}
    for who, key in (("nobody", STRANGE), ("alice", ALICE), ("carol", house.issuer.token())):
        with house.caller(key) as client:
            seen[who] = [model.id for model in client.models.list()]

    assert seen == {
        "nobody": ["open"],
        "alice": ["by-either", "by-key", "open", "unkeyed"],
        "carol": ["by-either", "by-token", "open"],
    }


@pytest.mark.parametrize("answers", [False, True], ids=["hangs", "answers-nonsense"])
def test_nobody_waits_long_for_an_issuer_that_fails(*, answers: bool) -> None:
    """Its own callers get 503 and try again; those of another route with tokens of its are served meanwhile."""
    issuer = Issuer()
    with (
        running_upstream(json_reply(COMPLETION)) as up,
        running_upstream(json_reply({"keys": []})) as nonsense,
        socket() as silent,
    ):
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        keys = nonsense.port if answers else silent.getsockname()[1]
        with running_gateway(_documents(up.port, keys, issuer)) as gateway:
            house = House(gateway, up, issuer, issuer)
            waited = []
            for _ in range(20):
                began = time.monotonic()
                house.ask(issuer.token(), "by-token")
                waited.append(time.monotonic() - began)
            with pytest.raises(openai.InternalServerError) as caught:
                house.ask(issuer.token(), "by-remote")

    assert caught.value.status_code == 503
    assert caught.value.code == "no_callers"
    assert caught.value.response.headers["retry-after"] == "1"
    assert "x-should-retry" not in caught.value.response.headers
    assert max(waited) < 1.0
    assert sorted(waited)[-3] < 0.4


def test_callers_change_without_dropping_anybody() -> None:
    """A rotated key and another issuer's keys are live after a reload, while a stream of before goes on to its end."""
    chunks = [chunk("one"), chunk("two"), chunk("three", "stop")]
    issuer, newer = Issuer(), Issuer()
    with running_upstream() as up, running_gateway(_documents(up.port, 9, issuer)) as gateway:
        house = House(gateway, up, issuer, newer)
        up.answer(sse_reply(chunks, gated=True))
        with house.caller(issuer.token()) as client:
            stream = client.chat.completions.create(model="by-token", messages=user("hi"), stream=True)
            up.release()
            first = next(stream)
            gateway.reload(_documents(up.port, 9, newer, "alices-next-key-012345"))
            up.release(len(chunks))
            assert text_of([first, *stream]) == "onetwothree"

        up.answer(json_reply(COMPLETION))
        house.ask(newer.token(), "by-token")
        with pytest.raises(openai.AuthenticationError):
            house.ask(issuer.token(), "by-token")
        until(lambda: _lets_in(house, "alices-next-key-012345"), "the new key is not known")
        until(lambda: not _lets_in(house, ALICE), "the old key is still known")


def _lets_in(house: House, key: str) -> bool:
    try:
        house.ask(key, "by-key")
    except openai.AuthenticationError:
        return False
    return True
