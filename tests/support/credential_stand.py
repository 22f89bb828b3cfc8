"""A processor and an Envoy as pods have them, a backend for each cell of the table, a volume that a test changes."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.support.configmap_volume import ConfigMapVolume
from tests.support.credential_realm import MARK, Realm, environment_of, running_realm
from tests.support.credential_table import FILED
from tests.support.deployed import Deployed, deployed
from tests.support.gateway import Document, backend, route, rule, translation_of
from tests.support.plane import CHAT, chat
from tests.support.waiting import until

#: The client's own key, and whatever else it might try.
CLIENT = f"{MARK}-of-the-client"
SPOOFED = {
    "authorization": f"Bearer {CLIENT}",
    "x-api-key": "spoof",
    "api-key": "spoof",
    "x-amz-security-token": "spoof",
}
_PLACE = {"project": "p-12345", "location": "us-east1"}
_CLOUDS = ("AWS_", "AZURE_", "GOOGLE_", "GCE_", "CLOUDSDK_", "LLMROUTE_GCP_")
_NOT_READ = "its credential has not been read yet"
#: What stands where a credential should.
_MALFORMED = {
    "awskeys": f"[default]\naws_access_key_id {MARK}\n",
    "gcpkey": json.dumps({"type": "service_account", "private_key": MARK}),
}


@dataclass(frozen=True, slots=True)
class Got:
    """What a client got."""

    status: int
    body: str

    @property
    def message(self) -> str:
        return str(json.loads(self.body)["error"]["message"])


@dataclass
class Stand:
    """``files``: what the credentials volume holds, by backend; ``swap`` puts them there."""

    realm: Realm
    data: Deployed
    identity: Path
    volume: ConfigMapVolume
    names: Mapping[str, str]
    files: dict[str, str] = field(default_factory=dict)

    def ask(self, name: str, headers: Mapping[str, str], **more: Any) -> Got:
        """One chat on a connection of its own."""
        connection = HTTPConnection("127.0.0.1", self.data.envoy.port, timeout=20)
        try:
            connection.request("POST", CHAT, chat(name, **more), {"content-type": "application/json", **headers})
            response = connection.getresponse()
            return Got(response.status, response.read().decode())
        finally:
            connection.close()

    def swap(self) -> None:
        """All of ``files`` at one moment."""
        self.volume.swap({self.names[name]: text.encode() for name, text in self.files.items()})


def document(name: str, port: int) -> Document:
    """The backend of a cell."""
    auth, _, _ = name.partition("-")
    ref = {"secretRef": {"name": name}}
    audience = f"//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/{name}"
    azure = {"tenantID": f"{name}.test", "clientID": "11111111-2222-3333-4444-555555555555"}
    schema, said = {
        "apikey": ("OpenAI", {"apiKey": ref}),
        "awskeys": ("AWSBedrock", {"aws": {"region": "us-east-1", **ref}}),
        "webidentity": ("AWSBedrock", {"aws": {"region": "us-east-1", "webIdentity": {"roleArn": _role(name)}}}),
        "bedrockkey": ("AWSBedrock", {"aws": {"region": "us-east-1", "bedrockAPIKey": ref}}),
        "gcpkey": ("GCPVertexAI", {"gcp": {**_PLACE, "serviceAccountSecretRef": {"name": name}}}),
        "gcppool": ("GCPVertexAI", {"gcp": {**_PLACE, "workloadIdentity": {"audience": audience}}}),
        "azuresecret": ("AzureOpenAI", {"azure": {**azure, **ref}}),
        "azurefederated": ("AzureOpenAI", {"azure": {**azure, "federatedToken": {}}}),
        "passthrough": ("OpenAI", {"passthrough": {}}),
        "fallback": ("OpenAI", {"passthrough": {"fallback": ref}}),
        "none": ("OpenAI", {"none": {}}),
    }[auth]
    return backend(name, port, schema, auth=said)


def secret_of(realm: Realm, name: str, number: int = 0) -> tuple[str, str]:
    """The usual key of the Secret that a backend is for, and a good value, which upstream and providers know."""
    auth, _, state = name.partition("-")
    match auth:
        case "awskeys":
            made = realm.aws_file(name, number)
            if state == "expired":
                realm.keys[name].clear()
            return "credentials", made
        case "gcpkey":
            return "service_account.json", realm.google_key(name)
        case "azuresecret":
            secret = f"{MARK}-{name}-{number}"
            realm.client_secrets.add(secret)
            return "client-secret", secret
        case _:
            key = f"{MARK}-{name}-{number}"
            if state != "expired":
                realm.known[name].add(f"Bearer {key}")
            return "apiKey", key


@contextmanager
def running_cells(names: Sequence[str], *, identity: bool = True, life_s: float = 3600) -> Iterator[Stand]:
    """All of it, with these backends. ``identity``: whether the pod has tokens of its own."""
    with tempfile.TemporaryDirectory(prefix="llmroute-cells-") as place, running_realm(life_s) as realm:
        folder = Path(place)
        documents = [route(*(rule(name, name) for name in names), name="cells")]
        documents += [document(name, realm.port) for name in names]
        made = {name: secret_of(realm, name) for name in names if name.partition("-")[0] in FILED}
        documents += [
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {key: value}}
            for name, (key, value) in made.items()
        ]
        own = folder / "identity"
        if identity:
            own.write_text(f"{MARK}-identity-0")
            realm.identities.add(f"{MARK}-identity-0")
        volume = ConfigMapVolume(folder / "credentials")
        files = {name: value for name, (_, value) in made.items()}
        with _environment(environment_of(realm, own)):
            places = _places(documents)
            _damage(files)
            volume.swap({places[name]: text.encode() for name, text in files.items()})
            with deployed(documents, 1, "--credentials", str(volume.mount), "--log-level", "debug") as data:
                yield Stand(realm, data, own, volume, places, files)


def _damage(files: dict[str, str]) -> None:
    for name in list(files):
        auth, _, state = name.partition("-")
        if state == "missing":
            del files[name]
        if state == "malformed":
            files[name] = _MALFORMED.get(auth, f"{MARK}\n{MARK}")


def _places(documents: Sequence[Document]) -> dict[str, str]:
    """The name of each backend's file."""
    found = {}
    for each in translation_of(documents).config.backends:
        kind = None if each.auth is None else each.auth.kind
        if (file := getattr(kind, "file", None)) is not None:
            found[each.name.rpartition("/")[2]] = file
    return found


def _role(name: str) -> str:
    return f"arn:aws:iam::123456789012:role/{name}"


@contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_CLOUDS)}
    with patch.dict(os.environ, {**kept, **wanted}, clear=True):
        yield


def until_settled(ask: Callable[[], Got]) -> Got:
    """The first answer that does not say that the credential is only just being read or fetched."""
    last: list[Got] = []

    def look() -> bool:
        last[:] = [ask()]
        return "is being fetched" not in last[0].body and _NOT_READ not in last[0].body

    until(look, "it is still being fetched", 20)
    return last[0]
