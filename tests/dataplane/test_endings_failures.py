"""What clients hear when nobody answers: no upstream, a silent one, one that Envoy does not know, no processor."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from controller.standalone.probes import free_port
from extproc.config.loader import content_hash, dump
from tests.support.gateway import backend, route, rule, translation_of
from tests.support.plane import Plane, running_plane
from tests.support.scripted import COMPLETION, CONVERSE_ANSWER
from tests.support.upstreams import json_reply
from tests.support.waiting import until

pytestmark = [pytest.mark.envoy, pytest.mark.xdist_group("endings")]

ANSWERS = {"plain": json_reply(COMPLETION), "bedrock": json_reply(CONVERSE_ANSWER)}


@pytest.fixture(scope="module")
def running() -> Iterator[Plane]:
    port = free_port()
    more = [
        backend("dead", port),
        backend("dead-bedrock", port, "AWSBedrock"),
        route(rule("dead", "dead"), rule("dead-bedrock", "dead-bedrock"), name="dead"),
    ]
    with running_plane(*more, plain="400ms", bedrock="400ms") as plane:
        yield plane


@pytest.fixture
def plane(running: Plane) -> Iterator[Plane]:
    running.upstream.forget()
    yield running
    running.demand_clean()


@pytest.mark.parametrize("model", ["dead", "dead-bedrock"])
def test_an_upstream_that_refuses_connections_is_a_503(plane: Plane, model: str) -> None:
    """Nobody listens: the client is told in its dialect, and that it need not try what was tried thrice."""
    answer = plane.ask(model)

    assert (answer.status, answer.headers["x-should-retry"]) == (503, "false")
    assert "retry-after" not in answer.headers
    assert answer.error["type"] == "service_unavailable_error"
    assert f"default/{model}" in answer.error["message"]
    line = plane.logged(answer)
    assert (line["flags"], line["attempts"]) == ("URX,UF", 3)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("model", ["plain", "bedrock"])
def test_a_silent_upstream_is_a_504(plane: Plane, model: str, *, stream: bool) -> None:
    """The time that a rule allows ends in an error of the client's dialect, however the answer was due."""
    plane.upstream.answer(replace(ANSWERS[model], exact=(b"never",), gated=True))

    answer = plane.ask(model, stream=stream)

    assert (answer.status, answer.error["code"]) == (504, "timeout")
    assert f"default/{model}" in answer.error["message"]
    line = plane.logged(answer)
    assert (line["flags"], line["status"]) == ("UT", 504)
    assert 300 <= line["duration_ms"] < 2000


def test_a_rule_without_a_limit_waits(plane: Plane) -> None:
    """Where no time is set, an answer may take longer than others are allowed."""
    plane.upstream.answer(replace(ANSWERS["plain"], delay_s=0.6))

    answer = plane.ask("plain-h2")

    assert (answer.status, answer.json) == (200, COMPLETION)


@pytest.mark.parametrize(
    ("said", "status", "kind"),
    [
        (b"", 503, "service_unavailable_error"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", 502, "server_error"),
        (b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{", 502, "server_error"),
    ],
    ids=["nothing", "no HTTP", "a part"],
)
@pytest.mark.parametrize("model", ["plain", "bedrock"])
def test_an_upstream_that_hangs_up_is_an_error_in_dialect(
    plane: Plane, model: str, said: bytes, status: int, kind: str
) -> None:
    """Whatever it said before, the client gets an error object, and the request, maybe paid for, is not repeated."""
    plane.upstream.answer(replace(ANSWERS[model], exact=(said,)))

    answer = plane.ask(model)

    assert (answer.status, answer.error["type"]) == (status, kind)
    assert len(plane.upstream.received) == 1


def test_a_backend_that_envoy_does_not_know_yet_is_a_503(plane: Plane) -> None:
    """While the processor is ahead of Envoy, clients are asked to come again at once."""
    new = [backend("new", plane.upstream.port), route(rule("new", "new"), name="new")]
    gateway = plane.gateway.open.gateway
    before = gateway.workspace.config.read_bytes()
    ahead = dump(translation_of([*plane.documents, *new]).config)
    try:
        tell_the_processor(plane, ahead)
        answer = plane.ask("new")
    finally:
        tell_the_processor(plane, before)

    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert answer.error["type"] == "service_unavailable_error"
    assert "not known to the proxy yet" in answer.error["message"]
    assert plane.logged(answer)["details"] == "route_not_found"
    assert plane.upstream.received == []


def tell_the_processor(plane: Plane, config: bytes) -> None:
    """Write its file alone, and wait until it works by it."""
    workspace = plane.gateway.open.gateway.workspace
    workspace.write_bytes(workspace.config, config)
    wanted = content_hash(config)
    until(lambda: all(worker["hash"] == wanted for worker in plane.gateway.open.config()["workers"]), "no reload")


def test_without_a_processor_every_request_is_a_503(plane: Plane) -> None:
    """Envoy answers for a processor that is gone: JSON, in dialect, with retry-after; and serves when it is back."""
    processor = plane.gateway.open.gateway.extproc
    plane.gateway.run(processor.stop(0.0))
    try:
        answers = [plane.ask("plain"), plane.ask("bedrock", stream=True), plane.send(None, path="/x", method="GET")]
    finally:
        plane.gateway.run(processor.start())
    plane.upstream.answer(ANSWERS["plain"])
    until(lambda: plane.ask("plain").status == 200, "it does not serve again")

    for answer in answers:
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert answer.error["code"] == "processor_unavailable"
