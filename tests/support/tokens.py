"""An issuer of JSON Web Tokens, with keys of each kind."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

#: The ``iss`` of every token, and whom they are for.
ISSUER, AUDIENCE = "https://issuer.example.com", "llm-gateway"
ALGORITHMS = ("RS256", "ES256", "EdDSA")


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """Three keys, made anew: tokens of one issuer are no other's."""

    def __init__(self) -> None:
        rsa_key = rsa.generate_private_key(65537, 2048)
        ec_key = ec.generate_private_key(ec.SECP256R1())
        ed_key = ed25519.Ed25519PrivateKey.generate()
        modulus = rsa_key.public_key().public_numbers()
        point = ec_key.public_key().public_numbers()
        raw = ed_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self._public: dict[str, dict[str, str]] = {
            "RS256": {"kty": "RSA", "n": _text(modulus.n.to_bytes(256)), "e": "AQAB"},
            "ES256": {"kty": "EC", "crv": "P-256", "x": _text(point.x.to_bytes(32)), "y": _text(point.y.to_bytes(32))},
            "EdDSA": {"kty": "OKP", "crv": "Ed25519", "x": _text(raw)},
        }

        def by_curve(data: bytes) -> bytes:
            r, s = decode_dss_signature(ec_key.sign(data, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(32) + s.to_bytes(32)

        self._sign: dict[str, Callable[[bytes], bytes]] = {
            "RS256": lambda data: rsa_key.sign(data, padding.PKCS1v15(), hashes.SHA256()),
            "ES256": by_curve,
            "EdDSA": ed_key.sign,
        }

    def key_set(self) -> str:
        """The public keys, each named by its algorithm."""
        return json.dumps({"keys": [{**key, "kid": name, "alg": name} for name, key in self._public.items()]})

    def token(self, algorithm: str = "ES256", **claims: Any) -> str:
        """A token that is valid for a minute, but for what ``claims`` say otherwise; None takes a claim away."""
        told = {"iss": ISSUER, "aud": AUDIENCE, "sub": "carol", "exp": int(time.time()) + 60, **claims}
        head = {"alg": algorithm, "kid": algorithm, "typ": "JWT"}
        kept = {name: value for name, value in told.items() if value is not None}
        signed = ".".join(_text(json.dumps(part).encode()) for part in (head, kept))
        return f"{signed}.{_text(self._sign[algorithm](signed.encode()))}"
