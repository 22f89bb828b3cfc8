"""Keys of AWS by every way that a pod, a machine or a shell has, from servers that speak as AWS's do."""

import time
from pathlib import Path

import pytest

from extproc.credentials.held import AwsKeys
from extproc.server.credentials.aws import DefaultChain, WebIdentity
from extproc.server.credentials.provider import FetchError
from tests.support.token_servers import Answer, Asked, TokenServer, rfc3339, sts_keys, sts_refusal, told

ROLE = "arn:aws:iam::123456789012:role/llm"
ENDS = float(int(time.time()) + 3600)
SECRET = "s3cr3t/+"
KEYS = AwsKeys("ASIA1", SECRET, "session==")
METADATA = {"AccessKeyId": "ASIA1", "SecretAccessKey": SECRET, "Token": "session==", "Expiration": rfc3339(ENDS)}


def imds(asked: Asked) -> Answer:
    """The instance metadata service, version 2 only.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html (2026-11)
    """
    if asked.method == "PUT":
        return Answer(200, b"session-of-imds")
    if asked.headers.get("x-aws-ec2-metadata-token") != "session-of-imds":
        return Answer(401)
    if asked.path.endswith("/security-credentials/"):
        return Answer(200, b"node-role")
    return told({"Code": "Success", "Type": "AWS-HMAC", "LastUpdated": rfc3339(ENDS - 3600), **METADATA})


@pytest.fixture
def sts(server: TokenServer, identity: Path, monkeypatch: pytest.MonkeyPatch) -> TokenServer:
    """The security token service, and a token of the processor's own for it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.url)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(identity))
    server.answer = lambda _: sts_keys("ASIA1", SECRET, "session==", ENDS)
    return server


def test_web_identity_of_a_role(sts: TokenServer, identity: Path) -> None:
    """The role is the backend's, the proof the processor's own token as it is at that moment; nothing is signed."""
    provider = WebIdentity(ROLE, "eu-central-1")
    fetched = provider.fetch()
    identity.write_text("rotated")
    provider.fetch()

    assert (fetched.held, fetched.expires_at) == (KEYS, ENDS)
    first, second = sts.asked
    assert first.form["Action"] == "AssumeRoleWithWebIdentity"
    assert (first.form["RoleArn"], first.form["RoleSessionName"]) == (ROLE, "llmroute")
    assert (first.form["WebIdentityToken"], second.form["WebIdentityToken"]) == ("own-token", "rotated")
    assert "authorization" not in first.headers


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (sts_refusal("InvalidIdentityToken", "own-token"), "refuses the gateway (HTTP 403): InvalidIdentityToken"),
        (sts_refusal("own-token", "own-token", 400), "refuses the gateway (HTTP 400)"),
        (sts_refusal("InternalFailure", "own-token", 500), "(HTTP 500)"),
        (Answer(200, b"own-token", {"content-type": "text/xml"}), "gives no usable answer: ResponseParserError"),
    ],
)
def test_web_identity_that_is_refused(sts: TokenServer, answer: Answer, said: str) -> None:
    """What is told is a status and a code of a list of ours, whatever the service repeats; it is asked once."""
    sts.answer = lambda _: answer

    with pytest.raises(FetchError) as raised:
        WebIdentity(ROLE, None).fetch()

    assert said in str(raised.value)
    assert "own-token" not in str(raised.value)
    assert len(sts.asked) == 1


def test_web_identity_without_a_token(sts: TokenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of a cluster that gives one, that is said, and nobody is asked."""
    monkeypatch.delenv("AWS_WEB_IDENTITY_TOKEN_FILE")

    with pytest.raises(FetchError, match="AWS_WEB_IDENTITY_TOKEN_FILE is not set"):
        WebIdentity(ROLE, None).fetch()
    assert sts.asked == []


def test_sts_that_cannot_be_reached(sts: TokenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure on the way is told by its type."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")

    with pytest.raises(FetchError, match="cannot be reached: EndpointConnectionError"):
        WebIdentity(ROLE, None).fetch()


def test_default_chain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of the environment have no end that anybody knows."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)

    fetched = DefaultChain().fetch()

    assert (fetched.held, fetched.expires_at) == (AwsKeys("AKIA1", SECRET), None)


def test_default_chain_shared_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile of a shared file counts, as the file is at that moment."""
    path = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    monkeypatch.setenv("AWS_PROFILE", "llm")
    provider = DefaultChain()
    held = []
    for key in ("AKIA1", "AKIA2"):
        path.write_text(f"[llm]\naws_access_key_id = {key}\naws_secret_access_key = {SECRET}\n")
        held.append(provider.fetch().held)

    assert held == [AwsKeys("AKIA1", SECRET), AwsKeys("AKIA2", SECRET)]


def test_default_chain_web_identity(sts: TokenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What EKS puts into a pod of a service account with a role."""
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)

    fetched = DefaultChain().fetch()

    assert (fetched.held, fetched.expires_at) == (KEYS, ENDS)
    assert sts.asked[0].form["RoleArn"] == ROLE


def test_default_chain_container(server: TokenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ECS and EKS Pod Identity put into a container: an address, and a token to show there."""
    (tmp_path / "auth").write_text("pod-token")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.url}/v1/credentials")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "auth"))
    server.answer = lambda _: told(METADATA)

    fetched = DefaultChain().fetch()

    assert (fetched.held, fetched.expires_at) == (KEYS, ENDS)
    assert server.asked[0].headers["authorization"] == "pod-token"


def test_default_chain_instance(server: TokenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an EC2 machine has, by the session-oriented protocol."""
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url)
    server.answer = imds

    fetched = DefaultChain().fetch()

    assert (fetched.held, fetched.expires_at) == (KEYS, ENDS)


def test_default_chain_that_ends_in_nothing() -> None:
    """No way leads to a key: said so, not guessed at."""
    with pytest.raises(FetchError, match="the gateway has no credential of AWS"):
        DefaultChain().fetch()


def test_default_chain_with_a_profile_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong with the environment is told by its type."""
    monkeypatch.setenv("AWS_PROFILE", "typo")

    with pytest.raises(FetchError, match="ProfileNotFound"):
        DefaultChain().fetch()
