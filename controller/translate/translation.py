"""The one pure function of the control plane: everything that is known in, everything that is to be written out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from controller.api.findings import Finding, Severity, Subject
from controller.api.reasons import Reason
from controller.translate.canonical import canonical, digest_of
from controller.translate.envoy.clusters import cluster_of, clusters_response
from controller.translate.envoy.documents import Document
from controller.translate.envoy.routes import routes_of, routes_response
from controller.translate.extproc_config import config_backend, config_bytes, extproc_config
from controller.translate.overlap import overlaps
from controller.translate.precedence import in_order
from controller.translate.references import Catalog, ResolvedBackend, resolve_backends
from controller.translate.routes import CompiledRoute, Memory
from controller.translate.secrets import SecretFiles
from controller.translate.snapshot import Snapshot
from controller.translate.statuses import ObjectStatus, backend_status
from extproc.config.schema import Backend, Config


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
        credentials: the files of the processor's credentials directory.
        envoy_secrets: the files of Envoy's secrets directory (SDS resources).
    """

    config: Config
    envoy: EnvoyConfig
    statuses: tuple[ObjectStatus, ...]
    stray: tuple[Finding, ...]
    credentials: SecretFiles = field(default_factory=SecretFiles)
    envoy_secrets: SecretFiles = field(default_factory=SecretFiles)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All there is to say, object by object."""
        return (*self.stray, *(finding for status in self.statuses for finding in status.findings))


def translate(snapshot: Snapshot, memory: Memory | None = None) -> Translation:
    """Compile a snapshot. Never raises for what users write: a bad object has its status, and the others go on.

    Equal snapshots give equal results whatever the order of their objects. ``memory``: for a caller who translates
    again and again, and has little that is new each time.
    """
    settings = snapshot.settings
    backends = resolve_backends(snapshot)
    routes = (memory or Memory()).compiled(in_order(snapshot.routes), Catalog(backends))
    entries = {name: config_backend(backend) for name, backend in backends.items() if backend.upstream is not None}
    clusters = {name: cluster_of(backends[name], settings.ca_certificates) for name in entries}
    choices = {choice for route in routes for rule in route.resolved.rules for choice in rule.choices}
    return Translation(
        config=extproc_config(entries.values(), (rule for route in routes for rule in route.rules), settings),
        envoy=EnvoyConfig(
            rds=routes_response(routes_of(choices, backends, settings.idle_timeout_s)),
            cds=clusters_response(clusters.values()),
        ),
        statuses=_statuses(routes, backends, entries, clusters),
        stray=tuple(sorted(snapshot.findings, key=lambda finding: (finding.subject, finding.reason))),
    )


def _statuses(
    routes: Sequence[CompiledRoute],
    backends: Mapping[str, ResolvedBackend],
    entries: Mapping[str, Backend],
    clusters: Mapping[str, Document],
) -> tuple[ObjectStatus, ...]:
    shadows = overlaps([route.resolved for route in routes])
    used = {choice.backend for route in routes for rule in route.resolved.rules for choice in rule.choices}
    statuses = [route.status(shadows[i]) for i, route in enumerate(routes)]
    for name, backend in backends.items():
        part = digest_of(config_bytes(entries[name]), canonical(clusters[name])) if name in entries else ""
        unused = [_unused(backend.read.subject)] if name in entries and name not in used else []
        statuses.append(backend_status(backend, unused, part))
    return tuple(sorted(statuses, key=lambda status: status.subject))


def _unused(subject: Subject) -> Finding:
    message = "no rule of any route in this namespace uses it"
    return Finding(subject, "", message, Reason.UNUSED_BACKEND, Severity.WARNING)
