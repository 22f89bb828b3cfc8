"""Who may write, and when the fence closes."""

import asyncio
import heapq
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.operator.failures import Conflict, Unreachable
from controller.operator.lease import AlwaysLeading, Claim, Leadership, Terms, clock
from tests.support.waiting import eventually

#: Ten times faster than the real ones, so that tests are.
FAST = Terms(duration_s=1.0, fence_s=0.7, renew_s=0.2, look_s=0.1)
TERMS = Terms()
Lease = dict[str, Any]


class Server:
    """One Lease as an API server keeps it. ``fault`` is raised by every call while it is set."""

    def __init__(self) -> None:
        self.lease: Lease | None = None
        self.version = 0
        self.fault: Exception | None = None
        self.hangs = False
        self.writes = 0

    async def maybe_lease(self, _: str) -> Lease | None:
        await self._reach()
        return self.lease

    async def create_lease(self, body: Lease) -> Lease:
        await self._reach()
        if self.lease is not None:
            raise Conflict("409 it exists")
        return self.put(body)

    async def replace_lease(self, body: Lease) -> Lease:
        await self._reach()
        if self.lease is None or body["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise Conflict("409 it has changed")
        return self.put(body)

    def put(self, body: Lease) -> Lease:
        self.version += 1
        self.writes += 1
        metadata = {"uid": "u", **body["metadata"], "resourceVersion": str(self.version)}
        self.lease = {**body, "metadata": metadata}
        return self.lease

    def holder(self) -> str:
        return str(self.lease["spec"]["holderIdentity"]) if self.lease else ""

    async def _reach(self) -> None:
        await asyncio.sleep(0)
        if self.hangs:
            await asyncio.Event().wait()
        if self.fault is not None:
            raise self.fault


class Replica:
    """A process that wants to lead, with what it was told."""

    def __init__(self, server: Server, identity: str, now: Callable[[], float] = clock) -> None:
        self.leadership = Leadership(server, "llmroute-controller", identity, FAST, now)
        self.told: list[str] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Replica"]:
        task = asyncio.create_task(
            self.leadership.run(lambda: self.told.append("started"), lambda: self.told.append("stopped"))
        )
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def held(claim: Claim, at: float, version: str = "1") -> Lease:
    """What ``claim`` writes at a moment, as the server gives it back."""
    body = claim.plan(at, 1e9 + at)
    assert body is not None
    return {**body, "metadata": {**body["metadata"], "uid": "u", "resourceVersion": version}}


def leader(name: str = "a", at: float = 0.0) -> tuple[Claim, Lease]:
    """A claim that acquired an absent Lease."""
    claim = Claim("l", name, TERMS)
    claim.saw(None, at)
    lease = held(claim, at)
    claim.wrote(lease, at)
    return claim, lease


def test_an_absent_lease_is_taken_at_once() -> None:
    """The first to come creates it and may write until the fence, counted from when it asked."""
    claim, lease = leader(at=100.0)

    assert lease["spec"]["holderIdentity"] == "a"
    assert lease["spec"]["leaseDurationSeconds"] == 10
    assert lease["spec"]["leaseTransitions"] == 0
    assert lease["spec"]["renewTime"] == "2001-09-09T01:48:20.000000Z"
    assert claim.may_write(106.9)
    assert not claim.may_write(107.0)


def test_somebody_elses_lease_is_left_alone_until_it_has_not_changed_for_its_term() -> None:
    """What counts is when this process saw the last change, not what the Lease says of times."""
    _, lease = leader("a")
    claim = Claim("l", "b", TERMS)
    claim.saw(lease, 500.0)

    assert claim.plan(509.9, 0.0) is None
    assert claim.pause(509.9) == pytest.approx(0.1)
    claim.saw(lease, 509.9)
    takeover = claim.plan(510.0, 0.0)
    assert takeover is not None
    assert takeover["spec"]["holderIdentity"] == "b"
    assert takeover["spec"]["leaseTransitions"] == 1
    assert takeover["metadata"]["resourceVersion"] == "1"


def test_every_renewal_that_is_seen_starts_the_wait_anew() -> None:
    """A holder that renews keeps the others out for ever."""
    holder, lease = leader("a")
    claim = Claim("l", "b", TERMS)
    for second in range(0, 60, 2):
        holder.wrote(lease := held(holder, second, str(second + 2)), second)
        claim.saw(lease, second + 1)
        assert claim.plan(second + 1, 0.0) is None
        assert holder.may_write(second + 6.9)
    assert lease["spec"]["leaseTransitions"] == 0


def test_a_lease_that_was_given_up_is_free_at_once() -> None:
    """An empty holder needs no waiting, and whoever gave it up may not write any more."""
    holder, _ = leader("a")
    released = holder.give_up(3.0)
    assert released is not None
    claim = Claim("l", "b", TERMS)
    claim.saw({**released, "metadata": {**released["metadata"], "resourceVersion": "2"}}, 1.0)

    assert not holder.may_write(3.0)
    assert holder.give_up(3.0) is None
    assert claim.plan(1.0, 0.0) is not None


def test_a_deleted_lease_is_not_taken_from_a_holder_who_may_not_know() -> None:
    """Whoever saw it held waits as long as if it were still there."""
    _, lease = leader("a")
    claim = Claim("l", "b", TERMS)
    claim.saw(lease, 0.0)
    claim.saw(None, 1.0)

    assert claim.plan(9.0, 0.0) is None
    created = claim.plan(10.0, 0.0)
    assert created is not None
    assert "resourceVersion" not in created["metadata"]


def test_another_process_with_the_same_name_is_somebody_else() -> None:
    """Two processes that were given one identity do not both write, nor take each other's hold for their own."""
    twin, lease = leader("a")
    other = Claim("l", "a", TERMS)
    other.saw(lease, 5.0)
    assert other.plan(14.9, 0.0) is None
    taken = held(other, 15.0, "2")

    twin.saw(taken, 15.5)
    assert not twin.may_write(5.0)
    assert twin.plan(15.5, 0.0) is None
    assert twin.give_up(15.5) is None


def test_an_answer_that_got_lost_is_found_again() -> None:
    """A takeover that the server carried out, but said nothing of, is this process's own."""
    claim = Claim("l", "a", TERMS)
    claim.saw(None, 0.0)
    lease = held(claim, 0.0)
    claim.doubt()
    claim.saw(lease, 3.0)

    assert not claim.may_write(3.0)
    renewal = claim.plan(3.0, 3.0)
    assert renewal is not None
    assert renewal["spec"]["acquireTime"] == lease["spec"]["acquireTime"]
    assert renewal["spec"]["leaseTransitions"] == 0


@pytest.mark.parametrize(("seconds", "waits"), [(None, 10.0), (30, 30.0), (1, 1.0), (86400, 60.0)])
def test_the_term_in_the_lease_is_respected_within_reason(seconds: int | None, waits: float) -> None:
    """A holder with longer terms, of a newer release say, keeps them; a day would stop everybody by mistake."""
    _, lease = leader("a")
    lease["spec"]["leaseDurationSeconds"] = seconds
    claim = Claim("l", "b", TERMS)
    claim.saw(lease, 0.0)

    assert claim.plan(waits - 0.1, 0.0) is None
    assert claim.plan(waits, 0.0) is not None


class Network:
    """A server with one Lease, and three processes of one name on clocks of their own; looks and writes take time."""

    def __init__(self) -> None:
        self.claims = [Claim("l", "same-name", TERMS) for _ in range(3)]
        self.clocks = (0.0, 1000.0, -50.0)
        self.now = 0.0
        self.lease: Lease | None = None
        self.led: set[int] = set()
        self._version = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, time: float, event: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (time, self._count, event))

    def run(self) -> None:
        """All events in the order of time; between any two, at most one process may write."""
        while self._events:
            time, _, event = heapq.heappop(self._events)
            for moment in (self.now, time):
                open_fences = [i for i, one in enumerate(self.claims) if one.may_write(moment + self.clocks[i])]
                assert len(open_fences) <= 1
                self.led.update(open_fences)
            self.now = time
            event()

    def own(self, who: int) -> float:
        return self.now + self.clocks[who]

    def turn(self, who: int, delays: list[float], fate: str) -> None:
        """One process looks and writes; ``fate`` says what becomes of the write."""
        claim = self.claims[who]
        if claim.fresh:
            self._send(who, delays, fate)
            return
        seen = self.lease

        def look() -> None:
            claim.saw(seen, self.own(who))
            self._send(who, delays, fate)

        self.at(self.now + delays[0], look)

    def _send(self, who: int, delays: list[float], fate: str) -> None:
        claim, asked_at = self.claims[who], self.own(who)
        body = claim.plan(asked_at, 1e9 + asked_at)
        if body is None:
            return
        if fate == "lost":
            self.at(self.now + 3.0, claim.doubt)
        else:
            self.at(self.now + delays[1], lambda: self._arrive(who, body, asked_at, delays[2], fate))

    def _arrive(self, who: int, body: Lease, asked_at: float, delay: float, fate: str) -> None:
        claim = self.claims[who]
        there = self.lease["metadata"]["resourceVersion"] if self.lease else None
        if body["metadata"].get("resourceVersion") != there or fate == "unanswered":
            self.at(self.now + delay, claim.doubt)
        if body["metadata"].get("resourceVersion") == there:
            self._version += 1
            self.lease = {**body, "metadata": {"name": "l", "uid": "u", "resourceVersion": str(self._version)}}
            written = self.lease
            if fate == "good":
                self.at(self.now + delay, lambda: claim.wrote(written, asked_at))


_DELAYS = st.lists(st.sampled_from([0.01, 0.1, 0.7, 1.3]), min_size=3, max_size=3)
_FATES = st.sampled_from(["good", "good", "good", "lost", "unanswered"])
#: A process looks every second or two, and now and then stands still.
_PAUSES = st.sampled_from([0.9, 1.0, 1.1, 2.0, 2.0, 4.0, 6.5, 9.0, 11.0, 12.5, 20.0])
_TURNS = st.lists(st.tuples(_PAUSES, _DELAYS, _FATES), min_size=5, max_size=25)


@settings(max_examples=200)
@given(st.tuples(_TURNS, _TURNS, _TURNS))
def test_two_never_write_at_once(plans: tuple[list[tuple[float, list[float], str]], ...]) -> None:
    """However late processes look and whatever becomes of their writes, at most one fence is open at any time."""
    network = Network()
    for who, turns in enumerate(plans):
        time = 0.0
        for pause, delays, fate in turns:
            # The next turn of a process begins when the one before is over.
            time += max(pause, sum(delays) + 0.01 if fate != "lost" else delays[0] + 3.01)
            network.at(time, partial(network.turn, who, delays, fate))
            time += sum(delays) if fate != "lost" else delays[0] + 3.0
    network.run()


def test_the_network_of_that_test_sees_every_process_lead() -> None:
    """The model is not so hostile that nothing ever happens in it."""
    network = Network()
    for who, (begin, end) in enumerate([(0, 10), (5, 40), (30, 90)]):
        for second in range(begin, end, 2):
            network.at(float(second), partial(network.turn, who, [0.1, 0.1, 0.1], "good"))
    network.run()

    assert network.led == {0, 1, 2}


async def test_it_is_renewed_and_one_write_is_enough_for_that() -> None:
    """The holder leads on, with one request for each renewal."""
    server = Server()
    async with Replica(server, "a").running() as replica:
        await eventually(lambda: server.writes >= 4)
        assert replica.leadership.may_write()
        assert replica.leadership.leading
        assert replica.told == ["started"]


async def test_release_lets_the_other_in_at_once() -> None:
    """On a planned end nobody waits for the term."""
    server = Server()
    async with Replica(server, "a").running() as a:
        await eventually(a.leadership.may_write)
        async with Replica(server, "b").running() as b:
            await asyncio.sleep(0.15)
            assert not b.leadership.may_write()
            before = clock()
            await a.leadership.release()
            assert not a.leadership.may_write()
            await eventually(b.leadership.may_write)
            assert clock() - before < 0.6
            await eventually(lambda: a.told == ["started", "stopped"])


@pytest.mark.parametrize("cut", ["refused", "hanging"])
async def test_an_unreachable_server_closes_the_fence_before_anybody_else_can_open_theirs(cut: str) -> None:
    """The cut-off leader stops by its own clock; the other starts after that."""
    server, cut_off = Server(), Server()
    async with Replica(server, "a").running() as a:
        await eventually(a.leadership.may_write)
        async with Replica(server, "b").running() as b:
            await asyncio.sleep(0.3)
            cut_off.fault, cut_off.hangs = Unreachable("no connection"), cut == "hanging"
            a.leadership._leases = cut_off
            both = []
            before = clock()
            while not b.leadership.may_write():
                assert clock() - before < 5
                both.append(a.leadership.may_write() and b.leadership.may_write())
                await asyncio.sleep(0.005)
            assert a.told == ["started", "stopped"]
            assert not a.leadership.may_write()
            assert not any(both)
            a.leadership._leases = server
            await asyncio.sleep(0.4)
            assert server.holder() == "b"
            assert a.told == ["started", "stopped"]


async def test_a_leader_whom_nobody_replaced_goes_on_after_an_outage() -> None:
    """The same process may lead again, and is told so, because others may have written meanwhile."""
    server = Server()
    async with Replica(server, "a").running() as a:
        await eventually(a.leadership.may_write)
        server.fault = Unreachable("no connection")
        await eventually(lambda: a.told == ["started", "stopped"])
        server.fault = None
        await eventually(lambda: a.told == ["started", "stopped", "started"])
        assert server.lease is not None
        assert server.lease["spec"]["leaseTransitions"] == 0


async def test_a_process_that_slept_may_not_write_when_it_wakes() -> None:
    """The fence is a clock, so it has closed even where nothing ran that could notice."""
    server, slept = Server(), [0.0]
    async with Replica(server, "a", lambda: clock() + slept[0]).running() as a:
        await eventually(a.leadership.may_write)
        slept[0] = 15.0
        assert not a.leadership.may_write()


async def test_a_write_of_somebody_else_is_noticed_at_the_next_renewal() -> None:
    """A Lease that was given to another by hand is theirs."""
    server = Server()
    async with Replica(server, "a").running() as a:
        await eventually(a.leadership.may_write)
        assert server.lease is not None
        server.put({**server.lease, "spec": {**server.lease["spec"], "holderIdentity": "by-hand"}})
        await eventually(lambda: a.told == ["started", "stopped"])
        assert server.holder() == "by-hand"


async def test_an_edit_that_leaves_the_holder_costs_nobody_the_lead() -> None:
    """A label that somebody adds is kept, and so is the hold."""
    server = Server()
    async with Replica(server, "a").running() as a:
        await eventually(a.leadership.may_write)
        assert server.lease is not None
        server.put({**server.lease, "metadata": {**server.lease["metadata"], "labels": {"team": "x"}}})
        version = server.version
        await eventually(lambda: server.version > version + 1)
        assert a.told == ["started"]
        assert server.lease["metadata"]["labels"] == {"team": "x"}


async def test_without_an_election_the_only_replica_leads() -> None:
    """It starts at once and stops when it is stopped."""
    told: list[str] = []
    task = asyncio.create_task(AlwaysLeading().run(lambda: told.append("started"), lambda: told.append("stopped")))
    await eventually(lambda: told == ["started"])
    assert AlwaysLeading().may_write()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert told == ["started", "stopped"]
