"""Clusters and the certificates that they show in one mounted volume, which come in any order: on a real Envoy."""

import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from controller.chart import CONFIG_DIRECTORY
from controller.translate import Settings, Snapshot, Translation, translate
from controller.translate.secrets import SecretStore
from controller.translate.settings import SWAPPED
from tests.support.authority import Authority
from tests.support.configmap_volume import ConfigMapVolume
from tests.support.gateway import backend
from tests.support.picking_processor import picking_processor
from tests.support.plain_upstream import plain_upstream
from tests.support.running_envoy import RunningEnvoy, envoy_on
from tests.support.waiting import until

NAME = "models.test"


@dataclass(frozen=True)
class House:
    """An upstream that asks for a certificate, and the volume of an Envoy in front of it."""

    authority: Authority
    folder: Path
    port: int

    @property
    def volume(self) -> ConfigMapVolume:
        return ConfigMapVolume(self.folder / "volume")

    def meaning(self) -> Translation:
        """With a certificate that is new each time."""
        certificate, key = self.authority.issue("gateway.test")
        tls = {"sni": NAME, "caCertificateRef": {"name": "ours"}, "clientCertificateRef": {"name": "pair"}}
        closed = backend("up", self.port, endpoint={"hostname": "localhost", "port": self.port, "tls": tls})
        secrets = {
            ("ConfigMap", "default", "ours"): {"ca.crt": self.authority.pem.encode()},
            ("Secret", "default", "pair"): {"tls.crt": certificate.encode(), "tls.key": key.encode()},
        }
        settings = Settings(envoy_secrets=f"{self.volume.mount}/{SWAPPED}")
        return translate(replace(Snapshot.of([closed], settings), secrets=SecretStore(secrets)))

    def show(self, translation: Translation, *, clusters: bool = True, certificate: bool = True) -> None:
        """Make it the volume's content, all at once, or without one of the two."""
        shown = translation.envoy if clusters else translate(Snapshot()).envoy
        files = {f"{name}.json": json.dumps(getattr(shown, name)).encode() for name in ("rds", "cds", "ecds")}
        self.volume.swap(files | (dict(translation.envoy_secrets) if certificate else {}))

    @contextmanager
    def envoy(self) -> Iterator[RunningEnvoy]:
        socket = self.folder / "p.sock"
        with (
            picking_processor(socket),
            envoy_on(self.folder, self.volume.mount, "json", f"unix://{socket}") as running,
        ):
            until(lambda: running.stat("cluster.llmroute-extproc.membership_healthy") == 1)
            yield running


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    authority = Authority()
    closed = authority.serve(tmp_path / "closed", NAME)
    (closed / "clients.pem").write_text(authority.pem)
    with plain_upstream(closed) as port:
        yield House(authority, tmp_path, port)


def key_of(translation: Translation) -> str:
    """Of the one route."""
    [route] = translation.envoy.rds["resources"][0]["virtual_hosts"][0]["routes"]
    return str(route["name"])


def status(running: RunningEnvoy, translation: Translation) -> int:
    return running.post("/v1/chat/completions", {"x-pick": key_of(translation)}).status


def shown_version(running: RunningEnvoy) -> str:
    """Of the certificate that Envoy goes by; the empty text while it has none."""
    address = f"http://127.0.0.1:{running.admin}/config_dump?resource=dynamic_active_secrets"
    with urllib.request.urlopen(address, timeout=5) as page:
        return "".join(str(secret["version_info"]) for secret in json.load(page).get("configs", []))


def _goes_by(running: RunningEnvoy, version: str) -> bool:
    return shown_version(running) == version


def _grown(seen: list[int], size: int) -> bool:
    return len(seen) > size


def test_a_cluster_waits_for_its_certificate(house: House) -> None:
    """Refused for want of its file, it is taken as soon as the file comes, with the clusters as they were."""
    translation = house.meaning()
    house.show(translation, certificate=False)
    with house.envoy() as running:
        assert status(running, translation) == 503
        assert running.stat("cluster_manager.cds.update_rejected") == 1

        house.show(translation)
        until(lambda: status(running, translation) == 200, "the cluster does not come back")


def test_a_certificate_waits_for_its_cluster(house: House) -> None:
    """The other way round, nothing is refused."""
    translation = house.meaning()
    house.show(translation, clusters=False)
    with house.envoy() as running:
        house.show(translation)
        until(lambda: status(running, translation) == 200, "the cluster does not come")
        assert running.stat("cluster_manager.cds.update_rejected") == 0


def test_a_certificate_is_renewed_under_requests(house: House) -> None:
    """Envoy goes by the new one, and no request fails meanwhile."""
    translation = house.meaning()
    house.show(translation)
    with house.envoy() as running:
        until(lambda: status(running, translation) == 200, "the cluster does not come")
        seen: list[int] = []
        done = threading.Event()

        def ask() -> None:
            while not done.is_set():
                seen.append(status(running, translation))

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            for _ in range(3):
                renewed = house.meaning()
                [content] = renewed.envoy_secrets.values()
                before = len(seen)
                house.show(renewed)
                wanted = json.loads(content)["version_info"]
                until(partial(_goes_by, running, wanted), "the old certificate is still in use")
                until(partial(_grown, seen, before + 5), "nobody asks")
        finally:
            done.set()
            asking.join(20)

    assert set(seen) == {200}


def test_no_file_of_a_certificate_has_the_name_of_one_of_envoys(house: House) -> None:
    """They share a directory, which is where the chart has it."""
    assert Settings().envoy_secrets == f"{CONFIG_DIRECTORY}/{SWAPPED}"
    assert not house.meaning().envoy_secrets.keys() & {f"{name}.yaml" for name in ("rds", "cds", "ecds", "lds")}
