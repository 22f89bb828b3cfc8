"""The ConfigMaps of one namespace as the operator's publisher meets them, in memory and with faults on demand."""

import asyncio
from typing import Any

from controller.operator.failures import ClusterError, Conflict

Object = dict[str, Any]


class ConfigMaps:
    """Versions count up; an apply with an old one is a ``Conflict``. ``faults`` are for the applies to come, one each.

    None among them is none.
    """

    def __init__(self) -> None:
        self.held: dict[str, Object] = {}
        self.applied: list[str] = []
        self.faults: list[ClusterError | None] = []
        self.delay_s = 0.0
        self._version = 0

    async def maybe_config_map(self, name: str) -> Object | None:
        """As it is now."""
        return self.held.get(name)

    async def apply_config_map(self, body: Object) -> Object:
        """Take it over."""
        name = body["metadata"]["name"]
        await asyncio.sleep(self.delay_s)
        if self.faults and (fault := self.faults.pop(0)) is not None:
            raise fault
        expected = body["metadata"].get("resourceVersion")
        if expected is not None and (name not in self.held or expected != self.version(name)):
            raise Conflict("409 the object has been modified")
        self.applied.append(name)
        return self.put(name, body)

    def put(self, name: str, body: Object) -> Object:
        """Write it as somebody else would."""
        self._version += 1
        metadata = {**body.get("metadata", {}), "name": name, "resourceVersion": str(self._version)}
        self.held[name] = {**body, "metadata": metadata}
        return self.held[name]

    def version(self, name: str) -> str:
        """Its resourceVersion."""
        return str(self.held[name]["metadata"]["resourceVersion"])
