"""Writes what is generated in the Helm chart: Envoy's part of it comes from the code that the standalone mode uses.

``python -m controller.chart [--check] charts/llmroute``: Envoy's files are what ``controller.translate.envoy`` makes,
with Helm's expressions in the places that an installation decides; the chart reads them by ``tpl``. The table of
values in the chart's README is written as well.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import indent
from typing import Any

import yaml

from controller.chart_values import filled
from controller.translate import ProxySettings, bootstrap, listener
from controller.translate.envoy.bootstrap import heap_guard
from controller.translate.envoy.documents import SDS_RESOURCE, Document, address, discovery_response, extension, seconds
from controller.translate.envoy.processor import processor_cluster
from controller.translate.envoy.sources import file_source

_HEADER = "{{- /* Generated from controller/translate/envoy by `make chart`; edits here are lost. */ -}}\n"

#: In Envoy's container: what the chart writes, what the operator writes, and the user's Secret.
BOOTSTRAP_DIRECTORY = "/etc/envoy/bootstrap"
CONFIG_DIRECTORY = "/etc/envoy/config"
CERTIFICATE_DIRECTORY = "/etc/envoy/tls"

HTTP_PORT, TLS_PORT, OPS_PORT, ADMIN_PORT = 8080, 8443, 9902, 9901
#: Of extproc's first worker; the next ones follow.
WORKER_PORT = 1063

_ADMIN_CLUSTER = "llmroute-admin"
_CERTIFICATE = "llmroute-tls"


def _encryption() -> Document:
    """The certificate is read again when its Secret changes, which only a certificate from SDS is."""
    return extension(
        "envoy.transport_sockets.tls",
        "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context={
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            "tls_certificate_sds_secret_configs": [
                {"name": _CERTIFICATE, "sds_config": file_source(f"{BOOTSTRAP_DIRECTORY}/tls.yaml")}
            ],
        },
    )


_EACH_WORKER = "{{ range $worker := until (int .Values.extproc.workers) }}{{ if $worker }}, {{ end }}%s{{ end }}"
#: Twice at most: in plain text, and with TLS.
_EACH_LISTENER = (
    "{{- range $tls := list false true }}{{- if ternary $.Values.envoy.tls.enabled $.Values.envoy.http.enabled $tls }}"
)


_WITH_HEAP = '{{- if include "llmroute.envoy.heap" . }}'


def _each_worker(place: Document) -> str:
    return f"[{_EACH_WORKER % json.dumps({'endpoint': {'address': place}})}]"


#: What is decided at the installation: a name in the documents -> what stands there in the template.
_EXPRESSIONS = {
    "listen_address": "{{ $.Values.listenAddress | quote }}",
    "both_families": '{{ eq $.Values.listenAddress "::" }}',
    "path_prefix": "{{ $.Values.pathPrefix }}",
    "max_connections": "{{ int $.Values.envoy.maxConnections }}",
    "heap_bytes": '{{ include "llmroute.envoy.heap" $ }}',
    "listener_name": '{{ ternary "llmroute-tls" "llmroute" $tls }}',
    "listener_port": f"{{{{ ternary {TLS_PORT} {HTTP_PORT} $tls }}}}",
    "encryption": f"{{{{ if $tls }}}}{json.dumps(_encryption())}{{{{ else }}}}null{{{{ end }}}}",
    "extproc_host": '{{ include "llmroute.extproc.host" $ | quote }}',
    "worker_port": f"{{{{ add {WORKER_PORT} $worker }}}}",
    "worker_socket": '{{ printf "%s.%d" (include "llmroute.extproc.socket" $) $worker | quote }}',
    "sockets": _each_worker({"pipe": {"path": "<<worker_socket>>"}}),
    "ports": _each_worker({"socket_address": {"address": "<<extproc_host>>", "port_value": "<<worker_port>>"}}),
}
_PLACEHOLDER = re.compile(r"""(['"]?)<<(?P<name>[a-z_]+)>>\1""")


def files(folder: Path) -> dict[str, str]:
    """Path below the chart's ``folder`` -> text, in part from what is there. Equal code gives equal bytes.

    Raises ``ValueError`` for a value without a comment, and ``OSError`` for a folder without a chart.
    """
    readme, values = ((folder / name).read_text(encoding="utf-8") for name in ("README.md", "values.yaml"))
    return {
        "files/envoy.yaml.tpl": _HEADER + _bootstrap(),
        "files/tls.yaml.tpl": _HEADER + _dumped(_certificate()),
        "README.md": filled(readme, values),
    }


def _bootstrap() -> str:
    document = bootstrap(_settings())
    # The listeners are static, so that a change of the chart's ConfigMap reaches no Envoy that runs: a new one comes.
    del document["dynamic_resources"]["lds_config"]
    monitor = document["overload_manager"]["resource_monitors"][0]["typed_config"]
    monitor["max_active_downstream_connections"] = "<<max_connections>>"
    del document["static_resources"]
    return (
        _dumped(document)
        + _heap_guard()
        + "static_resources:\n"
        + "  clusters:\n"
        + '  {{- if eq .Values.extproc.placement "Sidecar" }}\n'
        + _listed(_sockets())
        + "  {{- else }}\n"
        + _listed(_ports())
        + "  {{- end }}\n"
        + _listed(_admin_cluster())
        + "  listeners:\n"
        + f"  {_EACH_LISTENER}\n"
        + _listed(_public())
        + "  {{- end }}{{- end }}\n"
        + "".join(map(_listed, [*_listeners()[1:], _ops()]))
    )


def _heap_guard() -> str:
    """More of ``overload_manager``, which is the last in the document. Without a limit of memory there is none."""
    guard = heap_guard("<<heap_bytes>>")
    monitors = indent(_dumped(guard.pop("resource_monitors")), "  ")
    return f"  {_WITH_HEAP}\n{monitors}{indent(_dumped(guard), '  ')}  {{{{- end }}}}\n"


def _settings() -> ProxySettings:
    return ProxySettings(
        extproc=("127.0.0.1:1",),
        lds=f"{BOOTSTRAP_DIRECTORY}/not-used.yaml",
        rds=f"{CONFIG_DIRECTORY}/rds.yaml",
        cds=f"{CONFIG_DIRECTORY}/cds.yaml",
        admin_port=ADMIN_PORT,
        path_prefix="<<path_prefix>>",
    )


def _sockets() -> Document:
    """The workers in the same pod."""
    return _of_workers("<<sockets>>", processor_cluster(("unix:///worker",)))


def _ports() -> Document:
    """The workers in all pods of the headless Service, one port for each."""
    return _of_workers("<<ports>>", processor_cluster(("extproc.invalid:1",)))


def _of_workers(places: str, cluster: Document) -> Document:
    cluster["load_assignment"]["endpoints"] = [{"lb_endpoints": places}]
    return cluster


def _admin_cluster() -> Document:
    place = {"lb_endpoints": [{"endpoint": {"address": address("127.0.0.1", ADMIN_PORT)}}]}
    return {
        "name": _ADMIN_CLUSTER,
        "type": "STATIC",
        "connect_timeout": seconds(1),
        "load_assignment": {"cluster_name": _ADMIN_CLUSTER, "endpoints": [place]},
    }


def _listeners() -> list[Document]:
    found = listener(_settings())["resources"]
    return [{key: value for key, value in resource.items() if key != "@type"} for resource in found]


def _anywhere(port: int | str) -> Document:
    place = {"address": "<<listen_address>>", "port_value": port, "ipv4_compat": "<<both_families>>"}
    return {"socket_address": place}


def _public() -> Document:
    """A listener for clients."""
    resource = _listeners()[0]
    resource["address"] = _anywhere("<<listener_port>>")
    resource["filter_chains"][0]["transport_socket"] = "<<encryption>>"
    return resource | {"name": "<<listener_name>>"}


def _certificate() -> Document:
    certificate = {
        "certificate_chain": {"filename": f"{CERTIFICATE_DIRECTORY}/tls.crt"},
        "private_key": {"filename": f"{CERTIFICATE_DIRECTORY}/tls.key"},
        "watched_directory": {"path": CERTIFICATE_DIRECTORY},
    }
    return discovery_response(SDS_RESOURCE, [{"name": _CERTIFICATE, "tls_certificate": certificate}])


def _ops() -> Document:
    """Two pages of the admin interface for the kubelet and for Prometheus; the interface itself can end Envoy."""
    routes = [
        {
            "match": {"path": path, "headers": [{"name": ":method", "string_match": {"exact": "GET"}}]},
            "route": {"cluster": _ADMIN_CLUSTER},
        }
        for path in ("/ready", "/stats/prometheus")
    ]
    manager = extension(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="ops",
        route_config={"name": "ops", "virtual_hosts": [{"name": "ops", "domains": ["*"], "routes": routes}]},
        http_filters=[extension("envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router")],
    )
    return {
        "name": "ops",
        "address": _anywhere(OPS_PORT),
        # Probes must be answered by an Envoy that has all the connections it takes.
        "bypass_overload_manager": True,
        "filter_chains": [{"filters": [manager]}],
    }


class _Dumper(yaml.SafeDumper):
    """Without anchors: the part that holds one may be left out."""

    def ignore_aliases(self, _: Any) -> bool:
        return True


def _dumped(document: Any) -> str:
    text = yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=1_000_000)
    if "{{" in text:
        raise ValueError("a document that Helm would take for a template")
    while _PLACEHOLDER.search(text):
        text = _PLACEHOLDER.sub(lambda found: _EXPRESSIONS[found["name"]], text)
    return text


def _listed(document: Document) -> str:
    return indent(_dumped([document]), "  ")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files, or with ``--check`` say which are stale. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m controller.chart", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is not up to date")
    parser.add_argument("folder", metavar="CHART", type=Path)
    options = parser.parse_args(arguments)
    wanted = {options.folder / name: text for name, text in files(options.folder).items()}
    changed = [path for path, text in wanted.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    for path in changed:
        if options.check:
            sys.stderr.write(f"{path} is not up to date; run `make chart`\n")
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8")
    return 1 if options.check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
