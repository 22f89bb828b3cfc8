"""Events: which are posted, what they look like, and what a failure costs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from controller.operator.conditions import Transition
from controller.operator.events import Events, Gate, event
from controller.operator.failures import ClusterError, Denied, NotLeading, Unreachable
from tests.support.published_passes import one_route
from tests.support.waiting import eventually

BAD = Transition("Warning", "BackendNotFound", "ResolvedRefs: not found")
GOOD = Transition("Normal", "ResolvedRefs", "ResolvedRefs: all references are resolved")


class Server:
    """Takes Events; ``faults`` are raised by the posts to come, one each."""

    def __init__(self, *faults: ClusterError) -> None:
        self.posted: list[dict[str, Any]] = []
        self.faults = list(faults)

    async def post_event(self, body: dict[str, Any]) -> None:
        if self.faults:
            raise self.faults.pop(0)
        self.posted.append(body)


@asynccontextmanager
async def posting(server: Server) -> AsyncIterator[tuple[Events, list[str]]]:
    """Events at work, and why some were not posted."""
    failed: list[str] = []
    events = Events(server, "pod-1", lambda _, why: failed.append(why))
    task = asyncio.create_task(events.run())
    try:
        yield events, failed
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_an_event_is_one_that_kubectl_describe_shows() -> None:
    """It names the object in full, lies in its namespace, and fits."""
    body = event(one_route(), Transition("Warning", "Invalid", "x" * 2000), "pod-1", 1.0)

    assert body["involvedObject"] == {
        "apiVersion": "aigateway.envoyproxy.io/v1alpha1",
        "kind": "LLMRoute",
        "namespace": "team-a",
        "name": "chat",
        "uid": "uid-chat",
        "resourceVersion": "1",
    }
    assert body["metadata"]["namespace"] == "team-a"
    assert body["metadata"]["name"].startswith("chat.")
    assert body["firstTimestamp"] == body["lastTimestamp"] == "1970-01-01T00:00:01Z"
    assert len(body["message"]) == 1024
    assert (body["type"], body["reason"]) == ("Warning", "Invalid")


def test_a_long_name_still_makes_a_name() -> None:
    """Kubernetes takes names of up to 253 characters, ours included."""
    body = event(one_route(name="n" * 253), BAD, "pod-1", 1.0)

    assert len(body["metadata"]["name"]) <= 253


def test_the_same_is_not_said_again_for_ten_minutes() -> None:
    """A condition that flaps is said once each way; another object or another message is news."""
    gate = Gate()

    assert gate.admits("u", BAD, 0.0)
    assert gate.admits("u", GOOD, 1.0)
    assert not gate.admits("u", BAD, 2.0)
    assert not gate.admits("u", BAD, 599.0)
    assert gate.admits("v", BAD, 2.0)
    assert gate.admits("u", BAD, 601.0)


def test_one_object_does_not_flood() -> None:
    """Ten at once, then one a minute."""
    gate = Gate()
    said = sum(gate.admits("u", Transition("Warning", "R", str(i)), 0.0) for i in range(40))
    later = sum(gate.admits("u", Transition("Warning", "R", f"b{i}"), 120.5) for i in range(40))

    assert (said, later) == (10, 2)


def test_all_objects_together_do_not_flood() -> None:
    """Fifty at once, then two a second."""
    gate = Gate()

    assert sum(gate.admits(f"u{i}", BAD, 0.0) for i in range(1000)) == 50
    assert sum(gate.admits(f"v{i}", BAD, 10.0) for i in range(1000)) == 20


async def test_transitions_are_posted() -> None:
    """One each, in order; the second of two that are the same is only counted."""
    server = Server()
    async with posting(server) as (events, failed):
        events.transition(one_route(), BAD)
        events.transition(one_route(), BAD)
        events.transition(one_route(), GOOD)
        await eventually(lambda: len(server.posted) == 2)
    assert [body["reason"] for body in server.posted] == ["BackendNotFound", "ResolvedRefs"]
    assert failed == ["Suppressed"]


@pytest.mark.parametrize("fault", [Denied("403 the namespace is being terminated"), NotLeading("standby")])
async def test_an_event_that_is_refused_does_not_stop_the_next(fault: ClusterError) -> None:
    """It is given up, counted, and the next one is posted."""
    server = Server(fault)
    async with posting(server) as (events, failed):
        events.transition(one_route(), BAD)
        events.transition(one_route(), GOOD)
        await eventually(lambda: len(server.posted) == 1)
    assert failed == [type(fault).__name__]


async def test_a_server_that_is_away_is_left_alone() -> None:
    """No Event is worth a retry while the API server has other worries."""
    server = Server(Unreachable("no connection"))
    async with posting(server) as (events, failed):
        events.transition(one_route(), BAD)
        await eventually(lambda: failed == ["Unreachable"])
        events.transition(one_route(), GOOD)
        await asyncio.sleep(0.1)
    assert server.posted == []


async def test_more_than_can_wait_are_counted() -> None:
    """The lane that tells of transitions never waits, whatever happens here."""
    server = Server()
    failed: list[str] = []
    events = Events(server, "pod-1", lambda _, why: failed.append(why))
    for i in range(300):
        events.transition(one_route(name=f"r{i}"), BAD)

    assert len(failed) == 250
