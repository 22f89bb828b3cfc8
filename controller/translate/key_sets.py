"""JSON Web Key Sets (RFC 7517, 7518, 8037), reduced to what Envoy certainly takes.

Envoy refuses all providers together when the key set of one has no key that it can read (tried on 1.40), so what it
gets is written anew from keys that were looked at in full. Shared secrets (``oct``) are no keys to publish: they are
left out.
"""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from typing import Any

from extproc.config.errors import quoted

#: Bits of an RSA modulus: below, it is weak, and far above, BoringSSL does not take it.
_RSA_BITS = range(2048, 8193)
_RSA_MAX_EXPONENT = 2**32
_RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_ED25519_BYTES = 32
_MAX_KEYS = 100

#: Curve -> its one algorithm, the field's prime, and b of y² = x³ - 3x + b (FIPS 186-5 and SP 800-186).
_CURVES: Mapping[str, tuple[str, int, int]] = {
    "P-256": (
        "ES256",
        2**256 - 2**224 + 2**192 + 2**96 - 1,
        0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
    ),
    "P-384": (
        "ES384",
        2**384 - 2**128 - 2**96 + 2**32 - 1,
        int(
            "b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef",
            16,
        ),
    ),
    "P-521": (
        "ES512",
        2**521 - 1,
        int(
            "51953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e156193951ec7e937b1652c0bd3bb1bf07"
            "3573df883d2c34f1ef451fd46b503f00",
            16,
        ),
    ),
}


class UnusableKeySet(Exception):
    """The text is no key set, or one without a single usable key; the message is the end of a sentence."""


def read_key_set(text: str) -> str:
    """The usable public keys of a key set, as canonical JSON. Raises ``UnusableKeySet``."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise UnusableKeySet("is not JSON") from None
    keys = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(keys, list):
        raise UnusableKeySet("is no JSON Web Key Set: it must be an object with a list 'keys'")
    if len(keys) > _MAX_KEYS:
        raise UnusableKeySet(f"has {len(keys)} keys; {_MAX_KEYS} are the most")
    usable, faults = [], []
    for i, key in enumerate(keys):
        try:
            usable.append(_read_key(key))
        except _UnusableKey as unusable:
            faults.append(f"keys[{i}] {unusable}")
    if not usable:
        raise UnusableKeySet(f"has no key that can be used: {'; '.join(faults[:3]) or 'it is empty'}")
    return json.dumps({"keys": usable}, sort_keys=True, separators=(",", ":"))


class _UnusableKey(Exception):
    """Why; the end of a sentence."""


def _read_key(key: Any) -> dict[str, str]:
    if not isinstance(key, dict):
        raise _UnusableKey("is no object")
    kind = key.get("kty")
    read = _READERS.get(kind) if isinstance(kind, str) else None
    if read is None:
        raise _UnusableKey(f"is of a kind that is not used; {', '.join(_READERS)} are")
    if key.get("use", "sig") != "sig":
        raise _UnusableKey("is not for signatures")
    kept = {"kty": str(kind), **read(key)}
    if (name := key.get("kid")) is not None:
        if not isinstance(name, str):
            raise _UnusableKey("has a kid that is no text")
        kept["kid"] = name
    return kept


def _read_rsa(key: Mapping[str, Any]) -> dict[str, str]:
    modulus, exponent = _number(key, "n"), _number(key, "e")
    if modulus.bit_length() not in _RSA_BITS or not modulus % 2:
        raise _UnusableKey(f"has an RSA modulus of {modulus.bit_length()} bits; 2048 to 8192 are taken")
    if not 3 <= exponent < _RSA_MAX_EXPONENT or not exponent % 2:
        raise _UnusableKey("has an RSA exponent that cannot be used")
    return {"n": key["n"], "e": key["e"], **_algorithm(key, _RSA_ALGORITHMS)}


def _read_ec(key: Mapping[str, Any]) -> dict[str, str]:
    curve = key.get("crv")
    if not isinstance(curve, str) or curve not in _CURVES:
        raise _UnusableKey(f"is on a curve that is not used; {', '.join(_CURVES)} are")
    algorithm, prime, constant = _CURVES[curve]
    x, y = _number(key, "x"), _number(key, "y")
    if x >= prime or y >= prime or (y * y - (x * x * x - 3 * x + constant)) % prime:
        raise _UnusableKey(f"is no point on {curve}")
    return {"crv": curve, "x": key["x"], "y": key["y"], **_algorithm(key, (algorithm,))}


def _read_okp(key: Mapping[str, Any]) -> dict[str, str]:
    if key.get("crv") != "Ed25519":
        raise _UnusableKey("is on a curve that is not used; Ed25519 is")
    if len(_octets(key, "x")) != _ED25519_BYTES:
        raise _UnusableKey(f"has an x that is not of {_ED25519_BYTES} bytes")
    return {"crv": "Ed25519", "x": key["x"], **_algorithm(key, ("EdDSA",))}


_READERS: Mapping[str, Callable[[Mapping[str, Any]], dict[str, str]]] = {
    "RSA": _read_rsa,
    "EC": _read_ec,
    "OKP": _read_okp,
}


def _algorithm(key: Mapping[str, Any], known: tuple[str, ...]) -> dict[str, str]:
    named = key.get("alg")
    if named is None:
        return {}
    if named not in known:
        raise _UnusableKey(f"has an alg other than {', '.join(known)}")
    return {"alg": named}


def _number(key: Mapping[str, Any], field: str) -> int:
    return int.from_bytes(_octets(key, field))


def _octets(key: Mapping[str, Any], field: str) -> bytes:
    """base64url without padding, as RFC 7515 has it."""
    text = key.get(field)
    if not isinstance(text, str) or not text:
        raise _UnusableKey(f"has no {quoted(field)}")
    try:
        return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise _UnusableKey(f"has a {quoted(field)} that is not base64url") from None
