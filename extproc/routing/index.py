"""The compiled index: which rule serves a request.

Precedence, after the Gateway API (https://gateway-api.sigs.k8s.io/reference/spec/#httprouterule), over all
matches of all rules; the one difference is the wildcard, which stands for exactly one label here:

1. the more specific host name: the exact name, then ``*.`` for one label, then rules for any host;
2. more header conditions, as written;
3. the earlier rule, then the earlier match in it.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from extproc.config.auth import ClientAuth
from extproc.config.errors import ConfigError, Finding
from extproc.config.patterns import maybe_pattern_fault
from extproc.config.schema import Config, HeaderMatch, Rule
from extproc.routing.catalog import Admits, Catalog, Model
from extproc.routing.conditions import ConditionReader, Request
from extproc.routing.hosts import bare_host, maybe_wildcard
from extproc.routing.route import Choice, Route, RouteCompiler
from extproc.routing.table import Candidate, PatternPool, Table

__all__ = ["Choice", "Index", "Model", "Route", "compile_index"]

#: The key of rules for any host.
_ANY_HOST = ""
#: A request that knocks at more doors than this waits for its model, which tells the one.
_MAX_DOORS = 64


class Index:
    """One configuration's rules. Immutable; many threads may ask."""

    __slots__ = ("_any_door", "_any_host_alone", "_catalogs", "_doors", "_tables")

    def __init__(
        self,
        tables: Mapping[str, Table],
        catalogs: Mapping[str, Catalog],
        doors: Mapping[str, frozenset[ClientAuth | None]],
    ) -> None:
        self._tables = tables
        self._catalogs = catalogs
        self._doors = doors
        self._any_door = any(door is not None for found in doors.values() for door in found)
        self._any_host_alone = all(key == _ANY_HOST for key in tables)

    def match(self, host: str, headers: Mapping[str, str], model: str, client: str) -> Route | None:
        """The rule that serves a request, None when there is none.

        Args:
            host: the request's host or ``:authority``, in any case, with or without a port.
            headers: the request's headers by lower-case name, values as latin-1 text.
            model: the model named in the body; it stands in for every model header.
            client: the API the client speaks, a key of ``names.CLIENT_DIALECTS``; rules for another API are skipped.
        """
        request = Request(headers, model, client)
        for key in self._keys(host):
            table = self._tables.get(key)
            if table is not None and (entry := table.maybe_entry(request)) is not None:
                return entry.route
        return None

    def models(self, host: str, client: str | None = None, admits: Admits | None = None) -> tuple[Model, ...]:
        """The models listed on a host, sorted by id, each once; the rule of the most specific host name tells of it.

        ``admits``: whether somebody may use rules with this ``client_auth``; None: all rules are listed.
        """
        found: dict[str, Model] = {}
        for models in self._lists(host, client, admits):
            found = {**models, **found}
        return tuple(found[name] for name in sorted(found))

    def doors(self, host: str) -> tuple[ClientAuth, ...]:
        """The doors of a host all of whose rules have one; none where some rule is open, or where there are very many.

        Whom none of them lets in, no model does.
        """
        if not self._any_door:
            return ()
        found = [door for key in self._keys(host) for door in self._doors.get(key, ())]
        doors = tuple(door for door in found if door is not None)
        return doors if len(doors) == len(found) <= _MAX_DOORS else ()

    def has_model(self, host: str, model: str, client: str | None = None) -> bool:
        """Whether ``models`` lists this id."""
        return any(model in models for models in self._lists(host, client, None))

    def _lists(self, host: str, client: str | None, admits: Admits | None) -> Iterator[Mapping[str, Model]]:
        for key in self._keys(host):
            if (catalog := self._catalogs.get(key)) is not None:
                yield from catalog.shown_to(client, admits)

    def _keys(self, host: str) -> tuple[str, ...]:
        """Where the rules for a host stand, the most specific first."""
        if self._any_host_alone:
            return (_ANY_HOST,)
        name = bare_host(host)
        wildcard = maybe_wildcard(name)
        return (name, _ANY_HOST) if wildcard is None else (name, wildcard, _ANY_HOST)


def compile_index(config: Config) -> Index:
    """Compile the rules of a configuration.

    Takes a fraction of a second for ten thousand rules. Raises ``ConfigError`` with every regular expression that RE2
    refuses.
    """
    if findings := tuple(_pattern_faults(config)):
        raise ConfigError(findings)
    by_host: dict[str, list[Candidate]] = defaultdict(list)
    reader, routes = ConditionReader(config), RouteCompiler(config)
    for i, rule in enumerate(config.rules):
        for candidate in _candidates(config, reader, routes.route(i, rule), rule):
            for host in dict.fromkeys(rule.hostnames or (_ANY_HOST,)):
                by_host[host].append(candidate)
    pool = PatternPool()
    return Index(
        {host: Table(candidates, pool) for host, candidates in by_host.items()},
        {host: Catalog(candidates, config.rules) for host, candidates in by_host.items()},
        {host: frozenset(each.route.client_auth for each in candidates) for host, candidates in by_host.items()},
    )


def _candidates(config: Config, reader: ConditionReader, route: Route, rule: Rule) -> Iterator[Candidate]:
    schema = rule.input_schema or config.input_schema
    client = None if schema is None else schema.schema_
    for j, match in enumerate(rule.alternatives):
        conditions = reader.maybe_conditions(match)
        if conditions is not None:
            yield Candidate((-len(match.headers), route.index, j), conditions, client, route)


def _pattern_faults(config: Config) -> Iterator[Finding]:
    faults: dict[str, str | None] = {}
    for path, header in _pattern_headers(config):
        if header.value not in faults:
            faults[header.value] = maybe_pattern_fault(header.value)
        if (fault := faults[header.value]) is not None:
            yield Finding(f"{path}.value", f"not a regular expression of RE2: {fault}")


def _pattern_headers(config: Config) -> Iterator[tuple[str, HeaderMatch]]:
    for i, rule in enumerate(config.rules):
        for j, match in enumerate(rule.alternatives):
            part = "headers" if rule.matches is None else f"matches[{j}].headers"
            for k, header in enumerate(match.headers):
                if header.type == "RegularExpression":
                    yield f"rules[{i}].{part}[{k}]", header
