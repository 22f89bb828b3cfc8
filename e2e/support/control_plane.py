"""etcd, kube-apiserver and kube-controller-manager on loopback, with RBAC on; to be killed and started again."""

import json
import secrets
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from controller.standalone.probes import free_port
from e2e.support.api import Api, Object
from e2e.support.audit import AUDIT_POLICY, AuditLog, Request
from e2e.support.certificates import Certificates, make_certificates
from e2e.support.process import Process
from e2e.support.programs import Programs
from tests.support.waiting import until

_START_S = 60.0
_CONTROLLERS = (
    "garbagecollector,namespace,serviceaccount,serviceaccount-token,root-ca-cert-publisher,"
    "deployment,replicaset,endpoint"
)


class ControlPlane:
    """Started and stopped by ``running_control_plane``; ``admin`` may do everything."""

    def __init__(self, folder: Path, programs: Programs) -> None:
        self.folder = folder
        self.programs = programs
        self.port, self._etcd_port, self._peer_port, self._manager_port = (free_port() for _ in range(4))
        self.url = f"https://127.0.0.1:{self.port}"
        self.certificates = make_certificates(folder / "pki")
        token = secrets.token_hex()
        self.admin = Api(self.url, self.certificates.ca, token)
        (folder / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n')
        (folder / "audit-policy.yaml").write_text(yaml.safe_dump(AUDIT_POLICY))
        self.audit = AuditLog(folder / "audit.log")
        self._etcd: Process | None = None
        self._apiserver: Process | None = None
        self._manager: Process | None = None

    def start(self, definitions: Sequence[Object]) -> None:
        """All three. The definitions come before kube-controller-manager, which looks for new kinds every 30 s only."""
        self._etcd = Process("etcd", self._etcd_command(), self.folder)
        self.start_apiserver()
        self.define(definitions)
        if self.programs.controller_manager is not None:
            self.kubeconfig(self.folder / "manager.kubeconfig", self.admin.token)
            self._manager = Process("kube-controller-manager", self._manager_command(), self.folder)
            until(lambda: self.admin.maybe_get("ServiceAccount", "default", "default"), "no default account", _START_S)

    def define(self, definitions: Sequence[Object]) -> None:
        """Create CRDs; returns when their kinds are served.

        Not applied: a server older than CEL takes its rules from a POST, and drops them, but refuses them in an apply.
        """
        for definition in definitions:
            self.admin.create(definition)
        wanted = {definition["metadata"]["name"] for definition in definitions}
        until(lambda: wanted <= self._established(), f"not served: {wanted}", _START_S)

    def start_apiserver(self) -> None:
        """Start it, again perhaps: on the same port, with the same data. Returns when it is ready."""
        self._apiserver = started = Process("kube-apiserver", self._apiserver_command(), self.folder)
        until(lambda: started.code is not None or self.admin.healthy(), "kube-apiserver is not ready", _START_S)
        started.demand_running()

    def kill_apiserver(self) -> None:
        """SIGKILL."""
        assert self._apiserver is not None
        self._apiserver.kill()

    def compact(self) -> None:
        """Make etcd forget all that was before now."""
        revision = self._ask_etcd("kv/range", {"key": "Lw=="})["header"]["revision"]
        self._ask_etcd("kv/compaction", {"revision": revision, "physical": True})

    def requests(self, *accounts: str) -> list[Request]:
        """What service accounts (``NAMESPACE/NAME``) have asked and been answered so far, in order."""
        return self.audit.requests(*accounts)

    def kubeconfig(self, path: Path, token: str | Path, url: str | None = None, namespace: str = "default") -> Path:
        """Write one for a token, or for a file that has it; ``url`` is another way to this server."""
        user = {"tokenFile": str(token)} if isinstance(token, Path) else {"token": token}
        cluster = {"server": url or self.url, "certificate-authority": str(self.certificates.ca)}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "e2e", "cluster": cluster}],
            "users": [{"name": "e2e", "user": user}],
            "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "e2e", "namespace": namespace}}],
            "current-context": "e2e",
        }
        path.write_text(yaml.safe_dump(document))
        return path

    def close(self) -> None:
        """Stop what runs, the newest first."""
        self.admin.close()
        for process in (self._manager, self._apiserver, self._etcd):
            if process is not None:
                process.close()

    def _established(self) -> set[str]:
        return {
            found["metadata"]["name"]
            for found in self.admin.list("CustomResourceDefinition")
            for condition in found.get("status", {}).get("conditions") or ()
            if condition["type"] == "Established" and condition["status"] == "True"
        }

    def _ask_etcd(self, path: str, body: Object) -> Any:
        data = json.dumps(body).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self._etcd_port}/v3/{path}", data, timeout=30) as answer:
            return json.load(answer)

    def _etcd_command(self) -> list[str | Path]:
        client, peer = (f"http://127.0.0.1:{port}" for port in (self._etcd_port, self._peer_port))
        return [
            self.programs.etcd,
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",  # the data lives as long as the tests
        ]

    def _apiserver_command(self) -> list[str | Path]:
        made: Certificates = self.certificates
        return [
            self.programs.apiserver,
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self.port}",
            "--endpoint-reconciler-type=none",  # there is no network but loopback
            f"--tls-cert-file={made.server}",
            f"--tls-private-key-file={made.server_key}",
            f"--client-ca-file={made.ca}",
            f"--cert-dir={self.folder / 'apiserver'}",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={made.account_public_key}",
            f"--service-account-signing-key-file={made.account_key}",
            f"--audit-policy-file={self.folder / 'audit-policy.yaml'}",
            f"--audit-log-path={self.audit.path}",
            "--profiling=false",
            # Without kube-controller-manager nobody makes the accounts that this would ask of every pod.
            *([] if self.programs.controller_manager else ["--disable-admission-plugins=ServiceAccount"]),
        ]

    def _manager_command(self) -> list[str | Path]:
        assert self.programs.controller_manager is not None
        kubeconfig, folder = self.folder / "manager.kubeconfig", self.folder / "manager"
        return [
            self.programs.controller_manager,
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            "--leader-elect=false",
            "--use-service-account-credentials=true",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._manager_port}",
            *(["--port=0"] if self.programs.version < (1, 24) else []),  # the insecure port of old
            f"--cert-dir={folder}",
            f"--service-account-private-key-file={self.certificates.account_key}",
            f"--root-ca-file={self.certificates.ca}",
            "--profiling=false",
            f"--controllers={_CONTROLLERS}",
        ]


@contextmanager
def running_control_plane(programs: Programs, definitions: Sequence[Object]) -> Iterator[ControlPlane]:
    """One, ready, with these CRDs; stopped and removed in the end."""
    with tempfile.TemporaryDirectory(prefix="e2e-cluster-") as folder:
        plane = ControlPlane(Path(folder), programs)
        try:
            plane.start(definitions)
            yield plane
        finally:
            plane.close()
