"""Asking extproc pods what they serve, over real HTTP from extproc's own admin pages."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from controller.operator.failures import ClusterError, Unreachable
from controller.operator.fleet import Replica
from controller.operator.metrics import Metrics
from controller.operator.roster import Answer, Pod, Roster, present_pods
from controller.operator.serving import Serving, read_page
from controller.standalone.probes import free_port
from extproc.config.names import OLDEST_VERSION, VERSION
from extproc.server.admin import AdminServer, Overview, WorkerReport, _Page
from tests.support.waiting import eventually

A, B, C = (Pod(name, f"uid-{name}", f"10.0.0.{i}") for i, name in enumerate("abc"))


def served(revision: int, error: str | None = None) -> Overview:
    """What an extproc says that serves a revision."""
    status = {
        "revision": revision,
        "hash": "h",
        "version": 1,
        "loaded_at": 1.0,
        "error": error,
        "error_since": 1.0,
        "serving": True,
        "rules": [{"source": f"r{i}"} for i in range(1000)],
    }
    return Overview((WorkerReport(0, 1, listening=True, starts=1, status=status),))


class Extprocs:
    """Pods, each with the admin server of a real extproc at an address of its own on one port."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.overviews: dict[str, Overview] = {}
        self._folder = folder
        self._servers: dict[str, AdminServer] = {}
        self.objects: list[dict[str, Any]] = []
        self.fault: ClusterError | None = None
        self.lists = 0

    def add(self, name: str, revision: int) -> None:
        address = f"127.0.0.{20 + len(self.objects)}"
        self.overviews[name] = served(revision)
        self._servers[name] = AdminServer(f"{address}:{self.port}", lambda: self.overviews[name], str(self._folder))
        status = {"podIP": address, "conditions": [{"type": "Ready", "status": "True"}]}
        self.objects.append({"metadata": {"name": name, "uid": f"uid-{name}"}, "status": status})

    def stop(self, name: str) -> None:
        self._servers.pop(name).close()

    def answer(self, name: str, body: bytes) -> None:
        """Let a pod say something else on ``/config``, as an extproc of another release would."""
        pages = self._servers[name]._server.pages
        self._servers[name]._server.pages = {**pages, "/config": lambda _: _Page(200, "application/json", body)}

    def close(self) -> None:
        for server in self._servers.values():
            server.close()

    async def pods(self, selector: str) -> Sequence[Mapping[str, Any]]:
        assert selector == "app=extproc"
        self.lists += 1
        if self.fault is not None:
            raise self.fault
        return self.objects


@pytest.fixture
def extprocs(tmp_path: Path) -> Iterator[Extprocs]:
    """No pods yet."""
    with contextmanager(_extprocs)(tmp_path) as found:
        yield found


def _extprocs(folder: Path) -> Iterator[Extprocs]:
    found = Extprocs(folder)
    try:
        yield found
    finally:
        found.close()


class Asking:
    """A ``Serving`` at work, and what it told."""

    def __init__(self, extprocs: Extprocs) -> None:
        self.told: list[tuple[tuple[str, int | None], ...]] = []
        self.metrics = Metrics()
        self.active = True
        self.agreed: list[int | None] = []
        self.serving = Serving(extprocs, "app=extproc", extprocs.port, self.metrics, self._hear, self._agree)

    def _agree(self) -> None:
        self.agreed.append(self.serving.config_version)

    def _hear(self, fleet: Sequence[Replica]) -> None:
        self.told.append(tuple((replica.name, replica.revision) for replica in fleet))

    def replicas(self, state: str) -> float | None:
        return self.metrics.registry.get_sample_value("llmroute_controller_extproc_replicas", {"state": state})


def pauses(monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
    """Let it wait for so long, where it would for seconds."""
    for name, value in seconds.items():
        monkeypatch.setattr(f"controller.operator.serving.{name}", value)


@asynccontextmanager
async def asking(extprocs: Extprocs) -> AsyncIterator[Asking]:
    """One that expects revision 1."""
    one = Asking(extprocs)
    one.serving.expect(1)
    task = asyncio.create_task(one.serving.run(lambda: one.active))
    try:
        yield one
    finally:
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_every_change_is_told_once(extprocs: Extprocs, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first answers on; what stays the same is not told again."""
    pauses(monkeypatch, _CALM_S=3600.0)
    extprocs.add("a", 1)
    extprocs.add("b", 1)
    async with asking(extprocs) as one:
        await eventually(lambda: one.told == [(("a", 1), ("b", 1))])
        assert one.serving.revision_floor() == 1
        one.serving.expect(2)
        extprocs.overviews["b"] = served(2)
        await eventually(lambda: one.told[1:] == [(("a", 1), ("b", 2))])
        assert one.replicas("serving") == 1
        assert one.serving.revision_floor() == 1
        extprocs.overviews["a"] = served(2)
        await eventually(lambda: one.told[2:] == [(("a", 2), ("b", 2))])
        assert (one.replicas("serving"), one.replicas("ready")) == (2, 2)
        assert one.serving.revision_floor() == 2


async def test_without_pods_nobody_serves(extprocs: Extprocs) -> None:
    """That is an answer, and not the same as not having asked."""
    async with asking(extprocs) as one:
        assert one.serving.revision_floor() is None
        await eventually(lambda: one.told == [()])
        assert one.serving.revision_floor() is None


async def test_a_pod_that_falls_silent_keeps_its_answer_for_a_while(extprocs: Extprocs) -> None:
    """A restart of a container is no reason to doubt a revision that only rises."""
    extprocs.add("a", 1)
    async with asking(extprocs) as one:
        await eventually(lambda: one.told == [(("a", 1),)])
        extprocs.stop("a")
        one.serving.expect(2)
        await asyncio.sleep(0.6)
        assert one.told == [(("a", 1),)]


async def test_an_api_server_that_is_away_changes_nothing(extprocs: Extprocs) -> None:
    """The pods that were known are asked on."""
    extprocs.add("a", 1)
    async with asking(extprocs) as one:
        await eventually(lambda: one.told == [(("a", 1),)])
        extprocs.fault = Unreachable("no connection")
        extprocs.overviews["a"] = served(2)
        one.serving.expect(2)
        await eventually(lambda: one.told[1:] == [(("a", 2),)])


async def test_a_new_pod_is_asked_when_a_revision_comes(extprocs: Extprocs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a revision waits for all pods that there are now, not for those of a while ago."""
    pauses(monkeypatch, _CALM_S=3600.0, _PODS_S=3600.0, _PODS_SOON_S=0.0)
    extprocs.add("a", 1)
    async with asking(extprocs) as one:
        await eventually(lambda: one.told == [(("a", 1),)])
        lists = extprocs.lists
        extprocs.add("b", 2)
        extprocs.overviews["a"] = served(3)
        one.serving.expect(2)
        await eventually(lambda: one.serving.revision_floor() == 2)
        assert extprocs.lists == lists + 1


async def test_after_a_failure_the_pods_are_looked_for_again(
    extprocs: Extprocs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the calm that there is otherwise, a pod that was replaced would be missed for ten seconds."""
    pauses(monkeypatch, _CALM_S=3600.0, _STUCK_S=0.2, _PODS_S=0.2, _PODS_SOON_S=0.05)
    extprocs.add("a", 1)
    async with asking(extprocs) as one:
        await eventually(lambda: one.told == [(("a", 1),)])
        await asyncio.sleep(0.1)
        extprocs.fault = Unreachable("no connection")
        one.serving.expect(1)
        one.serving.expect(2)
        extprocs.overviews["a"] = served(2)
        await eventually(lambda: one.told[1:] == [(("a", 2),)])
        lists = extprocs.lists
        await eventually(lambda: extprocs.lists > lists)


async def test_a_standby_asks_nobody(extprocs: Extprocs) -> None:
    """Only the leader has a use for the answers, and it begins anew."""
    extprocs.add("a", 1)
    async with asking(extprocs) as one:
        await eventually(lambda: one.told == [(("a", 1),)])
        one.active = False
        one.serving.expect(2)
        await eventually(lambda: one.serving.revision_floor() is None)
        lists = extprocs.lists
        await asyncio.sleep(0.6)
        assert extprocs.lists == lists
        one.active = True
        await eventually(lambda: one.told[1:] == [(("a", 1),)])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"revision": 7, "lastError": null, "rules": [1]}', Answer(7, accepts=1)),
        (b'{"revision": 7, "accepts": [1, 2]}', Answer(7, accepts=2)),
        (b'{"revision": 7, "lastError": {"message": "no", "since": "x"}}', Answer(7, refusal="no", accepts=1)),
        (b'{"revision": null}', Answer(None, "it has no configuration yet", accepts=1)),
        (b'{"revision": "7"}', Answer(None, "its /config page cannot be read")),
        (b"<html>", Answer(None, "its /config page cannot be read")),
        (b"", Answer(None, "its /config page cannot be read")),
    ],
)
def test_a_page_says_what_is_served_or_is_none(body: bytes, expected: Answer) -> None:
    """Whatever answers on that port."""
    assert read_page(body) == expected


async def test_what_cannot_be_asked_says_why(extprocs: Extprocs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The words are the same each time, so that the status does not change with them."""
    monkeypatch.setattr("controller.operator.roster._FIRST_ANSWER_S", 0.2)
    pauses(monkeypatch, _LAGGING_S=0.05)
    extprocs.add("a", 1)
    extprocs.stop("a")
    found: list[Replica] = []
    serving = Serving(extprocs, "app=extproc", extprocs.port, Metrics(), found.extend, lambda: None)
    task = asyncio.create_task(serving.run(lambda: True))
    await eventually(lambda: found)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert found == [Replica("a", None, "connection refused")]


def pod(name: str, *, ready: str = "True", ip: str | None = "10.0.0.1", leaving: bool = False) -> dict[str, Any]:
    """A pod as the API server has it."""
    metadata = {"name": name, "uid": f"uid-{name}"} | ({"deletionTimestamp": "2026-11-23T00:00:00Z"} if leaving else {})
    status = {"conditions": [{"type": "Ready", "status": ready}]} | ({"podIP": ip} if ip else {})
    return {"metadata": metadata, "status": status}


def test_pods_that_are_there_are_asked_and_those_that_take_traffic_count() -> None:
    """Not those that have no address yet, or are being deleted."""
    pods = [pod("d"), pod("a", ready="False"), pod("b", ip=None), pod("c", leaving=True), pod("0")]

    found = present_pods([*pods, {"metadata": {"name": "x", "uid": "y"}}])
    assert [(one.name, one.is_ready) for one in found] == [("0", True), ("a", False), ("d", True)]


async def test_the_configuration_is_written_as_the_oldest_pod_reads_it(
    extprocs: Extprocs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it is, is told; with the lead it is forgotten."""
    pauses(monkeypatch, _CALM_S=0.05, _LAGGING_S=0.05, _STUCK_S=0.05, _PODS_S=0.0)
    extprocs.add("new", 1)
    async with asking(extprocs) as one:
        await eventually(lambda: one.agreed)
        extprocs.add("old", 1)
        extprocs.answer("old", b'{"revision": 1}')
        await eventually(lambda: len(one.agreed) == 2)
        assert one.metrics.registry.get_sample_value("llmroute_controller_config_version") == OLDEST_VERSION
        extprocs.objects.pop()
        await eventually(lambda: len(one.agreed) == 3)
        one.active = False
        one.serving.follow()
        assert one.serving.config_version is None

    assert one.agreed == [VERSION, OLDEST_VERSION, VERSION]


async def test_the_last_old_pod_is_missed_soon(extprocs: Extprocs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything may wait for it to go, so the calm in which all serve what they should is no calm."""
    pauses(monkeypatch, _CALM_S=3600.0, _STUCK_S=0.05, _PODS_S=0.0)
    extprocs.add("new", 1)
    extprocs.add("old", 1)
    extprocs.answer("old", b'{"revision": 1}')
    async with asking(extprocs) as one:
        await eventually(lambda: one.told)
        extprocs.objects.pop()
        await eventually(lambda: len(one.agreed) == 2)

    assert (one.agreed, one.told[0]) == ([OLDEST_VERSION, VERSION], (("new", 1), ("old", 1)))


def test_a_pod_that_has_just_come_is_left_out_until_it_answers() -> None:
    """Being ready a moment before it can be asked is nothing to report; for seconds, it is."""
    roster = Roster()
    assert roster.update({A: Answer(1)}, 0.0) == (Replica("a", 1),)
    both = {A: Answer(1), B: Answer(None, "connection refused")}
    assert roster.update(both, 1.0) == (Replica("a", 1),)
    assert not roster.is_settled()
    assert roster.update(both, 3.9) == (Replica("a", 1),)
    assert roster.update(both, 4.0) == (Replica("a", 1),)
    assert roster.update(both, 7.0) == (Replica("a", 1), Replica("b", None, "connection refused"))
    assert roster.is_settled()
    assert roster.update({A: Answer(1), B: Answer(1)}, 7.1) == (Replica("a", 1), Replica("b", 1))


def test_nothing_is_said_before_every_pod_was_asked_once() -> None:
    """A start must not take silence of the first moment for news."""
    roster = Roster()
    assert roster.update({A: Answer(1), B: Answer(None, "refused")}, 0.0) is None
    assert roster.update({A: Answer(1), B: Answer(1)}, 1.0) == (Replica("a", 1), Replica("b", 1))


def test_a_silent_pod_is_unknown_after_a_while_and_known_once_it_answers() -> None:
    """Ten seconds without an answer are news; so is the next answer."""
    roster = Roster()
    roster.update({A: Answer(5)}, 0.0)
    assert roster.update({A: Answer(None, "no answer")}, 9.9) == (Replica("a", 5),)
    assert roster.update({A: Answer(None, "no answer")}, 10.0) == (Replica("a", None, "no answer"),)
    assert roster.update({A: Answer(6)}, 11.0) == (Replica("a", 6),)
    assert roster.update({A: Answer(None, "no answer")}, 12.0) == (Replica("a", 6),)


def test_the_lowest_revision_is_known_when_every_pod_has_answered_once() -> None:
    """Also of pods that are not shown yet, and of one that is silent now: it does not go back."""
    roster = Roster()
    assert roster.lowest_revision() is None
    roster.update({A: Answer(5)}, 0.0)
    assert roster.lowest_revision() == 5
    roster.update({A: Answer(5), B: Answer(None, "refused")}, 1.0)
    assert roster.lowest_revision() is None
    roster.update({A: Answer(None, "refused"), B: Answer(4)}, 2.0)
    assert roster.lowest_revision() == 4
    roster.update({}, 3.0)
    assert roster.lowest_revision() is None


def test_a_rolling_update_is_shown_once_it_rests() -> None:
    """While pods replace each other the count stays, and what those that stay serve is always shown."""
    roster = Roster()
    roster.update({A: Answer(1), B: Answer(1)}, 0.0)
    assert roster.update({A: Answer(1), B: Answer(1), C: Answer(1)}, 1.0) == (Replica("a", 1), Replica("b", 1))
    assert roster.update({B: Answer(2), C: Answer(2)}, 2.0) == (Replica("a", 1), Replica("b", 2))
    assert roster.update({B: Answer(2), C: Answer(2)}, 4.9) == (Replica("a", 1), Replica("b", 2))
    assert roster.update({B: Answer(2), C: Answer(2)}, 5.0) == (Replica("b", 2), Replica("c", 2))


def test_the_first_pods_of_all_are_shown_at_once() -> None:
    """Somebody is waiting for them; that none is left is shown once it rests, like any other change."""
    roster = Roster()
    assert roster.update({}, 0.0) == ()
    assert roster.update({A: Answer(1)}, 1.0) == (Replica("a", 1),)
    assert roster.update({}, 2.0) == (Replica("a", 1),)
    assert roster.update({}, 5.0) == ()


def test_a_pod_of_the_same_name_is_not_the_same_pod() -> None:
    """What its predecessor served says nothing."""
    roster, again = Roster(), Pod("a", "uid-2", A.address)
    roster.update({A: Answer(9)}, 0.0)

    assert roster.update({again: Answer(None, "refused")}, 3.5) == (Replica("a", 9),)
    assert roster.update({again: Answer(2)}, 7.0) == (Replica("a", 9),)
    assert roster.update({again: Answer(2)}, 10.0) == (Replica("a", 2),)
