"""AWS Signature Version 4 against AWS's own vectors, and request by request against botocore's signer."""

import random
import string
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import botocore.auth
import pytest
import yaml
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from extproc.credentials.held import AwsKeys
from extproc.credentials.sigv4 import Scope, Signable, maybe_region, sign

SUITE: dict[str, Any] = yaml.safe_load((Path(__file__).parents[1] / "golden" / "sigv4" / "vectors.yaml").read_text())
KEYS = AwsKeys(SUITE["access_key_id"], SUITE["secret_access_key"])
SCOPE = Scope("us-east-1", "bedrock")
NOW = 1_795_413_600.0
#: Where a signature goes wrong if anything is encoded once too often, once too rarely, or not as bytes.
TEXTS = ("é", "ሴ", "𝄞", "a b", "a%20b", "a+b", "~", "-._~", "%", "&=", "!$'()*,;:@", "", string.ascii_letters)


def on_the_wire(text: str) -> str:
    """Text as an exchange sees it: one character for each byte."""
    return text.encode().decode("latin-1")


def signable(vector: dict[str, Any]) -> Signable:
    method, _, target = vector["request"].partition(" ")
    headers = {"host": SUITE["host"]}
    for name, value in vector.get("headers", ()):
        key = name.lower()
        headers[key] = f"{headers[key]},{value}" if key in headers else value
    return Signable(method, on_the_wire(target), headers, vector.get("body", "").encode())


@pytest.mark.parametrize("vector", SUITE["vectors"], ids=lambda vector: str(vector["name"]))
def test_the_published_vectors_hold(vector: dict[str, Any]) -> None:
    """Each request of the suite that we can be asked to sign gets the signature that AWS says."""
    keys = AwsKeys(SUITE["access_key_id"], SUITE["secret_access_key"], vector.get("session_token"))
    signed = dict(sign(signable(vector), keys, Scope(SUITE["region"], SUITE["service"]), SUITE["at"]))

    assert signed["authorization"].rpartition("Signature=")[2] == vector["signature"]
    assert signed["authorization"].startswith(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders="
    )
    assert signed.get("x-amz-security-token") == vector.get("session_token")


def _target(chance: random.Random) -> str:
    arn = (
        f"arn:aws:bedrock:us-east-1:{chance.randrange(10**12)}:application-inference-profile/{chance.randrange(10**9)}"
    )
    names = (arn, "anthropic.claude-sonnet-4-5-20250929-v1:0", *TEXTS)
    verb = chance.choice(("converse", "invoke", "a:b", "./x", "y/..", "/z/"))
    path = f"/model/{quote(chance.choice(names), safe='')}/{verb}"
    if chance.random() < 0.2:
        path = f"/{chance.choice(TEXTS).translate({ord(c): None for c in '%?#&='})}/x"
    pairs = [
        f"{quote(chance.choice(TEXTS) + str(chance.randrange(3)), safe='~')}={quote(chance.choice(TEXTS), safe='~')}"
        for _ in range(chance.choice((0, 0, 1, 4)))
    ]
    return f"{path}?{'&'.join(pairs)}" if pairs else path


def test_a_thousand_requests_are_signed_as_botocore_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Methods, ARNs, queries, text of all kinds, bodies, session tokens, days and regions: the same headers."""
    chance = random.Random(6)
    for _ in range(1000):
        now = float(chance.randrange(1_500_000_000, 4_000_000_000))
        monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda now=now: datetime.fromtimestamp(now, UTC))
        session = chance.choice((None, "IQoJb3JpZ2luX2VjEJv//////////wEaCXVzLWVhc3QtMSJHMEUCIQ=="))
        secret = "".join(chance.choices(string.ascii_letters + "+/", k=40))
        scope = Scope(chance.choice(("us-east-1", "eu-central-1", "us-gov-west-1")), chance.choice(("bedrock", "x")))
        host = chance.choice(("bedrock-runtime.us-east-1.amazonaws.com", "bedrock.internal:8443"))
        typed = chance.choice(({}, {"content-type": "application/json"}, {"content-type": " a/b;  charset=utf-8 "}))
        target, body = _target(chance), chance.randbytes(chance.choice((0, 1, 2048)))
        method = chance.choice(("POST", "GET", "PUT", "DELETE"))

        ours = sign(
            Signable(method, on_the_wire(target), {"host": host, **typed}, body),
            AwsKeys("AKIDEXAMPLE", secret, session),
            scope,
            now,
        )
        theirs = AWSRequest(method=method, url=f"https://{host}{target}", data=body, headers=typed)
        botocore.auth.SigV4Auth(Credentials("AKIDEXAMPLE", secret, session), scope.service, scope.region).add_auth(
            theirs
        )

        expected = {name.lower(): value for name, value in theirs.headers.items()}
        assert dict(ours) == {name: value for name, value in expected.items() if name not in typed}, target


def test_bytes_beyond_ascii_are_covered_as_they_are_sent() -> None:
    """A header's byte that is no ASCII is one byte of what is signed, and no space though Unicode has it for one."""
    signatures = {
        dict(sign(Signable("POST", "/", {"host": "h", "content-type": kind}, b""), KEYS, SCOPE, NOW))["authorization"]
        for kind in ("a/b", "a/b;c=\xe9", "a/b;c=\xa0", "a/b;c=", "a/b;c= ")
    }

    assert len(signatures) == 4


def test_the_key_of_a_day_is_kept_with_its_keys_alone() -> None:
    """It is derived once for a day, a region and a service; few are kept, and equal keys share none."""
    keys, same = AwsKeys("A", "s"), AwsKeys("A", "s")
    request = Signable("POST", "/", {"host": "h"}, b"")
    first = sign(request, keys, SCOPE, NOW)

    assert (len(keys.derived), len(same.derived)) == (1, 0)
    assert keys == same
    assert repr(keys) == "AwsKeys(...)"
    kept = dict(keys.derived)
    assert sign(request, keys, SCOPE, NOW) == first
    assert keys.derived == kept
    for day in range(20):
        sign(request, keys, SCOPE, NOW + day * 86_400)
    assert len(keys.derived) <= 4
    assert sign(request, keys, SCOPE, NOW) == sign(request, same, SCOPE, NOW) == first


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("bedrock-runtime.us-east-1.amazonaws.com", "us-east-1"),
        ("bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("vpce-0ab1-xyz.bedrock-runtime.eu-west-3.vpce.amazonaws.com", "eu-west-3"),
        ("vpce-0ab1-xyz-eu-west-3a.bedrock-runtime.eu-west-3.vpce.amazonaws.com", "eu-west-3"),
        ("bedrock-runtime.ap-southeast-2.api.aws", "ap-southeast-2"),
        ("bedrock-runtime.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("Bedrock-Runtime.US-East-1.amazonaws.com:443", "us-east-1"),
        ("bedrock-runtime.us-east-1.amazonaws.com.evil.com", None),
        ("bedrock-runtime.us-east-1.amazonaws.com.cn.evil", None),
        ("evil.com/bedrock-runtime.us-east-1.amazonaws.com", None),
        ("evilbedrock-runtime.us-east-1.amazonaws.com", None),
        ("bedrock-runtime.us-east-1.amazonawsXcom", None),
        ("bedrock-runtime.us-east-1.amazonaws.com\n", None),
        ("bedrock-runtime.amazonaws.com", None),
        ("s3.us-east-1.amazonaws.com", None),
        ("bedrock-runtime.internal", None),
        ("", None),
    ],
)
def test_only_a_host_of_bedrocks_names_a_region(host: str, region: str | None) -> None:
    """The whole host must have a known form, to its end: a longer name is somebody else's."""
    assert maybe_region(host) == region
