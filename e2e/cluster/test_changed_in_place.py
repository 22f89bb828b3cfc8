"""A backend that is changed in place: no request that was written for one upstream ever reaches the other."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack

import pytest

from e2e.cluster.conftest import fresh_name
from e2e.conftest import Tell
from e2e.support.control_plane import ControlPlane
from e2e.support.stand import Stand, placed, running_provider, running_stand
from tests.support.gateway import backend, route, rule
from tests.support.load import Client, Got
from tests.support.plane import CHAT, chat
from tests.support.upstreams import Upstream

#: What a request in the dialect of each schema asks for, as its path begins.
_PATHS = {"OpenAI": CHAT, "AWSBedrock": "/model/"}
_DELAY_S = 3.0
#: The last of a row of quick edits is followed by a calm one, which every volume gets to see.
_PAUSES_S = (0.7, 0.7, 1.5, _DELAY_S + 1.0)
_CLIENTS = 4


@pytest.fixture(scope="module")
def stand(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with running_stand(control_plane, tmp_path_factory.mktemp("stand"), fresh_name("changed")) as stand:
        yield stand


@pytest.fixture(scope="module")
def upstreams() -> Iterator[Mapping[str, Upstream]]:
    """One for each schema; it says in its answers which one it is, and takes whatever it gets."""
    with ExitStack() as stack:
        yield {schema: stack.enter_context(running_provider(schema)) for schema in _PATHS}


@pytest.mark.parametrize("late", ["extproc", "envoy"])
async def test_no_request_meets_the_wrong_upstream(
    stand: Stand, namespace: str, upstreams: Mapping[str, Upstream], late: str, tell: Tell
) -> None:
    """Under load, with either volume late: right answers, or a 503 in the client's dialect until Envoy knows."""
    volume = stand.data.pods[0].volume if late == "extproc" else stand.data.envoy_volume
    model = f"{namespace}-m"
    for document in placed(namespace, [route(rule(model, "up"))]):
        stand.api.apply(document)
    _change(stand, namespace, upstreams, "OpenAI")
    await asyncio.to_thread(stand.until_answers, model, 200, "OpenAI:")
    await asyncio.to_thread(stand.until_settled)
    for upstream in upstreams.values():
        upstream.forget()
    volume.delay_s = _DELAY_S
    try:
        answers: list[Got] = []
        enough = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for _ in range(_CLIENTS):
                group.create_task(_ask_on(stand.data.envoy.port, model, answers, enough))
            for number, pause_s in enumerate(_PAUSES_S):
                schema = list(_PATHS)[(number + 1) % 2]
                await asyncio.to_thread(_change, stand, namespace, upstreams, schema)
                await asyncio.sleep(pause_s)
            await asyncio.to_thread(_change, stand, namespace, upstreams, "AWSBedrock")
            await asyncio.to_thread(stand.until_answers, model, 200, "AWSBedrock:", 20)
            await asyncio.sleep(0.5)
            enough.set()
    finally:
        volume.delay_s = 0.0

    paths = {schema: Counter(each.path for each in upstream.received) for schema, upstream in upstreams.items()}
    tell(answers=len(answers), refused_with_503=sum(got.status == 503 for got in answers), received=paths)
    assert [fault for got in answers if (fault := _fault(got))] == []
    for schema, path in _PATHS.items():
        assert paths[schema]
        assert [each for each in paths[schema] if not each.startswith(path)] == []
    # Envoy keeps the old way for as long as the processor uses it.
    assert late == "envoy" or {got.status for got in answers} == {200}


def _change(stand: Stand, namespace: str, upstreams: Mapping[str, Upstream], schema: str) -> None:
    """The one backend is at this schema's upstream now, and speaks its dialect."""
    for document in placed(namespace, [backend("up", upstreams[schema].port, schema)]):
        stand.api.apply(document)


async def _ask_on(port: int, model: str, answers: list[Got], enough: asyncio.Event) -> None:
    async with Client(port) as client:
        while not enough.is_set():
            answers.append(await client.ask(chat(model)))
            await asyncio.sleep(0.01)


def _fault(got: Got) -> str:
    """What is wrong with an answer; empty for a good one."""
    if got.fault:
        return got.fault
    body = json.loads(got.body)
    if got.status == 503:
        return "" if set(body["error"]) == {"message", "type", "param", "code"} else f"a bare 503: {body}"
    return "" if got.status == 200 else f"{got.status} {body}"
