"""``spec.clientAuth`` followed: files, providers, places to read; and that no door is ever left open."""

import json
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from controller.api.findings import Severity
from controller.api.reasons import Reason
from controller.translate import Settings, Snapshot, Translation, translate
from controller.translate.callers import places_of_callers
from controller.translate.credentials import needed_secrets
from controller.translate.envoy.jwt import providers_in
from controller.translate.envoy.overlay import overlaid, parts_of
from controller.translate.secrets import SecretStore
from tests.support.api_objects import backend, route, rule

KEY_SET = '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}'
SECRET = {"alice": b" alices-key-0123456789\n", "bob": b"bobs-key-0123456789abc"}
BY_KEY = {"apiKeys": {"secretRef": {"name": "callers"}}}


def _jwt(**fields: Any) -> dict[str, Any]:
    return {"jwt": {"issuer": "https://issuer", "audiences": ["a"], **fields}}


def _translated(
    door: dict[str, Any], store: SecretStore | None = None, settings: Settings | None = None
) -> Translation:
    objects = [route(rule("m", "openai"), clientAuth=door), backend()]
    return translate(replace(Snapshot.of(objects, settings), secrets=store or SecretStore()))


def _store(data: dict[str, bytes], kind: str = "Secret", name: str = "callers") -> SecretStore:
    return SecretStore({(kind, "team-a", name): data})


def _errors(result: Translation) -> list[str]:
    return [str(finding) for finding in result.findings if finding.severity is Severity.ERROR]


def test_keys_become_hashes() -> None:
    """The file holds the SHA-256 of each trimmed key by its caller, and nothing anywhere holds a key."""
    result = _translated(BY_KEY, _store(SECRET))
    [(name, content)] = result.credentials.items()
    door = result.config.rules[0].client_auth

    assert json.loads(content) == {who: sha256(key.strip()).hexdigest() for who, key in SECRET.items()}
    assert door is not None
    assert door.api_keys is not None
    assert door.api_keys.file == name
    assert name.startswith("_callers.team-a.chat.")
    assert _errors(result) == []
    assert "alices-key" not in f"{result!r}"


def _of(namespace: str, created: str, **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = route(rule("m", "openai"), clientAuth=_jwt(**fields))
    made["metadata"] |= {"namespace": namespace, "creationTimestamp": created}
    return made


@pytest.mark.parametrize(
    ("fields", "taken"),
    [
        ({"jwksURI": "https://slow.example.com/keys"}, True),
        ({"jwksURI": "https://issuer/keys"}, False),
        ({"jwksURI": "https://issuer/keys", "audiences": ["b"]}, False),
        ({"jwks": KEY_SET}, False),
        ({"jwksURI": "https://slow.example.com/keys", "issuer": "https://another"}, False),
    ],
    ids=["elsewhere", "the-same", "other-audience", "given", "another-issuer"],
)
def test_an_issuers_keys_are_fetched_from_where_the_oldest_route_says(fields: dict[str, Any], *, taken: bool) -> None:
    """A newer route of another namespace cannot have the callers of the first wait for an address of its choice."""
    first = _of("team-a", "2026-01-01T00:00:00Z", jwksURI="https://issuer/keys")
    newer = _of("team-b", "2026-01-02T00:00:00Z", **fields)
    result = translate(Snapshot.of([newer, first, backend()]))
    told = {
        str(status.subject): [f.reason for f in status.findings if f.path == "spec.clientAuth.jwt.jwksURI"]
        for status in result.statuses
    }

    assert told["LLMRoute team-a/chat"] == []
    assert told["LLMRoute team-b/chat"] == ([Reason.ISSUER_TAKEN] if taken else [])
    assert ("slow.example.com" in str(result.envoy)) == ("another" in str(fields))


def test_a_namespace_may_have_an_issuers_keys_from_two_addresses() -> None:
    """While it moves from one to the other, say; it is its own callers that wait."""
    moved = _of("team-a", "2026-01-02T00:00:00Z", jwksURI="https://issuer/new")
    moved["metadata"]["name"] = "moved"
    result = translate(Snapshot.of([_of("team-a", "2026-01-01T00:00:00Z", jwksURI="https://issuer/keys"), moved]))

    assert Reason.ISSUER_TAKEN not in [finding.reason for finding in result.findings]


def test_a_rotated_key_keeps_the_files_name() -> None:
    """Another value is another content of the same file, and the configuration stays byte for byte."""
    before, after = _translated(BY_KEY, _store(SECRET)), _translated(BY_KEY, _store({"alice": b"another-key-0123456"}))

    assert before.config == after.config
    assert list(before.credentials) == list(after.credentials)
    assert dict(before.credentials) != dict(after.credentials)


@pytest.mark.parametrize(
    ("data", "kept", "words"),
    [
        ({"alice": SECRET["alice"], "b" * 64: SECRET["bob"]}, ["alice"], "at most 63 characters"),
        ({"alice": SECRET["alice"], "bob": b"short"}, ["alice"], "must be 16 to 4096 visible ASCII characters: bob"),
        ({"alice": SECRET["alice"], "bob": b"with a space 0123456"}, ["alice"], "visible ASCII characters: bob"),
        ({"alice": SECRET["alice"], "bob": b"new\nline-0123456789"}, ["alice"], "visible ASCII characters: bob"),
        ({"alice": SECRET["alice"], "bob": "ünïcode-0123456789".encode()}, ["alice"], "ASCII characters: bob"),
        ({"alice": SECRET["alice"], "bob": SECRET["alice"]}, ["alice"], "the same API key: bob (as alice)"),
        ({}, [], "is empty, so nobody is let in"),
    ],
)
def test_what_is_wrong_with_a_caller_shuts_out_that_one_alone(
    data: dict[str, bytes], kept: list[str], words: str
) -> None:
    """The others' keys stay valid; the status names the caller, never the key."""
    result = _translated(BY_KEY, _store(data))
    [error] = _errors(result)

    assert list(json.loads(next(iter(result.credentials.values())))) == kept
    assert words in error
    assert not any(value.strip().decode() in error for value in data.values() if len(value) > 8)


@pytest.mark.parametrize(
    ("door", "store"),
    [
        (BY_KEY, SecretStore()),
        (BY_KEY, SecretStore(unread={("Secret", "team-a", "callers"): "the operator may not read it"})),
        (
            {"apiKeys": {"secretRef": {"name": "callers", "namespace": "other"}}},
            SecretStore({("Secret", "other", "callers"): SECRET}),
        ),
        (_jwt(jwks="zzz"), SecretStore()),
        (_jwt(jwksConfigMapRef={"name": "keys", "key": "k"}), SecretStore()),
        (_jwt(jwksConfigMapRef={"name": "keys", "key": "k"}), _store({"other": b"{}"}, "ConfigMap", "keys")),
        (_jwt(jwksConfigMapRef={"name": "keys", "key": "k"}), _store({"k": b"\xff\xfe"}, "ConfigMap", "keys")),
        (_jwt(jwksConfigMapRef={"name": "keys", "key": "k"}), _store({"k": b" " * 65_537}, "ConfigMap", "keys")),
        (_jwt(jwksURI="https://issuer.example.com:99999/keys"), SecretStore()),
        (BY_KEY | _jwt(jwks="zzz"), SecretStore()),
    ],
)
def test_no_door_is_left_open(door: dict[str, Any], store: SecretStore) -> None:
    """Whatever is missing, each rule has its ``clientAuth`` or refuses everybody, and the status says why."""
    result = _translated(door, store)

    assert [each.client_auth is not None or each.refusal is not None for each in result.config.rules] == [True]
    assert dict(result.credentials) == {}
    assert providers_in(result.envoy.ecds) == {}
    assert _errors(result)


def test_an_older_processor_lets_nobody_in() -> None:
    """A configuration that cannot say who may enter refuses instead of saying nothing."""
    result = _translated(BY_KEY, _store(SECRET), Settings(config_version=1))

    assert result.config.rules[0].client_auth is None
    assert "upgrade extproc" in (result.config.rules[0].refusal or "")
    assert "upgrade extproc" in _errors(result)[0]


def test_equal_tokens_are_one_provider() -> None:
    """Providers are told apart by issuer, audiences and keys alone, in whatever order and form they stand."""
    reordered = json.dumps({"more": 1, **json.loads(KEY_SET)}, indent=2)
    doors = [_jwt(jwks=KEY_SET, audiences=["a", "b"]), _jwt(jwks=reordered, audiences=["b", "a"])]
    others = [_jwt(jwks=KEY_SET, audiences=["a"]), _jwt(jwks=KEY_SET, audiences=["a", "b"], issuer="other")]
    names = [tuple(providers_in(_translated(door).envoy.ecds)) for door in (*doors, *others)]

    assert names[0] == names[1]
    assert len({*names}) == 3


def test_a_key_set_elsewhere_has_a_cluster() -> None:
    """The host of a key set gets one cluster, whose certificate is checked against its name."""
    result = _translated(_jwt(jwksURI="https://issuer.example.com:8443/a/keys"))
    [provider] = providers_in(result.envoy.ecds).values()
    wanted = provider["remote_jwks"]["http_uri"]["cluster"]
    [cluster] = [each for each in result.envoy.cds["resources"] if each["name"] == wanted]
    tls = cluster["transport_socket"]["typed_config"]

    assert tls["sni"] == "issuer.example.com"
    assert tls["common_tls_context"]["validation_context"]["match_typed_subject_alt_names"][0]["matcher"] == {
        "exact": "issuer.example.com"
    }
    assert cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"] == {
        "address": "issuer.example.com",
        "port_value": 8443,
    }


def test_what_must_be_read_is_what_may_be_used() -> None:
    """The operator is asked for the Secret and the ConfigMap, and not for a Secret that nobody granted."""
    door = BY_KEY | _jwt(jwksConfigMapRef={"name": "keys", "key": "k"})
    elsewhere = {"apiKeys": {"secretRef": {"name": "callers", "namespace": "other"}}}
    grant = {
        "apiVersion": "gateway.networking.k8s.io/v1beta1",
        "kind": "ReferenceGrant",
        "metadata": {"name": "g", "namespace": "other"},
        "spec": {
            "from": [{"group": "aigateway.envoyproxy.io", "kind": "LLMRoute", "namespace": "team-a"}],
            "to": [{"group": "", "kind": "Secret", "name": "callers"}],
        },
    }
    near = Snapshot.of([route(rule("m", "openai"), clientAuth=door)])
    far = Snapshot.of([route(rule("m", "openai"), clientAuth=elsewhere), grant])

    assert places_of_callers(near.routes, near.grants) == {
        ("Secret", "team-a", "callers"),
        ("ConfigMap", "team-a", "keys"),
    }
    assert places_of_callers(far.routes, frozenset()) == set()
    assert needed_secrets(far) == {("Secret", "other", "callers")}


def test_a_provider_stays_for_as_long_as_it_may_be_asked_for() -> None:
    """Laid over the new file, the old provider is kept, so that a processor of before goes on knowing its callers."""
    old, new = (_translated(_jwt(jwks=KEY_SET, audiences=[each])).envoy for each in ("a", "b"))
    before = parts_of(old.rds, old.cds, old.ecds)
    _, _, both = overlaid(new.rds, new.cds, new.ecds, before, before)

    assert providers_in(both) == providers_in(old.ecds) | providers_in(new.ecds)
    assert both["version_info"] not in (old.ecds["version_info"], new.ecds["version_info"])
    assert len(both["resources"][0]["typed_config"]["rules"][0]["requires"]["requires_all"]["requirements"]) == 2
