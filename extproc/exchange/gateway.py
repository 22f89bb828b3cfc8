"""A configuration, compiled: everything an exchange looks up, made once and never changed."""

from dataclasses import dataclass
from typing import Any, Self

from extproc.config.names import gateway_headers
from extproc.config.schema import CapabilityOverrides, Config
from extproc.conversation.capabilities import Capabilities
from extproc.conversation.models import capabilities_of
from extproc.dialects.contract import ClientDialect, UpstreamDialect
from extproc.platforms.contract import Platform
from extproc.registry import platform, upstream_dialect
from extproc.routing.index import Choice, Index, compile_index


@dataclass(frozen=True, slots=True)
class Gateway:
    """What one configuration means."""

    config: Config
    index: Index
    #: Names that a client can never set.
    owned_headers: frozenset[str]

    @classmethod
    def compile(cls, config: Config) -> Self:
        """Compile.

        Slow for many rules, so it belongs in a thread. Raises ``ConfigError`` (a bad regular expression).
        """
        owned = gateway_headers(config.backend_routing_header_key, config.model_name_header_key)
        return cls(config, compile_index(config), frozenset(owned))

    def rules_summary(self) -> list[dict[str, Any]]:
        """The rules with their provenance, for the admin page."""
        return [
            {
                "source": rule.source or f"rules[{i}]",
                "name": rule.name,
                "hostnames": list(rule.hostnames),
                "backends": [{"name": b.name, "weight": b.weight} for b in rule.backends],
                **({"refusal": rule.refusal} if rule.refusal else {}),
            }
            for i, rule in enumerate(self.config.rules)
        ]


@dataclass(frozen=True, slots=True)
class Target:
    """A backend as one request sees it."""

    platform: Platform
    path: str
    #: The back end to translate with; None when the backend speaks the client's own dialect.
    upstream: UpstreamDialect | None


def maybe_target(choice: Choice, client: ClientDialect, operation: str, model: str, *, stream: bool) -> Target | None:
    """Where the request goes, None when this backend's platform cannot serve the operation."""
    host = platform(choice.schema)
    path = host.path(operation, model, stream=stream, version=choice.version)
    if path is None:
        return None
    return Target(host, path, None if host.dialect == client.name else upstream_dialect(host.dialect))


def capabilities_for(model: str, overrides: CapabilityOverrides | None) -> Capabilities:
    """The bundled table's word on a model, less what the backend's configuration knows better."""
    known = capabilities_of(model)
    return known if overrides is None else known.overridden(overrides.model_dump(exclude_none=True))
