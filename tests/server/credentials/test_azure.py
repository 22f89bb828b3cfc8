"""Tokens of Microsoft Entra ID, from a server that speaks as it does."""

import time
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from extproc.credentials.held import Token
from extproc.server.credentials import azure, outbound
from extproc.server.credentials.azure import ClientSecret, FederatedToken
from extproc.server.credentials.provider import FetchError
from tests.support.token_servers import HANG, Answer, Asked, TokenServer, token, told

SECRET = "s3cr~t+&="


@pytest.fixture(autouse=True)
def authority(server: TokenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entra is the local server, with a slash at the end as Azure's own variables have it."""
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", f"{server.url}/")


def test_client_secret(server: TokenServer) -> None:
    """The form is that of the client credentials grant, for the tenant's endpoint, and the answer's life counts."""
    server.answer = lambda _: token("t1", 3599)

    fetched = ClientSecret(SECRET, "tenant-1", "client-1").fetch()

    assert fetched.held == Token("t1")
    assert fetched.expires_at == pytest.approx(time.time() + 3599, abs=5)
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", "/tenant-1/oauth2/v2.0/token")
    assert asked.form == {
        "client_id": "client-1",
        "client_secret": SECRET,
        "grant_type": "client_credentials",
        "scope": "https://cognitiveservices.azure.com/.default",
    }


@pytest.mark.parametrize(
    ("authority", "scope"),
    [
        ("https://login.microsoftonline.us/", "https://cognitiveservices.azure.us/.default"),
        ("https://login.chinacloudapi.cn", "https://cognitiveservices.azure.cn/.default"),
        ("https://login.partner.microsoftonline.cn:443", "https://cognitiveservices.azure.cn/.default"),
        ("https://login.microsoftonline.com", "https://cognitiveservices.azure.com/.default"),
    ],
)
def test_sovereign_clouds(monkeypatch: pytest.MonkeyPatch, authority: str, scope: str) -> None:
    """A token is for the services of the cloud whose authority gives it."""
    asked: dict[str, str] = {}

    def ask(url: str, _: str, body: bytes, __: object) -> outbound.Answer:
        asked.update(parse_qsl(f"url={url}&{body.decode()}"))
        return outbound.Answer(200, {}, token("t").body)

    monkeypatch.setenv("AZURE_AUTHORITY_HOST", authority)
    monkeypatch.setattr(azure, "ask", ask)
    ClientSecret(SECRET, "tenant-1", "client-1").fetch()

    assert asked["scope"] == scope
    assert asked["url"] == f"{authority.rstrip('/')}/tenant-1/oauth2/v2.0/token"


def test_the_life_of_a_token_begins_with_the_question(server: TokenServer) -> None:
    """An answer that was long on its way is not taken for younger than it is."""

    def slow(_: Asked) -> Answer:
        time.sleep(0.5)
        return token("t1", 60)

    server.answer = slow
    asked = time.time()
    fetched = ClientSecret(SECRET, "t", "c").fetch()

    assert fetched.expires_at is not None
    assert fetched.expires_at <= asked + 60.1


def test_federated_token(server: TokenServer, identity: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The processor's own token is read anew each time."""
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(identity))
    server.answer = lambda _: token("t1")
    provider = FederatedToken("tenant-1", "client-1")
    provider.fetch()
    identity.write_text("rotated")
    provider.fetch()

    assert [a.form["client_assertion"] for a in server.asked] == ["own-token", "rotated"]
    assert server.asked[0].form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert "client_secret" not in server.asked[0].form


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            told({"error": "invalid_client", "error_description": f"bad {SECRET}", "error_codes": [7000215]}, 401),
            "its token endpoint refuses the gateway (HTTP 401): invalid_client, AADSTS7000215",
        ),
        (told({"error": SECRET, "error_codes": [SECRET, True]}, 400), "(HTTP 400)"),
        (Answer(500, SECRET.encode()), "is failing (HTTP 500)"),
        (Answer(429), "is failing (HTTP 429)"),
        (Answer(302, b"", {"location": "http://127.0.0.1:1/"}), "(HTTP 302)"),
        (Answer(200, SECRET.encode()), "no access_token"),
        (token("", 10), "access_token: it is empty"),
        (token("a\nb", 10), "access_token: it has a control character"),
        (token("t", -1), "expires_in"),
        (token("t", "soon"), "expires_in"),
        (token("t", 1e300), "expires_in"),
        (Answer(200, b"x" * (2 << 20)), "more than"),
        (Answer(200, b"short", {"content-length": "100"}), "IncompleteRead"),
    ],
)
def test_answers_that_are_of_no_use(server: TokenServer, answer: Answer, said: str) -> None:
    """What is told is a status and a code of a list of ours, never what the endpoint wrote."""
    server.answer = lambda _: answer

    with pytest.raises(FetchError) as raised:
        ClientSecret(SECRET, "t", "c").fetch()

    assert said in str(raised.value)
    assert SECRET not in repr(raised.value)
    assert len(server.asked) == 1


def test_seconds_as_a_text(server: TokenServer) -> None:
    """Entra's first version wrote the life as a text, and some proxies of it still do."""
    server.answer = lambda _: token("t", "60")

    assert ClientSecret(SECRET, "t", "c").fetch().expires_at == pytest.approx(time.time() + 60, abs=5)


def test_an_endpoint_that_hangs(server: TokenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request has its time, and no more."""
    server.answer = lambda _: HANG
    monkeypatch.setattr(outbound.ask, "__defaults__", (*(outbound.ask.__defaults__ or ())[:-1], 0.1))

    with pytest.raises(FetchError, match=r"cannot be reached: no answer in 0\.1 s"):
        ClientSecret(SECRET, "t", "c").fetch()


def test_nobody_listens(server: TokenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused connection is told by its type."""
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", "http://127.0.0.1:1")

    with pytest.raises(FetchError, match=r"cannot be reached: ConnectionRefusedError"):
        ClientSecret(SECRET, "t", "c").fetch()


def test_no_secret_is_sent_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    """An authority without TLS is refused before anything is sent, unless it is this machine."""
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", "http://entra.example")

    with pytest.raises(FetchError, match="AZURE_AUTHORITY_HOST is no https address"):
        ClientSecret(SECRET, "t", "c").fetch()


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file"), (b"", "it is empty"), (b"\xff", "it is not UTF-8")],
)
def test_an_identity_that_cannot_be_read(
    identity: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, said: str
) -> None:
    """The variable is named to the operator; a client only hears that the gateway has no token."""
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(identity))
    identity.unlink()
    if content is not None:
        identity.write_bytes(content)

    with pytest.raises(FetchError) as raised:
        FederatedToken("t", "c").fetch()

    assert raised.value.reason == "the gateway has no token of its own to exchange"
    assert "AZURE_FEDERATED_TOKEN_FILE" in raised.value.detail
    assert said in raised.value.detail


def test_no_identity_at_all() -> None:
    """Outside of a cluster that gives one."""
    with pytest.raises(FetchError, match="AZURE_FEDERATED_TOKEN_FILE is not set"):
        FederatedToken("t", "c").fetch()
