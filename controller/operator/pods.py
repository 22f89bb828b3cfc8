"""Tells the kubelets that a ConfigMap has changed.

An annotation on a pod makes its kubelet refresh the pod's volumes at once, which takes up to a minute otherwise.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from controller.operator.failures import ClusterError, Denied, Gone, NotLeading
from controller.operator.lease import clock

#: The revision that the pod's volumes shall show.
ANNOTATION: Final = "llmroute.io/config-revision"

#: A write after a calm of the first is announced after the second, seconds: time for the other ConfigMap of one change.
_CALM_S: Final = 5.0
_ALONE_S: Final = 0.2
#: Writes of a burst are announced once there was none for the first, and at the latest each second, seconds.
_QUIET_S: Final = 1.0
_BURST_S: Final = 5.0
#: After a failure, seconds; and how often it is tried. It only makes faster what happens anyway.
_RETRY_S: Final = 2.0
_TRIES: Final = 3
#: Without the right to do it, seconds until the next try.
_DENIED_S: Final = 600.0

_log = logging.getLogger(__name__)


class Pods(Protocol):
    """The API server, as far as pods go. Raises ``ClusterError``."""

    async def pods(self, selector: str) -> Sequence[Mapping[str, Any]]:
        """The pods of our own namespace with these labels."""

    async def annotate_pod(self, name: str, annotations: Mapping[str, str]) -> None:
        """Set annotations of a pod; ``Gone`` when there is none."""


class Counts(Protocol):
    """Who counts what is written."""

    def wrote(self, lane: str, count: int) -> None:
        """So many writes succeeded."""

    def failed(self, lane: str, why: str) -> None:
        """A write failed."""


@dataclass(slots=True)
class Burst:
    """When to announce the writes so far; no I/O."""

    first: float | None = None
    last: float = float("-inf")
    alone: bool = False

    def write(self, now: float) -> None:
        """Something was written."""
        if self.first is None:
            self.first, self.alone = now, now >= self.last + _CALM_S
        else:
            self.alone = self.alone and now < self.first + _ALONE_S
        self.last = now

    def due(self) -> float | None:
        """When to announce; None when there is nothing."""
        if self.first is None:
            return None
        if self.alone:
            return self.first + _ALONE_S
        return min(self.last + _QUIET_S, self.first + _BURST_S)

    def announced(self) -> None:
        """All that was written is announced."""
        self.first = None


class Announcer:
    """Annotates the pods of all ``selectors`` with the newest revision that was offered, in ``run``."""

    def __init__(self, pods: Pods, selectors: Sequence[str], metrics: Counts, now: Callable[[], float] = clock) -> None:
        self._pods = pods
        self._selectors = selectors
        self._metrics = metrics
        self._now = now
        self._revision = 0
        self._burst = Burst()
        self._wake = asyncio.Event()
        self._denied_until = float("-inf")

    def offer(self, revision: int) -> None:
        """A ConfigMap was written that has this revision, or belongs to it."""
        self._revision = revision
        self._burst.write(self._now())
        self._wake.set()

    async def run(self) -> None:
        """Annotate for ever. Ends only by cancellation; a failure is given up after some tries."""
        while True:
            due = self._burst.due()
            if due is None:
                self._wake.clear()
                await self._wake.wait()
                continue
            if due > self._now():
                await asyncio.sleep(due - self._now())
                continue
            self._burst.announced()
            if self._now() >= self._denied_until:
                await self._announce()

    async def _announce(self) -> None:
        for attempt in range(1, _TRIES + 1):
            try:
                await self._annotate(str(self._revision))
            except NotLeading:
                return
            except Denied as error:
                self._metrics.failed("pods", "Denied")
                _log.warning("pods are not annotated, so their volumes change only within a minute: %s", error)
                self._denied_until = self._now() + _DENIED_S
                return
            except ClusterError as error:
                self._metrics.failed("pods", type(error).__name__)
                if attempt == _TRIES:
                    _log.warning("pods are not annotated with revision %d: %s", self._revision, error)
                    return
                await asyncio.sleep(max(_RETRY_S, error.retry_after_s or 0.0))
            else:
                return

    async def _annotate(self, revision: str) -> None:
        for selector in self._selectors:
            for pod in await self._pods.pods(selector):
                metadata = pod["metadata"]
                if "deletionTimestamp" in metadata or (metadata.get("annotations") or {}).get(ANNOTATION) == revision:
                    continue
                try:
                    await self._pods.annotate_pod(metadata["name"], {ANNOTATION: revision})
                except Gone:
                    continue
                self._metrics.wrote("pods", 1)
