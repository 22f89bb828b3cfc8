"""The certificate authorities that upstreams are checked against: one file in PEM, in a place of each system's own."""

import os
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path

from controller.standalone.faults import Unreadable

#: Where Debian and Alpine, Fedora and RHEL, openSUSE, and macOS and the BSDs keep it, as Go's crypto/x509 looks for it
#: (https://go.dev/src/crypto/x509/root_linux.go, root_bsd.go, 2026-01).
PLACES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
MISSING = (
    "no certificate authorities were found, and a backend uses TLS: install the package ca-certificates, "
    "or name a PEM file by --ca-certificates"
)


def maybe_authorities(given: str | None, environment: Mapping[str, str]) -> str | None:
    """The absolute path of the file: the one given, else the first that is there.

    Raises ``Unreadable`` when the one that was given cannot be read.
    """
    if given is None:
        return next((str(Path(path).absolute()) for path in _candidates(environment) if _is_usable(path)), None)
    if not _is_usable(given):
        raise Unreadable(f"--ca-certificates {given}: no such file, or it cannot be read")
    return str(Path(given).absolute())


def _candidates(environment: Mapping[str, str]) -> Iterator[str]:
    if named := environment.get("SSL_CERT_FILE"):
        yield named
    if usual := ssl.get_default_verify_paths().cafile:
        yield usual
    yield from PLACES


def _is_usable(path: str) -> bool:
    try:
        return Path(path).is_file() and os.access(path, os.R_OK)
    except OSError:  # too long, or in a folder that is closed to us
        return False
