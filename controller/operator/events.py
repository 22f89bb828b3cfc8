"""Kubernetes Events: one when an object gets bad or good again, never a flood. What is not posted is only counted."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final, Protocol

from controller.operator.conditions import Transition
from controller.operator.failures import ClusterError, Denied, Gone, NotLeading, Rejected
from controller.operator.lease import clock

#: Of a message, characters that the API server takes.
_MESSAGE: Final = 1024
#: Events that wait to be posted.
_WAITING: Final = 200
#: The same about the same object is said once in so many seconds.
_SAME_AGAIN_S: Final = 600.0
_REMEMBERED: Final = 4096
#: Of one object, and of all: at once, and how many more in a second.
_OBJECT_BURST, _OBJECT_RATE = 10.0, 1 / 60
_BURST, _RATE = 50.0, 2.0
#: After a failure of the server nothing is posted for so long, seconds.
_REST_S: Final = 30.0

_COMPONENT: Final = "llmroute-controller"

_log = logging.getLogger(__name__)

Object = dict[str, Any]


@dataclass(slots=True)
class Bucket:
    """Lets ``burst`` through at once and then ``rate`` a second."""

    burst: float
    rate: float
    level: float
    at: float

    def take(self, now: float) -> bool:
        """Whether one more may go through."""
        self.level = min(self.burst, self.level + (now - self.at) * self.rate)
        self.at = now
        if self.level < 1:
            return False
        self.level -= 1
        return True


class Gate:
    """Decides which Events are worth posting; no I/O."""

    def __init__(self) -> None:
        self._said: OrderedDict[tuple[str, str, str], float] = OrderedDict()
        self._objects: OrderedDict[str, Bucket] = OrderedDict()
        self._all = Bucket(_BURST, _RATE, _BURST, 0.0)

    def admits(self, uid: str, transition: Transition, now: float) -> bool:
        """Whether to post it at ``now``; then the same again is not, for ten minutes."""
        key = uid, transition.reason, transition.message
        said = self._said.get(key)
        if said is not None and now < said + _SAME_AGAIN_S:
            return False
        bucket = self._objects.setdefault(uid, Bucket(_OBJECT_BURST, _OBJECT_RATE, _OBJECT_BURST, now))
        self._objects.move_to_end(uid)
        if not (bucket.take(now) and self._all.take(now)):
            return False
        self._said[key] = now
        self._said.move_to_end(key)
        for memory in (self._said, self._objects):
            while len(memory) > _REMEMBERED:
                memory.popitem(last=False)
        return True


class Poster(Protocol):
    """The API server, as far as Events go. Raises ``ClusterError``."""

    async def post_event(self, body: Object) -> None:
        """Create an Event in the namespace that it names."""


class Events:
    """Posts Events in a task of its own (``run``). ``failed`` hears of those that were not posted, and why."""

    def __init__(self, poster: Poster, identity: str, failed: Callable[[str, str], None]) -> None:
        self._poster = poster
        self._identity = identity
        self._failed = failed
        self._gate = Gate()
        self._waiting: asyncio.Queue[Object] = asyncio.Queue(_WAITING)

    def transition(self, obj: Mapping[str, Any], transition: Transition) -> None:
        """Say it, unless it was said just now or too much is being said."""
        now = clock()
        if not self._gate.admits(obj["metadata"]["uid"], transition, now):
            self._failed("events", "Suppressed")
            return
        try:
            self._waiting.put_nowait(event(obj, transition, self._identity, time.time()))
        except asyncio.QueueFull:
            self._failed("events", "Suppressed")

    async def run(self) -> None:
        """Post for ever. Ends only by cancellation."""
        failing = False
        while True:
            body = await self._waiting.get()
            try:
                await self._poster.post_event(body)
            except NotLeading:
                self._failed("events", "NotLeading")
            except ClusterError as error:
                self._failed("events", type(error).__name__)
                if not failing:
                    _log.warning("an Event was not posted: %s", error)
                failing = True
                # What a namespace or RBAC refuses is refused for itself; the rest is a matter of the server.
                if not isinstance(error, Denied | Gone | Rejected):
                    await asyncio.sleep(max(_REST_S, error.retry_after_s or 0.0))
                    self._drain()
            else:
                failing = False

    def _drain(self) -> None:
        """What waited meanwhile is old news."""
        while not self._waiting.empty():
            self._waiting.get_nowait()
            self._failed("events", "Suppressed")


def event(obj: Mapping[str, Any], transition: Transition, identity: str, wall: float) -> Object:
    """The body of an Event about an object. Its name depends on nothing but what it says and when."""
    metadata = obj["metadata"]
    seconds = f"{datetime.fromtimestamp(wall, UTC):%Y-%m-%dT%H:%M:%SZ}"
    said = f"{metadata['uid']} {wall:.6f} {transition.reason} {transition.message}"
    text = transition.message
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name'][:220]}.{sha256(said.encode()).hexdigest()[:16]}",
            "namespace": metadata["namespace"],
        },
        "involvedObject": {
            "apiVersion": obj["apiVersion"],
            "kind": obj["kind"],
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
        "type": transition.type,
        "reason": transition.reason,
        "message": text if len(text) <= _MESSAGE else f"{text[: _MESSAGE - 3]}...",
        "firstTimestamp": seconds,
        "lastTimestamp": seconds,
        "count": 1,
        "source": {"component": _COMPONENT},
        "reportingComponent": _COMPONENT,
        "reportingInstance": identity,
    }
