"""AWS Signature Version 4 in headers, for every service but S3, which wants its paths otherwise.

Facts: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html (2026-11-23), and the
vectors of awslabs/aws-c-auth in ``tests/golden/sigv4``. Text is latin-1 throughout, as it is in an exchange: one
character is one byte on the wire.
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from extproc.credentials.held import AwsKeys

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
#: Keys of so many days, regions and services are kept beside the keys that they come from.
_MAX_DERIVED: Final = 4


@dataclass(frozen=True, slots=True)
class Signable:
    """A request as it will leave.

    ``target`` is the path as it stands in the request, query and all. ``headers``: those that the signature shall
    cover, ``host`` among them, by lower-case name; a repeated one is joined by commas.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Scope:
    """What a signature is good for."""

    region: str
    service: str


def sign(request: Signable, keys: AwsKeys, scope: Scope, now: float) -> tuple[tuple[str, str], ...]:
    """The headers to add, ``authorization`` last. ``now``: Unix seconds; a signature is good for five minutes."""
    at = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    added = [("x-amz-date", at)]
    if keys.session_token is not None:
        added.append(("x-amz-security-token", keys.session_token))
    covered = sorted({**request.headers, **dict(added)}.items())
    names = ";".join([name for name, _ in covered])
    within = f"{at[:8]}/{scope.region}/{scope.service}/aws4_request"
    digest = sha256(_canonical(request, covered, names)).hexdigest()
    told = f"{_ALGORITHM}\n{at}\n{within}\n{digest}"
    signature = hmac.digest(_key(keys, within), told.encode(), "sha256").hex()
    said = f"{_ALGORITHM} Credential={keys.access_key_id}/{within}, SignedHeaders={names}, Signature={signature}"
    return (*added, ("authorization", said))


def _canonical(request: Signable, covered: list[tuple[str, str]], names: str) -> bytes:
    path, _, query = request.target.partition("?")
    lines = [
        request.method.encode(),
        _path(path).encode(),
        _query(query).encode() if query else b"",
        *[name.encode() + b":" + _trimmed(value) for name, value in covered],
        b"",
        names.encode(),
        sha256(request.body).hexdigest().encode(),
    ]
    return b"\n".join(lines)


def _trimmed(value: str) -> bytes:
    """Without spaces around it, and each run of them inside as one."""
    return b" ".join(value.encode("latin-1").split())


def _path(path: str) -> str:
    """The path with its dots resolved, encoded once more: the ``%3A`` of an ARN is signed as ``%253A``."""
    if "/." in path or "//" in path:
        path = _resolved(path)
    return quote(path.encode("latin-1"), safe="/~") or "/"


def _resolved(path: str) -> str:
    kept: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del kept[-1:]
        elif part not in {"", "."}:
            kept.append(part)
    tail = "/" if kept and path.endswith("/") else ""
    return f"/{'/'.join(kept)}{tail}"


def _query(query: str) -> str:
    """The parameters in the order of their encoded names and values."""
    pairs = (parameter.partition("=") for parameter in query.split("&") if parameter)
    return "&".join(
        f"{name}={value}" for name, value in sorted((_again(name), _again(value)) for name, _, value in pairs)
    )


def _again(text: str) -> str:
    return quote(unquote_to_bytes(text.encode("latin-1")), safe="~")


def _key(keys: AwsKeys, within: str) -> bytes:
    """The key for a day, a region and a service: four of the five hashes of a signature, the same all day."""
    kept = keys.derived
    found = kept.get(within)
    if found is None:
        found = f"AWS4{keys.secret_access_key}".encode()
        for part in within.split("/"):
            found = hmac.digest(found, part.encode(), "sha256")
        if len(kept) >= _MAX_DERIVED:
            kept.clear()
        kept[within] = found
    return found


#: Bedrock's own hosts: plain, FIPS, dual-stack, China, and a VPC endpoint's (https://docs.aws.amazon.com/general/latest/
#: gr/bedrock.html and .../bedrock/latest/userguide/vpc-interface-endpoints.html, 2026-11-23).
_HOST: Final = re.compile(
    r"(?:vpce-[a-z0-9-]{1,200}\.)?bedrock(?:-[a-z]{1,20}){0,3}\.(?P<region>[a-z]{2,4}(?:-[a-z]{1,20}){1,3}-\d{1,2})"
    r"\.(?:(?:vpce\.)?amazonaws\.com(?:\.cn)?|api\.aws|api\.amazonwebservices\.com\.cn)(?::\d{1,5})?"
)


@lru_cache(maxsize=256)
def maybe_region(host: str) -> str | None:
    """The region that a host of Bedrock's names, whole and to its end; None for any other host. A port may follow."""
    found = _HOST.fullmatch(host.lower())
    return None if found is None else found["region"]
