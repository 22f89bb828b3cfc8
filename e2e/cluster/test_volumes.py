"""The files of extproc and of Envoy reach their pods at different times: under load nobody gets a wrong answer."""

import asyncio
import json
import math
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from e2e.cluster.conftest import fresh_name
from e2e.conftest import Tell
from e2e.support.control_plane import ControlPlane
from e2e.support.kubelet import Volume
from e2e.support.stand import Stand, placed, running_stand
from tests.support.gateway import backend, route, rule
from tests.support.load import Client, Got
from tests.support.plane import chat
from tests.support.upstreams import Upstream

_CHANGES, _CLIENTS = 6, 4
_DELAY_S = 2.0
#: How long after a change an answer may still be of what was before it.
_LATEST_S = 2 * _DELAY_S + 3


@pytest.fixture(scope="module")
def stand(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with running_stand(control_plane, tmp_path_factory.mktemp("stand"), fresh_name("volumes"), pods=2) as stand:
        yield stand


@pytest.mark.parametrize("late", ["extproc", "one of two extproc", "envoy", "all"])
async def test_volumes_that_are_late(stand: Stand, namespace: str, up: Upstream, late: str, tell: Tell) -> None:
    """Backends come and go under load: an answer is of a configuration of its time, or a 503 in dialect."""
    volumes = _late(stand, late)
    applied = [time.monotonic()]
    _apply(stand, namespace, up.port, 0)
    model = f"{namespace}-m"
    await asyncio.to_thread(stand.until_answers, model, 200)
    await asyncio.to_thread(stand.until_all_serve)
    for volume in volumes:
        volume.delay_s = _DELAY_S
    try:
        answers: list[Got] = []
        enough = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for _ in range(_CLIENTS):
                group.create_task(_ask_on(stand.data.envoy.port, model, answers, enough))
            for number in range(1, _CHANGES + 1):
                applied.append(time.monotonic())
                await asyncio.to_thread(_apply, stand, namespace, up.port, number)
                await asyncio.sleep(0.7)
            await asyncio.to_thread(stand.until_answers, model, 200, f"generation-{_CHANGES}", 20)
            await asyncio.sleep(0.3)
            enough.set()
    finally:
        for volume in volumes:
            volume.delay_s = 0.0

    statuses = Counter(got.status for got in answers)
    tell(answers=len(answers), refused_with_503=statuses[503])
    assert [fault for got in answers if (fault := _fault(got, applied))] == []
    # An Envoy that is late by more than the time between changes never knows the backend that is used.
    assert statuses[503] == 0 or late == "envoy"
    assert answers[-1].status == 200


def _apply(stand: Stand, namespace: str, port: int, number: int) -> None:
    """Generation ``number``: a backend that was not there before, and the one before it is gone."""
    name, old = (f"up-{n}" for n in (number, number - 1))
    ref = {"name": name, "modelNameOverride": f"generation-{number}"}
    for document in placed(namespace, [backend(name, port), route(rule(f"{namespace}-m", ref))]):
        stand.api.apply(document)
    stand.api.delete("LLMBackend", namespace, old)


def _late(stand: Stand, late: str) -> list[Volume]:
    extproc = [pod.volume for pod in stand.data.pods]
    envoy = stand.data.envoy_volume
    return {"extproc": extproc, "one of two extproc": extproc[:1], "envoy": [envoy], "all": [*extproc, envoy]}[late]


async def _ask_on(port: int, model: str, answers: list[Got], enough: asyncio.Event) -> None:
    async with Client(port) as client:
        while not enough.is_set():
            answers.append(await client.ask(chat(model)))
            await asyncio.sleep(0.01)


def _fault(got: Got, applied: list[float]) -> str:
    """What is wrong with an answer; empty for a good one."""
    if got.fault:
        return got.fault
    body = json.loads(got.body)
    if got.status == 503:
        return "" if set(body["error"]) == {"message", "type", "param", "code"} else f"a bare 503: {body}"
    if got.status != 200:
        return f"{got.status} {body}"
    text = body["choices"][0]["message"]["content"]
    name, _, number = text.rpartition("-")
    overtaken = [*applied, math.inf][int(number) + 1]
    if name != "up:generation" or applied[int(number)] > got.ended or got.began > overtaken + _LATEST_S:
        return f"wrong: {text}"
    return ""
