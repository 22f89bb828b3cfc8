"""A whole run of ``llmroute run`` at debug level with secrets of every kind: no output of any process has one."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from unittest.mock import patch

import pytest
import yaml

from controller.standalone.probes import free_port
from tests.support.authority import Authority
from tests.support.credential_realm import MARK, Realm, environment_of, running_realm
from tests.support.credential_stand import CLIENT, document, secret_of
from tests.support.credential_table import AUTHS, FILED
from tests.support.gateway import Document, backend, route, rule
from tests.support.mutual_tls import MutualTls, mutual_tls
from tests.support.plane import CHAT, chat
from tests.support.waiting import until

pytestmark = [pytest.mark.envoy, pytest.mark.xdist_group("credentials")]

NAMES = [f"{auth}-{state}" for auth in AUTHS for state in ("valid", "expired")]
CALLER = f"{MARK}-of-a-caller"


@dataclass
class Run:
    """The program, everything it was given, and where to ask it."""

    process: subprocess.Popen[bytes]
    told: Path
    port: int
    admin: int
    envoy: int
    realm: Realm
    closed: MutualTls
    key: str

    def ask(self, model: str, key: str) -> tuple[int, str]:
        """One chat: status, and all that the client sees."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            headers = {"content-type": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}
            connection.request("POST", CHAT, chat(model), headers)
            response = connection.getresponse()
            return response.status, f"{response.getheaders()}\n{response.read().decode()}"
        finally:
            connection.close()

    def pages(self) -> Iterator[tuple[str, str]]:
        """What the two processes show of themselves."""
        for name in ("config", "credentials", "metrics", "readyz"):
            yield f"/{name}", _page(self.admin, name)
        for name in ("config_dump?include_eds", "clusters", "stats", "server_info", "listeners"):
            yield f"Envoy's /{name}", _page(self.envoy, name)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    authority = Authority()
    folder = authority.serve(tmp_path / "tls", "models.test")
    (folder / "clients.pem").write_text(authority.pem)
    identity, told, manifest = (tmp_path / name for name in ("identity", "told.txt", "manifest.yaml"))
    identity.write_text(f"{MARK}-identity")
    ports = {name: free_port() for name in ("--port", "--admin-port", "--envoy-admin-port")}
    command = [sys.executable, "-m", "controller", "run", str(manifest), "--log-level", "debug"]
    command += [text for name, port in ports.items() for text in (name, str(port))]
    with running_realm() as realm, mutual_tls(folder) as closed:
        realm.identities.add(identity.read_text())
        realm.known["passthrough-valid"].add(f"Bearer {CLIENT}")
        certificate, key = authority.issue("gateway.test")
        pair = {"tls.crt": certificate, "tls.key": key}
        manifest.write_text(yaml.safe_dump_all([*_documents(realm), *_closed(closed.port, authority.pem, pair)]))
        with patch.dict(os.environ, environment_of(realm, identity)), told.open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            until(lambda: process.poll() is not None or "is ready on" in told.read_text(), "it does not start", 30)
            assert process.poll() is None, told.read_text()
            port, admin, envoy = ports.values()
            yield Run(process, told, port, admin, envoy, realm, closed, key)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def test_no_output_has_a_secret(run: Run) -> None:
    """Logs, access log, admin pages of both processes and answers, of good and of refused requests: nothing is seen."""
    expected = {name: 200 if name.endswith("-valid") else None for name in NAMES}
    answers = []
    for name, status in expected.items():
        key = "" if name.startswith("fallback") else CLIENT
        until(partial(_is_settled, run, name, key))
        got = run.ask(name, key)
        assert status in {None, got[0]}, (name, got)
        answers.append((name, got[1]))
    for who, model, key, status in (
        ("a caller", "guarded", CALLER, 200),
        ("a stranger", "guarded", f"{CALLER}?", 401),
        ("with a certificate", "closed", CLIENT, 200),
    ):
        got = run.ask(model, key)
        assert got[0] == status, got
        answers.append((who, got[1]))
    pages = dict(run.pages())
    run.process.send_signal(signal.SIGTERM)
    assert run.process.wait(30) == 0

    shown = [*answers, *pages.items(), ("what it has said", run.told.read_text())]
    secrets = [MARK, *[line for line in run.key.splitlines() if len(line) > 32 and "PRIVATE" not in line]]
    # The client's own key goes to the upstream of passthrough, which repeats it when it refuses it.
    own = {"passthrough-expired"}
    assert [where for where, text in shown if where not in own and any(each in text for each in secrets)] == []
    assert MARK in str(run.realm.shown)
    assert run.closed.shown[-1][0] == "gateway.test"
    assert all(len(text) > 1 for _, text in shown)
    assert "alice" in run.told.read_text()


def _is_settled(run: Run, name: str, key: str) -> bool:
    return "being fetched" not in run.ask(name, key)[1]


def _documents(realm: Realm) -> Iterator[Document]:
    yield route(*(rule(name, name) for name in NAMES), name="all")
    yield route(
        rule("guarded", {"name": "apikey-valid", "modelNameOverride": "apikey-valid"}),
        name="guarded",
        clientAuth={"apiKeys": {"secretRef": {"name": "callers"}}},
    )
    yield _secret("callers", alice=CALLER)
    for name in NAMES:
        yield document(name, realm.port)
        if name.partition("-")[0] in FILED:
            key, value = secret_of(realm, name)
            yield _secret(name, **{key: value})


def _closed(port: int, authority: str, pair: dict[str, str]) -> Iterator[Document]:
    tls = {"sni": "models.test", "caCertificateRef": {"name": "ours"}, "clientCertificateRef": {"name": "pair"}}
    yield route(rule("closed", "closed"), name="closed")
    yield backend("closed", port, endpoint={"hostname": "localhost", "port": port, "tls": tls})
    yield {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ours"}, "data": {"ca.crt": authority}}
    yield _secret("pair", **pair)


def _secret(name: str, **values: str) -> Document:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}


def _page(port: int, name: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{name}", timeout=5) as page:
            return str(page.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return json.dumps([error.code, error.read().decode()])
