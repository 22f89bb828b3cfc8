"""Two operators and one Lease: who writes, how fast the other takes over, and that they never both do."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import Tell
from e2e.support.accounts import grant, withdraw
from e2e.support.api import Object
from e2e.support.audit import Request
from e2e.support.changes import changing
from e2e.support.control_plane import ControlPlane
from e2e.support.operators import ACCOUNT, Operator, running_operator
from e2e.support.stand import placed
from e2e.support.tcp_proxy import Wire, running_wire
from tests.support.gateway import backend
from tests.support.waiting import until

_OTHER = f"{ACCOUNT}-b"


@dataclass
class Pair:
    """The first leads. ``wire`` is its way to the API server. They have accounts of their own, to be told apart."""

    plane: ControlPlane
    namespace: str
    leader: Operator
    standby: Operator
    wire: Wire

    def writes(self, since: int = 0) -> list[Request]:
        """Of both, in order."""
        asked = self.plane.requests(self.leader.account, self.standby.account)
        return [each for each in asked[since:] if each.is_write]

    def asked(self) -> int:
        return len(self.plane.requests(self.leader.account, self.standby.account))


@pytest.fixture
def pair(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> Iterator[Pair]:
    with ExitStack() as stack:
        api = control_plane.admin
        granted = grant(api, "cluster-wide.yaml", {"llmroute-system": namespace})
        stack.callback(withdraw, api, granted)
        for made in granted:
            if made["kind"] == "ServiceAccount":
                api.apply(_renamed(made))
            elif "subjects" in made:
                subjects = [*made["subjects"], *({**each, "name": _OTHER} for each in made["subjects"])]
                api.merge(
                    made["kind"], made["metadata"].get("namespace"), made["metadata"]["name"], {"subjects": subjects}
                )
        api.apply(placed(namespace, [backend("up", 9)])[0])
        wire = stack.enter_context(running_wire(control_plane.port))
        first = running_operator(control_plane, tmp_path, f"{namespace}/{ACCOUNT}", name="first", url=wire.url)
        leader = stack.enter_context(first)
        leader.wait_ready()
        until(lambda: leader.leads, "nobody leads")
        standby = stack.enter_context(running_operator(control_plane, tmp_path, f"{namespace}/{_OTHER}", name="second"))
        standby.wait_ready()
        assert not standby.leads
        yield Pair(control_plane, namespace, leader, standby, wire)


def test_a_leader_that_ends_hands_over(pair: Pair, tell: Tell) -> None:
    """After SIGTERM the other one leads within two seconds and writes what changed."""
    with changing(pair.plane.admin, pair.namespace, "up", 0.1):
        until(pair.writes, "nobody writes")
        began = time.monotonic()
        pair.leader.send(signal.SIGTERM)
        took = _until_led(pair.standby, began)
        until(lambda: pair.writes()[-1].account == pair.standby.account, "it does not write")

    tell(failover_s=took)
    assert took < 2
    assert pair.leader.terminate() == 0
    assert _changes_of_hand(pair.writes()) == 1


def test_a_leader_that_is_killed_is_replaced(pair: Pair, tell: Tell) -> None:
    """After SIGKILL the other one leads within twelve seconds."""
    began = time.monotonic()
    pair.leader.kill()
    took = _until_led(pair.standby, began)

    tell(failover_s=took)
    assert took < 12


@pytest.mark.parametrize("how", ["cut off", "without an answer", "stopped"])
def test_never_two_that_write(pair: Pair, how: str, tell: Tell) -> None:
    """A leader that loses the API server, or stands still, writes no more once another one has begun."""
    lose, regain = _LOSSES[how]
    with changing(pair.plane.admin, pair.namespace, "up", 0.1):
        until(lambda: len(pair.writes()) > 3, "nobody writes")
        began = time.monotonic()
        lose(pair)
        both = 0
        while not pair.standby.leads and time.monotonic() < began + 15:
            time.sleep(0.05)
        took = time.monotonic() - began
        if how != "stopped":
            both += pair.leader.leads
        until(lambda: pair.writes()[-1].account == pair.standby.account, "it does not write", 5)
        regain(pair)
        until(lambda: not pair.leader.leads, "two say that they lead", 3)
        time.sleep(3)

    tell(failover_s=took)
    assert took < 13
    assert both == 0
    assert _changes_of_hand(pair.writes()) == 1
    assert pair.leader.page("/readyz")[0] == 200
    pair.leader.demand_running()


_LOSSES: dict[str, tuple[Callable[[Pair], None], Callable[[Pair], None]]] = {
    "cut off": (lambda pair: pair.wire.cut(), lambda pair: pair.wire.mend()),
    "without an answer": (lambda pair: pair.wire.freeze(), lambda pair: pair.wire.mend()),
    "stopped": (lambda pair: pair.leader.freeze(), lambda pair: pair.leader.send(signal.SIGCONT)),
}


def _until_led(operator: Operator, began: float) -> float:
    until(lambda: operator.leads, f"{operator.name} does not lead", 20)
    return time.monotonic() - began


def _changes_of_hand(writes: list[Request]) -> int:
    """How often the writer was another one than before; refused writes are none."""
    writers = [each.account for each in writes if each.status < 300]
    return sum(now != before for before, now in pairwise(writers))


def _renamed(account: Object) -> dict[str, Any]:
    metadata = {"name": _OTHER, "namespace": account["metadata"]["namespace"]}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
