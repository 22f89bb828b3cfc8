"""``spec.auth``, followed: files, names, and what is never said."""

import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api import Severity
from controller.api.reasons import Reason
from controller.translate import Settings, Snapshot, Translation, translate
from controller.translate.canonical import file_name
from controller.translate.credentials import needed_secrets
from controller.translate.secrets import SecretStore
from extproc.config.loader import dump, load
from tests.support.api_objects import backend, route, rule

API_KEY = {"apiKey": {"secretRef": {"name": "openai"}}}


def secret(name: str = "openai", namespace: str = "team-a", **data: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}


def compiled(*objects: dict[str, Any], **settings: Any) -> Translation:
    return translate(Snapshot.of(objects, Settings(**settings)))


def objects_for(auth: dict[str, Any], *secrets: dict[str, Any], schema: str = "OpenAI") -> list[dict[str, Any]]:
    return [route(rule("m", "openai")), backend(outputSchema={"schema": schema}, auth=auth), *secrets]


def errors(translation: Translation) -> list[str]:
    return [str(found.reason) for found in translation.findings if found.severity is Severity.ERROR]


def test_a_value_changes_the_file_and_nothing_else() -> None:
    """A rotated key keeps its file's name, and neither configuration nor any status says anything of it."""
    old = compiled(*objects_for(API_KEY, secret(apiKey=" old-key\n")))
    new = compiled(*objects_for(API_KEY, secret(apiKey="new-key")))

    [name] = old.credentials
    assert (old.credentials[name], new.credentials[name]) == (b"old-key", b"new-key")
    assert replace(old, credentials=new.credentials) == new


@pytest.mark.parametrize(
    "change",
    [
        {"apiKey": {"secretRef": {"name": "openai", "key": "other"}}},
        {"apiKey": {"secretRef": {"name": "openai"}, "header": "x-key"}},
        {"passthrough": {"fallback": {"secretRef": {"name": "openai"}}}},
        {"none": {}},
    ],
)
def test_another_auth_is_another_file_and_another_route(change: dict[str, Any]) -> None:
    """A request that was prepared by the old ``auth`` never meets the new one's upstream under the same name."""
    old = compiled(*objects_for(API_KEY, secret(apiKey="a", other="b")))
    new = compiled(*objects_for(change, secret(apiKey="a", other="b")))

    assert not set(old.credentials) & set(new.credentials)
    assert old.config.backends[0].fingerprint != new.config.backends[0].fingerprint


def test_a_backend_without_its_secret_stays_and_names_the_file_that_is_not_there() -> None:
    """Its share of the traffic does not go to others, and when the Secret comes, only the file does."""
    without = compiled(*objects_for(API_KEY))
    complete = compiled(*objects_for(API_KEY, secret(apiKey="a")))
    [rule_] = without.config.rules

    assert (len(without.credentials), errors(without)) == (0, [Reason.CREDENTIAL_NOT_FOUND])
    assert without.config == complete.config
    assert without.envoy == complete.envoy
    assert ([choice.name for choice in rule_.backends], rule_.refusal) == (["team-a/openai"], None)
    auth = without.config.backends[0].auth
    assert auth is not None
    assert auth.api_key is not None
    assert [auth.api_key.file] == list(complete.credentials)


def test_what_is_written_can_be_read_by_the_processor() -> None:
    """The file with ``auth`` in it loads, and says the same."""
    config = compiled(*objects_for({"none": {}})).config

    assert load(dump(config)) == config
    assert config.backends[0].auth is not None


def test_processors_that_know_no_credentials_get_no_backend_that_needs_one() -> None:
    """They would show the client's own key to an upstream that is to see the gateway's."""
    translation = compiled(*objects_for(API_KEY, secret(apiKey="a")), config_version=1)

    assert translation.config.backends == ()
    assert not translation.credentials
    assert Reason.PROCESSOR_TOO_OLD in errors(translation)


def test_long_names_make_short_files() -> None:
    """A file's name is a key of a Secret, which has at most 253 characters; names that differ stay different."""
    names = {file_name(("n" * 63, letter * 253), {}) for letter in "ab"}

    assert {len(name) for name in names} == {32}
    assert len(names) == 2
    assert len(file_name(("team-a", "openai"), {"none": {}})) == len("team-a.openai.1234567890abcdef")


@pytest.mark.parametrize(("proxy", "warned"), [("proxy.example.com", True), ("10.0.0.1", False)])
def test_a_proxy_on_the_way_reads_what_is_not_encrypted(proxy: str, warned: bool) -> None:
    """A host inside is not inside when it is asked for outside."""
    endpoint = {"hostname": "10.0.0.2", "port": 8000, "proxy": {"hostname": proxy}}
    made = compiled(backend(auth=API_KEY, endpoint=endpoint), secret(apiKey="a"))

    assert (Reason.CREDENTIAL_IN_CLEAR in {found.reason for found in made.findings}) == warned


def test_files_of_two_kinds_never_have_one_name() -> None:
    """A backend ``chat.callers`` and the callers of a route ``chat``, say: no namespace starts as the others' do."""
    tokens = route(rule("m", "chat.callers"), name="chat")
    tokens["spec"]["clientAuth"] = {"apiKeys": {"secretRef": {"name": "openai"}}}
    made = compiled(tokens, backend("chat.callers", auth=API_KEY), secret(apiKey="a key of sixteen!".replace(" ", "-")))

    assert [name.rpartition(".")[0] for name in made.credentials] == ["_callers.team-a.chat", "team-a.chat.callers"]


@pytest.mark.parametrize(
    ("type_", "settings"),
    [
        ("Opaque", {"own_secrets": frozenset({("team-a", "openai")})}),
        ("kubernetes.io/service-account-token", {}),
        ("helm.sh/release.v1", {}),
    ],
)
def test_some_secrets_are_no_backends_to_name(type_: str, settings: dict[str, Any]) -> None:
    """The operator's own has everybody's credentials in it; with a ServiceAccount's token one would be that account."""
    held = {**secret(apiKey="a"), "type": type_}
    made = compiled(*objects_for(API_KEY, held), **settings)

    assert (errors(made), dict(made.credentials)) == ([Reason.REF_NOT_PERMITTED], {})
    assert compiled(*objects_for(API_KEY, {**held, "type": "Opaque"})).credentials


def test_the_operators_own_secrets_are_not_even_asked_for() -> None:
    """Nobody's wish makes the operator read them."""
    own = Settings(own_secrets=frozenset({("team-a", "openai")}))

    assert needed_secrets(Snapshot.of(objects_for(API_KEY), own)) == set()


def test_no_other_key_of_a_secret_is_named() -> None:
    """Who may write a backend may not thereby list what is in a Secret; a slip of the pen is still told of."""
    [near] = [str(found) for found in compiled(*objects_for(API_KEY, secret(apikey="a", other="b"))).findings][:1]
    [far] = [str(found) for found in compiled(*objects_for(API_KEY, secret(private="a"))).findings][:1]

    assert 'did you mean "apikey"?' in near
    assert "other" not in near
    assert "private" not in far


def test_a_secret_with_very_many_keys_is_not_gone_through_for_a_guess() -> None:
    """It would hold up everybody."""
    snapshot = Snapshot.of(objects_for(API_KEY))
    many = {f"apiKe{number}".ljust(250, "x"): b"a" for number in range(4_000)}
    begun = time.process_time()
    made = translate(replace(snapshot, secrets=SecretStore({("Secret", "team-a", "openai"): many})))

    assert errors(made) == [Reason.CREDENTIAL_KEY_NOT_FOUND]
    assert time.process_time() - begun < 0.5


def test_a_grant_that_could_not_be_read_is_not_said_to_be_missing() -> None:
    """The message says why nothing is known of it."""
    reference = {"apiKey": {"secretRef": {"name": "shared", "namespace": "keys"}}}
    snapshot = replace(Snapshot.of(objects_for(reference)), unread={"ReferenceGrant": "they may not be read"})

    [found] = [found for found in translate(snapshot).findings if found.reason is Reason.REF_NOT_PERMITTED]
    assert found.message.endswith("refer to it; they may not be read")


def test_only_what_may_be_used_is_asked_for() -> None:
    """Secrets of other namespaces are needed once a ReferenceGrant says so."""
    reference = {"apiKey": {"secretRef": {"name": "shared", "namespace": "keys"}}}
    objects = [*objects_for(API_KEY), backend("other", auth=reference), backend("plain")]
    grant = {
        "apiVersion": "gateway.networking.k8s.io/v1beta1",
        "kind": "ReferenceGrant",
        "metadata": {"name": "g", "namespace": "keys"},
        "spec": {
            "from": [{"group": "aigateway.envoyproxy.io", "kind": "LLMBackend", "namespace": "team-a"}],
            "to": [{"group": "", "kind": "Secret", "name": "shared"}],
        },
    }
    own = ("Secret", "team-a", "openai")

    assert needed_secrets(Snapshot.of(objects)) == {own}
    assert needed_secrets(Snapshot.of([*objects, grant])) == {own, ("Secret", "keys", "shared")}


@pytest.mark.parametrize(
    ("auth", "schema", "key"),
    [
        (API_KEY, "OpenAI", "apiKey"),
        ({"aws": {"secretRef": {"name": "openai"}}}, "AWSBedrock", "credentials"),
        ({"aws": {"bedrockAPIKey": {"secretRef": {"name": "openai"}}}}, "AWSBedrock", "apiKey"),
        (
            {"gcp": {"project": "p", "location": "us", "serviceAccountSecretRef": {"name": "openai"}}},
            "GCPVertexAI",
            "service_account.json",
        ),
        (
            {
                "azure": {
                    "tenantID": "contoso.com",
                    "clientID": "11111111-2222-3333-4444-555555555555",
                    "secretRef": {"name": "openai"},
                }
            },
            "AzureOpenAI",
            "client-secret",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
@given(value=st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_no_value_breaks_anything_or_is_repeated(auth: dict[str, Any], schema: str, key: str, value: bytes) -> None:
    """Whatever stands in a Secret, the others are served, and nothing but its own file has any of it."""
    marked = b"marker-7f3a" + value
    snapshot = Snapshot.of([*objects_for(auth, schema=schema), backend("other", auth={"none": {}})])
    place = ("Secret", "team-a", "openai")
    snapshot = replace(snapshot, secrets=SecretStore({place: {key: marked}}))
    translation = translate(snapshot)

    said = [*map(str, translation.findings), dump(translation.config).decode(), repr(translation), repr(snapshot)]
    assert not [text for text in said if "marker-7f3a" in text]
    assert len(translation.config.backends) == 2
    assert len(translation.credentials) + len(errors(translation)) == 1


def test_a_bad_secret_document_is_told_of_and_hurts_no_other() -> None:
    """Values that are no base64, or no text, are errors of that Secret."""
    broken = {**secret("broken"), "data": {"apiKey": "?"}, "stringData": {"n": 7}}
    translation = compiled(*objects_for(API_KEY, secret(apiKey="a"), broken))

    assert [str(found) for found in translation.stray] == [
        "data.apiKey: must be base64",
        "stringData.n: must be text; put it in quotes",
    ]
    assert list(translation.credentials.values()) == [b"a"]
