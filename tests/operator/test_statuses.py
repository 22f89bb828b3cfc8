"""The status lane: what is written, how often, and what a failure costs."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from controller.api.findings import Finding, Subject
from controller.api.reasons import Reason
from controller.operator.conditions import Transition
from controller.operator.failures import Busy, ClusterError, Conflict, Denied, Faulty, NotLeading, Rejected, Unreachable
from controller.operator.fleet import Replica
from controller.operator.kinds import Kind
from controller.operator.metrics import Metrics
from controller.operator.published import Published
from controller.operator.right_of_way import RightOfWay
from controller.operator.statuses import StatusLane
from tests.support.api_objects import route, rule
from tests.support.published_passes import Object, Objects, live, one_backend, one_route, published
from tests.support.waiting import eventually

ROUTE, BACKEND = Subject("LLMRoute", "team-a", "chat"), Subject("LLMBackend", "team-a", "openai")


class Heard:
    """The transitions that were told."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str, str]] = []

    def transition(self, obj: Mapping[str, Any], transition: Transition) -> None:
        self.all.append((obj["metadata"]["name"], transition.type, transition.reason))


class Lane:
    """A lane at work on some objects. ``hold_s`` is short, so that tests are."""

    def __init__(self, objects: Objects, hold_s: float) -> None:
        self.objects = objects
        self.events = Heard()
        self.metrics = Metrics()
        self.idle = asyncio.Event()
        self.idle.set()
        self.way = RightOfWay(self.idle, alone_s=30.0)
        self.lane = StatusLane(objects, objects, self.events, self.metrics, self.way, hold_s=hold_s)
        self.last: Published | None = None

    def offer(self, revision: int, **more: Any) -> None:
        """A pass over the objects as they are."""
        self.last = published(self.objects.all(), revision, **more)
        self.lane.offer(self.last)

    def serve(self, *revisions: int) -> None:
        """What pods serve."""
        self.lane.observed([Replica(f"pod-{i}", revision) for i, revision in enumerate(revisions)])

    async def quiet(self, seconds: float = 0.1) -> int:
        """How many writes there were once there are no more."""
        before = -1
        while before != len(self.objects.writes):
            before = len(self.objects.writes)
            await asyncio.sleep(seconds)
        return before


class Slow(Objects):
    """A server that takes its time."""

    async def reach(self, kind: Kind) -> None:
        assert kind.plural
        await asyncio.sleep(0.01)


class Forbidding(Objects):
    """A server on which the statuses of routes may not be written."""

    asked = 0

    async def reach(self, kind: Kind) -> None:
        if kind.name == "LLMRoute":
            self.asked += 1
            await asyncio.sleep(0)
            raise Denied("403 forbidden")


class Sick(Objects):
    """A server on which some objects' statuses cannot be written, whatever is tried."""

    def __init__(self, *objects: Object, sick: str) -> None:
        super().__init__(*objects)
        self.sick = sick
        self.tries = 0

    async def apply_status(
        self, kind: Kind, namespace: str, name: str, status: Mapping[str, Any], *, uid: str = ""
    ) -> Object | None:
        await asyncio.sleep(0.002)
        if name.startswith(self.sick):
            self.tries += 1
            raise Faulty("500 failed calling webhook")
        return await super().apply_status(kind, namespace, name, status, uid=uid)


class Shared(Objects):
    """A server on which somebody else has added a condition of our own type, which an apply leaves alone.

    ``stubborn``: a replacement does not remove it either.
    """

    def __init__(self, *objects: Object, stubborn: bool = False) -> None:
        super().__init__(*objects)
        self.stubborn = stubborn
        self.added = [{"type": "Warnings", "status": "True"}, {"type": "Theirs", "status": "True"}]

    async def apply_status(
        self, kind: Kind, namespace: str, name: str, status: Mapping[str, Any], *, uid: str = ""
    ) -> Object | None:
        obj = await super().apply_status(kind, namespace, name, status, uid=uid)
        return None if obj is None else self._with_added(obj)

    async def replace_status(self, kind: Kind, obj: Object) -> Object | None:
        written = await super().replace_status(kind, obj)
        return self._with_added(obj) if self.stubborn else written

    def _with_added(self, obj: Object) -> Object:
        return {**obj, "status": {**obj["status"], "conditions": [*obj["status"]["conditions"], *self.added]}}


@asynccontextmanager
async def lane(*objects: Object, hold_s: float = 0.0, server: Objects | None = None) -> AsyncIterator[Lane]:
    """A running lane."""
    one = Lane(server or Objects(*objects), hold_s)
    task = asyncio.create_task(one.lane.run())
    try:
        yield one
    finally:
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_each_status_is_written_once() -> None:
    """A pass writes what differs; the same pass, or another one with the same result, writes nothing."""
    async with lane(one_route(), one_backend()) as one:
        one.serve(1, 1)
        one.offer(1)
        assert await one.quiet() == 2
        assert one.objects.condition("chat", "LLMRoute", "Serving")["message"] == "2 of 2 extproc replicas"
        one.offer(1)
        one.offer(1)
        one.serve(1, 1)
        assert await one.quiet() == 2
        assert one.metrics.registry.get_sample_value("llmroute_controller_writes_total", {"lane": "status"}) == 2


async def test_a_restart_with_equal_objects_writes_nothing() -> None:
    """A new process learns from the stored statuses what was served, even while one pod is a revision behind."""
    async with lane(one_route(), one_backend()) as first:
        first.serve(1, 1)
        first.offer(1)
        await first.quiet()
    async with lane(*first.objects.all()) as again:
        again.offer(7)
        assert await again.quiet() == 0
        again.serve(6, 7)
        assert await again.quiet() == 0
        assert again.events.all == []


async def test_an_edit_costs_one_write_when_the_pods_follow_in_time() -> None:
    """The status waits a moment for the pods, and then says all at once."""
    async with lane(one_route(), one_backend(), hold_s=0.5) as one:
        one.serve(1, 1)
        one.offer(1)
        await one.quiet()
        one.objects.change(one_route("gpt-5", 2))
        one.offer(2)
        await asyncio.sleep(0.05)
        one.serve(1, 2)
        await asyncio.sleep(0.05)
        assert len(one.objects.writes) == 2
        one.serve(2, 2)
        assert await one.quiet() == 3
        assert one.objects.writes[2] == ROUTE
        assert one.objects.condition("chat", "LLMRoute", "Serving")["observedGeneration"] == 2
        assert one.events.all == []


async def test_a_pod_that_does_not_follow_makes_it_false_and_nothing_else_is_rewritten() -> None:
    """After the wait the edited object says who lags; an edit elsewhere leaves it at that."""
    async with lane(one_route(), one_route("gpt-4", name="other"), one_backend(), hold_s=0.1) as one:
        one.serve(1, 1)
        one.offer(1)
        await one.quiet()
        one.objects.change(one_route("gpt-5", 2))
        one.offer(2)
        one.serve(1, 2)
        assert await one.quiet(0.2) == 4
        said = one.objects.condition("chat", "LLMRoute", "Serving")
        assert said["status"] == "False"
        assert said["message"].endswith("Z; pod pod-0 serves revision 1, 2 has it")
        assert one.objects.condition("other", "LLMRoute", "Serving")["status"] == "True"
        one.objects.change(one_route("gpt-6", 2, name="other"))
        one.offer(3)
        one.serve(1, 3)
        assert await one.quiet(0.2) == 5
        assert one.objects.condition("chat", "LLMRoute", "Serving") == said
        one.serve(3, 3)
        assert await one.quiet() == 7
        assert one.events.all == []


async def test_what_gets_bad_and_good_again_is_told_once_each() -> None:
    """The transitions of an object go to the Events, and no pass repeats them."""
    async with lane(one_route(), one_backend()) as one:
        one.serve(1)
        one.offer(1)
        await one.quiet()
        backend_object = one.objects.objects.pop(BACKEND)
        one.offer(2)
        one.serve(2)
        one.offer(2)
        await one.quiet()
        assert one.events.all == [("chat", "Warning", "BackendNotFound")]
        one.objects.objects[BACKEND] = backend_object
        one.offer(3)
        one.serve(3)
        await one.quiet()
        assert one.events.all[1:] == [("chat", "Normal", "ResolvedRefs")]


async def test_what_is_not_in_the_configuration_is_not_served() -> None:
    """An invalid object says so at once; nobody waits for pods."""
    broken = one_route()
    broken["spec"] = {"rules": "none"}
    async with lane(broken, one_backend(), hold_s=30.0) as one:
        one.serve(1)
        one.offer(1)
        await eventually(lambda: one.objects.condition("chat", "LLMRoute", "Serving").get("reason") == "NotServed")
        assert ("chat", "Warning", "Invalid") in one.events.all


async def test_a_pass_that_could_not_be_written_is_no_success() -> None:
    """Objects whose new part did not get into the ConfigMap say why; those in it stay as they are."""
    async with lane(one_route(), one_backend()) as one:
        one.serve(1)
        one.offer(1)
        await one.quiet()
        one.objects.change(one_route("gpt-5", 2))
        problem = Finding(Subject("ConfigMap", "gw", "llmroute-extproc"), "", "too large", Reason.CONFIG_TOO_LARGE)
        one.offer(1, problem=problem, held=one.last)
        assert await one.quiet() == 3
        programmed = one.objects.condition("chat", "LLMRoute", "Programmed")
        assert (programmed["status"], programmed["reason"]) == ("False", "ConfigTooLarge")
        assert one.objects.condition("chat", "LLMRoute", "Serving")["reason"] == "NotServed"


async def test_a_newer_pass_replaces_what_waits() -> None:
    """Statuses that are out of date by the time it is their turn are never written."""
    many = [one_route(f"m{i}", name=f"route-{i}") for i in range(100)]
    async with lane(server=Slow(*many, one_backend())) as one:
        one.serve(1)
        one.offer(1)
        await eventually(lambda: len(one.objects.writes) > 10)
        for i in range(100):
            one.objects.change(one_route(f"n{i}", 2, name=f"route-{i}"))
        one.offer(2)
        one.serve(2)
        await eventually(lambda: one.objects.condition("route-99", "LLMRoute", "Serving").get("status") == "True")
        assert await one.quiet() < 101 + 40


@pytest.mark.parametrize("is_due", [True, False], ids=["a change is due", "a ConfigMap is written"])
async def test_statuses_wait_for_what_is_more_urgent(*, is_due: bool) -> None:
    """While a pass is due, or goes on, no status is begun; what its result makes out of date is not written at all."""
    many = [one_route(f"m{i}", name=f"route-{i}") for i in range(40)]
    async with lane(server=Slow(*many, one_backend())) as one:
        one.serve(1)
        one.offer(1)
        await eventually(lambda: len(one.objects.writes) > 5)
        (one.way.due if is_due else one.idle.clear)()
        begun = await one.quiet()
        assert begun < 41
        assert await one.quiet() == begun
        (one.way.done if is_due else one.idle.set)()
        assert await one.quiet() == 41


async def test_an_object_that_was_edited_since_waits_for_the_next_pass() -> None:
    """What is known of an older generation is not worth a write."""
    async with lane(one_route(), one_backend()) as one:
        one.serve(1)
        stale = published(one.objects.all(), 1)
        one.objects.change(one_route("gpt-5", 2))
        one.lane.offer(stale)
        assert await one.quiet() == 1
        one.offer(2)
        one.serve(2)
        assert await one.quiet() == 2
        assert one.objects.condition("chat", "LLMRoute", "Programmed")["observedGeneration"] == 2


async def test_deleted_objects_are_let_go() -> None:
    """One that went while its status was on its way is no error, and one that is not known is not written."""
    async with lane(one_route(), one_backend()) as one:
        one.serve(1)
        one.offer(1)
        del one.objects.objects[ROUTE]
        assert await one.quiet() == 1
        assert one.metrics.registry.get_sample_value("llmroute_controller_write_failures_total") is None


@pytest.mark.parametrize("fault", [Unreachable("no connection"), Busy("429 slow down", 0.2), ClusterError("odd")])
async def test_what_fails_is_tried_again(fault: ClusterError, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure of the server stops the round; everything is written once it answers again."""
    monkeypatch.setattr("controller.operator.statuses.RETRY_S", 0.1)
    async with lane(one_route(), one_backend()) as one:
        one.objects.faults = [fault]
        one.serve(1)
        one.offer(1)
        await eventually(lambda: set(one.objects.writes) == {ROUTE, BACKEND})
        assert await one.quiet() == 2


async def test_a_server_that_asks_for_quiet_gets_it() -> None:
    """Not even a new pass is reason to write before Retry-After is over."""
    async with lane(one_route(), one_backend()) as one:
        one.objects.fault = Busy("429 slow down", 0.5)
        one.serve(1)
        one.offer(1)
        await asyncio.sleep(0.1)
        one.objects.fault = None
        one.offer(1)
        await asyncio.sleep(0.1)
        assert one.objects.writes == []
        await eventually(lambda: len(one.objects.writes) == 2)


async def test_a_kind_that_may_not_be_written_does_not_stop_the_other() -> None:
    """With a right taken away, the other kind's statuses are still true, and each refused kind costs one request."""
    routes = [one_route(f"m{i}", name=f"route-{i}") for i in range(50)]
    server = Forbidding(*routes, one_backend())
    async with lane(server=server) as one:
        one.serve(1)
        one.offer(1)
        await eventually(lambda: one.objects.writes == [BACKEND])
        await one.quiet()
        assert server.asked <= 8


async def test_a_namespace_that_may_not_be_written_does_not_stop_another() -> None:
    """A Role that is missing in one namespace is that namespace's affair."""
    elsewhere = live(route(rule("m", "openai"), name="a", namespace="a-team"))
    async with lane(elsewhere, one_route()) as one:
        one.objects.faults = [Denied("403 forbidden in a-team")]
        one.serve(1)
        one.offer(1)
        await eventually(lambda: one.objects.writes == [ROUTE])


async def test_a_refused_status_does_not_stop_the_others() -> None:
    """What the server rejects of one object is that object's matter."""
    async with lane(one_route(), one_backend()) as one:
        one.objects.faults = [Rejected("422 too long")]
        one.serve(1)
        one.offer(1)
        await eventually(lambda: len(one.objects.writes) == 1)


async def test_a_standby_writes_nothing_and_does_not_insist() -> None:
    """NotLeading ends the round without a failure; the pass that follows the change of leaders writes."""
    async with lane(one_route(), one_backend()) as one:
        one.objects.fault = NotLeading("standby")
        one.serve(1)
        one.offer(1)
        assert await one.quiet() == 0
        assert one.metrics.registry.get_sample_value("llmroute_controller_write_failures_total") is None
        one.objects.fault = None
        assert await one.quiet() == 0
        one.offer(1)
        assert await one.quiet() == 2


async def test_the_conditions_are_counted() -> None:
    """Objects by kind, condition and status, as the last round saw them."""
    async with lane(one_route(), one_route("b", name="b"), one_backend()) as one:
        one.serve(1)
        one.offer(1)
        await one.quiet()
        labels = {"kind": "LLMRoute", "condition": "Serving", "status": "True"}
        assert one.metrics.registry.get_sample_value("llmroute_controller_objects", labels) == 2


async def test_nobody_waits_for_ever_while_others_change() -> None:
    """Passes come faster than all objects can be looked through, and yet all are written, in turn and once each."""
    many = [one_route(f"m{i}", name=f"route-{i:03}") for i in range(200)]
    async with lane(server=Slow(*many, one_backend())) as one:
        one.serve(1)
        one.offer(1)
        assert one.last is not None
        until = time.monotonic() + 15.0
        while time.monotonic() < until and len(one.objects.writes) < 201:
            one.lane.offer(replace(one.last))
            await asyncio.sleep(0)
        written = [subject.name for subject in one.objects.writes]
        assert len(written) == len(set(written)) == 201
        assert written[1:101] == [f"route-{i:03}" for i in range(100)]


async def test_a_new_term_begins_with_its_first_pass() -> None:
    """What the last term knew is not true any more: nothing is written from it, however the pods answer meanwhile."""
    async with lane(one_route(), one_backend()) as one:
        one.serve(42, 42)
        one.offer(42)
        assert await one.quiet() == 2
        one.lane.follow()
        one.offer(42)
        one.lane.lead()
        one.serve(43, 43)
        assert await one.quiet() == 2
        assert one.objects.condition("chat", "LLMRoute", "Serving")["status"] == "True"
        one.offer(43)
        assert await one.quiet() == 2


async def test_one_sick_object_does_not_hold_up_the_others() -> None:
    """It is tried again after a while of its own."""
    server = Sick(*(one_route(f"m{i}", name=f"r{i:03}") for i in range(100)), one_route(name="a"), sick="a")
    async with lane(server=server) as one:
        one.serve(1)
        one.offer(1)
        await eventually(lambda: len(server.writes) == 100, limit_s=0.9)
        assert server.tries == 1
        await eventually(lambda: server.tries == 2)


async def test_a_server_that_only_fails_is_left_alone() -> None:
    """Many errors in a row are no matter of single objects any more."""
    server = Sick(*(one_route(f"m{i}", name=f"r{i:03}") for i in range(100)), sick="r")
    async with lane(server=server) as one:
        one.serve(1)
        one.offer(1)
        await asyncio.sleep(0.5)
        assert 20 <= server.tries <= 28


async def test_an_object_that_was_made_anew_is_not_given_the_status_of_the_old_one() -> None:
    """The old one's generation and part say nothing about it, and the write names the object that is meant."""
    async with lane(one_route(generation=3)) as one:
        one.serve(1)
        one.offer(1)
        one.objects.objects[ROUTE] = live(route(rule("other", "openai"), name="chat"), uid="another")
        assert await one.quiet() == 0
        one.offer(2)
        one.serve(2)
        assert await one.quiet() == 1
        assert one.objects.uids == ["another"]
        assert one.objects.condition("chat", "LLMRoute", "Serving")["observedGeneration"] == 1


async def test_a_conflict_is_that_objects_matter() -> None:
    """The others are written, and this one when it is the object that was meant."""
    async with lane(one_route(), one_backend()) as one:
        one.objects.faults = [Conflict("409 uid mismatch")]
        one.serve(1)
        one.offer(1)
        await eventually(lambda: len(one.objects.writes) == 1)
        await eventually(lambda: len(one.objects.writes) == 2)


@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_condition_of_ours_that_others_have_added_goes(*, stubborn: bool) -> None:
    """By a replacement, as an apply leaves it; once, also when that does not help. What is not ours stays."""
    async with lane(server=Shared(one_route(), one_backend(), stubborn=stubborn)) as one:
        one.serve(1)
        one.offer(1)
        await one.quiet()
        assert sorted(one.objects.replaced) == [BACKEND, ROUTE]
        one.offer(1)
        await one.quiet()
        assert len(one.objects.replaced) == len(one.objects.writes) == 2
        assert one.objects.condition("chat", "LLMRoute", "Theirs")
        assert bool(one.objects.condition("chat", "LLMRoute", "Warnings")) == stubborn
