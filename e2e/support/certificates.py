"""What a control plane needs to know itself by: an authority, a certificate for loopback, a key for account tokens."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

_P256 = ("ecparam", "-name", "prime256v1", "-genkey", "-noout")


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files in PEM."""

    ca: Path
    server: Path
    server_key: Path
    account_key: Path
    account_public_key: Path


def make_certificates(folder: Path) -> Certificates:
    """Make them in ``folder``, for 127.0.0.1, the Service's 10.0.0.1 and localhost, valid for two days."""
    folder.mkdir()
    ca_key, request, extensions = folder / "ca.key", folder / "server.csr", folder / "server.ext"
    made = Certificates(
        *(folder / name for name in ("ca.crt", "server.crt", "server.key", "account.key", "account.pub"))
    )
    extensions.write_text("subjectAltName=IP:127.0.0.1,IP:10.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n")
    for key in (ca_key, made.server_key, made.account_key):
        _openssl(*_P256, "-out", key)
    constraints = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
    _openssl("req", "-x509", "-new", "-key", ca_key, "-subj", "/CN=e2e-ca", "-days", "2", *constraints, "-out", made.ca)
    _openssl("req", "-new", "-key", made.server_key, "-subj", "/CN=kube-apiserver", "-out", request)
    signing = ("-CA", made.ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "2", "-extfile", extensions)
    _openssl("x509", "-req", "-in", request, *signing, "-out", made.server)
    _openssl("ec", "-in", made.account_key, "-pubout", "-out", made.account_public_key)
    return made


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=30)
