"""Access tokens of Google Cloud, from servers that speak as Google's do."""

import base64
import json
import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth.compute_engine import _metadata

from extproc.credentials.held import Token
from extproc.server.credentials.contents import MalformedError, read_google_key
from extproc.server.credentials.gcp import Default, ServiceAccount, WorkloadIdentity
from extproc.server.credentials.provider import FetchError
from tests.support.token_servers import Answer, Asked, TokenServer, rfc3339, token, told

AUDIENCE = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/k"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"


@cache
def private_key() -> str:
    """One for all tests: they are slow to make."""
    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@pytest.fixture
def tokens(server: TokenServer, monkeypatch: pytest.MonkeyPatch) -> TokenServer:
    """Who gives tokens for keys, as the processor's environment says."""
    monkeypatch.setenv("LLMROUTE_GCP_TOKEN_URL", f"{server.url}/token")
    return server


def key_file(**changes: Any) -> bytes:
    """A service account's key."""
    members = {
        "type": "service_account",
        "client_email": "llm@p.iam.gserviceaccount.com",
        "private_key_id": "1",
        "private_key": private_key(),
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    return json.dumps({**members, **changes}).encode()


def claims(assertion: str) -> dict[str, Any]:
    """What a JSON Web Token says."""
    payload = assertion.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


def test_service_account(tokens: TokenServer) -> None:
    """The key signs a claim, and Google's endpoint gives a token for it."""
    tokens.answer = lambda _: token("t1", 3600)

    fetched = ServiceAccount(read_google_key(key_file())).fetch()

    assert fetched.held == Token("t1")
    assert fetched.expires_at == pytest.approx(time.time() + 3600, abs=5)
    (asked,) = tokens.asked
    said = claims(asked.form["assertion"])
    assert (said["iss"], said["scope"]) == ("llm@p.iam.gserviceaccount.com", SCOPE)


def test_nothing_else_of_a_key_file_counts(tokens: TokenServer) -> None:
    """Another universe would sign the token by itself or go elsewhere for it; no member of a file leads anywhere."""
    tokens.answer = lambda _: token("t1", 3600)
    more = {"universe_domain": "evil.example", "trust_boundary": {"locations": []}, "quota_project_id": "theirs"}

    assert ServiceAccount(read_google_key(key_file(**more))).fetch().held == Token("t1")
    assert [asked.path for asked in tokens.asked] == ["/token"]


def test_where_keys_are_sent_is_the_environments_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key is sent over TLS or within the machine, whatever the variable says."""
    monkeypatch.setenv("LLMROUTE_GCP_TOKEN_URL", "http://tokens.example")

    with pytest.raises(FetchError, match="LLMROUTE_GCP_TOKEN_URL is no https address"):
        ServiceAccount(read_google_key(key_file()))


def test_the_life_of_a_token_begins_with_the_question(tokens: TokenServer) -> None:
    """An answer that was long on its way is not taken for younger than it is."""

    def slow(_: Asked) -> Answer:
        time.sleep(0.5)
        return token("t1", 3600)

    tokens.answer = slow
    asked = time.time()
    fetched = ServiceAccount(read_google_key(key_file())).fetch()

    assert fetched.expires_at is not None
    assert fetched.expires_at <= asked + 3600.1


def test_a_private_key_that_is_none() -> None:
    """Google's library finds that out, and its words, which may quote the key, are not repeated."""
    key = read_google_key(key_file(private_key="-----BEGIN mArKeD"))

    with pytest.raises(MalformedError, match="private_key") as raised:
        ServiceAccount(key)

    assert raised.value.__suppress_context__


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (told({"error": "invalid_grant", "error_description": "mArKeD"}, 400), "(HTTP 400): invalid_grant"),
        (told({"error": "mArKeD"}, 401), "refuses the gateway (HTTP 401)"),
        (Answer(500, b"mArKeD"), "is failing (HTTP 500)"),
        (Answer(503), "is failing (HTTP 503)"),
        (Answer(200, b"mArKeD"), "its token endpoint"),
        (told({"access_token": "a\nmArKeD", "expires_in": 5}), "gives no usable answer"),
        (told({"access_token": "mArKeD"}), "gives no usable answer"),
    ],
)
def test_refusals(tokens: TokenServer, answer: Answer, said: str) -> None:
    """What is told is a status and a code of a list of ours; the library does not try again by itself."""
    tokens.answer = lambda _: answer

    with pytest.raises(FetchError) as raised:
        ServiceAccount(read_google_key(key_file())).fetch()

    assert said in str(raised.value)
    assert "mArKeD" not in str(raised.value)
    assert len(tokens.asked) == 1


@pytest.fixture
def pool(server: TokenServer, identity: Path, monkeypatch: pytest.MonkeyPatch) -> TokenServer:
    """Google's token exchange and impersonation."""
    monkeypatch.setenv("LLMROUTE_GCP_TOKEN_FILE", str(identity))
    monkeypatch.setenv("LLMROUTE_GCP_STS_URL", f"{server.url}/v1/token")
    monkeypatch.setenv("LLMROUTE_GCP_IAM_URL", server.url)

    def answer(asked: Asked) -> Answer:
        if asked.path == "/v1/token":
            return token("federated", 3600)
        return told({"accessToken": "impersonated", "expireTime": rfc3339(time.time() + 1800)})

    server.answer = answer
    return server


def test_workload_identity(pool: TokenServer, identity: Path) -> None:
    """The processor's own token, as it is at that moment, is exchanged for the pool's audience."""
    provider = WorkloadIdentity(AUDIENCE, None)
    fetched = provider.fetch()
    identity.write_text("rotated")
    provider.fetch()

    assert fetched.held == Token("federated")
    first, second = pool.asked
    assert (first.form["audience"], first.form["scope"]) == (AUDIENCE, SCOPE)
    assert (first.form["subject_token"], second.form["subject_token"]) == ("own-token", "rotated")


def test_impersonation(pool: TokenServer) -> None:
    """The federated token buys one of the service account, whose end counts."""
    fetched = WorkloadIdentity(AUDIENCE, "llm@p.iam.gserviceaccount.com").fetch()

    assert fetched.held == Token("impersonated")
    assert fetched.expires_at == pytest.approx(time.time() + 1800, abs=5)
    asked = pool.asked[-1]
    assert asked.path == "/v1/projects/-/serviceAccounts/llm@p.iam.gserviceaccount.com:generateAccessToken"
    assert asked.headers["authorization"] == "Bearer federated"


@pytest.mark.parametrize("path", ["/v1/token", "/v1/projects"])
def test_either_step_can_be_refused(pool: TokenServer, path: str) -> None:
    """Which one it was stands in the status; no words of the answer are repeated."""
    good = pool.answer
    pool.answer = lambda asked: Answer(403, b"own-token") if asked.path.startswith(path) else good(asked)

    with pytest.raises(FetchError, match=r"refuses the gateway \(HTTP 403\)$"):
        WorkloadIdentity(AUDIENCE, "llm@p.iam.gserviceaccount.com").fetch()


def test_no_identity(pool: TokenServer, identity: Path) -> None:
    """A token that is not mounted is the operator's to see, by the name of the variable."""
    identity.unlink()

    with pytest.raises(FetchError, match="LLMROUTE_GCP_TOKEN_FILE: No such file"):
        WorkloadIdentity(AUDIENCE, None).fetch()


def test_default_by_a_file(server: TokenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Application Default Credentials begin with the file that the environment names."""
    path = tmp_path / "adc.json"
    path.write_bytes(key_file(token_uri=f"{server.url}/token"))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    server.answer = lambda _: token("adc")

    assert Default().fetch().held == Token("adc")


def test_default_by_the_metadata_server(server: TokenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """They end with the metadata server, which is what a pod of GKE has."""
    monkeypatch.setattr(_metadata, "_NO_GCE_CHECK", False)
    monkeypatch.setattr(_metadata, "_GCE_METADATA_HOST", server.url.removeprefix("http://"))
    monkeypatch.setenv("GCE_METADATA_IP", server.url.removeprefix("http://"))
    monkeypatch.delenv("NO_GCE_CHECK")
    flavor = {"metadata-flavor": "Google"}

    def answer(asked: Asked) -> Answer:
        assert asked.headers.get("metadata-flavor") == "Google"
        path = asked.path.partition("?")[0]
        if path.endswith("/token"):
            return Answer(200, token("metadata").body, {"content-type": "application/json", **flavor})
        if path.endswith("/default/"):
            body = json.dumps({"email": "a@b", "scopes": [SCOPE]}).encode()
            return Answer(200, body, {"content-type": "application/json", **flavor})
        return Answer(200, b"project-1", {"content-type": "text/plain", **flavor})

    server.answer = answer

    assert Default().fetch().held == Token("metadata")


def test_default_that_is_nothing() -> None:
    """Neither a file nor a metadata server: said so."""
    with pytest.raises(FetchError, match="the gateway has no credential of Google Cloud: DefaultCredentialsError"):
        Default().fetch()
