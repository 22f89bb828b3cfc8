"""A configuration, compiled: everything an exchange looks up, made once and never changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Self

import msgspec
from msgspec import Struct

from extproc.config.auth import Auth
from extproc.config.names import MODEL_HEADERS, gateway_headers
from extproc.config.schema import Config, Rule
from extproc.dialects.contract import Destination
from extproc.exchange.header_names import CREDENTIALS
from extproc.platforms.contract import Place, Platform
from extproc.registry import platform, upstream_dialect
from extproc.routing.index import Choice, Index, compile_index


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


#: For how many backends and models it is kept where their requests go. Clients choose some of the names, so only those
#: as long as any vendor's are kept (ARNs of Bedrock's profiles have a hundred characters).
_KEPT: Final = 512
_MAX_KEPT_CHARS: Final = 160


class Target(Struct, frozen=True):
    """A backend as one request sees it."""

    platform: Platform
    place: Place
    path: str
    #: Whether it speaks the client's own dialect, so that bytes can pass.
    same_dialect: bool


def maybe_target(choice: Choice, client: str, operation: str, model: str, *, stream: bool) -> Target | None:
    """Where the request goes, None when this backend's platform cannot serve the operation.

    ``client``: the name of its dialect. Raises ``ClientError`` for a model's name that can stand in no path.
    """
    target = _kept_target if len(model) <= _MAX_KEPT_CHARS else _target
    return target(choice, client, operation, model, stream=stream)


def destination_of(choice: Choice, target: Target) -> Destination:
    """Where a translated request goes: the bundled table's word on the model, less what the backend knows better."""
    destination = _kept_destination if len(target.place.model) <= _MAX_KEPT_CHARS else _destination
    return destination(choice, target)


def _target(choice: Choice, client: str, operation: str, model: str, *, stream: bool) -> Target | None:
    host = platform(choice.schema)
    gcp, configured = choice.gcp, choice.model_name_override is not None
    place = (
        Place(model, stream, choice.version, configured=configured)
        if gcp is None
        else Place(model, stream, choice.version, gcp.project, gcp.location, configured=configured)
    )
    path = host.path(operation, place)
    return None if path is None else Target(host, place, path, host.dialect == client)


def _destination(choice: Choice, target: Target) -> Destination:
    host, place, defaults = target.platform, target.place, choice.defaults
    known = upstream_dialect(host.dialect).capabilities(place.model)
    if choice.capabilities is not None:
        known = known.overridden(choice.capabilities.model_dump(exclude_none=True))
    return Destination(
        place.model,
        known,
        host.version(place.version),
        None if defaults is None else defaults.max_output_tokens,
        host.fetches_urls,
        host.hosted,
    )


_kept_target = lru_cache(maxsize=_KEPT)(_target)
_kept_destination = lru_cache(maxsize=_KEPT)(_destination)
