"""The version of the configuration while processors of two releases serve: what is written, refused, and answered."""

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from e2e.cluster.conftest import fresh_name
from e2e.conftest import Tell
from e2e.support.api import Object
from e2e.support.control_plane import ControlPlane
from e2e.support.data_plane import EXTPROC_MAP, ExtprocPod
from e2e.support.releases import Fleet, older_release, until_version
from e2e.support.secrets import put_secret, with_key
from e2e.support.stand import Stand, placed, running_stand
from e2e.support.status import conditions, until_object, until_says
from extproc.config.names import OLDEST_VERSION, VERSION
from tests.support.gateway import backend, route, rule
from tests.support.load import short_requests
from tests.support.plane import chat
from tests.support.upstreams import Upstream
from tests.support.waiting import until

GOOD = {"Accepted": "True", "ResolvedRefs": "True", "Programmed": "True", "Serving": "True"}
_CLIENTS = 3


@pytest.fixture
def stand(control_plane: ControlPlane, tmp_path: Path) -> Iterator[Stand]:
    """Without a processor, with room for three."""
    with running_stand(control_plane, tmp_path, fresh_name("versions"), pods=0, spare=3) as stand:
        yield stand


@pytest.fixture
def fleet(stand: Stand) -> Iterator[Fleet]:
    fleet = Fleet(stand)
    yield fleet
    fleet.close()


@pytest.fixture(autouse=True)
def _forget(up: Upstream) -> None:
    up.forget()


def apply(stand: Stand, namespace: str, port: int) -> tuple[str, str, str]:
    """Models of a backend that both releases can serve, of one with a key, and of a route that asks who calls."""
    plain, keyed, guarded = (f"{namespace}-{name}" for name in ("plain", "keyed", "guarded"))
    put_secret(stand.api, namespace, "keys", apiKey="sk-ours")
    put_secret(stand.api, namespace, "callers", alice="sk-alice-0123456789")
    guard = {"apiKeys": {"secretRef": {"name": "callers"}}}
    documents = [
        route(rule(plain, "plain"), rule(keyed, "keyed")),
        route(rule(guarded, "plain"), name="guarded", clientAuth=guard),
        backend("plain", port),
    ]
    for document in [*placed(namespace, documents), with_key(namespace, "keyed", port, "keys")]:
        stand.api.apply(document)
    return plain, keyed, guarded


def until_too_old(stand: Stand, namespace: str) -> None:
    """Returns when both that need the newer version say what they wait for."""
    for kind, name in (("LLMBackend", "keyed"), ("LLMRoute", "guarded")):
        until_object(stand.api, kind, namespace, name, _is_too_much)


def edit(stand: Stand, namespace: str, port: int, name: str) -> None:
    """Something changes, and every ready processor is asked for it; returns when all have it."""
    for document in placed(namespace, [route(rule(f"{namespace}-{name}", name), name=name), backend(name, port)]):
        stand.api.apply(document)
    until_says(stand.api, "LLMRoute", namespace, name, {"Serving": "True"}, 20)


async def test_an_upgrade(stand: Stand, fleet: Fleet, namespace: str, up: Upstream, tmp_path: Path, tell: Tell) -> None:
    """One old pod keeps the old version, and with it what needs the new one waits; no request fails on the way."""
    old = fleet.start("old", older_release(tmp_path / "release", says_so=False))
    await asyncio.to_thread(fleet.admit, old)
    plain, keyed, guarded = apply(stand, namespace, up.port)
    await asyncio.to_thread(until_too_old, stand, namespace)
    await asyncio.to_thread(stand.until_answers, plain, 200)
    assert stand.config()["version"] == OLDEST_VERSION

    async with short_requests(stand.data.envoy.port, [chat(plain)], _CLIENTS, 0.01) as tally:
        new = fleet.start("new")
        await asyncio.to_thread(fleet.admit, new)
        await asyncio.to_thread(edit, stand, namespace, up.port, "meanwhile")
        assert stand.config()["version"] == OLDEST_VERSION
        assert {stand.ask(model).status for model in (keyed, guarded) for _ in range(4)} == {503}
        await asyncio.to_thread(until_too_old, stand, namespace)

        going = asyncio.create_task(asyncio.to_thread(fleet.end, old))
        began = time.monotonic()
        await asyncio.to_thread(until_version, stand, VERSION)
        written_s = time.monotonic() - began
        await asyncio.to_thread(stand.until_answers, keyed, 200)
        await asyncio.to_thread(stand.until_answers, guarded, 401)
        answered_s = time.monotonic() - began
        await going
        await asyncio.to_thread(until_says, stand.api, "LLMBackend", namespace, "keyed", GOOD)
        await asyncio.to_thread(until_says, stand.api, "LLMRoute", namespace, "guarded", GOOD)

    tell(requests=tally.done, newer_version_after_s=written_s, answered_after_s=answered_s)
    assert (tally.failures, tally.done > 0) == ([], True)
    assert {got.header("authorization") for got in up.received if got.json["model"] == keyed} == {"Bearer sk-ours"}
    assert [got for got in up.received if got.json["model"] == guarded] == []


async def test_a_rollback_stops_at_its_first_pod(
    stand: Stand, fleet: Fleet, namespace: str, up: Upstream, tmp_path: Path, tell: Tell
) -> None:
    """It takes nothing from those that serve, and comes about once none of them is left."""
    release = older_release(tmp_path / "release")
    new = fleet.start("new")
    await asyncio.to_thread(fleet.admit, new)
    plain, keyed, _ = apply(stand, namespace, up.port)
    await asyncio.to_thread(stand.until_answers, keyed, 200)

    async with short_requests(stand.data.envoy.port, [chat(plain), chat(keyed)], _CLIENTS, 0.01) as tally:
        old = fleet.start("old", release)
        await asyncio.to_thread(until, lambda: _refusal(old), "it says nothing of what it cannot read", 30)
        for name in ("first", "second"):
            await asyncio.to_thread(edit, stand, namespace, up.port, name)
        assert (stand.config()["version"], old.revision) == (VERSION, None)
        assert "upgrade extproc first" in _refusal(old)
    assert (tally.failures, tally.done > 0) == ([], True)

    await asyncio.to_thread(fleet.end, new)
    gone = time.monotonic()
    await asyncio.to_thread(until_version, stand, OLDEST_VERSION)
    tell(requests=tally.done, older_version_after_s=time.monotonic() - gone)
    await asyncio.to_thread(fleet.admit, old)
    await asyncio.to_thread(until_too_old, stand, namespace)
    await asyncio.to_thread(stand.until_answers, plain, 200)
    assert stand.ask(keyed).status == 503


def admitted_both(fleet: Fleet, folder: Path) -> tuple[ExtprocPod, ExtprocPod]:
    """A pod of the older release and one of this, which both get traffic."""
    old, new = fleet.start("old", older_release(folder / "release")), fleet.start("new")
    fleet.admit(old)
    fleet.admit(new)
    return old, new


def test_silence_is_no_answer(stand: Stand, fleet: Fleet, namespace: str, up: Upstream, tmp_path: Path) -> None:
    """An old pod that hangs still counts, as what it serves goes on being served."""
    old, _ = admitted_both(fleet, tmp_path)
    plain, keyed, _ = apply(stand, namespace, up.port)
    until_too_old(stand, namespace)
    stand.until_settled()
    stand.until_answers(plain, 200)

    with _hung(old):
        until_object(stand.api, "LLMBackend", namespace, "plain", _is_silent, 30)
        assert stand.config()["version"] == OLDEST_VERSION
        assert {stand.ask(plain).status for _ in range(4)} == {200}
        assert {stand.ask(keyed).status for _ in range(4)} == {503}
    until_says(stand.api, "LLMBackend", namespace, "plain", GOOD)


def test_an_operator_that_can_ask_nobody_goes_by_what_is_written(
    stand: Stand, fleet: Fleet, namespace: str, up: Upstream, tmp_path: Path
) -> None:
    """It starts anew while no page answers, and says so; the version stays, and changes go on being served in it."""
    old, new = admitted_both(fleet, tmp_path)
    plain, keyed, _ = apply(stand, namespace, up.port)
    until_too_old(stand, namespace)
    stand.until_settled()
    before = stand.api.get("ConfigMap", stand.namespace, EXTPROC_MAP)

    assert stand.operator.terminate() == 0
    with _hung(old, new):
        stand.operator.start()
        stand.operator.wait_ready()
        stand.operator.until_said("no extproc pod can be asked on port", 40)
        assert stand.api.get("ConfigMap", stand.namespace, EXTPROC_MAP) == before
        [change] = placed(namespace, [route(rule(f"{plain}-2", "plain"), name="more")])
        stand.api.apply(change)
        stand.until_answers(f"{plain}-2", 200)
        assert (stand.config()["version"], stand.ask(keyed).status) == (OLDEST_VERSION, 503)
    until(lambda: stand.operator.metric("llmroute_controller_config_version") == OLDEST_VERSION, "nothing is agreed")
    assert stand.config()["version"] == OLDEST_VERSION


@contextmanager
def _hung(*pods: ExtprocPod) -> Iterator[None]:
    """Their pages do not answer; their workers do."""
    for pod in pods:
        pod.process.send(signal.SIGSTOP)
    try:
        yield
    finally:
        for pod in pods:
            pod.process.send(signal.SIGCONT)


def _is_silent(found: Object) -> bool:
    return conditions(found).get("Serving", {}).get("reason") == "ReplicaSilent"


def _is_too_much(found: Object) -> bool:
    return conditions(found).get("ResolvedRefs", {}).get("reason") == "ProcessorTooOld"


def _refusal(pod: ExtprocPod) -> str:
    """Why it does not serve what is written; empty while it cannot be asked."""
    try:
        error = pod.config()["lastError"]
    except OSError:
        return ""
    return "" if error is None else str(error["message"])
