"""What ``spec.auth`` must hold beyond the shape of its fields: the CRD's CEL rules about it, for who has no CEL."""

from collections.abc import Iterator
from typing import Any

from controller.api.auth import (
    AWS_ONLY,
    AWS_SCHEMAS,
    AZURE_ONLY,
    AZURE_SCHEMAS,
    EXACTLY_ONE_AUTH,
    GCP_AUTH_ONLY,
    HEADER_IS_TAKEN,
    ONE_AWS_SOURCE,
    ONE_AZURE_SOURCE,
    ONE_GCP_SOURCE,
    PLACE_IS_TWO,
    PLACE_NEEDED,
    SAME_PLACE,
    AwsCloud,
    AzureCloud,
    BackendAuth,
    GcpCloud,
    is_taken,
)
from controller.api.backend import BackendSpec, GoogleCloud
from extproc.config.names import GCP_SCHEMAS

Fault = tuple[str, str]


def auth_faults(spec: BackendSpec) -> Iterator[Fault]:
    """The path and message of each fault in a well-shaped ``spec.auth``."""
    auth, schema = spec.auth, spec.output_schema.schema_
    if auth is None:
        return
    if _set(auth.api_key, auth.aws, auth.gcp, auth.azure, auth.passthrough, auth.none) != 1:
        yield "spec.auth", EXACTLY_ONE_AUTH
    for name, part in (("apiKey", auth.api_key), ("passthrough", auth.passthrough)):
        if part is not None and part.header is not None and is_taken(part.header):
            yield f"spec.auth.{name}.header", HEADER_IS_TAKEN
    yield from _cloud_faults(auth, schema)
    if auth.gcp is not None:
        yield from _place_faults(auth.gcp, spec.gcp)


def _cloud_faults(auth: BackendAuth, schema: str) -> Iterator[Fault]:
    """Credentials of a cloud: for its own APIs, from one source."""
    for name, part, schemas, message in (
        ("aws", auth.aws, AWS_SCHEMAS, AWS_ONLY),
        ("gcp", auth.gcp, GCP_SCHEMAS, GCP_AUTH_ONLY),
        ("azure", auth.azure, AZURE_SCHEMAS, AZURE_ONLY),
    ):
        if part is not None and schema not in schemas:
            yield f"spec.auth.{name}", f"{message}, not for {schema}"
        if part is not None and (fault := _maybe_source_fault(part)) is not None:
            yield f"spec.auth.{name}", fault


def _maybe_source_fault(part: AwsCloud | GcpCloud | AzureCloud) -> str | None:
    match part:
        case AwsCloud():
            return ONE_AWS_SOURCE if _set(part.secret_ref, part.web_identity, part.bedrock_api_key) > 1 else None
        case GcpCloud():
            return ONE_GCP_SOURCE if _set(part.service_account_secret_ref, part.workload_identity) > 1 else None
        case AzureCloud():
            return ONE_AZURE_SOURCE if _set(part.secret_ref, part.federated_token) != 1 else None


def _place_faults(auth: GcpCloud, gcp: GoogleCloud | None) -> Iterator[Fault]:
    if (auth.project is None) != (auth.location is None):
        yield "spec.auth.gcp", PLACE_IS_TWO
    elif gcp is None and auth.project is None:
        yield "spec.auth.gcp", PLACE_NEEDED
    elif gcp is not None and auth.project is not None and (auth.project, auth.location) != (gcp.project, gcp.location):
        yield "spec.auth.gcp", SAME_PLACE


def _set(*parts: Any) -> int:
    return sum(part is not None for part in parts)
