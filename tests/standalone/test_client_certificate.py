"""``llmroute run`` towards an upstream that asks for a certificate, which is in a Secret of the same manifest."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import yaml

from controller.standalone.probes import free_port
from tests.support.authority import Authority
from tests.support.gateway import backend, route, rule
from tests.support.plain_upstream import plain_upstream
from tests.support.waiting import until

pytestmark = pytest.mark.envoy

NAME = "models.test"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of the gateway, and what it has told."""
    authority = Authority()
    folder = authority.serve(tmp_path / "tls", NAME)
    (folder / "clients.pem").write_text(authority.pem)
    certificate, key = authority.issue("gateway.test")
    tls = {"sni": NAME, "caCertificateRef": {"name": "ours"}, "clientCertificateRef": {"name": "pair"}}
    told, manifest = tmp_path / "told.txt", tmp_path / "manifest.yaml"
    with plain_upstream(folder) as port:
        objects = [
            route(rule("m", "closed")),
            backend("closed", port, endpoint={"hostname": "localhost", "port": port, "tls": tls}),
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ours"}, "data": {"ca.crt": authority.pem}},
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "pair"},
                "stringData": {"tls.crt": certificate, "tls.key": key},
            },
        ]
        manifest.write_text(yaml.safe_dump_all(objects))
        command = [sys.executable, "-m", "controller", "run", str(manifest), "--port", str(free_port())]
        with told.open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            until(lambda: process.poll() is not None or "is ready on" in told.read_text(), "it does not start", 30)
            found = re.search(r"is ready on (\S+)", told.read_text())
            assert found is not None, told.read_text()
            yield found[1], told
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def test_the_upstream_knows_us_by_our_certificate(gateway: tuple[str, Path]) -> None:
    """Both sides are checked, and the key is in nothing that is told."""
    address, told = gateway
    answer = httpx2.post(f"{address}/v1/chat/completions", json={"model": "m", "messages": []})

    assert (answer.status_code, answer.json()["path"]) == (200, "/v1/chat/completions")
    assert "PRIVATE KEY" not in told.read_text()
