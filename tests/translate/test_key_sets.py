"""Key sets: what is made of them, held against what Envoy takes and what a cryptography library makes."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from controller.translate.key_sets import UnusableKeySet, read_key_set

Key = dict[str, Any]


def _text(number: int, size: int | None = None) -> str:
    data = number.to_bytes(size or (number.bit_length() + 7) // 8)
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _rsa(bits: int = 2048) -> Key:
    numbers = rsa.generate_private_key(65537, bits).public_key().public_numbers()
    return {"kty": "RSA", "n": _text(numbers.n), "e": _text(numbers.e)}


def _ec(curve: ec.EllipticCurve, name: str) -> Key:
    numbers = ec.generate_private_key(curve).public_key().public_numbers()
    size = (curve.key_size + 7) // 8
    return {"kty": "EC", "crv": name, "x": _text(numbers.x, size), "y": _text(numbers.y, size)}


def _ed25519() -> Key:
    raw = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return {"kty": "OKP", "crv": "Ed25519", "x": base64.urlsafe_b64encode(raw).rstrip(b"=").decode()}


RSA, POINT, OKP = _rsa(), _ec(ec.SECP256R1(), "P-256"), _ed25519()


def _read(*keys: Any) -> list[Key]:
    keys_read: list[Key] = json.loads(read_key_set(json.dumps({"keys": keys})))["keys"]
    return keys_read


@pytest.mark.parametrize(
    "make",
    [
        lambda: {**RSA, "kid": "a", "alg": "RS256"},
        lambda: {**RSA, "alg": "PS512"},
        lambda: POINT,
        lambda: {**_ec(ec.SECP384R1(), "P-384"), "alg": "ES384"},
        lambda: _ec(ec.SECP521R1(), "P-521"),
        lambda: {**OKP, "alg": "EdDSA"},
    ],
)
def test_a_key_of_each_kind_is_kept(make: Callable[[], Key]) -> None:
    """What verifies is kept as it is; what is only said about it is left out."""
    key = make()

    assert _read({**key, "use": "sig", "x5c": ["MII"], "x5t": "t"}) == [key]


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ({"kty": "oct", "k": "c2VjcmV0"}, "of a kind that is not used"),
        ({"kty": 1}, "of a kind that is not used"),
        ({}, "of a kind that is not used"),
        ("x", "is no object"),
        ({**RSA, "use": "enc"}, "not for signatures"),
        ({**RSA, "kid": 3}, "kid that is no text"),
        ({**RSA, "alg": "HS256"}, "alg other than"),
        ({**RSA, "alg": 5}, "alg other than"),
        ({**RSA, "n": "!!"}, "not base64url"),
        ({**RSA, "n": "ü"}, "not base64url"),
        ({**RSA, "n": None}, 'no "n"'),
        ({**RSA, "n": "AQAB"}, "modulus of 17 bits"),
        ({**RSA, "n": _text(2**2048)}, "modulus of 2049 bits"),
        ({**RSA, "n": "A" * 60_000}, "modulus of 0 bits"),
        ({**RSA, "e": "Ag"}, "exponent"),
        ({**RSA, "e": "AQ"}, "exponent"),
        ({**POINT, "crv": "P-999"}, "curve that is not used"),
        ({**POINT, "crv": "P-384"}, "no point on P-384"),
        ({**POINT, "y": POINT["x"]}, "no point on P-256"),
        ({**POINT, "alg": "ES384"}, "alg other than ES256"),
        ({**OKP, "crv": "X25519"}, "Ed25519 is"),
        ({**OKP, "x": "AQAB"}, "not of 32 bytes"),
    ],
)
def test_an_unusable_key_is_left_out_and_said(key: Any, why: str) -> None:
    """A key that Envoy might refuse, and the whole file with it, never gets there; alone it is no key set."""
    assert _read(RSA, key) == [RSA]
    with pytest.raises(UnusableKeySet, match=r"has no key that can be used: keys\[0\]") as unusable:
        _read(key)
    assert why in str(unusable.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("zzz", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "must be an object"),
        ('{"keys": 5}', "must be an object"),
        ('{"keys": []}', "it is empty"),
        (json.dumps({"keys": [RSA] * 101}), "101 keys"),
    ],
    ids=["no-json", "deep", "list", "number", "empty", "many"],
)
def test_what_is_no_key_set_is_said(text: str, why: str) -> None:
    """The reason is the end of a sentence, and quotes nothing."""
    with pytest.raises(UnusableKeySet, match=why):
        read_key_set(text)


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8) | st.sampled_from(["RSA", "EC"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["keys", "kty", "n", "e", "x", "y", "crv", "alg", "kid"]), inner, max_size=5)
    ),
    max_leaves=12,
)


@given(st.text() | _JSON.map(json.dumps) | _JSON.map(lambda key: json.dumps({"keys": [key]})))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Whatever stands there is a key set or an ``UnusableKeySet``."""
    try:
        read = json.loads(read_key_set(text))
    except UnusableKeySet:
        return
    assert read["keys"]
