"""Whoever answers a request, and whenever, says it in the dialect that the client speaks and not in the upstream's."""

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from controller.standalone.probes import free_port
from tests.support.gateway import backend, route, rule
from tests.support.plane import CHAT, Answer, Plane, chat, running_plane
from tests.support.upstreams import Reply

pytestmark = [pytest.mark.envoy, pytest.mark.xdist_group("hosts")]

MESSAGES = "/v1/messages"
#: The path that a client asks for, which says whose dialect it speaks, and the backends' models.
PATHS = (CHAT, f"/openai{CHAT}", MESSAGES, f"/anthropic{MESSAGES}")
MODELS = ("plain", "claude", "bedrock")
each_path = pytest.mark.parametrize("path", PATHS)
each_model = pytest.mark.parametrize("model", MODELS)


@pytest.fixture(scope="module")
def running() -> Iterator[Plane]:
    with running_plane(plain="250ms", bedrock="250ms") as plane:
        more = [
            backend("claude", plane.upstream.port, "Anthropic"),
            backend("dead", free_port()),
            backend("dead-claude", free_port(), "Anthropic"),
            route(
                rule("claude", "claude", timeouts={"request": "250ms"}),
                rule("dead", "dead"),
                rule("dead-claude", "dead-claude"),
                name="more",
            ),
        ]
        plane.gateway.reload([*plane.documents, *more])
        yield plane


@pytest.fixture
def plane(running: Plane) -> Iterator[Plane]:
    running.upstream.forget()
    yield running
    running.demand_clean()


def told(answer: Answer, path: str) -> tuple[str, str]:
    """The type and message of an error, which must be whole, in the dialect of the path, and found by either SDK."""
    answer.demand_length()
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["request-id"] == answer.headers["x-request-id"] == answer.request_id
    error: dict[str, Any] = answer.json["error"]
    if path.endswith(MESSAGES):
        assert answer.json["type"] == "error"
        assert set(error) == {"type", "message"}
    else:
        assert set(answer.json) == {"error"}
        assert set(error) == {"message", "type", "param", "code"}
    return error["type"], error["message"]


@each_path
@pytest.mark.parametrize("model", ["dead", "dead-claude"])
def test_an_upstream_that_is_not_there(plane: Plane, path: str, model: str) -> None:
    """Nobody listens, Envoy has tried thrice, and neither SDK is to try thrice what is tried thrice already."""
    answer = plane.send(chat(model, max_tokens=9), path=path)
    kind, message = told(answer, path)

    assert kind == ("overloaded_error" if path.endswith(MESSAGES) else "service_unavailable_error")
    assert f"default/{model}" in message
    assert answer.status == (529 if path.endswith(MESSAGES) else 503)
    assert answer.headers["x-should-retry"] == "false"
    assert "retry-after" not in answer.headers


@each_path
@each_model
def test_an_answer_that_breaks_off_while_it_is_held(plane: Plane, path: str, model: str) -> None:
    """The headers have come but wait for the body: Envoy's own reply then speaks the client's dialect."""
    part = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{"
    plane.upstream.answer(Reply(exact=(part,)))
    answer = plane.send(chat(model, max_tokens=9), path=path)
    kind, message = told(answer, path)

    assert (answer.status, kind) == (502, "api_error" if path.endswith(MESSAGES) else "server_error")
    assert "broke off" in message


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
@each_model
def test_an_answer_that_does_not_end_in_time(plane: Plane, path: str, model: str) -> None:
    """The rule's time passes while the answer is held."""
    part = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{"
    plane.upstream.answer(Reply(exact=(part, b"never"), delay_s=0.4))
    answer = plane.send(chat(model, max_tokens=9), path=path)
    kind, _ = told(answer, path)

    assert (answer.status, kind) == (504, "timeout_error" if path.endswith(MESSAGES) else "server_error")


@each_path
def test_a_request_that_is_wrong(plane: Plane, path: str) -> None:
    """A body that is no JSON, a model that nobody serves, a path that is not there: each in its dialect."""
    for body, status, kinds in (
        (b"{", 400, {"invalid_request_error"}),
        (chat("nobody", max_tokens=9), 404, {"not_found_error", "invalid_request_error"}),
    ):
        answer = plane.send(body, path=path)
        assert (answer.status, told(answer, path)[0] in kinds) == (status, True)
    nowhere = plane.send(b"{}", path=f"{path}/nowhere")
    assert nowhere.status == 404
    assert nowhere.json.get("type") == ("error" if path.endswith(MESSAGES) else None)


def test_the_sdk_does_not_multiply_what_envoy_has_tried(plane: Plane) -> None:
    """With its retries on, anthropic-python asks once for what Envoy has given up on."""
    with (
        anthropic.Anthropic(base_url=plane.gateway.base_url, api_key="k", max_retries=2) as client,
        pytest.raises(anthropic.APIStatusError) as caught,
    ):
        client.messages.create(model="dead", max_tokens=9, messages=[{"role": "user", "content": "hi"}])

    line = plane.logged(caught.value.request_id or "")
    assert (line["attempts"], line["client_dialect"]) == (3, "anthropic")
    assert caught.value.response.request.headers["x-stainless-retry-count"] == "0"
