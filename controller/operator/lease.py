"""Who may write: a Lease of the API server, and a fence that closes before anybody else can hold it.

The rule that keeps two writers apart: a holder writes until ``fence_s`` after it *sent* its last successful renewal;
everybody else waits until ``duration_s`` after it *saw* that renewal, which is later. Both use clocks of their own that
nobody can set and that go on while the machine is suspended, never a time that another machine wrote down.
Why this and not ``kubernetes.aio.leaderelection``: docs/decisions/0006-lease.md.
"""

import asyncio
import copy
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from controller.operator.failures import ClusterError, Conflict

#: A request for the Lease that takes longer has failed, seconds.
_REQUEST_S: Final = 3.0
#: The longest term of another holder that is respected, seconds: a mistake in the Lease must not stop us for good.
_LONGEST_TERM_S: Final = 60.0
#: Between two looks at the earliest, seconds.
_SHORTEST_PAUSE_S: Final = 0.05

_CLOCK: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

_log = logging.getLogger(__name__)


def clock() -> float:
    """Seconds that nobody can set; they go on while the machine is suspended, where the system has such a clock."""
    return time.clock_gettime(_CLOCK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """All in seconds.

    Attributes:
        duration_s: how long the others wait after the last renewal they saw.
        fence_s: how long the holder writes after the last renewal it sent. What is between the two is for writes on
            their way, so no write may have a longer time limit than that.
        renew_s: between two renewals.
        look_s: between two looks of those who wait, and after a failure.
    """

    duration_s: float = 10.0
    fence_s: float = 7.0
    renew_s: float = 2.0
    look_s: float = 1.0


class Claim:
    """What one process knows of the Lease, and what it may do about it: no I/O, the time comes in.

    ``now`` is always ``clock()``; ``wall`` are Unix seconds, which are only for people to read.
    """

    def __init__(self, name: str, identity: str, terms: Terms) -> None:
        self._name = name
        self._identity = identity
        self._terms = terms
        #: The Lease as last seen, and since when it has looked like that. One that is gone stays here: who held it may
        #: not know yet that it was deleted.
        self._lease: Mapping[str, Any] | None = None
        self._seen_at: float | None = None
        self._absent = True
        #: Tells this process's hold from that of another one with the same identity.
        self._acquired: str | None = None
        self._fence: float | None = None
        self._renewed_at: float = 0.0

    @property
    def fresh(self) -> bool:
        """Whether the Lease need not be read before it is renewed: what was seen last was this process's own write."""
        return self._fence is not None and self._seen_at is not None

    def may_write(self, now: float) -> bool:
        """Whether the fence is open."""
        return self._fence is not None and now < self._fence

    def saw(self, lease: Mapping[str, Any] | None, now: float) -> None:
        """Take note of what the API server has."""
        self._absent = lease is None
        if lease is not None and (self._lease is None or _version(lease) != _version(self._lease)):
            self._lease, self._seen_at = lease, now
        if self._seen_at is None:
            self._seen_at = now
        if not self._is_mine(lease):
            self._fence = self._acquired = None

    def plan(self, now: float, wall: float) -> dict[str, Any] | None:
        """What to write now: the first hold, a renewal, a takeover; None while somebody else has it."""
        if not self._absent and self._is_mine(self._lease):
            return self._body(wall)
        if not self._is_free(now):
            return None
        # Kept before it is known whether the write succeeds: an answer may be lost.
        self._acquired = _stamp(wall)
        return self._body(wall)

    def wrote(self, lease: Mapping[str, Any], asked_at: float) -> None:
        """The plan was carried out; ``asked_at``: when the request was sent."""
        self._lease, self._seen_at, self._absent = lease, asked_at, False
        self._acquired = _spec(lease).get("acquireTime")
        self._renewed_at = asked_at
        self._fence = asked_at + self._terms.fence_s

    def doubt(self) -> None:
        """Somebody else wrote it meanwhile, or nobody knows: read it before the next write. The fence stays."""
        if self._fence is not None:
            self._seen_at = None

    def pause(self, now: float) -> float:
        """Seconds until the next turn; never past the moment at which the fence closes or somebody's hold ends."""
        due = [now + self._terms.look_s]
        if self.fresh:
            due = [self._renewed_at + self._terms.renew_s]
        elif self._fence is None and self._seen_at is not None:
            due.append(self._seen_at + self._term())
        if self._fence is not None and now < self._fence:
            due.append(self._fence)
        return max(min(due) - now, _SHORTEST_PAUSE_S)

    def patience(self, now: float) -> float:
        """Seconds that a request may take: to the end of the fence, so that a loss is noticed when it happens."""
        left = self._fence - now if self._fence is not None else 0.0
        return min(left, _REQUEST_S) if left > 0 else _REQUEST_S

    def give_up(self, wall: float) -> dict[str, Any] | None:
        """Close the fence for good; the Lease that lets the others in at once, None when it is not ours."""
        mine = not self._absent and self._is_mine(self._lease)
        body = self._body(wall) if mine else None
        self._fence = self._acquired = None
        if body is not None:
            body["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
        return body

    def holder(self) -> str:
        """Who has it, as last seen; empty when nobody does."""
        return str(_spec(self._lease).get("holderIdentity") or "")

    def _is_mine(self, lease: Mapping[str, Any] | None) -> bool:
        spec = _spec(lease)
        mine = spec.get("holderIdentity") == self._identity and spec.get("acquireTime") == self._acquired
        return mine and self._acquired is not None

    def _is_free(self, now: float) -> bool:
        return not self.holder() or (self._seen_at is not None and now >= self._seen_at + self._term())

    def _term(self) -> float:
        seconds = _spec(self._lease).get("leaseDurationSeconds")
        return min(float(seconds), _LONGEST_TERM_S) if seconds else self._terms.duration_s

    def _body(self, wall: float) -> dict[str, Any]:
        body: dict[str, Any] = (
            {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": self._name}}
            if self._absent or self._lease is None
            else dict(copy.deepcopy(self._lease))
        )
        before = _spec(body)
        changes = int(before.get("leaseTransitions") or 0)
        body["spec"] = {
            **before,
            "holderIdentity": self._identity,
            "leaseDurationSeconds": round(self._terms.duration_s),
            "acquireTime": self._acquired,
            "renewTime": _stamp(wall),
            "leaseTransitions": changes if not before or self._is_mine(body) else changes + 1,
        }
        return body


def _spec(lease: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return (lease or {}).get("spec") or {}


def _version(lease: Mapping[str, Any]) -> object:
    return lease["metadata"].get("resourceVersion"), lease["metadata"].get("uid")


def _stamp(wall: float) -> str:
    """A MicroTime; the API server gives it back as it was written."""
    return f"{datetime.fromtimestamp(wall, UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


class Leases(Protocol):
    """The Leases of the own namespace. Every method raises ``ClusterError``; ``Conflict`` when somebody was faster."""

    async def maybe_lease(self, name: str) -> dict[str, Any] | None:
        """The Lease, None when there is none."""

    async def create_lease(self, body: dict[str, Any]) -> dict[str, Any]:
        """The Lease as it was created."""

    async def replace_lease(self, body: dict[str, Any]) -> dict[str, Any]:
        """The Lease as it was replaced, provided that its resourceVersion was still the body's."""


class AlwaysLeading:
    """For a single replica without an election."""

    leading = True

    def may_write(self) -> bool:
        """Always."""
        return True

    async def run(self, on_started: Callable[[], None], on_stopped: Callable[[], None]) -> None:
        """Start at once, stop when cancelled."""
        on_started()
        try:
            await asyncio.Event().wait()
        finally:
            on_stopped()

    async def release(self) -> None:
        """Nothing to let go of."""


class Leadership:
    """Holds the Lease whenever it can. ``identity`` is shown to people as the holder."""

    def __init__(
        self, leases: Leases, name: str, identity: str, terms: Terms | None = None, now: Callable[[], float] = clock
    ) -> None:
        self._leases = leases
        self._name = name
        self._identity = identity
        self._claim = Claim(name, identity, terms or Terms())
        self._now = now
        self._turning = asyncio.Lock()
        self._released = False
        self._told = False
        self._failing = False

    @property
    def leading(self) -> bool:
        """The same as ``may_write``."""
        return self.may_write()

    def may_write(self) -> bool:
        """Whether a write may be sent now. Ask before every one."""
        return not self._released and self._claim.may_write(self._now())

    async def run(self, on_started: Callable[[], None], on_stopped: Callable[[], None]) -> None:
        """Acquire, renew, lose and acquire again, until ``release``; no failure of the API server ends it.

        Both are called on the event loop, in turns, and must return at once. ``on_started`` comes again after every
        loss; between the two ``may_write`` may already be False.
        """
        try:
            while not self._released:
                async with self._turning:
                    if not self._released:
                        await self._turn()
                self._tell(on_started, on_stopped)
                await asyncio.sleep(self._claim.pause(self._now()))
        finally:
            if self._told:
                self._told = False
                on_stopped()

    async def release(self) -> None:
        """Let the others in at once. Call it once nothing of ours writes any more; ``run`` ends afterwards."""
        self._released = True
        async with self._turning:
            body = self._claim.give_up(time.time())
            if body is None:
                return
            try:
                async with asyncio.timeout(_REQUEST_S):
                    await self._leases.replace_lease(body)
            except (ClusterError, TimeoutError) as error:
                _log.warning("the Lease %s was not released (%s); it runs out by itself", self._name, _text(error))
            else:
                _log.info("released the Lease %s", self._name)

    def _tell(self, on_started: Callable[[], None], on_stopped: Callable[[], None]) -> None:
        leading = self.may_write()
        if leading and not self._told:
            _log.info("%s holds the Lease %s and writes from now on", self._identity, self._name)
            self._told = True
            on_started()
        elif not leading and self._told:
            holder = self._claim.holder()
            _log.warning("no longer writing: the Lease %s could not be renewed; its holder: %s", self._name, holder)
            self._told = False
            on_stopped()

    async def _turn(self) -> None:
        try:
            async with asyncio.timeout(self._claim.patience(self._now())):
                try:
                    await self._step()
                except Conflict:
                    self._claim.doubt()
                    await self._step()
        except (ClusterError, TimeoutError) as error:
            self._claim.doubt()
            if not self._failing:
                _log.warning("the Lease %s cannot be read or renewed: %s", self._name, _text(error))
            self._failing = True
        else:
            self._failing = False

    async def _step(self) -> None:
        if not self._claim.fresh:
            self._claim.saw(await self._leases.maybe_lease(self._name), self._now())
        body = self._claim.plan(self._now(), time.time())
        if body is None:
            return
        asked_at = self._now()
        write = self._leases.replace_lease if "resourceVersion" in body["metadata"] else self._leases.create_lease
        self._claim.wrote(await write(body), asked_at)


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
