"""What a thousand routes cost, and how long a change takes to reach a request. The numbers are told at the end."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from statistics import median, quantiles
from typing import Any

import pytest

from e2e.cluster.conftest import fresh_name
from e2e.conftest import Tell
from e2e.support.accounts import make_namespace
from e2e.support.api import Object
from e2e.support.audit import Request
from e2e.support.control_plane import ControlPlane
from e2e.support.data_plane import EXTPROC_MAP
from e2e.support.kubelet import Source
from e2e.support.stand import Stand, placed, running_stand
from e2e.support.status import truths
from tests.support.gateway import backend, route, rule
from tests.support.upstreams import Upstream
from tests.support.waiting import until

ROUTES, BACKENDS, CLIENTS = 1000, 100, 16
CHANGES = 50
#: Changes beside statuses that are written. Each flood of those has a few of them beside it.
_BUSY_CHANGES, _FLOODS = 30, 30
#: A config write is due in half a second, whatever is to be written beside it.
_WRITE_BUDGET_S = 0.5
#: The budgets of the issue, for a machine that does nothing else; the tests allow for one that does.
_MEMORY_BUDGET_BYTES = 200 * 1024 * 1024
_SLACK = 2.0


@pytest.fixture(scope="module")
def stand(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """Its data plane is ready; the tests bring it to a thousand routes in namespace ``crowd``."""
    with running_stand(control_plane, tmp_path_factory.mktemp("stand"), fresh_name("scale")) as stand:
        yield stand


@pytest.fixture(scope="module")
def few_s(stand: Stand, up: Upstream) -> list[float]:
    """How long changes took with ten routes; measured before there are more."""
    return _latencies(stand, up, 10)


@pytest.fixture(scope="module")
def crowd(stand: Stand, few_s: list[float]) -> Iterator["Crowd"]:
    """A thousand routes and a hundred backends, created at once by some clients."""
    crowd = Crowd(stand, fresh_name("crowd"))
    crowd.create()
    yield crowd
    for kind in ("LLMRoute", "LLMBackend"):
        stand.api.delete_all(kind, crowd.namespace)


class Crowd:
    """Many objects of ours, and what they cost."""

    def __init__(self, stand: Stand, namespace: str) -> None:
        self.stand = stand
        self.namespace = namespace
        self.costs: dict[str, float] = {}
        make_namespace(stand.api, namespace)

    def create(self) -> None:
        """Create all of it and wait until all of it is programmed."""
        operator, api = self.stand.operator, self.stand.api
        backends = [backend(f"b{i}", 9) for i in range(BACKENDS)]
        routes = [_route(i) for i in range(ROUTES)]
        asked, cpu_s, began = len(operator.asked()), operator.cpu_s, time.monotonic()
        with ThreadPoolExecutor(CLIENTS) as clients:
            list(clients.map(api.create, placed(self.namespace, [*backends, *routes])))
        created = time.monotonic()
        until(lambda: _count(operator.writes(asked)) >= ROUTES + BACKENDS, "not all have a status", 60)
        until(lambda: self.programmed("LLMRoute") == ROUTES, "not all routes are programmed", 60)
        until(lambda: self.programmed("LLMBackend") == BACKENDS, "not all backends are programmed", 60)
        self.costs = {
            "created_in_s": created - began,
            "programmed_after_s": time.monotonic() - created,
            "cpu_s": operator.cpu_s - cpu_s,
            "peak_MiB": operator.peak_bytes / 2**20,
            **_counted(operator.writes(asked)),
        }

    def programmed(self, kind: str) -> int:
        """How many of a kind are."""
        return sum(truths(each).get("Programmed") == "True" for each in self.stand.api.list(kind, self.namespace))

    def writes_of(self, change: Callable[[], object]) -> list[Request]:
        """What the operator writes because of a change, until it has been quiet for a while."""
        operator = self.stand.operator
        _until_quiet(operator.asked)
        self.stand.until_settled()
        asked = len(operator.asked())
        change()
        until(lambda: operator.writes(asked), "it writes nothing")
        _until_quiet(operator.asked)
        return operator.writes(asked)


def test_a_thousand_routes_at_once(crowd: Crowd, tell: Tell) -> None:
    """Seconds after the last create all are programmed, for a handful of ConfigMap writes and one status write each."""
    costs = crowd.costs
    tell(**costs)

    assert costs["programmed_after_s"] < 5 * _SLACK
    assert costs["extproc_writes"] <= 12
    assert costs["status_writes"] < 1.5 * (ROUTES + BACKENDS)
    assert crowd.stand.operator.peak_bytes < _MEMORY_BUDGET_BYTES


def test_one_edit_among_a_thousand(crowd: Crowd, tell: Tell) -> None:
    """Costs one ConfigMap write and one status write."""
    edited = {**_route(7)["spec"]["rules"][0], "name": "edited"}
    [changed] = placed(crowd.namespace, [route(edited, name="r7")])

    writes = _counted(crowd.writes_of(lambda: crowd.stand.api.apply(changed)))

    tell(**writes)
    assert (writes["extproc_writes"], writes["envoy_writes"], writes["status_writes"]) == (1, 0, 1)


def test_one_deletion_among_a_thousand(crowd: Crowd, tell: Tell) -> None:
    """Costs one ConfigMap write and no status write."""
    writes = _counted(crowd.writes_of(lambda: crowd.stand.api.delete("LLMRoute", crowd.namespace, "r8")))

    tell(**writes)
    assert (writes["extproc_writes"], writes["envoy_writes"], writes["status_writes"]) == (1, 0, 0)


def test_ready_again_with_a_thousand(crowd: Crowd, tell: Tell) -> None:
    """An operator that starts with a thousand routes there is ready within seconds and writes nothing."""
    operator = crowd.stand.operator
    _until_quiet(operator.asked)
    assert operator.terminate() == 0
    asked, began = len(operator.asked()), time.monotonic()
    operator.start()
    operator.wait_ready()
    ready = time.monotonic()
    until(lambda: operator.leads, "it does not lead")
    _until_quiet(operator.asked)

    tell(ready_after_s=ready - began, peak_MiB=operator.peak_bytes / 2**20)
    assert ready - began < 5 * _SLACK
    assert operator.writes(asked) == []


def test_from_apply_to_first_request(stand: Stand, up: Upstream, few_s: list[float], crowd: Crowd, tell: Tell) -> None:
    """A changed route serves its first request within a second with ten routes, and within two with a thousand."""
    many_s = _latencies(stand, up, ROUTES)

    tell(with_10_p50_s=median(few_s), with_10_p99_s=_p(99, few_s), with_10_max_s=max(few_s))
    tell(with_1000_p50_s=median(many_s), with_1000_p99_s=_p(99, many_s), with_1000_max_s=max(many_s))
    assert median(few_s) < 1
    assert _p(99, few_s) < 1 * _SLACK
    assert median(many_s) < 2
    assert _p(99, many_s) < 2 * _SLACK


def test_no_config_write_waits_for_statuses(stand: Stand, crowd: Crowd, tell: Tell) -> None:
    """While a thousand statuses are to be written, a change is in the ConfigMap within half a second."""
    calm_s, busy_s, written = list[float](), list[float](), 0
    with closing(ConfigMapWrites(stand)) as writes, closing(Flood(stand)) as flood:
        for _ in range(_FLOODS):
            _until_quiet(stand.operator.asked)
            calm_s += [writes.took_s() for _ in range(5)]
            flood.begin()
            while flood.is_on() and len(busy_s) < _BUSY_CHANGES:
                busy_s.append(writes.took_s())
            written += flood.written
            if len(busy_s) == _BUSY_CHANGES:
                break

    tell(calm_p50_s=median(calm_s), calm_p90_s=_p(90, calm_s), calm_p99_s=_p(99, calm_s), calm_max_s=max(calm_s))
    told = f"in ascending order: {[round(each, 3) for each in sorted(busy_s)]}"
    assert len(busy_s) == _BUSY_CHANGES, f"statuses are written faster than changes can come: {told}"
    tell(busy_p50_s=median(busy_s), busy_p90_s=_p(90, busy_s), busy_p99_s=_p(99, busy_s), busy_max_s=max(busy_s))
    tell(changes=len(busy_s), status_writes=written)
    # What takes long also without any statuses is the machine. Of so few the 99th of a hundred is the longest one of
    # all, and says more of the machine than of us: it is told.
    assert median(busy_s) < max(_WRITE_BUDGET_S / _SLACK, median(calm_s) * _SLACK), told
    assert _p(90, busy_s) < max(_WRITE_BUDGET_S, _p(90, calm_s) * _SLACK), told


def test_no_change_waits_for_statuses(stand: Stand, up: Upstream, crowd: Crowd, tell: Tell) -> None:
    """While a thousand statuses are to be written again and again, a change is served as fast as otherwise."""
    backends = placed(crowd.namespace, [backend(f"b{i}", 9) for i in range(BACKENDS)])
    enough, asked = threading.Event(), len(stand.operator.asked())

    def churn() -> None:
        while not enough.is_set():
            stand.api.delete_all("LLMBackend", crowd.namespace)
            enough.wait(2)
            for document in backends:
                stand.api.create(document)
            enough.wait(2)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        took_s = _latencies(stand, up, ROUTES, 20)
    finally:
        enough.set()
        thread.join()

    writes = _counted(stand.operator.writes(asked))
    tell(p50_s=median(took_s), max_s=max(took_s), **writes)
    assert writes["status_writes"] > ROUTES / 4  # a newer pass replaces what is pending
    assert median(took_s) < 2
    assert max(took_s) < 2 * _SLACK


class ConfigMapWrites:
    """How long a change of one route takes from its apply to the ConfigMap."""

    def __init__(self, stand: Stand) -> None:
        self._api = stand.api
        self._namespace = fresh_name("writes")
        self._number = 0
        self._held: list[tuple[float, str]] = []
        make_namespace(stand.api, self._namespace)
        [up] = placed(self._namespace, [backend("up", 9)])
        stand.api.create(up)
        self._source = Source(stand.api, stand.namespace, "ConfigMap", EXTPROC_MAP, self._saw)
        self.took_s()

    def took_s(self) -> float:
        """Seconds from the begin of an apply until a watch tells of the ConfigMap that has it."""
        self._number += 1
        model = f"{self._namespace}-model-{self._number}-"
        [changed] = placed(self._namespace, [route(rule(model, "up"))])
        began = time.monotonic()
        self._api.apply(changed)
        until(lambda: any(model in text for _, text in self._held), f"{model} is not written", 20)
        took = next(at for at, text in self._held if model in text) - began
        self._held.clear()
        time.sleep(0.3)  # well above what ends a row: what follows is another change, and not one of the same row
        return took

    def close(self) -> None:
        self._source.close()
        for kind in ("LLMRoute", "LLMBackend"):
            self._api.delete_all(kind, self._namespace)

    def _saw(self, found: Object) -> None:
        self._held.append((time.monotonic(), found["data"]["config.yaml"]))


class Flood:
    """The statuses of all there is, which are to be written at once: no pod is ready any more, or they are again."""

    def __init__(self, stand: Stand) -> None:
        self._stand, self._operator = stand, stand.operator
        self._asked = 0

    def begin(self) -> None:
        """Returns when the first of them are written."""
        self._asked = len(self._operator.asked())
        gone = not self._operator.metric('llmroute_controller_extproc_replicas{state="ready"}')
        _set_ready(self._stand, ready=gone)
        until(lambda: self.written > 20, "no status says that pods went or came", 30)

    @property
    def written(self) -> int:
        """How many of them are."""
        return _count(self._operator.writes(self._asked))

    def is_on(self) -> bool:
        """Whether there is much left of it."""
        return self.written < 0.9 * (ROUTES + BACKENDS)

    def close(self) -> None:
        """All pods are ready, and every status says so."""
        _set_ready(self._stand, ready=True)
        _until_quiet(self._operator.asked)


def _set_ready(stand: Stand, *, ready: bool) -> None:
    for pod in stand.data.pods:
        stand.kubelet.set_pod(pod.name, pod.address, ready=ready)


def _latencies(stand: Stand, up: Upstream, present: int, changes: int = CHANGES) -> list[float]:
    """Seconds from the begin of an apply to the begin of the first request that is answered by it, change by change."""
    namespace = fresh_name(f"latency-{present}")
    make_namespace(stand.api, namespace)
    model = f"{namespace}-m"
    others = [route(rule(f"{namespace}-{i}", "up"), name=f"other{i}") for i in range(9 if present == 10 else 0)]
    for document in placed(namespace, [backend("up", up.port), *others]):
        stand.api.create(document)
    took = []
    for number in range(changes + 1):
        ref = {"name": "up", "modelNameOverride": f"change-{number}"}
        [changed] = placed(namespace, [route(rule(model, ref))])
        began = time.monotonic()
        stand.api.apply(changed)
        took.append(_first_answered(stand, model, f"up:change-{number}") - began)
        time.sleep(0.1)
    for kind in ("LLMRoute", "LLMBackend"):
        stand.api.delete_all(kind, namespace)
    return took[1:]  # the first one created everything


def _first_answered(stand: Stand, model: str, text: str) -> float:
    limit = time.monotonic() + 20
    while (asked := time.monotonic()) < limit:
        answer = stand.ask(model)
        if answer.status == 200 and answer.text == text:
            return asked
        time.sleep(0.01)
    raise AssertionError(f"{model} is not answered by {text}")


def _route(number: int) -> dict[str, Any]:
    made: Object = route(rule(f"model-{number}", f"b{number % BACKENDS}"), name=f"r{number}")
    return dict(made)


def _counted(writes: Sequence[Request]) -> dict[str, int]:
    counts = Counter(each.name if each.resource == "configmaps" else each.resource for each in writes)
    return {
        "extproc_writes": counts["llmroute-extproc"],
        "envoy_writes": counts["llmroute-envoy"],
        "status_writes": counts["llmroutes/status"] + counts["llmbackends/status"],
        "pod_annotations": counts["pods/status"],
    }


def _count(writes: Sequence[Request]) -> int:
    """Of statuses; to look at the thousand objects again and again would disturb what is measured."""
    return sum(each.resource.endswith("/status") for each in writes)


def _until_quiet(asked: Callable[[], Sequence[Request]]) -> None:
    """Returns once two seconds went by without a write."""
    count, since = -1, time.monotonic()
    while time.monotonic() < since + 2:
        time.sleep(0.2)
        if (now := sum(each.is_write for each in asked())) != count:
            count, since = now, time.monotonic()


def _p(percent: int, values: Sequence[float]) -> float:
    return quantiles(values, n=100, method="inclusive")[percent - 1]
