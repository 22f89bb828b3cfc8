"""The processor's configuration."""

from collections.abc import Iterable

from controller.api.route import RouteSpec
from controller.translate.callers import Door
from controller.translate.references import Choice, ResolvedBackend, ResolvedRoute, ResolvedRule
from controller.translate.settings import Settings
from extproc.config.schema import (
    Backend,
    CapabilityOverrides,
    Config,
    Defaults,
    GoogleCloud,
    InputSchema,
    OutputSchema,
    Rule,
    WeightedBackend,
)


def extproc_config(backends: Iterable[Backend], rules: Iterable[Rule], settings: Settings) -> Config:
    """The whole file. Its ``revision`` is 0: whoever writes it knows what was written before."""
    return Config(
        version=settings.config_version,
        path_prefix=settings.path_prefix,
        backends=tuple(backends),
        rules=tuple(rules),
    )


def config_backend(backend: ResolvedBackend) -> Backend:
    """A backend that has an upstream."""
    spec = backend.read.spec
    assert spec is not None
    assert backend.upstream is not None
    overrides, defaults, gcp = spec.capabilities, spec.defaults, spec.place
    return Backend(
        name=backend.name,
        output_schema=OutputSchema(schema_=spec.output_schema.schema_, version=spec.output_schema.version),
        host=backend.upstream.authority,
        fingerprint=backend.fingerprint,
        capabilities=None if overrides is None else CapabilityOverrides(**overrides.model_dump(exclude_none=True)),
        defaults=None if defaults is None else Defaults(**defaults.model_dump()),
        gcp=None if gcp is None else GoogleCloud(**gcp.model_dump()),
        auth=backend.credential.auth,
        refusal=backend.refusal,
    )


def config_rules(route: ResolvedRoute, door: Door | None) -> list[Rule]:
    """A route's rules in their order."""
    spec, metadata = route.read.spec, route.read.metadata
    if spec is None or metadata is None:
        return []
    return [_rule(spec, metadata.created or 0, rule, door or Door()) for rule in route.rules]


def config_bytes(part: Rule | Backend) -> bytes:
    """A part of the configuration as it stands in the file; equal parts are equal bytes."""
    return part.model_dump_json(by_alias=True, exclude_defaults=True).encode()


def _rule(spec: RouteSpec, created: int, rule: ResolvedRule, door: Door) -> Rule:
    schema = spec.input_schema
    return Rule(
        name=rule.read.rule.name,
        source=rule.source,
        hostnames=spec.hostnames,
        input_schema=None if schema is None else InputSchema(schema_=schema.schema_, version=schema.version),
        matches=rule.read.matches,
        backends=tuple(_choice(choice) for choice in rule.choices),
        stickiness=rule.read.rule.stickiness,
        refusal=rule.refusal or door.refusal,
        client_auth=door.client_auth,
        created=created,
    )


def _choice(choice: Choice) -> WeightedBackend:
    return WeightedBackend(
        name=choice.backend,
        weight=choice.weight,
        model_name_override=choice.model_name_override,
        route_key=None if choice.route_key == choice.backend else choice.route_key,
    )
