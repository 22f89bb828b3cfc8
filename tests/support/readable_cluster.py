"""What the operator reads of a cluster, in memory: kinds, rights and objects that a test changes as it likes."""

import asyncio
from typing import Any

from controller.operator.cluster import Listing
from controller.operator.failures import ClusterError, Denied
from controller.operator.kinds import KINDS, Kind


class ReadableCluster:
    """Serves every kind, permits everything and has nothing, until told otherwise.

    ``denied`` are verbs on kinds, ``dark`` the namespaces that may not be read of a kind, ``faults`` what listing a
    kind raises; ``names`` are the namespaces, ``listed`` and ``reviewed`` what was asked.
    """

    def __init__(self) -> None:
        self.served = set(KINDS)
        self.ready = True
        self.denied: set[tuple[str, Kind]] = set()
        self.dark: set[tuple[Kind, str]] = set()
        self.names = ["team-a", "team-b", "other"]
        self.faults: dict[Kind, ClusterError] = {}
        self.objects: dict[Kind, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
        self.version = 100
        self.delay_s = 0.0
        self.listed: list[tuple[Kind, str | None]] = []
        self.reviewed: list[tuple[str, str, str, str | None]] = []

    async def serves(self, kind: Kind) -> bool:
        """Whether a test left the kind there."""
        return kind in self.served

    async def is_ready(self) -> bool:
        """Whether a test says so."""
        return self.ready

    async def may(self, verb: str, group: str, resource: str, namespace: str | None) -> bool:
        """Whether a test did not forbid it."""
        self.reviewed.append((verb, group, resource, namespace))
        if (group, resource, namespace) in {(kind.group, kind.plural, name) for kind, name in self.dark}:
            return False
        return (verb, group, resource) not in {(no, kind.group, kind.plural) for no, kind in self.denied}

    async def namespaces(self) -> Listing:
        """Three of them."""
        return Listing(tuple({"metadata": {"name": name}} for name in self.names), self.version)

    async def list(self, kind: Kind, namespace: str | None) -> Listing:
        """The objects of a namespace or of all."""
        self.listed.append((kind, namespace))
        await asyncio.sleep(self.delay_s)
        if fault := self.faults.get(kind):
            raise fault
        if ("list", kind) in self.denied or (kind, namespace) in self.dark:
            raise Denied("403 no")
        found = (obj for obj in self.objects[kind] if namespace in {None, obj["metadata"]["namespace"]})
        return Listing(tuple(found), self.version)


def numbered(obj: dict[str, Any], version: int) -> dict[str, Any]:
    """An object as an API server has it after so many writes of it."""
    numbers = {"uid": obj["metadata"]["name"], "generation": version, "resourceVersion": str(version)}
    return {**obj, "metadata": {**obj["metadata"], **numbers}}
