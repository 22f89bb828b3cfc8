"""Certificates and keys, read as closely as Envoy does, which refuses all clusters for one that it cannot read.

Nothing that is said of a key repeats any of it.
"""

from base64 import b64decode, b64encode
from binascii import Error as NoBase64
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPrivateNumbers
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key

#: They stand in Envoy's file of clusters, which shares the megabyte of a ConfigMap with those of all backends.
MAX_CHAIN_BYTES: Final = 64 * 1024
MAX_KEY_BYTES: Final = 16 * 1024
_CERTIFICATE: Final = "CERTIFICATE"
_PRIVATE_KEYS: Final = ("PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY")
#: What ``openssl ecparam -genkey`` writes before the key, which says it again.
_PARAMETERS: Final = "EC PARAMETERS"
#: Those that Envoy 1.40 takes, as it said when it was asked (2026-11-23); none tried more bits than the upper end.
_CURVES: Final = ("secp256r1", "secp384r1", "secp521r1")
_RSA_BITS: Final = range(2048, 8193)
_BEGIN, _END, _DASHES = b"-----BEGIN ", b"-----END ", b"-----"
_LINE: Final = 64

#: A block of PEM: its label and what it encodes.
Block = tuple[str, bytes]


class Unusable(Exception):
    """A text is not what it is used for; this says why, as the end of ``the key "tls.crt" of Secret "a" ...``."""


@lru_cache(maxsize=64)
def read_authorities(text: bytes) -> str:
    """Certificates in PEM, with nothing around them. Raises ``Unusable``."""
    return _pem(_certificates(text)[0])


def read_chain(text: bytes) -> tuple[str, x509.Certificate]:
    """Certificates in PEM, with nothing around them, and the first of them. Raises ``Unusable``."""
    blocks, certificates = _certificates(text)
    return _pem(blocks), certificates[0]


def read_key(text: bytes, certificate: x509.Certificate) -> str:
    """The private key of a certificate in PEM, with nothing around it. Raises ``Unusable``."""
    _measured(text, MAX_KEY_BYTES)
    blocks = [block for block in _blocks(text) if block[0] != _PARAMETERS]
    if len(blocks) != 1 or blocks[0][0] not in _PRIVATE_KEYS:
        raise Unusable("must hold one private key in PEM that is not encrypted")
    try:
        # Without OpenSSL's own look at an RSA key, which tries for primes: a large one takes it minutes.
        key = load_der_private_key(blocks[0][1], None, unsafe_skip_rsa_key_validation=True)
        own = certificate.public_key()
    except (TypeError, ValueError, UnsupportedAlgorithm):
        raise Unusable("must hold one private key in PEM that is not encrypted") from None
    if (fault := _maybe_weakness(key)) is not None:
        raise Unusable(fault)
    told = (one.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) for one in (own, key.public_key()))
    if len(set(told)) != 1:
        raise Unusable("is not the key of the certificate beside it")
    return _pem(blocks)


def _certificates(text: bytes) -> tuple[Sequence[Block], Sequence[x509.Certificate]]:
    _measured(text, MAX_CHAIN_BYTES)
    blocks = _blocks(text)
    if not blocks or any(label != _CERTIFICATE for label, _ in blocks):
        raise Unusable("must hold certificates in PEM and nothing else")
    certificates = []
    for number, (_, der) in enumerate(blocks, start=1):
        try:
            certificates.append(_certificate(der))
        except (ValueError, x509.InvalidVersion):
            raise Unusable(f"has something as certificate {number} that is none") from None
    return blocks, certificates


def _certificate(der: bytes) -> x509.Certificate:
    certificate = x509.load_der_x509_certificate(der)
    # Here names are read when they are asked for; BoringSSL reads them at once, and refuses the whole if it cannot.
    for name in (certificate.issuer, certificate.subject):
        name.public_bytes()
    return certificate


def _maybe_weakness(key: PrivateKeyTypes) -> str | None:
    match key:
        case RSAPrivateKey():
            if key.key_size not in _RSA_BITS:
                return f"has an RSA key of {key.key_size} bits; Envoy takes {_RSA_BITS[0]} to {_RSA_BITS[-1]}"
            return None if _is_whole(key.private_numbers()) else "has an RSA key whose parts do not fit together"
        case EllipticCurvePrivateKey():
            return None if key.curve.name in _CURVES else "has a key on a curve other than P-256, P-384 and P-521"
        case Ed25519PrivateKey():
            return None
        case _:
            return "has a key of a kind that Envoy does not take; make an RSA or EC key"


def _is_whole(key: RSAPrivateNumbers) -> bool:
    """Whether a key's numbers belong together, as BoringSSL looks at them; not whether its primes are any."""
    p, q, d, e, n = key.p, key.q, key.d, key.public_numbers.e, key.public_numbers.n
    if min(p, q) < 2 or p * q != n or not 0 < d < n:
        return False
    exponents = all(d * e % (prime - 1) == 1 for prime in (p, q))
    return exponents and (key.dmp1, key.dmq1) == (d % (p - 1), d % (q - 1)) and key.iqmp * q % p == 1


def _measured(text: bytes, most: int) -> None:
    if len(text) > most:
        raise Unusable(f"has {len(text)} bytes, and at most {most} can be used")


def _blocks(text: bytes) -> Sequence[Block]:
    return tuple(_found_blocks(text.splitlines()))


def _found_blocks(lines: Sequence[bytes]) -> Iterator[Block]:
    """Line by line, so that it takes as long as the text is. Raises ``Unusable``."""
    label: bytes | None = None
    body: list[bytes] = []
    for line in map(bytes.strip, lines):
        if label is None:
            if line.startswith(_BEGIN) and line.endswith(_DASHES):
                label, body = line[len(_BEGIN) : -len(_DASHES)], []
        elif line == _END + label + _DASHES:
            yield label.decode("ascii", "replace"), _decoded(body)
            label = None
        else:
            body.append(line)
    if label is not None:
        raise Unusable("has a block of PEM without an end")


def _decoded(body: Sequence[bytes]) -> bytes:
    try:
        return b64decode(b"".join(body), validate=True)
    except NoBase64:
        raise Unusable("has a block of PEM that is not base64, or is encrypted") from None


def _pem(blocks: Sequence[Block]) -> str:
    return "".join(map(_block, blocks))


def _block(block: Block) -> str:
    label, content = block
    text = b64encode(content).decode()
    lines = [text[i : i + _LINE] for i in range(0, len(text), _LINE)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])
