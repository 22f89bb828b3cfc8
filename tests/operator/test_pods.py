"""The annotation that makes kubelets refresh volumes."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from controller.operator import pods as pods_module
from controller.operator.failures import ClusterError, Denied, Gone, NotLeading, Rejected, Unreachable
from controller.operator.metrics import Metrics
from controller.operator.pods import (
    ANNOTATION,
    CREDENTIALS_ANNOTATION,
    ENVOY_ANNOTATION,
    ENVOY_SECRETS_ANNOTATION,
    Announcer,
    Burst,
)
from controller.operator.settings import Settings
from tests.support.waiting import eventually


def pod(name: str, revision: str | None = None, **metadata: Any) -> dict[str, Any]:
    """A pod as it is listed."""
    annotations = {} if revision is None else {"annotations": {ANNOTATION: revision}}
    return {"metadata": {"name": name, **annotations, **metadata}}


class Server:
    """Pods by selector. ``faults`` are raised by the patches to come, one each."""

    def __init__(self, *faults: ClusterError, **pods: list[dict[str, Any]]) -> None:
        self.lists = pods
        self.patched: list[tuple[str, str]] = []
        self.asked: list[str] = []
        self.annotations: Mapping[str, str] = {}
        self.faults = list(faults)

    async def pods(self, selector: str) -> Sequence[Mapping[str, Any]]:
        return self.lists[selector]

    async def annotate_pod(self, name: str, annotations: Mapping[str, str]) -> None:
        self.asked.append(name)
        if self.faults:
            raise self.faults.pop(0)
        self.patched.append((name, annotations[ANNOTATION]))
        self.annotations = annotations


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a second where a tenth of it shows the same."""
    for name, seconds in (("_ALONE_S", 0.05), ("_QUIET_S", 0.15)):
        monkeypatch.setattr(pods_module, name, seconds)


@asynccontextmanager
async def announcing(server: Server) -> AsyncIterator[tuple[Announcer, Metrics]]:
    """An announcer at work."""
    metrics = Metrics()
    announcer = Announcer(server, tuple(server.lists), metrics)
    task = asyncio.create_task(announcer.run())
    try:
        yield announcer, metrics
    finally:
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(
    ("writes", "due"),
    [
        ([], None),
        ([10.0], 10.2),
        ([10.0, 10.1], 10.2),
        ([10.0, 10.5], 11.5),
        ([10.0, 10.5, 11.0, 11.5], 12.5),
        ([10.0, 11.0, 12.0, 13.0, 14.0, 14.5], 15.0),
    ],
)
def test_a_write_alone_is_announced_at_once_and_a_burst_at_its_end(writes: list[float], due: float | None) -> None:
    """Writes that belong together count as one; a burst without end is announced every five seconds."""
    burst = Burst()
    for at in writes:
        burst.write(at)

    assert burst.due() == (None if due is None else pytest.approx(due))


def test_a_write_soon_after_an_announcement_belongs_to_a_burst() -> None:
    """Only after a calm is a write announced without waiting for more."""
    burst = Burst()
    burst.write(0.0)
    burst.announced()
    burst.write(1.0)
    assert burst.due() == pytest.approx(2.0)
    burst.announced()
    assert burst.due() is None
    burst.write(6.5)
    assert burst.due() == pytest.approx(6.7)


@pytest.mark.usefixtures("_quick")
async def test_all_pods_that_need_it_are_annotated() -> None:
    """Those that have it already and those that go are left alone."""
    leaving = pod("leaving", deletionTimestamp="2026-11-23T00:00:00Z")
    server = Server(extproc=[pod("a"), pod("b", "7"), pod("c", "6"), leaving], envoy=[pod("d")])
    async with announcing(server) as (announcer, metrics):
        announcer.offer(6, {})
        announcer.offer(7, {})
        await eventually(lambda: len(server.patched) == 3)
        await asyncio.sleep(0.3)
        assert metrics.registry.get_sample_value("llmroute_controller_writes_total", {"lane": "pods"}) == 3
    assert server.patched == [("a", "7"), ("c", "7"), ("d", "7")]


@pytest.mark.usefixtures("_quick")
async def test_a_pod_that_is_gone_does_not_stop_the_others() -> None:
    """It was deleted between the list and the patch."""
    server = Server(Gone("404"), extproc=[pod("a"), pod("b")])
    async with announcing(server) as (announcer, _):
        announcer.offer(1, {})
        await eventually(lambda: server.patched == [("b", "1")])


@pytest.mark.usefixtures("_quick")
async def test_a_failure_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice more, and only those pods that still need it."""
    monkeypatch.setattr(pods_module, "_RETRY_S", 0.05)
    server = Server(Unreachable("no answer"), Unreachable("no answer"), extproc=[pod("a")])
    async with announcing(server) as (announcer, _):
        announcer.offer(1, {})
        await eventually(lambda: server.patched == [("a", "1")])


@pytest.mark.usefixtures("_quick")
async def test_without_the_right_it_is_not_tried_again() -> None:
    """The volumes change by themselves, only later; three refusals in a row are enough to know."""
    server = Server(*[Denied("403 patch pods")] * 4, extproc=[pod(name) for name in "abcd"])
    async with announcing(server) as (announcer, metrics):
        announcer.offer(1, {})
        await eventually(lambda: len(server.asked) == 3)
        announcer.offer(2, {})
        await asyncio.sleep(0.4)
        labels = {"lane": "pods", "reason": "Denied"}
        assert metrics.registry.get_sample_value("llmroute_controller_write_failures_total", labels) == 3
    assert server.asked == ["a", "b", "c"]


@pytest.mark.usefixtures("_quick")
async def test_a_standby_annotates_nothing() -> None:
    """The pods are the leader's now."""
    server = Server(NotLeading("standby"), extproc=[pod("a"), pod("b")])
    async with announcing(server) as (announcer, metrics):
        announcer.offer(1, {})
        await eventually(lambda: not server.faults)
        await asyncio.sleep(0.1)
        assert metrics.registry.get_sample_value("llmroute_controller_write_failures_total") is None
    assert server.patched == []


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("fault", [Rejected("422 by a webhook"), Denied("403 by a webhook")])
async def test_a_pod_that_may_not_be_changed_does_not_stop_the_others(fault: ClusterError) -> None:
    """A webhook may have something against one of them; the next revision is for all of them again."""
    server = Server(fault, extproc=[pod("a"), pod("b")], envoy=[pod("c")])
    async with announcing(server) as (announcer, _):
        announcer.offer(1, {})
        await eventually(lambda: server.patched == [("b", "1"), ("c", "1")])
        announcer.offer(2, {})
        await eventually(lambda: server.patched[2:] == [("a", "2"), ("b", "2"), ("c", "2")])


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("annotation", [ENVOY_ANNOTATION, CREDENTIALS_ANNOTATION, ENVOY_SECRETS_ANNOTATION])
async def test_a_change_without_a_new_revision_is_announced(annotation: str) -> None:
    """Envoy's map and the Secrets have no revision of their own, so that the pods also get their versions."""
    held = {ANNOTATION: "7", annotation: "100"}
    server = Server(envoy=[{"metadata": {"name": "a", "annotations": held}}])
    async with announcing(server) as (announcer, _):
        announcer.offer(7, {annotation: "100", "not-there": ""})
        await asyncio.sleep(0.3)
        assert server.patched == []
        announcer.offer(7, {annotation: "101"})
        await eventually(lambda: server.patched == [("a", "7")])
        assert server.annotations == {ANNOTATION: "7", annotation: "101"}


def test_only_our_own_pods_are_looked_for() -> None:
    """Others have components called envoy, too."""
    settings = Settings(namespace="gw", identity="a")

    for selector in (settings.extproc_selector, settings.envoy_selector):
        assert "app.kubernetes.io/part-of=llmroute" in selector.split(",")
