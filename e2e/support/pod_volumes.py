"""A pod's volumes as directories of this machine, made and kept up to date as the kubelet does."""

import base64
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from e2e.support.api import PLACES, Api, Object
from e2e.support.kubelet import files_of
from e2e.support.mirror import Mirror
from tests.support.configmap_volume import ConfigMapVolume

_MODE = 0o644
#: A token is asked for again after four fifths of its life.
_RENEWAL = 0.8
_TOKEN_S = 3600


class NotThere(Exception):
    """A pod waits for this; says what it is."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where contents come from."""

    api: Api
    config_maps: Mirror
    secrets: Mirror


@dataclass
class Volumes:
    """Of one pod, in ``folder``. ``sync`` makes them, and brings them up to date when it is called again."""

    sources: Sources
    folder: Path
    _tokens: dict[str, tuple[bytes, float]] = field(default_factory=dict)

    def sync(self, pod: Object) -> None:
        """All of them. Raises ``NotThere`` for what is not optional and missing; one that is there stays as it was."""
        for volume in pod["spec"].get("volumes") or ():
            self._sync_one(pod, volume)

    def path(self, name: str) -> Path:
        """Of a volume, by its name in the pod."""
        return self.folder / name

    def remove(self) -> None:
        """The pod is gone."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _sync_one(self, pod: Object, volume: Object) -> None:
        [kind] = volume.keys() - {"name"}
        spec, path = volume[kind], self.path(volume["name"])
        if kind == "emptyDir":
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(0o777)
            return
        makers: Mapping[str, Callable[[Object, Object], Mapping[str, bytes]]] = {
            "configMap": self._config_map,
            "secret": self._secret,
            "downwardAPI": _downward,
            "projected": self._projected,
        }
        try:
            files = makers[kind](pod, spec)
        except NotThere:
            if not (path / "..data").exists():
                raise
            return  # what is mounted and then deleted leaves its files, unless it is optional
        _swap(path, files, _modes(spec))

    def _config_map(self, pod: Object, spec: Object) -> Mapping[str, bytes]:
        return self._object(self.sources.config_maps, pod, spec["name"], spec)

    def _secret(self, pod: Object, spec: Object) -> Mapping[str, bytes]:
        return self._object(self.sources.secrets, pod, spec.get("secretName") or spec["name"], spec)

    def _object(self, mirror: Mirror, pod: Object, name: str, spec: Object) -> Mapping[str, bytes]:
        found = mirror.get(pod["metadata"]["namespace"], name)
        if found is None:
            if spec.get("optional"):
                return {}
            raise NotThere(f"{name} is not there")
        files = secret_files(found) if "type" in found else files_of(found)
        return _chosen(files, spec, name)

    def _projected(self, pod: Object, spec: Object) -> Mapping[str, bytes]:
        files: dict[str, bytes] = {}
        for source in spec["sources"]:
            [(kind, each)] = source.items()
            if kind == "serviceAccountToken":
                files[each["path"]] = self._token(pod, each)
            elif kind == "downwardAPI":
                files |= _downward(pod, each)
            else:
                files |= {"configMap": self._config_map, "secret": self._secret}[kind](pod, each)
        return files

    def _token(self, pod: Object, source: Object) -> bytes:
        audience, life = source.get("audience", ""), source.get("expirationSeconds", _TOKEN_S)
        token, renewal = self._tokens.get(audience, (b"", 0.0))
        if time.monotonic() > renewal:
            token = _request_token(self.sources.api, pod, audience, life)
            self._tokens[audience] = token, time.monotonic() + _RENEWAL * life
        return token


def secret_files(secret: Object) -> dict[str, bytes]:
    """What a container sees of a Secret."""
    return {name: base64.b64decode(data) for name, data in (secret.get("data") or {}).items()}


def downward_field(pod: Object, path: str) -> str:
    """A field of a pod, as the downward API tells it: ``metadata.name``, ``metadata.labels['app']``."""
    if path.endswith("']"):
        section, _, key = path.removesuffix("']").partition("['")
        return str(_at(pod, section).get(key, ""))
    found = _at(pod, path)
    if isinstance(found, Mapping):
        return "\n".join(f'{name}="{value}"' for name, value in sorted(found.items()))
    return str(found)


def _at(pod: Object, path: str) -> Any:
    found: Any = pod
    for name in path.split("."):
        found = found.get(name) or {}
    return found


def _downward(pod: Object, spec: Object) -> Mapping[str, bytes]:
    return {each["path"]: downward_field(pod, each["fieldRef"]["fieldPath"]).encode() for each in spec["items"]}


def _chosen(files: Mapping[str, bytes], spec: Object, name: str) -> Mapping[str, bytes]:
    if not spec.get("items"):
        return files
    missing = [each["key"] for each in spec["items"] if each["key"] not in files]
    if missing and not spec.get("optional"):
        raise NotThere(f"{name} has no {missing}")
    return {each["path"]: files[each["key"]] for each in spec["items"] if each["key"] in files}


def _request_token(api: Api, pod: Object, audience: str, life: int) -> bytes:
    meta = pod["metadata"]
    account = pod["spec"]["serviceAccountName"]
    bound = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
    spec: dict[str, Any] = {"expirationSeconds": life, "boundObjectRef": bound}
    if audience:
        spec["audiences"] = [audience]
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {}, "spec": spec}
    made = api.post(PLACES["ServiceAccount"].path(meta["namespace"], account, "token"), request)
    return str(made["status"]["token"]).encode()


def _modes(spec: Object) -> tuple[int, Mapping[str, int]]:
    items: Iterable[Object] = spec.get("items") or ()
    return spec.get("defaultMode", _MODE), {each["path"]: each["mode"] for each in items if "mode" in each}


def _swap(path: Path, files: Mapping[str, bytes], modes: tuple[int, Mapping[str, int]]) -> None:
    usual, special = modes
    ConfigMapVolume(path).swap(files)
    for name in files:
        (path / name).chmod(special.get(name, usual))
