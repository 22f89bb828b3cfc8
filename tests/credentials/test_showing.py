"""What a credential becomes on its way to an upstream, and what becomes of one that cannot be shown."""

from typing import Any

import pytest
from msgspec.structs import replace

from extproc.config.auth import Auth
from extproc.credentials.held import AwsKeys, Held, Missing, Token
from extproc.credentials.showing import NOTHING, Sending, Shown, show, without

TO = Sending(
    "POST", "/model/m/converse", "bedrock-runtime.eu-west-1.amazonaws.com", "application/json", b"{}", "x-api-key", 1e9
)
KEYS = AwsKeys("AKIA", "secret", "session")
API_KEY: dict[str, Any] = {"apiKey": {"file": "f"}}
AWS: dict[str, Any] = {"aws": {}}
BEDROCK_KEY: dict[str, Any] = {"aws": {"source": "bedrockAPIKey", "file": "f"}}
GCP: dict[str, Any] = {"gcp": {}}
AZURE: dict[str, Any] = {"azure": {"source": "federatedToken", "tenantId": "t", "clientId": "c"}}
FALLBACK: dict[str, Any] = {"passthrough": {"header": "x-team", "file": "f"}}


def shown(held: Held, auth: dict[str, Any], to: Sending = TO) -> Shown | Missing:
    return show(held, Auth.model_validate(auth), to)


@pytest.mark.parametrize(
    ("auth", "key_header", "expected"),
    [
        (API_KEY, "authorization", ("authorization", "Bearer K")),
        (API_KEY, "api-key", ("api-key", "K")),
        (API_KEY, "x-goog-api-key", ("x-goog-api-key", "K")),
        ({"apiKey": {"file": "f", "header": "X-Key"}}, "authorization", ("x-key", "K")),
        ({"apiKey": {"file": "f", "header": "X-Key", "prefix": "Token "}}, "authorization", ("x-key", "Token K")),
        ({"apiKey": {"file": "f", "prefix": ""}}, "authorization", ("authorization", "K")),
        ({"apiKey": {"file": "f", "header": "Authorization"}}, "x-api-key", ("authorization", "Bearer K")),
        (FALLBACK, "x-api-key", ("x-api-key", "K")),
        (FALLBACK, "authorization", ("authorization", "Bearer K")),
        *[
            (auth, header, ("authorization", "Bearer K"))
            for auth in (BEDROCK_KEY, GCP, AZURE)
            for header in ("authorization", "api-key", "x-goog-api-key")
        ],
    ],
)
def test_a_token_goes_where_the_upstream_looks_for_it(
    auth: dict[str, Any], key_header: str, expected: tuple[str, str]
) -> None:
    """Keys in the platform's header or the configured one; access tokens always as a bearer's."""
    found = shown(Token("K"), auth, replace(TO, key_header=key_header))

    assert isinstance(found, Shown)
    assert found.headers == (expected,)
    assert found.own
    assert repr(found) == "Shown(...)"


def test_nothing_is_shown_where_nothing_is_wanted() -> None:
    """``none`` shows nothing, whatever there is."""
    assert shown(Token("K"), {"none": {}}) is NOTHING
    assert not NOTHING.own


def test_keys_of_aws_sign_for_the_region_that_is_said_or_that_the_host_names() -> None:
    """The configured region and service win; without one it is the host's."""
    for auth, scope in (
        ({}, "/eu-west-1/bedrock/"),
        ({"region": "us-east-2"}, "/us-east-2/bedrock/"),
        ({"service": "execute-api"}, "/eu-west-1/execute-api/"),
    ):
        found = shown(KEYS, {"aws": auth})
        assert isinstance(found, Shown)
        headers = dict(found.headers)
        assert headers.keys() == {"x-amz-date", "x-amz-security-token", "authorization"}
        assert scope in headers["authorization"]
        assert "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token" in headers["authorization"]


@pytest.mark.parametrize(
    ("held", "auth", "to", "said"),
    [
        (Missing("not yet fetched"), API_KEY, TO, "not yet fetched"),
        (KEYS, AWS, replace(TO, host=None), "'host'"),
        (KEYS, AWS, replace(TO, host="bedrock.internal"), "'auth.aws.region'"),
        (KEYS, AWS, replace(TO, host="bedrock-runtime.us-east-1.amazonaws.com.evil.com"), "'auth.aws.region'"),
        (KEYS, API_KEY, TO, "another kind"),
        (KEYS, GCP, TO, "another kind"),
        (KEYS, BEDROCK_KEY, TO, "another kind"),
        (KEYS, FALLBACK, TO, "another kind"),
        (Token("K"), AWS, TO, "another kind"),
    ],
)
def test_what_cannot_be_shown_says_why(held: Held, auth: dict[str, Any], to: Sending, said: str) -> None:
    """Each with a reason that names the field to mend, and no value."""
    found = shown(held, auth, to)

    assert isinstance(found, Missing)
    assert said in found.reason


@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "a\0b", "a\tb", "a\x7fb", "a\x85b", "ключ", "a\u2028b", ""])
@pytest.mark.parametrize("auth", [API_KEY, BEDROCK_KEY, GCP, AZURE, FALLBACK])
def test_a_key_that_fits_no_header_reaches_none(bad: str, auth: dict[str, Any]) -> None:
    """Control characters would be headers of their own, and what is beyond latin-1 has no byte."""
    found = shown(Token(bad), auth)

    assert isinstance(found, Missing)
    assert not bad or bad not in found.reason


@pytest.mark.parametrize("keys", [AwsKeys("A\nx: y", "s"), AwsKeys("A", "s", "t\r\n"), AwsKeys("ключ", "s")])
def test_aws_keys_that_fit_no_header_sign_nothing(keys: AwsKeys) -> None:
    """The id and the session token stand in headers; the secret is only counted with."""
    assert isinstance(shown(keys, AWS), Missing)
    assert isinstance(shown(AwsKeys("A", "секрет\n"), AWS), Shown)


def test_a_secret_is_cut_out_of_what_an_upstream_repeats() -> None:
    """Tokens, session tokens, secret keys and signatures; an empty text is none."""
    found = shown(KEYS, AWS)
    assert isinstance(found, Shown)
    signature = dict(found.headers)["authorization"].rpartition("=")[2]

    told = without(found.secrets, f"secret session {signature} said AKIA")

    assert told == "*** *** *** said AKIA"
