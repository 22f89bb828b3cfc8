"""Certificates and keys as Secrets hold them: what Envoy would refuse is refused before."""

import json
import subprocess
import time
from base64 import b64encode
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes, PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from controller.standalone.envoy import find_envoy
from controller.translate.certificates import Unusable, read_authorities, read_chain, read_key
from tests.support.authority import Authority

OURS = Authority()
CHAIN, KEY = OURS.issue("gateway.test")
_, FIRST = read_chain(CHAIN.encode())
JUNK = b"-----BEGIN CERTIFICATE-----\nanVuaw==\n-----END CERTIFICATE-----\n"
#: A name that is no text.
ODD_NAME = (
    x509.load_pem_x509_certificate(OURS.pem.encode()).public_bytes(Encoding.DER).replace(b"test a", b"test\xff\xff")
)
ODD_NAME = b"-----BEGIN CERTIFICATE-----\n" + b64encode(ODD_NAME) + b"\n-----END CERTIFICATE-----\n"


def pem(
    key: PrivateKeyTypes,
    form: PrivateFormat = PrivateFormat.PKCS8,
    encryption: KeySerializationEncryption | None = None,
) -> bytes:
    return key.private_bytes(Encoding.PEM, form, encryption or NoEncryption())


def refused_authorities(text: bytes) -> str:
    with pytest.raises(Unusable) as unusable:
        read_authorities(text)
    return str(unusable.value)


def refused_key(text: bytes) -> str:
    with pytest.raises(Unusable) as unusable:
        read_key(text, FIRST)
    return str(unusable.value)


def test_what_stands_around_certificates_is_left_out() -> None:
    """Bundles have comments, and Windows' line ends; Envoy gets what was read and nothing else."""
    bundle = f"# Root of Tromsø\r\n{OURS.pem}\nsubject=/CN=b\n{CHAIN}".replace("\n", "\r\n").encode()

    assert read_authorities(bundle) == OURS.pem + CHAIN


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"x", "must hold certificates in PEM and nothing else"),
        (KEY.encode(), "must hold certificates in PEM and nothing else"),
        (OURS.pem.encode() + JUNK, "has something as certificate 2 that is none"),
        (ODD_NAME, "has something as certificate 1 that is none"),
        (OURS.pem.encode()[:-30], "without an end"),
        (JUNK.replace(b"anVuaw", b"!nVuaw"), "not base64"),
        (b"-----BEGIN CERTIFICATE-----\n" * 3, "without an end"),
    ],
    ids=["no PEM", "a key", "junk", "odd name", "cut", "no base64", "beginnings"],
)
def test_authorities_that_are_none_are_refused(text: bytes, reason: str) -> None:
    """One of them would make Envoy refuse every cluster."""
    assert reason in refused_authorities(text)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (pem(ec.generate_private_key(ec.SECP256R1())), "is not the key of the certificate"),
        (pem(rsa.generate_private_key(65537, 2048)), "is not the key of the certificate"),
        (pem(rsa.generate_private_key(65537, 1024)), "an RSA key of 1024 bits"),
        (pem(ec.generate_private_key(ec.SECP256K1())), "a curve other than"),
        (pem(ed25519.Ed25519PrivateKey.generate()), "is not the key of the certificate"),
        (pem(ed448.Ed448PrivateKey.generate()), "of a kind that Envoy does not take"),
        (KEY.encode() * 2, "must hold one private key"),
        (CHAIN.encode(), "must hold one private key"),
        (b"-----BEGIN PRIVATE KEY-----\nanVuaw==\n-----END PRIVATE KEY-----\n", "must hold one private key"),
        (b"", "must hold one private key"),
    ],
    ids=["another's", "RSA", "short RSA", "odd curve", "Ed25519", "Ed448", "two", "a certificate", "junk", "nothing"],
)
def test_a_key_that_envoy_would_not_take_is_refused(key: bytes, reason: str) -> None:
    """The reason says what is wrong and nothing of the key."""
    assert reason in refused_key(key)


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_an_encrypted_key_is_refused(form: PrivateFormat) -> None:
    """There is nobody to ask for the password."""
    key = pem(ec.generate_private_key(ec.SECP256R1()), form, BestAvailableEncryption(b"password"))

    assert "encrypted" in refused_key(key)


def test_the_parameters_of_a_curve_may_stand_before_the_key() -> None:
    """As openssl writes them; the key says them again."""
    parameters = b64encode(bytes.fromhex("06082a8648ce3d030107")).decode()

    assert (
        read_key(f"-----BEGIN EC PARAMETERS-----\n{parameters}\n-----END EC PARAMETERS-----\n{KEY}".encode(), FIRST)
        == KEY
    )


def test_an_rsa_key_whose_numbers_do_not_fit_is_refused() -> None:
    """BoringSSL looks at them; OpenSSL was told not to, because its way takes minutes for a large key."""
    whole = rsa.generate_private_key(65537, 2048).private_numbers()
    public = whole.public_numbers
    broken = rsa.RSAPrivateNumbers(
        whole.p, whole.q, whole.d, whole.dmp1 + 2, whole.dmq1, whole.iqmp, public
    ).private_key(unsafe_skip_rsa_key_validation=True)

    assert "do not fit together" in refused_key(pem(broken))


@pytest.mark.parametrize(
    "text",
    [
        b"-----BEGIN A-----\n" * 60_000,
        (b"-----BEGIN A-----\n" * 4_000)[:65_536],
        b"-----BEGIN CERTIFICATE-----\n" + b"A\n" * 500_000,
        b"\n" * 65_536,
        (JUNK * 1_000)[:65_536],
    ],
    ids=["a megabyte", "beginnings", "a long one", "nothing", "many"],
)
def test_a_text_that_means_harm_is_refused_at_once(text: bytes) -> None:
    """Nobody's Secret holds up the others'."""
    begun = time.process_time()
    assert refused_authorities(text)
    assert refused_key(text)
    assert time.process_time() - begun < 0.5


@given(text=st.binary(max_size=80) | st.text(max_size=80).map(str.encode) | st.sampled_from([JUNK, CHAIN.encode()]))
def test_no_bytes_make_a_reader_fail(text: bytes) -> None:
    """The answer to anything is what Envoy gets, which is read again as it is, or a reason."""
    with suppress(Unusable):
        assert read_authorities(read_authorities(text).encode()) == read_authorities(text)
    with suppress(Unusable):
        assert read_key(text, FIRST) == KEY


@pytest.mark.envoy
def test_envoy_takes_what_is_taken_here_and_not_what_is_refused(tmp_path: Path) -> None:
    """By its own word: a key of each kind, with a certificate for it."""
    keys: dict[str, CertificateIssuerPrivateKeyTypes] = {
        "p-256": ec.generate_private_key(ec.SECP256R1()),
        "p-521": ec.generate_private_key(ec.SECP521R1()),
        "k-256": ec.generate_private_key(ec.SECP256K1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
        "rsa": rsa.generate_private_key(65537, 2048),
        "short rsa": rsa.generate_private_key(65537, 2040),
    }
    told = {kind: (_is_taken(key), _envoy_takes(key, tmp_path)) for kind, key in keys.items()}

    assert told == {kind: (kind not in {"k-256", "short rsa"},) * 2 for kind in keys}


def _self_signed(key: CertificateIssuerPrivateKeyTypes) -> str:
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a")]), datetime.fromtimestamp(time.time(), UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    signed = builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    return signed.public_bytes(Encoding.PEM).decode()


def _is_taken(key: CertificateIssuerPrivateKeyTypes) -> bool:
    try:
        read_key(pem(key), read_chain(_self_signed(key).encode())[1])
    except Unusable:
        return False
    return True


def _envoy_takes(key: CertificateIssuerPrivateKeyTypes, folder: Path) -> bool:
    pair = {
        "certificate_chain": {"inline_string": _self_signed(key)},
        "private_key": {"inline_string": pem(key).decode()},
    }
    kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
    socket = {"name": "tls", "typed_config": {"@type": kind, "common_tls_context": {"tls_certificates": [pair]}}}
    cluster = {"name": "a", "type": "STATIC", "load_assignment": {"cluster_name": "a"}, "transport_socket": socket}
    (folder / "envoy.json").write_text(json.dumps({"static_resources": {"clusters": [cluster]}}))
    command = [find_envoy(None), "--mode", "validate", "-c", str(folder / "envoy.json"), "-l", "off"]
    return subprocess.run(command, check=False, capture_output=True, timeout=30).returncode == 0
