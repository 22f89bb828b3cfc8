"""The ConfigMaps and Secrets of one namespace as the operator's publisher meets them, in memory, faults on demand."""

import asyncio
from collections.abc import Collection
from typing import Any

from controller.operator.failures import ClusterError, Conflict
from controller.operator.kinds import Kind

Object = dict[str, Any]


class ConfigMaps:
    """Versions count up; an apply with an old one is a ``Conflict``.

    ``faults`` are for the applies of ConfigMaps to come, one each; None among them is none. ``secret_faults`` are the
    same for Secrets, and ``secret_reads`` for reading them. Both Secrets are there from the beginning, and empty.
    """

    def __init__(self, *secrets: str) -> None:
        self.held: dict[str, Object] = {}
        self.applied: list[str] = []
        self.faults: list[ClusterError | None] = []
        self.secret_faults: list[ClusterError | None] = []
        self.secret_reads: list[ClusterError | None] = []
        self.delay_s = 0.0
        self._version = 0
        for name in secrets or ("llmroute-credentials", "llmroute-envoy-secrets"):
            self.put(name, {"kind": "Secret", "data": {}})

    async def maybe_config_map(self, name: str) -> Object | None:
        """As it is now."""
        return self.held.get(name)

    async def apply_config_map(self, body: Object) -> Object:
        """Take it over."""
        await asyncio.sleep(self.delay_s)
        _raise_next(self.faults)
        return self._apply(body)

    async def maybe_object(self, _: Kind, __: str, name: str) -> Object | None:
        """A Secret as it is now."""
        _raise_next(self.secret_reads)
        return self.held.get(name)

    async def apply_secret(self, body: Object) -> Object:
        """As server-side apply: keys that were ours and are not named go, those of others stay."""
        _raise_next(self.secret_faults)
        name = body["metadata"]["name"]
        before = self.held.get(name) or {}
        others = {key: value for key, value in (before.get("data") or {}).items() if key not in ours(before)}
        fields: dict[str, Any] = {f"f:{key}": {} for key in body["data"]}
        entry = {"manager": "llmroute-controller", "operation": "Apply", "fieldsV1": {"f:data": {".": {}, **fields}}}
        metadata = {**body["metadata"], "managedFields": [entry]}
        return self._apply({**body, "metadata": metadata, "data": {**others, **body["data"]}})

    async def prune_secret(self, name: str, keys: Collection[str], version: str) -> Object:
        """As a merge patch: the keys go, whoever put them there."""
        held = self.held[name]
        data = {key: value for key, value in held["data"].items() if key not in keys}
        return self._apply({**held, "metadata": {**held["metadata"], "resourceVersion": version}, "data": data})

    def put(self, name: str, body: Object) -> Object:
        """Write it as somebody else would."""
        self._version += 1
        metadata = {**body.get("metadata", {}), "name": name, "resourceVersion": str(self._version)}
        self.held[name] = {**body, "metadata": metadata}
        return self.held[name]

    def version(self, name: str) -> str:
        """Its resourceVersion."""
        return str(self.held[name]["metadata"]["resourceVersion"])

    def _apply(self, body: Object) -> Object:
        name, expected = body["metadata"]["name"], body["metadata"].get("resourceVersion")
        if expected is not None and (name not in self.held or expected != self.version(name)):
            raise Conflict("409 the object has been modified")
        self.applied.append(name)
        return self.put(name, body)


def ours(secret: Object) -> set[str]:
    """The keys that server-side apply knows as the operator's."""
    entries = secret.get("metadata", {}).get("managedFields", ())
    return {key.removeprefix("f:") for entry in entries for key in entry["fieldsV1"]["f:data"]} - {"."}


def _raise_next(faults: list[ClusterError | None]) -> None:
    if faults and (fault := faults.pop(0)) is not None:
        raise fault
