"""A configuration, compiled: everything an exchange looks up, made once; what it means never changes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec

from extproc.config.auth import Auth
from extproc.config.names import MODEL_HEADERS, gateway_headers
from extproc.config.schema import Config, Rule
from extproc.exchange.header_names import CREDENTIALS
from extproc.exchange.targets import Targets
from extproc.routing.index import Index, compile_index


@dataclass(frozen=True, slots=True)
class Gateway:
    """What one configuration means.

    Attributes:
        config: the configuration less its rules and backends, which the index holds in a tenth of the memory.
        owned_headers: names that a client can never set.
        withheld_headers: those, and the usual names for keys: no client's goes on by itself. A rule knows of others.
        rules: JSON text of the rules with their provenance, for the admin page.
        models: the names that stand in the configuration itself, in exact matches and overrides.
        auths: the backends that are shown a credential of the gateway's own, by name.
        callers: the files of callers' keys that rules name.
        targets: where requests go.
    """

    config: Config
    index: Index
    owned_headers: frozenset[str]
    rule_count: int
    rules: bytes
    models: frozenset[str]
    withheld_headers: frozenset[str]
    auths: Mapping[str, Auth]
    callers: frozenset[str]
    targets: Targets = field(default_factory=Targets, init=False, compare=False, repr=False)

    @classmethod
    def compile(cls, config: Config) -> Self:
        """Compile; slow for many rules, so it belongs in a thread.

        Raises ``ConfigError`` (a bad regular expression).
        """
        auths = {backend.name: backend.auth for backend in config.backends if backend.auth is not None}
        owned = frozenset(gateway_headers(config.backend_routing_header_key, config.model_name_header_key))
        return cls(
            config=config.model_copy(update={"rules": (), "backends": ()}),
            index=compile_index(config),
            owned_headers=owned,
            rule_count=len(config.rules),
            rules=msgspec.json.encode([_summary(i, rule) for i, rule in enumerate(config.rules)]),
            models=_known_models(config),
            withheld_headers=owned | CREDENTIALS,
            auths=auths,
            callers=frozenset(
                rule.client_auth.api_keys.file
                for rule in config.rules
                if rule.client_auth is not None and rule.client_auth.api_keys is not None
            ),
        )


def _summary(position: int, rule: Rule) -> dict[str, Any]:
    return {
        "source": rule.source or f"rules[{position}]",
        "name": rule.name,
        "hostnames": rule.hostnames,
        "backends": [{"name": backend.name, "weight": backend.weight} for backend in rule.backends],
        **({"refusal": rule.refusal} if rule.refusal else {}),
    }


def _known_models(config: Config) -> frozenset[str]:
    headers = {config.model_name_header_key, *MODEL_HEADERS}
    names = {
        header.value
        for rule in config.rules
        for match in rule.alternatives
        for header in match.headers
        if header.type == "Exact" and header.name in headers
    }
    names.update(b.model_name_override for rule in config.rules for b in rule.backends if b.model_name_override)
    return frozenset(names)
