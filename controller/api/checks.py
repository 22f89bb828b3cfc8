"""What one object must hold beyond the shape of its fields: the CRDs' CEL rules, and what CEL cannot say."""

from collections.abc import Iterator
from ipaddress import ip_address

from controller.api.auth_checks import auth_faults
from controller.api.backend import (
    BUDGET_RISES,
    ENVOY_GATEWAY_GROUP,
    EXACTLY_ONE_TARGET,
    GROUP_FITS_KIND,
    SERVICE_NAME,
    SERVICE_NEEDS_PORT,
    BackendRef,
    BackendSpec,
    LLMBackend,
)
from controller.api.client_auth import AT_LEAST_ONE, ONE_KEY_SET, ClientAuth
from controller.api.endpoint import NOTHING_IS_CHECKED, TLS_IS_OFF, Endpoint
from controller.api.route import MAX_REGEX, REGEX_LENGTH, UNIQUE_RULE_NAMES, HeaderMatch, LLMRoute, RouteMatch
from extproc.config.errors import quoted
from extproc.config.names import GCP_NEEDED, GCP_ONLY, GCP_SCHEMAS, VERSION_CLIMBS
from extproc.config.patterns import maybe_pattern_fault

Fault = tuple[str, str]


def route_faults(route: LLMRoute) -> Iterator[Fault]:
    """The path and message of each fault of a well-shaped route."""
    yield from _twice("spec.hostnames", route.spec.hostnames)
    if route.spec.client_auth is not None:
        yield from _door_faults(route.spec.client_auth)
    seen: dict[str, int] = {}
    for i, rule in enumerate(route.spec.rules):
        if rule.name is not None and (first := seen.setdefault(rule.name, i)) != i:
            yield f"spec.rules[{i}].name", f"{UNIQUE_RULE_NAMES}; {quoted(rule.name)} is rules[{first}] already"
        for j, match in enumerate(rule.matches):
            yield from _match_faults(f"spec.rules[{i}].matches[{j}]", match)


def backend_faults(backend: LLMBackend) -> Iterator[Fault]:
    """The path and message of each fault of a well-shaped backend."""
    spec = backend.spec
    if (spec.backend_ref is None) == (spec.endpoint is None):
        both = "" if spec.endpoint is None else "; remove one of them"
        yield "spec", f"{EXACTLY_ONE_TARGET}{both}"
    if spec.backend_ref is not None:
        yield from _reference_faults(spec.backend_ref)
    if spec.endpoint is not None and ":" in spec.endpoint.hostname and not _is_address(spec.endpoint.hostname):
        yield "spec.endpoint.hostname", "must be a DNS name or an IP address; the port has a field of its own"
    yield from _tls_faults(spec.endpoint)
    yield from _setting_faults(spec)
    yield from auth_faults(spec)


def _tls_faults(endpoint: Endpoint | None) -> Iterator[Fault]:
    if endpoint is None or (tls := endpoint.tls) is None:
        return
    others = tls.sni, tls.ca_certificate_ref, tls.client_certificate_ref, tls.insecure_skip_verify or None
    if not tls.enabled and any(other is not None for other in others):
        yield "spec.endpoint.tls.enabled", TLS_IS_OFF
    if tls.insecure_skip_verify and tls.ca_certificate_ref is not None:
        yield "spec.endpoint.tls.insecureSkipVerify", NOTHING_IS_CHECKED


def _door_faults(door: ClientAuth) -> Iterator[Fault]:
    if door.api_keys is None and door.jwt is None:
        yield "spec.clientAuth", AT_LEAST_ONE
    if door.jwt is not None:
        if door.jwt.key_sets != 1:
            yield "spec.clientAuth.jwt", f"{ONE_KEY_SET}, not {door.jwt.key_sets} of them"
        yield from _twice("spec.clientAuth.jwt.audiences", door.jwt.audiences)


def _setting_faults(spec: BackendSpec) -> Iterator[Fault]:
    schema = spec.output_schema.schema_
    if not {".", ".."}.isdisjoint((spec.output_schema.version or "").split("/")):
        yield "spec.outputSchema.version", VERSION_CLIMBS
    if spec.gcp is None and schema == "GCPAnthropic" and (spec.auth is None or spec.auth.gcp is None):
        yield "spec.gcp", GCP_NEEDED
    if spec.gcp is not None and schema not in GCP_SCHEMAS:
        yield "spec.gcp", f"{GCP_ONLY}, not for {schema}"
    able = spec.capabilities
    if able is not None and able.budget_range is not None and able.budget_range[0] > able.budget_range[1]:
        yield "spec.capabilities.budgetRange", BUDGET_RISES
    if able is not None and able.efforts is not None:
        yield from _twice("spec.capabilities.efforts", able.efforts)


def _reference_faults(ref: BackendRef) -> Iterator[Fault]:
    if ref.kind == "Service" and ref.port is None:
        yield "spec.backendRef.port", SERVICE_NEEDS_PORT
    if ref.kind == "Service" and (len(ref.name) > 63 or "." in ref.name):
        yield "spec.backendRef.name", SERVICE_NAME
    if (ref.group or "") != (ENVOY_GATEWAY_GROUP if ref.kind == "Backend" else ""):
        yield "spec.backendRef.group", GROUP_FITS_KIND


def _match_faults(path: str, match: RouteMatch) -> Iterator[Fault]:
    seen: dict[str, int] = {}
    for k, header in enumerate(match.headers):
        name = header.name.lower()
        if (first := seen.setdefault(name, k)) != k:
            yield (
                f"{path}.headers[{k}].name",
                f"{quoted(name)} is headers[{first}] already; one match has one condition a header",
            )
        yield from _header_faults(f"{path}.headers[{k}]", header)


def _header_faults(path: str, header: HeaderMatch) -> Iterator[Fault]:
    if header.type != "RegularExpression":
        return
    if len(header.value) > MAX_REGEX:
        yield f"{path}.value", f"{REGEX_LENGTH}, not {len(header.value)}"
    elif (fault := maybe_pattern_fault(header.value)) is not None:
        yield f"{path}.value", f"not an RE2 expression: {fault}"


def _twice(path: str, values: tuple[str, ...]) -> Iterator[Fault]:
    for i, value in enumerate(values):
        if value in values[:i]:
            yield f"{path}[{i}]", f"{quoted(value)} is listed twice"


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
