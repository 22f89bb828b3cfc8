"""A gateway as a whole: real extproc, real Envoy."""

import asyncio
import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from controller.standalone.envoy import EnvoyMissing, EnvoyRefused, find_envoy
from controller.standalone.faults import CannotListen, NotReady, Unwritable
from controller.standalone.gateway import running_gateway as open_translation
from controller.standalone.processes import ChildFailed
from tests.support.gateway import (
    TEST_OPTIONS,
    Document,
    RunningGateway,
    backend,
    open_gateway,
    route,
    rule,
    running_gateway,
    translation_of,
)
from tests.support.upstreams import Reply, Upstream, json_reply, running_upstream, sse_reply
from tests.support.waiting import eventually, is_alive, until

pytestmark = pytest.mark.envoy

DONE = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [], "usage": None}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with running_upstream(json_reply(DONE)) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def gateway(upstream: Upstream) -> Iterator[RunningGateway]:
    with running_gateway(served(upstream, "a"), replace(TEST_OPTIONS, workers=2)) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def client() -> Iterator[httpx2.Client]:
    with httpx2.Client(timeout=10) as client:
        yield client


@pytest.fixture(autouse=True)
def plain_answers(upstream: Upstream) -> None:
    upstream.answer(json_reply(DONE))
    upstream.forget()


def served(upstream: Upstream, *names: str) -> Sequence[Document]:
    return [route(*(rule(name, name) for name in names)), *(backend(name, upstream.port) for name in names)]


def ask(client: httpx2.Client, gateway: RunningGateway, model: str, **fields: Any) -> httpx2.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "x"}], **fields}
    return client.post(f"{gateway.base_url}/v1/chat/completions", json=body)


def is_served(client: httpx2.Client, gateway: RunningGateway, model: str) -> None:
    response = ask(client, gateway, model)

    assert response.status_code == 200, f"{response.text} {gateway.records.errors()[-5:]}"


def clusters(client: httpx2.Client, gateway: RunningGateway) -> set[str]:
    lines = client.get(f"{gateway.envoy_admin_url}/clusters").text.splitlines()
    return {line.split("::")[0].partition("@")[0] for line in lines} - {"llmroute-extproc"}


def test_requests_are_answered_as_soon_as_the_gateway_is_up(client: httpx2.Client, upstream: Upstream) -> None:
    """The very first request is served, and nothing but requests of clients is in the access log."""
    with running_gateway(served(upstream, "a"), replace(TEST_OPTIONS, path_prefix="/llm")) as gateway:
        statuses = [ask(client, gateway, "a").status_code for _ in range(3)]
        until(lambda: len(gateway.records.access()) >= 3)

        assert gateway.base_url.endswith("/llm")
        assert statuses == [200, 200, 200]
        assert [line["backend"] for line in gateway.records.access()] == ["default/a"] * 3


def test_a_change_is_served_when_apply_returns(
    client: httpx2.Client, upstream: Upstream, gateway: RunningGateway
) -> None:
    """A new model works at once and a removed one is gone; Envoy keeps the removed cluster only for a while."""
    gateway.reload(served(upstream, "a"))
    changed = gateway.reload(served(upstream, "b"))
    both = clusters(client, gateway)

    assert changed
    is_served(client, gateway, "b")
    assert ask(client, gateway, "a").status_code == 404
    assert both >= {"default/a", "default/b"}
    until(lambda: clusters(client, gateway) == {"default/b"})
    is_served(client, gateway, "b")


def test_the_same_documents_change_nothing(upstream: Upstream, gateway: RunningGateway) -> None:
    """Equal configuration is not written again, and keeps its revision."""
    gateway.reload(served(upstream, "a"))
    revision = gateway.open.config()["revision"]

    assert not gateway.reload(served(upstream, "a"))
    assert gateway.open.config()["revision"] == revision


def test_reloads_under_load_fail_no_request(client: httpx2.Client, upstream: Upstream, gateway: RunningGateway) -> None:
    """While backends come and go, requests to one that stays are answered every time."""
    gateway.reload(served(upstream, "stays"))
    statuses: list[int] = []
    stop = threading.Event()

    def load() -> None:
        with httpx2.Client(timeout=10) as own:
            while not stop.is_set():
                statuses.append(ask(own, gateway, "stays").status_code)

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    for i in range(8):
        gateway.reload(served(upstream, "stays", f"m{i}"))
        is_served(client, gateway, f"m{i}")
    stop.set()
    for thread in threads:
        thread.join()

    assert len(statuses) > 20
    assert set(statuses) == {200}


def test_what_envoy_refuses_is_taken_back(client: httpx2.Client, upstream: Upstream, gateway: RunningGateway) -> None:
    """A file that Envoy does not take is an error, and the configuration before it is served on."""
    gateway.reload(served(upstream, "a"))
    good = translation_of(served(upstream, "a", "b"))
    cds = {"version_info": "bad", "resources": [{**good.envoy.cds["resources"][0], "misspelt": 1}]}

    with pytest.raises(EnvoyRefused, match="CDS"):
        gateway.run(gateway.open.gateway.apply(replace(good, envoy=replace(good.envoy, cds=cds))))
    is_served(client, gateway, "a")
    assert any("misspelt" in line for line in gateway.records.errors())
    assert gateway.reload(served(upstream, "a", "b"))
    is_served(client, gateway, "b")


async def test_a_first_configuration_that_envoy_refuses_is_no_start(upstream: Upstream) -> None:
    """Envoy gets ready without what it refused; the gateway does not."""
    good = translation_of(served(upstream, "a"))
    cds = {**good.envoy.cds, "resources": [{**good.envoy.cds["resources"][0], "misspelt": 1}]}
    bad = replace(good, envoy=replace(good.envoy, cds=cds))
    options = replace(TEST_OPTIONS, log_level="error")

    with pytest.raises(EnvoyRefused, match="CDS"):
        async with open_translation(options, bad, print):
            pass


def test_a_change_while_envoy_is_stuck_is_not_ready(
    client: httpx2.Client, upstream: Upstream, gateway: RunningGateway
) -> None:
    """An Envoy that does not answer is an error, not a crash; when it is back the same change is taken."""
    gateway.reload(served(upstream, "a"))
    pid = gateway.open.envoy_pid
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(NotReady, match="Envoy does not answer"):
            gateway.run(gateway.open.gateway.apply(translation_of(served(upstream, "late"))))
    finally:
        os.kill(pid, signal.SIGCONT)

    is_served(client, gateway, "a")
    assert gateway.reload(served(upstream, "late"))
    is_served(client, gateway, "late")


def test_a_change_that_extproc_does_not_take_is_taken_back(
    client: httpx2.Client, upstream: Upstream, gateway: RunningGateway
) -> None:
    """With extproc stuck the change fails; when it is back it serves what it served, and then the same change."""
    gateway.reload(served(upstream, "a"))
    pids = [gateway.open.extproc_pid, *gateway.open.worker_pids()]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(NotReady, match="extproc did not load"):
            gateway.run(gateway.open.gateway.apply(translation_of(served(upstream, "later"))))
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    gateway.wait()
    until(lambda: clusters(client, gateway) == {"default/a"})

    is_served(client, gateway, "a")
    assert gateway.reload(served(upstream, "later"))
    is_served(client, gateway, "later")


def test_a_backend_may_be_called_like_a_number_of_envoy(
    client: httpx2.Client, gateway: RunningGateway, upstream: Upstream
) -> None:
    """Failed look-ups of a backend named openai.cds.corp are no refusal of a file."""
    name = "openai.cds.corp"
    lost = backend(name, 80, endpoint={"hostname": "nowhere.invalid", "port": 80})
    gateway.reload([*served(upstream, "a"), route(rule(name, name), name="lost"), lost])
    gateway.reload(served(upstream, "b"))

    is_served(client, gateway, "b")


@pytest.mark.parametrize("which", ["Envoy", "extproc"])
def test_a_killed_process_comes_back(
    client: httpx2.Client, upstream: Upstream, gateway: RunningGateway, which: str
) -> None:
    """After kill -9 the process is started again on the same ports, with the configuration of the moment."""
    gateway.reload(served(upstream, f"after-{which.lower()}"))
    child = {"Envoy": gateway.open.gateway.envoy, "extproc": gateway.open.gateway.extproc}[which]
    pid = child.pid or 0
    os.kill(pid, signal.SIGKILL)

    until(lambda: child.pid not in (None, pid))
    gateway.wait()

    is_served(client, gateway, f"after-{which.lower()}")
    assert f"{which} was killed by SIGKILL; starting it again in 0.1 s" in gateway.open.reports


async def test_open_requests_end_before_the_processes_do(upstream: Upstream) -> None:
    """A stop refuses new connections and waits for the stream that is under way, which ends as if nothing were."""
    upstream.answer(sse_reply([{"choices": [], "n": i} for i in range(3)], gated=True))
    async with contextlib.AsyncExitStack() as stack:
        options = replace(TEST_OPTIONS, drain_s=10)
        opened = await stack.enter_async_context(open_gateway(served(upstream, "a"), options))
        envoy, extproc = opened.envoy_pid, opened.extproc_pid
        client = await stack.enter_async_context(httpx2.AsyncClient(timeout=10))
        body = {"model": "a", "stream": True, "messages": [{"role": "user", "content": "x"}]}
        response = asyncio.create_task(client.post(f"{opened.base_url}/v1/chat/completions", json=body))
        upstream.release()
        await eventually(lambda: upstream.sent)
        stopping = asyncio.create_task(opened.gateway.stop(10))
        await eventually(lambda: "waiting up to 10 s for 1 open request" in opened.reports)
        with pytest.raises(httpx2.ConnectError):
            async with httpx2.AsyncClient() as late:
                await late.get(opened.base_url)
        assert not stopping.done()
        upstream.release(3)
        answer = await response
        await stopping

        assert answer.status_code == 200
        assert answer.text.endswith("data: [DONE]\n\n")
        assert not is_alive(envoy)
        assert not is_alive(extproc)


async def test_a_hurried_stop_does_not_wait(upstream: Upstream) -> None:
    """``hurry`` ends the waiting for open requests."""
    upstream.answer(Reply((b"{}",), headers={"content-type": "application/json"}, gated=True))
    async with open_gateway(served(upstream, "a")) as opened, httpx2.AsyncClient(timeout=10) as client:
        body = {"model": "a", "messages": [{"role": "user", "content": "x"}]}
        request = asyncio.create_task(client.post(f"{opened.base_url}/v1/chat/completions", json=body))
        await eventually(lambda: upstream.received)
        stopping = asyncio.create_task(opened.gateway.stop(60))
        await eventually(lambda: opened.reports)
        opened.gateway.hurry()
        async with asyncio.timeout(10):
            await stopping
        with pytest.raises(httpx2.TransportError):
            await request


async def test_a_port_in_use_is_refused_before_anything_starts() -> None:
    """A taken port names its flag."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = replace(TEST_OPTIONS, port=taken.getsockname()[1])
        with pytest.raises(CannotListen, match=r"taken by another program; choose one with --port"):
            async with open_gateway([], options):
                pass


async def test_an_access_log_that_cannot_be_written_is_refused_before_anything_starts() -> None:
    """A path in a folder that is not there names its flag."""
    with pytest.raises(Unwritable, match="--access-log /nonexistent/x: No such file or directory"):
        async with open_translation(replace(TEST_OPTIONS, access_log="/nonexistent/x"), translation_of([]), print):
            pass


async def test_a_process_that_cannot_start_ends_it_all() -> None:
    """An Envoy that exits at once is a failure with its exit code, and extproc does not stay behind."""
    reports: list[int] = []
    with pytest.raises(ChildFailed, match="Envoy exited with code 1 before it was ready") as failed:
        async with open_gateway([], replace(TEST_OPTIONS, envoy="/bin/false")) as opened:
            reports.append(opened.extproc_pid)

    assert failed.value.exit_code == 1
    assert reports == []


def test_an_envoy_that_is_not_there_is_named() -> None:
    """``--envoy`` must be a file; without it the package's binary is found."""
    with pytest.raises(EnvoyMissing, match="--envoy /no/envoy: no such file"):
        find_envoy("/no/envoy")
    assert os.access(find_envoy(None), os.X_OK)
