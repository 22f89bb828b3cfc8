"""Secrets and ConfigMaps as the operator reads them one by one, in memory: rights, faults and news on demand."""

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from controller.operator.failures import ClusterError, Denied
from controller.operator.kinds import Kind
from controller.translate.secrets import Place

Object = dict[str, Any]


def secret_object(version: int, uid: str = "u", **values: str) -> Object:
    """A Secret as the API server has it."""
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {"kind": "Secret", "metadata": {"uid": uid, "resourceVersion": str(version)}, "data": data}


class NamedSource:
    """What exists is in ``objects``; ``put`` tells it to who watches.

    ``denied`` are verbs on places, ``faults`` what a place's reading raises for as long as it is there.
    """

    def __init__(self) -> None:
        self.objects: dict[Place, Object] = {}
        self.denied: set[tuple[str, Place]] = set()
        self.faults: dict[Place, ClusterError] = {}
        self.got: list[Place] = []
        self.watches: dict[Place, asyncio.Queue[Object | None]] = {}
        self.most_watches = 0

    def put(self, place: Place, obj: Object | None) -> None:
        """Somebody writes or deletes it."""
        if obj is None:
            self.objects.pop(place, None)
        else:
            self.objects[place] = obj
        if place in self.watches:
            self.watches[place].put_nowait(obj)

    def put_secret(self, place: Place, version: int, values: Mapping[str, str]) -> None:
        """The same, with these values."""
        self.put(place, secret_object(version, **values))

    async def maybe_object(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """One of them."""
        place = kind.name, namespace, name
        self.got.append(place)
        self._check("get", place)
        await asyncio.sleep(0)
        return self.objects.get(place)

    @asynccontextmanager
    async def watching(
        self, kind: Kind, namespace: str, name: str, limit_s: int = 60
    ) -> AsyncIterator[AsyncIterator[Object | None]]:
        """Its changes, until cancelled."""
        assert 40 <= limit_s <= 60
        place = kind.name, namespace, name
        self._check("watch", place)
        assert place not in self.watches
        queue = self.watches[place] = asyncio.Queue[Object | None]()
        self.most_watches = max(self.most_watches, len(self.watches))

        async def states() -> AsyncIterator[Object | None]:
            while True:
                yield await queue.get()

        try:
            yield states()
        finally:
            del self.watches[place]

    def _check(self, verb: str, place: Place) -> None:
        if (verb, place) in self.denied:
            raise Denied("403 no")
        if place in self.faults:
            raise self.faults[place]
