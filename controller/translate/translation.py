"""The one pure function of the control plane: everything that is known in, everything that is to be written out."""

from dataclasses import dataclass

from controller.api.findings import Finding, Severity, Subject
from controller.api.reasons import Reason
from controller.translate.envoy.clusters import cluster_of, clusters_response
from controller.translate.envoy.documents import Document
from controller.translate.envoy.routes import routes_of, routes_response
from controller.translate.extproc_config import config_backend, config_rules, extproc_config
from controller.translate.overlap import overlaps
from controller.translate.references import ResolvedBackend, ResolvedRoute, resolve_backends, resolve_routes
from controller.translate.snapshot import Snapshot
from controller.translate.statuses import ObjectStatus, backend_status, route_status
from extproc.config.schema import Backend, Config, Rule


@dataclass(frozen=True, slots=True)
class EnvoyConfig:
    """The two files that change: DiscoveryResponses for filesystem xDS."""

    rds: Document
    cds: Document


@dataclass(frozen=True, slots=True)
class Translation:
    """What a snapshot means.

    Attributes:
        config: the processor's configuration, with revision 0.
        envoy: the routes and clusters of the bundled Envoy.
        statuses: one for each route and backend, by kind, namespace and name.
        stray: findings about objects that have no status, from the snapshot.
    """

    config: Config
    envoy: EnvoyConfig
    statuses: tuple[ObjectStatus, ...]
    stray: tuple[Finding, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All there is to say, object by object."""
        return (*self.stray, *(finding for status in self.statuses for finding in status.findings))


def translate(snapshot: Snapshot) -> Translation:
    """Compile a snapshot. Never raises for what users write: a bad object has its status, and the others go on.

    Equal snapshots give equal results whatever the order of their objects.
    """
    settings = snapshot.settings
    backends = resolve_backends(snapshot)
    routes = resolve_routes(snapshot, backends)
    entries = {name: config_backend(backend) for name, backend in backends.items() if backend.upstream is not None}
    rules = [config_rules(route) for route in routes]
    clusters = {name: cluster_of(backends[name], settings.ca_certificates) for name in entries}
    choices = {choice for route in routes for rule in route.rules for choice in rule.choices}
    return Translation(
        config=extproc_config(entries.values(), (rule for part in rules for rule in part), settings),
        envoy=EnvoyConfig(
            rds=routes_response(routes_of(choices, backends, settings.idle_timeout_s)),
            cds=clusters_response(clusters.values()),
        ),
        statuses=_statuses(routes, rules, backends, entries, clusters),
        stray=tuple(sorted(snapshot.findings, key=lambda finding: (finding.subject, finding.reason))),
    )


def _statuses(
    routes: list[ResolvedRoute],
    rules: list[list[Rule]],
    backends: dict[str, ResolvedBackend],
    entries: dict[str, Backend],
    clusters: dict[str, Document],
) -> tuple[ObjectStatus, ...]:
    shadows = overlaps(routes)
    used = {choice.backend for route in routes for rule in route.rules for choice in rule.choices}
    statuses = [route_status(route, shadows[i], [_plain(rule) for rule in rules[i]]) for i, route in enumerate(routes)]
    for name, backend in backends.items():
        part = [_plain(entries[name]), clusters[name]] if name in entries else []
        unused = [_unused(backend.read.subject)] if name in entries and name not in used else []
        statuses.append(backend_status(backend, unused, part))
    return tuple(sorted(statuses, key=lambda status: status.subject))


def _plain(part: Rule | Backend) -> dict[str, object]:
    return part.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _unused(subject: Subject) -> Finding:
    message = "no rule of any route in this namespace uses it"
    return Finding(subject, "", message, Reason.UNUSED_BACKEND, Severity.WARNING)
