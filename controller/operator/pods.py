"""Tells the kubelets that a ConfigMap or a Secret has changed.

An annotation on a pod makes its kubelet refresh the pod's volumes at once, which takes up to a minute otherwise.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from controller.operator.failures import ClusterError, Denied, Gone, NotLeading, Rejected
from controller.operator.lease import clock

#: The revision that the pod's volumes shall show.
ANNOTATION: Final = "llmroute.io/config-revision"
#: The same for Envoy's ConfigMap, which also changes without a new revision: when something that is not used any more
#: leaves it, and when it is put back after an edit. It is that object's ``resourceVersion``: a restart changes nothing.
ENVOY_ANNOTATION: Final = "llmroute.io/envoy-config"
#: The same for the two Secrets, whose values change without a new revision.
CREDENTIALS_ANNOTATION: Final = "llmroute.io/credentials"
ENVOY_SECRETS_ANNOTATION: Final = "llmroute.io/envoy-secrets"

#: A write after a calm of the first is announced after the second, seconds: time for the other objects of one change.
_CALM_S: Final = 5.0
_ALONE_S: Final = 0.2
#: Writes of a burst are announced once there was none for the first, and at the latest each second, seconds.
_QUIET_S: Final = 1.0
_BURST_S: Final = 5.0
#: After a failure, seconds; and how often it is tried. It only makes faster what happens anyway.
_RETRY_S: Final = 2.0
_TRIES: Final = 3
#: Pods in a row that are not annotated, after which the others are not worth a try.
_IN_A_ROW: Final = 3
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
    """Annotates the pods of all ``selectors`` with the newest versions that were offered, in ``run``."""

    def __init__(self, pods: Pods, selectors: Sequence[str], metrics: Counts, now: Callable[[], float] = clock) -> None:
        self._pods = pods
        self._selectors = selectors
        self._metrics = metrics
        self._now = now
        self._wanted: Mapping[str, str] = {}
        self._burst = Burst()
        self._wake = asyncio.Event()
        self._denied_until = float("-inf")

    def offer(self, revision: int, versions: Mapping[str, str]) -> None:
        """Something was written that belongs to this revision; ``versions`` of the others, by their annotations.

        An empty one is of an object that is not there, and left out.
        """
        wanted = {ANNOTATION: str(revision), **versions}
        self._wanted = {name: value for name, value in wanted.items() if value}
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
            done, failures = 0, list[ClusterError]()
            try:
                done, failures = await self._annotate()
            except NotLeading:
                return
            except ClusterError as error:
                self._metrics.failed("pods", type(error).__name__)
                failures = [error]
            again = [error for error in failures if not isinstance(error, Denied | Rejected)]
            if not again or attempt == _TRIES:
                self._give_up(failures, nowhere=not done)
                return
            await asyncio.sleep(max(_RETRY_S, *(error.retry_after_s or 0.0 for error in again)))

    def _give_up(self, failures: Sequence[ClusterError], *, nowhere: bool) -> None:
        if not failures:
            return
        _log.warning("pods are not annotated, so their volumes change only within a minute: %s", failures[0])
        if nowhere and all(isinstance(error, Denied) for error in failures):
            self._denied_until = self._now() + _DENIED_S

    async def _annotate(self) -> tuple[int, list[ClusterError]]:
        """Annotate every pod that needs it: how many were, and why others were not. One does not stop the others.

        Raises ``ClusterError`` when nobody knows which pods there are, and ``NotLeading``.
        """
        done, failures, row = 0, list[ClusterError](), 0
        for selector in self._selectors:
            for pod in await self._pods.pods(selector):
                if row >= _IN_A_ROW:
                    return done, failures
                if not self._needs(pod["metadata"]):
                    continue
                failure = await self._maybe_failure(pod["metadata"]["name"])
                if failure is None:
                    done, row = done + 1, 0
                else:
                    row += 1
                    failures.append(failure)
        return done, failures

    def _needs(self, metadata: Mapping[str, Any]) -> bool:
        held = metadata.get("annotations") or {}
        return "deletionTimestamp" not in metadata and not self._wanted.items() <= held.items()

    async def _maybe_failure(self, name: str) -> ClusterError | None:
        """Annotate one pod. Raises ``NotLeading``."""
        try:
            await self._pods.annotate_pod(name, self._wanted)
        except NotLeading:
            raise
        except Gone:
            return None
        except ClusterError as error:
            self._metrics.failed("pods", type(error).__name__)
            return error
        self._metrics.wrote("pods", 1)
        return None
