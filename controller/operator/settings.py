"""How the operator runs. Plain values, so that the command line can speak of them without loading what they start."""

from collections.abc import Collection
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from controller.translate import Settings as TranslateSettings

_GLOB = "*?["


@dataclass(frozen=True, slots=True)
class Scope:
    """The namespaces whose resources are read: none given means all of them.

    A pattern (``team-*``) needs the right to list and watch the cluster's namespaces; plain names need a Role in each
    of them and nothing else. ``barred`` are left out, whatever pattern they match.
    """

    namespaces: tuple[str, ...] = ()
    barred: frozenset[str] = frozenset()

    @property
    def is_cluster(self) -> bool:
        """Every namespace, present and future."""
        return not self.namespaces

    @property
    def has_patterns(self) -> bool:
        """Which namespaces these are depends on which ones exist."""
        return any(set(_GLOB) & set(name) for name in self.namespaces)

    @property
    def globs(self) -> tuple[str, ...]:
        """As kopf has them: what follows a comma and an exclamation mark is left out."""
        return tuple(",!".join([name, *sorted(self.barred)]) for name in self.namespaces)

    def covers(self, namespace: str) -> bool:
        """Whether a namespace is one of them."""
        if namespace in self.barred:
            return False
        return self.is_cluster or any(fnmatchcase(namespace, pattern) for pattern in self.namespaces)

    def without(self, namespaces: Collection[str]) -> "Scope":
        """The same, but for these, which are ``barred``. Plain names are taken out."""
        names = tuple(name for name in self.namespaces if name not in namespaces)
        return Scope(names, frozenset(namespaces) if self.has_patterns else frozenset())


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """For the operator.

    Attributes:
        namespace: the operator's own, with the ConfigMaps, the Secrets, the Lease and the pods of extproc and Envoy.
        identity: who this process is among the replicas; the pod's name.
        scope: whose LLMRoutes and LLMBackends are read.
        extproc_config_map, envoy_config_map: the names of what is written. The first holds ``config.yaml``, the second
            ``rds.yaml``, ``cds.yaml`` and ``ecds.yaml``.
        credentials, envoy_secrets: the names of the Secrets that are written: files for the processor's credentials
            directory, and for Envoy's secret discovery.
        extproc_selector, envoy_selector: label selectors of the pods that mount them.
        extproc_admin_port: where an extproc pod tells which revision it serves.
        lease_name: the Lease by which replicas agree on who writes. ``leader_election`` False: there is one replica.
        owner: the operator's own Deployment, with which goes what was made in its namespace; None: it stays.
        http_address, http_port: where /healthz, /readyz and /metrics are; no address: every interface; port 0: any
            free one, None: nowhere.
        log_level: ``debug``, ``info``, ``warning`` or ``error``. ``log_format``: ``json`` or ``text``.
        kubeconfig, context: how to reach the cluster; None: as a pod does, else as kubectl does.
        settle_s, settle_max_s: a change is written once nothing has changed for the first, at the latest after the
            second, in seconds.
        resync_s: seconds between two complete reads of everything.
        removal_s: seconds after which Envoy loses what nobody refers to any more, when extproc's pods cannot be asked.
        linger_s: seconds that a request may go on in what was removed, after the last pod stopped using it.
        translate: how the resources are compiled.
    """

    namespace: str
    identity: str
    scope: Scope = field(default_factory=Scope)
    extproc_config_map: str = "llmroute-extproc"
    envoy_config_map: str = "llmroute-envoy"
    credentials: str = "llmroute-credentials"
    envoy_secrets: str = "llmroute-envoy-secrets"
    extproc_selector: str = "app.kubernetes.io/part-of=llmroute,app.kubernetes.io/component=extproc"
    envoy_selector: str = "app.kubernetes.io/part-of=llmroute,app.kubernetes.io/component=envoy"
    extproc_admin_port: int = 1060
    lease_name: str = "llmroute-controller"
    leader_election: bool = True
    owner: str | None = None
    http_address: str = ""
    http_port: int | None = 8080
    log_level: str = "info"
    log_format: str = "json"
    kubeconfig: str | None = None
    context: str | None = None
    settle_s: float = 0.1
    settle_max_s: float = 1.0
    resync_s: float = 60.0
    removal_s: float = 120.0
    linger_s: float = 5.0
    translate: TranslateSettings = field(default_factory=TranslateSettings)

    @property
    def bundled(self) -> bool:
        """Whether an Envoy of our own serves the routes, and not Envoy Gateway's."""
        return self.translate.gateway is None
