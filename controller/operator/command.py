"""``llmroute operator``: the command line of the operator. Loads nothing of what the operator needs."""

import asyncio
import logging
import pkgutil
import re
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import click

from controller.flags import path_prefix
from controller.operator import logs
from controller.operator.failures import ClusterError
from controller.operator.settings import Scope, Settings
from controller.standalone.faults import Fault
from controller.translate import Settings as TranslateSettings
from controller.translate.settings import GatewaySettings

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_PATTERN = re.compile(r"[a-z0-9*?]([-a-z0-9*?]*[a-z0-9*?])?")
_HTTP = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^:\[\]]*):(?P<port>[0-9]{1,5})")
#: What an EnvoyExtensionPolicy takes.
_MAX_PORTS = 16
_DEFAULT, _COMPILING = Settings(namespace="", identity=""), TranslateSettings()

_log = logging.getLogger(__name__)


def _namespaces(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    for name in value:
        if not _PATTERN.fullmatch(name):
            raise click.BadParameter(f"{name!r} is neither a namespace's name nor a pattern such as team-*")
    return tuple(dict.fromkeys(value))


def _http(_: click.Context, __: click.Parameter, value: str) -> tuple[str, int | None]:
    if value == "off":
        return "", None
    found = _HTTP.fullmatch(value)
    if found is None or int(found["port"]) > 65535:
        raise click.BadParameter("must be :PORT, ADDRESS:PORT or off")
    return found["host"].strip("[]"), int(found["port"])


@click.command("operator")
@click.option(
    "--namespace",
    "namespaces",
    metavar="NAME",
    multiple=True,
    callback=_namespaces,
    help="Read the resources of this namespace only; may be repeated. A pattern (team-*) needs the right to list "
    "namespaces. Default: the whole cluster.",
)
@click.option(
    "--own-namespace",
    metavar="NAME",
    envvar="POD_NAMESPACE",
    help="Where the ConfigMaps, the Lease and the pods are. Default: $POD_NAMESPACE, or the pod's own.",
)
@click.option(
    "--identity", metavar="NAME", envvar="POD_NAME", help="This replica's name. Default: $POD_NAME, or the host's."
)
@click.option("--extproc-config-map", metavar="NAME", default=_DEFAULT.extproc_config_map, show_default=True)
@click.option("--envoy-config-map", metavar="NAME", default=_DEFAULT.envoy_config_map, show_default=True)
@click.option(
    "--credentials-secret",
    "credentials",
    metavar="NAME",
    default=_DEFAULT.credentials,
    show_default=True,
    help="The Secret with the processor's credentials.",
)
@click.option(
    "--envoy-secrets",
    metavar="NAME",
    default=_DEFAULT.envoy_secrets,
    show_default=True,
    help="The Secret with the certificates that Envoy shows to upstreams.",
)
@click.option(
    "--extproc-selector",
    metavar="LABELS",
    default=_DEFAULT.extproc_selector,
    show_default=True,
    help="The pods that serve the first ConfigMap.",
)
@click.option(
    "--envoy-selector",
    metavar="LABELS",
    default=_DEFAULT.envoy_selector,
    show_default=True,
    help="The pods that serve the second one.",
)
@click.option(
    "--extproc-admin-port",
    metavar="PORT",
    type=click.IntRange(1, 65535),
    default=_DEFAULT.extproc_admin_port,
    show_default=True,
    help="Where extproc's pods say which revision they serve.",
)
@click.option(
    "--gateway-mode",
    type=click.Choice(["bundled", "envoy-gateway"]),
    default="bundled",
    show_default=True,
    help="Who serves the routes: an Envoy of our own, or the Gateways that they name.",
)
@click.option(
    "--extproc-service",
    metavar="NAME",
    default="llmroute-extproc",
    show_default=True,
    help="With envoy-gateway: the Service of extproc's pods.",
)
@click.option(
    "--extproc-port",
    "extproc_ports",
    metavar="PORT",
    type=click.IntRange(1, 65535),
    multiple=True,
    default=(1063,),
    show_default=True,
    help="With envoy-gateway: a port of that Service; repeat it for each worker of a pod.",
)
@click.option("--lease", "lease_name", metavar="NAME", default=_DEFAULT.lease_name, show_default=True)
@click.option(
    "--leader-election/--no-leader-election",
    default=True,
    show_default=True,
    help="Without: this is the only replica.",
)
@click.option(
    "--owner",
    metavar="NAME",
    help="The operator's own Deployment: what the operator makes in its namespace is deleted with it.",
)
@click.option(
    "--http",
    metavar="[ADDRESS]:PORT",
    default=":8080",
    show_default=True,
    callback=_http,
    help="Where /healthz, /readyz and /metrics are; or off.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default=_DEFAULT.log_level,
    show_default=True,
)
@click.option("--log-format", type=click.Choice(["json", "text"]), default=_DEFAULT.log_format, show_default=True)
@click.option("--kubeconfig", metavar="PATH", help="How to reach the cluster. Default: as a pod, or as kubectl does.")
@click.option("--context", metavar="NAME", help="Which context of the kubeconfig.")
@path_prefix
@click.option(
    "--cluster-domain",
    metavar="DOMAIN",
    default=_COMPILING.cluster_domain,
    show_default=True,
    help="The DNS domain of the cluster's Services.",
)
@click.option(
    "--ca-certificates",
    metavar="PATH",
    default=_COMPILING.ca_certificates,
    show_default=True,
    help="In Envoy's pods: the authorities that upstreams are checked against.",
)
@click.option(
    "--local-endpoints/--no-local-endpoints",
    default=False,
    show_default=True,
    help="Whether LLMBackends may be at addresses of Envoy's own machine: loopback, and a cloud's metadata service.",
)
@click.option(
    "--ambient-credentials",
    "ambient",
    metavar="NAMESPACE",
    multiple=True,
    callback=_namespaces,
    help="A namespace, or a pattern such as team-* or *, whose LLMBackends may use the processor's own identity in a "
    "cloud; may be repeated. The operator's own namespace always may.",
)
@click.option(
    "--resync",
    "resync_s",
    metavar="SECONDS",
    type=click.FloatRange(1),
    default=_DEFAULT.resync_s,
    show_default=True,
    help="Between two complete reads of everything.",
)
@click.option(
    "--removal",
    "removal_s",
    metavar="SECONDS",
    type=click.FloatRange(0),
    default=_DEFAULT.removal_s,
    show_default=True,
    help="How long Envoy keeps what is gone while extproc's pods cannot be asked whether they still use it.",
)
def operator(**given: Any) -> None:
    """Run the operator in, or against, a Kubernetes cluster.

    Compiles LLMRoutes and LLMBackends into two ConfigMaps, the processor's and Envoy's, and says in the status of every
    resource what became of it. Run two replicas: one writes, the other one is ready to.
    """
    settings = _settings(**given)
    logs.configure(settings.log_level, settings.log_format)
    try:
        asyncio.run(_runner()(settings, _listening))
    except ClusterError as error:
        raise Fault(str(error)) from None
    except OSError as error:
        raise Fault(f"--http: {error.strerror or error}") from None


def _settings(
    *,
    namespaces: tuple[str, ...],
    own_namespace: str | None,
    identity: str | None,
    http: tuple[str, int | None],
    **given: Any,
) -> Settings:
    if given["credentials"] == given["envoy_secrets"]:
        raise click.UsageError("--credentials-secret and --envoy-secrets are two Secrets, with two names")
    namespace = own_namespace or _own_namespace()
    service, ports = given.pop("extproc_service"), tuple(dict.fromkeys(given.pop("extproc_ports")))
    if len(ports) > _MAX_PORTS:
        raise click.UsageError(f"--extproc-port: Envoy Gateway takes at most {_MAX_PORTS} of them")
    with_gateways = given.pop("gateway_mode") == "envoy-gateway"
    compiling = TranslateSettings(
        gateway=GatewaySettings(controller=namespace, service=service, namespace=namespace, ports=ports)
        if with_gateways
        else None,
        path_prefix=given.pop("path_prefix"),
        cluster_domain=given.pop("cluster_domain"),
        ca_certificates=given.pop("ca_certificates"),
        local_endpoints=given.pop("local_endpoints"),
        own_secrets=frozenset((namespace, given[name]) for name in ("credentials", "envoy_secrets")),
        ambient_identities=(namespace, *given.pop("ambient")),
    )
    return Settings(
        namespace=namespace,
        identity=identity or socket.gethostname(),
        scope=Scope(namespaces),
        http_address=http[0],
        http_port=http[1],
        translate=compiling,
        **given,
    )


def _own_namespace() -> str:
    try:
        return _NAMESPACE_FILE.read_text(encoding="utf-8").strip()
    except OSError:
        raise click.UsageError("not in a pod: say with --own-namespace where the ConfigMaps belong") from None


def _listening(port: int) -> None:
    _log.info("healthz, readyz and metrics are on port %d", port)


def _runner() -> Callable[[Settings, Callable[[int], None]], Coroutine[Any, Any, None]]:
    """By name, because the other commands must work where what it needs is not installed."""
    try:
        found: Callable[[Settings, Callable[[int], None]], Coroutine[Any, Any, None]] = pkgutil.resolve_name(
            "controller.operator.run:operate"
        )
    except ImportError as error:
        raise Fault(
            f"operator needs more than is installed here ({error}): pip install 'llmroute[controller]'"
        ) from None
    return found
