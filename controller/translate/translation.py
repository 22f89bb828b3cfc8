"""The one pure function of the control plane: everything that is known in, everything that is to be written out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from controller.api.findings import Finding, Severity, Subject
from controller.api.reasons import Reason
from controller.translate.callers import doors
from controller.translate.canonical import canonical, digest_of
from controller.translate.envoy.clusters import cluster_of, clusters_response
from controller.translate.envoy.documents import Document
from controller.translate.envoy.egress import proxy_clusters
from controller.translate.envoy.jwt import extensions_response, key_set_clusters, provider_of
from controller.translate.envoy.routes import routes_of, routes_response
from controller.translate.expressible import maybe_unverifiable
from controller.translate.extproc_config import config_backend, config_bytes, extproc_config
from controller.translate.gateway_api import GatewayObjects, gateway_objects, is_attached
from controller.translate.gateway_api.backends import host_of
from controller.translate.overlap import overlaps
from controller.translate.precedence import in_order
from controller.translate.references import Catalog, ResolvedBackend, resolve_backends
from controller.translate.routes import CompiledRoute, Memory
from controller.translate.secrets import SecretFiles
from controller.translate.settings import Settings
from controller.translate.snapshot import Snapshot
from controller.translate.statuses import ObjectStatus, backend_status, unattached
from controller.translate.upstream_tls import ClientCertificate
from extproc.config.schema import Backend, Config


@dataclass(frozen=True, slots=True)
class EnvoyConfig:
    """The three files that change: DiscoveryResponses for filesystem xDS."""

    rds: Document
    cds: Document
    ecds: Document


@dataclass(frozen=True, slots=True)
class Translation:
    """What a snapshot means.

    Attributes:
        config: the processor's configuration, with revision 0.
        envoy: the routes, clusters and token providers of the bundled Envoy.
        statuses: one for each route and backend, by kind, namespace and name.
        stray: findings about objects that have no status, from the snapshot.
        gateway: the objects for Envoy Gateway; none where the bundled Envoy serves.
        credentials: the files of the processor's credentials directory.
        envoy_secrets: the files of Envoy's secrets directory (SDS resources).
        file_owners: for each of the files in these two, the object that it was made for.
    """

    config: Config
    envoy: EnvoyConfig
    statuses: tuple[ObjectStatus, ...]
    stray: tuple[Finding, ...]
    gateway: GatewayObjects = field(default_factory=GatewayObjects)
    credentials: SecretFiles = field(default_factory=SecretFiles)
    envoy_secrets: SecretFiles = field(default_factory=SecretFiles)
    file_owners: Mapping[str, Subject] = field(default_factory=dict)

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
    entrances = doors(snapshot)
    routes = (memory or Memory()).compiled(in_order(snapshot.routes), Catalog(backends), entrances)
    entries = {name: _entry(backend, settings) for name, backend in backends.items() if backend.upstream is not None}
    served = [route for route in routes if is_attached(route.resolved, settings.gateway)]
    reached = {name: backend for name, backend in backends.items() if backend.is_reached}
    clusters = {name: cluster_of(backend, settings) for name, backend in reached.items()}
    upstreams = [backend.upstream for backend in reached.values() if backend.upstream is not None]
    providers = {door.provider.name: door.provider for door in entrances.values() if door.provider is not None}
    choices = {choice for route in routes for rule in route.resolved.rules for choice in rule.choices}
    return Translation(
        config=extproc_config(entries.values(), (rule for route in served for rule in route.rules), settings),
        envoy=EnvoyConfig(
            rds=routes_response(routes_of(choices, backends, settings.idle_timeout_s)),
            cds=clusters_response(
                [
                    *clusters.values(),
                    *proxy_clusters(upstreams),
                    *key_set_clusters(providers.values(), settings.ca_certificates),
                ]
            ),
            ecds=extensions_response({name: provider_of(provider) for name, provider in providers.items()}),
        ),
        statuses=_statuses(routes, backends, entries, clusters, settings),
        gateway=gateway_objects([route.resolved for route in served], backends, settings.gateway, settings.path_prefix),
        envoy_secrets=SecretFiles({made.file: made.content for _, made in _certificates(reached.values())}),
        stray=tuple(sorted(snapshot.findings, key=lambda finding: (finding.subject, finding.reason))),
        credentials=SecretFiles(
            _credentials(backends.values()) | dict(door.file for door in entrances.values() if door.file is not None)
        ),
        file_owners={
            **{file: backend.read.subject for backend in backends.values() for file in backend.credential.files},
            **{door.file[0]: subject for subject, door in entrances.items() if door.file is not None},
            **{made.file: subject for subject, made in _certificates(reached.values())},
        },
    )


def _certificates(backends: Iterable[ResolvedBackend]) -> Iterator[tuple[Subject, ClientCertificate]]:
    for backend in backends:
        if backend.upstream is not None and (made := backend.upstream.tls.certificate) is not None:
            yield backend.read.subject, made


def _credentials(backends: Iterable[ResolvedBackend]) -> dict[str, bytes]:
    return {file: content for backend in backends for file, content in backend.credential.files.items()}


def _entry(backend: ResolvedBackend, settings: Settings) -> Backend:
    """A backend as the processor knows it; the host is the one that its Envoy sends."""
    entry = config_backend(backend)
    assert backend.upstream is not None
    if settings.gateway is None or (host := host_of(backend.upstream)) is None:
        return entry
    return entry.model_copy(update={"host": host})


def _statuses(
    routes: Sequence[CompiledRoute],
    backends: Mapping[str, ResolvedBackend],
    entries: Mapping[str, Backend],
    clusters: Mapping[str, Document],
    settings: Settings,
) -> tuple[ObjectStatus, ...]:
    shadows = overlaps([route.resolved for route in routes])
    used = {choice.backend for route in routes for rule in route.resolved.rules for choice in rule.choices}
    statuses = [route.status([*shadows[i], *_unsaid(route, settings)]) for i, route in enumerate(routes)]
    statuses = [
        status if is_attached(route.resolved, settings.gateway) else unattached(status)
        for route, status in zip(routes, statuses, strict=True)
    ]
    for name, backend in backends.items():
        part = digest_of(config_bytes(entries[name]), canonical(clusters.get(name))) if name in entries else ""
        unused = [_unused(backend.read.subject)] if name in entries and name not in used else []
        statuses.append(backend_status(backend, [*unused, *_unchecked(backend)], part))
    return tuple(sorted(statuses, key=lambda status: status.subject))


def _unchecked(backend: ResolvedBackend) -> list[Finding]:
    if backend.upstream is None or backend.upstream.tls.verify:
        return []
    message = "any certificate is taken: whoever is on the way reads requests, keys and answers"
    path = "spec.endpoint.tls.insecureSkipVerify"
    return [Finding(backend.read.subject, path, message, Reason.CERTIFICATE_UNCHECKED, Severity.WARNING)]


def _unsaid(route: CompiledRoute, settings: Settings) -> list[Finding]:
    """What Envoy Gateway cannot be told."""
    found = None if settings.gateway is None else maybe_unverifiable(route.read)
    return [] if found is None else [found]


def _unused(subject: Subject) -> Finding:
    message = "no rule of any route in this namespace uses it"
    return Finding(subject, "", message, Reason.UNUSED_BACKEND, Severity.WARNING)
