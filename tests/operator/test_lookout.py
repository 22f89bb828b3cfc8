"""Reading the Secrets and ConfigMaps that resources name, one by one."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from controller.operator import lookout as lookout_module
from controller.operator import shares as shares_module
from controller.operator.failures import Denied, Faulty, Unreachable
from controller.operator.lookout import Lookout
from controller.operator.metrics import Metrics
from controller.translate.secrets import Place
from tests.support.named_source import NamedSource
from tests.support.waiting import eventually

A, B = ("Secret", "team-a", "keys"), ("Secret", "team-b", "keys")
CA = ("ConfigMap", "team-a", "ca")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A poll does not take ten seconds."""
    monkeypatch.setattr(shares_module, "POLL_S", 0.2)
    monkeypatch.setattr(lookout_module, "_REGROUP_S", 0.05)
    monkeypatch.setattr(lookout_module, "_FIRST_PAUSE_S", 0.01)


class Stand:
    """A lookout at work; ``changes`` counts what it told."""

    def __init__(self) -> None:
        self.source = NamedSource()
        self.metrics = Metrics()
        self.changes = 0
        self.lookout = Lookout(self.source, self.metrics, self._changed)

    def _changed(self) -> None:
        self.changes += 1

    def value(self, place: Place) -> bytes | None:
        """The key that is known."""
        return self.lookout.store().data.get(place, {}).get("apiKey")

    def sample(self, name: str, **labels: str) -> float | None:
        """A metric."""
        return self.metrics.registry.get_sample_value(f"llmroute_controller_{name}", labels)


@asynccontextmanager
async def running() -> AsyncIterator[Stand]:
    """One that runs, and forgets everything in the end."""
    stand = Stand()
    working = asyncio.create_task(stand.lookout.run())
    try:
        yield stand
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        assert stand.source.watches == {}
        assert stand.lookout.store().data == {}


async def test_what_is_wanted_is_read_and_followed() -> None:
    """Found, changed, deleted, made again: each is told."""
    async with running() as stand:
        stand.source.put_secret(A, 1, {"apiKey": "first"})
        stand.source.put_secret(B, 1, {"apiKey": "never asked for"})
        stand.lookout.want([A])
        assert await stand.lookout.asked(5)
        assert (stand.value(A), stand.value(B)) == (b"first", None)

        stand.source.put_secret(A, 2, {"apiKey": "second"})
        await eventually(lambda: stand.value(A) == b"second")
        stand.source.put(A, None)
        await eventually(lambda: A not in stand.lookout.store().data)
        stand.source.put_secret(A, 9, {"apiKey": "third"})
        await eventually(lambda: stand.value(A) == b"third")
        assert stand.changes == 4
        assert set(stand.source.got) == {A}
        assert stand.sample("named_objects", standing="found") == 1


async def test_what_does_not_exist_is_known_at_once_and_seen_when_it_comes() -> None:
    """So a Secret may be made after what refers to it."""
    async with running() as stand:
        stand.lookout.want([A, CA])
        assert await stand.lookout.asked(5)
        assert stand.lookout.store().unread == {}
        await eventually(lambda: A in stand.source.watches)

        stand.source.put_secret(A, 1, {"apiKey": "k"})
        await eventually(lambda: stand.value(A) == b"k")


async def test_what_is_not_wanted_is_not_watched() -> None:
    """It is let go of at once; asked for again, it is read anew."""
    async with running() as stand:
        stand.source.put_secret(A, 1, {"apiKey": "k"})
        stand.lookout.want([A])
        assert await stand.lookout.asked(5)
        stand.lookout.want([])
        assert stand.lookout.store().data == {}
        await eventually(lambda: stand.source.watches == {})

        stand.lookout.want([A])
        assert not stand.lookout.is_sure
        assert await stand.lookout.asked(5)
        assert stand.value(A) == b"k"


async def test_a_missing_right_costs_the_object_and_no_other() -> None:
    """It is asked for again, so that a right that comes is taken up."""
    async with running() as stand:
        for place in (A, B):
            stand.source.put_secret(place, 1, {"apiKey": "k"})
        stand.source.denied = {("get", A), ("watch", A)}
        stand.lookout.want([A, B])
        assert await stand.lookout.asked(5)
        assert stand.lookout.store().unread == {A: "the operator may not read it"}
        assert stand.value(B) == b"k"

        stand.source.denied = set()
        await eventually(lambda: stand.value(A) == b"k")


async def test_without_the_right_to_watch_it_is_asked_again_and_again() -> None:
    """The change comes later, and that is all; the metric tells."""
    async with running() as stand:
        stand.source.put_secret(A, 1, {"apiKey": "first"})
        stand.source.denied = {("watch", A)}
        stand.lookout.want([A])
        assert await stand.lookout.asked(5)
        assert stand.sample("named_objects_polled") == 1

        stand.source.put_secret(A, 2, {"apiKey": "second"})
        await eventually(lambda: stand.value(A) == b"second")


async def test_there_are_only_so_many_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is above their number is asked for, and gets a watch when one is free."""
    monkeypatch.setattr(lookout_module, "WATCHES", 2)
    places: list[Place] = [("Secret", "team-a", f"s{i}") for i in range(5)]
    async with running() as stand:
        for place in places:
            stand.source.put_secret(place, 1, {"apiKey": "first"})
        stand.lookout.want(places)
        assert await stand.lookout.asked(5)
        await eventually(lambda: stand.sample("named_objects_polled") == 3)
        for place in places:
            stand.source.put_secret(place, 2, {"apiKey": "second"})
        await eventually(lambda: {stand.value(place) for place in places} == {b"second"})

        watched = set(stand.source.watches)
        stand.lookout.want([place for place in places if place not in watched])
        await eventually(lambda: len(stand.source.watches) == 2 and not watched & set(stand.source.watches))
        assert stand.source.most_watches == 2


async def test_many_that_are_asked_for_are_asked_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever names thousands of Secrets makes no thousands of requests a second."""
    monkeypatch.setattr(lookout_module, "WATCHES", 0)
    monkeypatch.setattr(shares_module, "POLLS_PER_S", 100.0)
    async with running() as stand:
        stand.lookout.want([("Secret", "team-a", f"s{i}") for i in range(200)])
        assert await stand.lookout.asked(5)
        await asyncio.sleep(1)
        assert len(stand.source.got) == 200


@pytest.mark.parametrize("fault", [Unreachable("no answer"), Faulty("500 etcd")])
async def test_a_failure_keeps_what_is_known(
    fault: Unreachable, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Only the server can say that something is gone; and it is told once that it does not answer."""
    monkeypatch.setattr(lookout_module, "WATCHES", 0)
    async with running() as stand:
        for place in (A, B):
            stand.source.put_secret(place, 1, {"apiKey": "k"})
        stand.lookout.want([A, B])
        assert await stand.lookout.asked(5)
        stand.source.faults = {A: fault, B: fault}
        asked = len(stand.source.got)
        await eventually(lambda: len(stand.source.got) >= asked + 6)
        assert (stand.value(A), stand.value(B)) == (b"k", b"k")
        assert len([record for record in caplog.records if "cannot be read" in record.getMessage()]) == 1

        stand.source.faults = {}
        stand.source.put_secret(A, 2, {"apiKey": "new"})
        await eventually(lambda: stand.value(A) == b"new")


async def test_waiting_for_an_answer_has_an_end() -> None:
    """One object that the server fails to read does not hold up the others for good."""
    async with running() as stand:
        stand.source.faults[A] = Faulty("500 cannot decrypt")
        stand.lookout.want([A, B])
        assert not await stand.lookout.asked(0.2)
        assert list(stand.lookout.store().unread) == [A]
        begun = time.monotonic()
        assert not await stand.lookout.asked(5)
        assert time.monotonic() - begun < 1


async def test_one_refusal_takes_no_key_away(caplog: pytest.LogCaptureFixture) -> None:
    """It is told once, and the metric tells; the value stays."""
    async with running() as stand:
        for place in (A, B):
            stand.source.put_secret(place, 1, {"apiKey": "k"})
        stand.source.denied = {("watch", A), ("watch", B)}
        stand.lookout.want([A, B])
        assert await stand.lookout.asked(5)
        stand.source.denied |= {("get", A), ("get", B)}
        await eventually(lambda: stand.sample("named_objects", standing="denied") == 2)
        assert (stand.value(A), stand.value(B)) == (b"k", b"k")
        assert len([record for record in caplog.records if "may not be read" in record.getMessage()]) == 1

        stand.source.denied = set()
        await eventually(lambda: stand.sample("named_objects", standing="found") == 2)


async def test_one_namespaces_many_wishes_take_no_watch_from_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where they came first; what does not exist gives way to what does."""
    monkeypatch.setattr(lookout_module, "WATCHES", 3)
    greedy: list[Place] = [("Secret", "greedy", f"none-{i}") for i in range(20)]
    async with running() as stand:
        stand.lookout.want(greedy)
        await eventually(lambda: len(stand.source.watches) == 3)
        stand.source.put_secret(B, 1, {"apiKey": "k"})
        stand.lookout.want([*greedy, B])
        await eventually(lambda: B in stand.source.watches)
        assert stand.source.most_watches == 3


async def test_the_log_has_no_values(caplog: pytest.LogCaptureFixture) -> None:
    """At debug level, whatever happens to a Secret."""
    caplog.set_level("DEBUG")
    async with running() as stand:
        stand.source.put_secret(A, 1, {"apiKey": "mArKeR"})
        stand.lookout.want([A])
        assert await stand.lookout.asked(5)
        stand.source.denied = {("get", A)}
        stand.source.faults[A] = Denied("403")
        stand.source.put_secret(A, 2, {"apiKey": "mArKeR2"})
        await eventually(lambda: stand.value(A) == b"mArKeR2")

    assert "mArKeR" not in caplog.text
    assert "team-a/keys has changed" in caplog.text
