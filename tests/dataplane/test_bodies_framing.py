"""Bodies in every framing: what arrives whole leaves whole, with the right length wherever one is due."""

import json
from dataclasses import replace

import pytest

from tests.support.plane import PASSTHROUGH, TRANSLATED, Plane, chat
from tests.support.scripted import COMPLETION, CONVERSE_ANSWER
from tests.support.upstreams import Reply, json_reply
from tests.support.vendor_answers import USAGE

pytestmark = [pytest.mark.envoy, pytest.mark.xdist_group("plane")]

MODELS = (*PASSTHROUGH, *TRANSLATED)


def whole(model: str) -> Reply:
    """A whole answer in the dialect of the model's backend, in two parts."""
    [body] = json_reply(COMPLETION if model in PASSTHROUGH else CONVERSE_ANSWER).parts
    return Reply((body[:20], body[20:]), headers={"content-type": "application/json"})


def http10(reply: Reply) -> Reply:
    """The same as an old server sends it: without a length, up to the end of the connection."""
    head = b"HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n"
    return Reply(exact=(head, *reply.parts))


FRAMINGS = {
    "length": lambda reply: reply,
    "chunked": lambda reply: replace(reply, framing="chunked"),
    "chunked with trailers": lambda reply: replace(reply, framing="chunked", trailers={"x-cost": "1"}),
    "close": lambda reply: replace(reply, framing="close"),
    "HTTP/1.0": http10,
}


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_json_answer_passes_in_every_framing(plane: Plane, framing: str) -> None:
    """A passed answer keeps its bytes, and its length when it had one; the usage is counted."""
    plane.upstream.answer(FRAMINGS[framing](whole("plain")))

    answer = plane.ask("plain")

    assert (answer.status, answer.json, answer.whole) == (200, COMPLETION, True)
    assert answer.headers["content-type"] == "application/json"
    if framing == "length":
        answer.demand_length()
    assert plane.usage(answer) == USAGE


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_translated_answer_has_its_length_in_every_framing(plane: Plane, framing: str) -> None:
    """A rewritten answer says its new length, however the upstream framed the old one."""
    plane.upstream.answer(FRAMINGS[framing](whole("bedrock")))

    answer = plane.ask("bedrock")

    assert answer.status == 200
    assert answer.json["choices"][0]["message"]["content"] == "hello"
    answer.demand_length()
    assert plane.usage(answer) == USAGE


@pytest.mark.parametrize("trailers", [{}, {"x-cost": "1"}], ids=["bare", "trailers"])
@pytest.mark.parametrize("length", [True, False], ids=["length", "no length"])
@pytest.mark.parametrize("model", ["plain-h2", "bedrock-h2"])
def test_an_http2_upstream_is_read_to_its_end(
    plane: Plane, model: str, *, length: bool, trailers: dict[str, str]
) -> None:
    """Trailers after a body, which then never says that it ends, cost neither the answer nor the usage."""
    reply = replace(whole(model), trailers=trailers)
    if length:
        size = sum(map(len, reply.parts))
        reply = replace(reply, headers={**reply.headers, "content-length": str(size)})
    plane.upstream.answer(reply)

    answer = plane.ask(model)

    assert (answer.status, answer.whole) == (200, True)
    assert answer.json["choices"][0]["message"]["content"] == "hello"
    if model in TRANSLATED or length:
        answer.demand_length()
    assert plane.usage(answer) == USAGE
    assert plane.upstream.received[0].protocol == "HTTP/2"


@pytest.mark.parametrize("model", MODELS)
def test_the_next_request_on_the_same_upstream_connection_is_sound(plane: Plane, model: str) -> None:
    """Edited, translated and untouched requests one after another leave a kept connection in step."""
    plane.upstream.answer(whole(model))

    statuses = [plane.ask(model, user=name).status for name in ("a", "ä" * 300, "c")]

    assert statuses == [200, 200, 200]
    lengths = [request.header("content-length") for request in plane.upstream.received]
    assert lengths == [str(len(request.body)) for request in plane.upstream.received]
    assert all(request.header("transfer-encoding") is None for request in plane.upstream.received)
    assert len({request.connection for request in plane.upstream.received}) == 1


@pytest.mark.parametrize("model", [*PASSTHROUGH, *TRANSLATED])
@pytest.mark.parametrize("status", [204, 304, 200])
def test_an_answer_without_a_body_is_an_upstream_error(plane: Plane, model: str, status: int) -> None:
    """No body where an answer is due is a 502 that says so, not an empty success."""
    plane.upstream.answer(Reply((), status))

    answer = plane.ask(model)

    assert answer.status == 502
    assert answer.error["type"] == "server_error"
    assert str(status) in answer.error["message"]


def test_head_of_the_models_has_no_body(plane: Plane) -> None:
    """HEAD says what GET would, without the body."""
    got = plane.send(None, path="/v1/models", method="GET")

    head = plane.send(None, path="/v1/models", method="HEAD")

    got.demand_length()
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]


def test_head_of_a_chat_is_refused(plane: Plane) -> None:
    """HEAD is no method of an endpoint that takes bodies, and nothing reaches the upstream."""
    answer = plane.send(None, method="HEAD")

    assert (answer.status, answer.body) == (405, b"")
    assert answer.headers["allow"] == "POST"
    assert plane.upstream.received == []


@pytest.mark.parametrize("model", PASSTHROUGH)
@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
def test_an_error_in_the_clients_dialect_passes_as_it_is(plane: Plane, model: str, status: int) -> None:
    """A JSON error keeps status, bytes and retry-after."""
    body = {"error": {"message": "no", "type": "t", "param": None, "code": "c"}, "more": 1}
    plane.upstream.answer(json_reply(body, status, retry_after="7"))

    answer = plane.ask(model)

    assert (answer.status, answer.json, answer.headers["retry-after"]) == (status, body, "7")


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("status", [400, 502, 529])
def test_an_error_page_becomes_an_error_object(plane: Plane, framing: str, status: int) -> None:
    """A proxy's HTML in front of the vendor becomes JSON with the page's words, its status and a length."""
    headers = {"content-type": "text/html", "retry-after": "3"}
    reply = Reply((b"<h1>so sorry</h1>",), status, headers)
    plane.upstream.answer(FRAMINGS[framing](reply))

    answer = plane.ask("plain")

    # 529 is Anthropic's word; OpenAI's clients know 503.
    assert (answer.status, answer.headers["retry-after"]) == (503 if status == 529 else status, "3")
    assert "so sorry" in answer.error["message"]


@pytest.mark.parametrize("model", TRANSLATED)
def test_a_vendors_error_is_translated(plane: Plane, model: str) -> None:
    """An AWS error keeps its status and retry-after and gets the words of the client's dialect."""
    kind = {"x-amzn-errortype": "ThrottlingException:http://internal.amazon.com/", "retry-after": "9"}
    plane.upstream.answer(replace(json_reply({"message": "Too many"}, 429), headers=kind))

    answer = plane.ask(model)

    assert (answer.status, answer.headers["retry-after"]) == (429, "9")
    assert (answer.error["message"], answer.error["type"]) == ("Too many", "rate_limit_error")


@pytest.mark.parametrize("model", TRANSLATED)
@pytest.mark.parametrize("body", [b"<h1>so sorry</h1>", b"{not json", b"[]"])
def test_what_is_no_answer_of_the_vendor_is_a_bad_gateway(plane: Plane, model: str, body: bytes) -> None:
    """A 200 that cannot be read is a 502 in the client's dialect."""
    plane.upstream.answer(Reply((body,), headers={"content-type": "application/json"}))

    answer = plane.ask(model)

    assert (answer.status, answer.error["type"]) == (502, "server_error")


@pytest.mark.parametrize("model", MODELS)
def test_a_chunked_request_arrives_whole(plane: Plane, model: str) -> None:
    """A client that does not say its length is served, and an edited or translated body has one upstream."""
    plane.upstream.answer(whole(model))
    body = chat(model, stream=False)

    answer = plane.send((body[:10], body[10:]))

    assert answer.status == 200
    [request] = plane.upstream.received
    if model in TRANSLATED:
        assert request.header("content-length") == str(len(request.body))
        assert request.header("transfer-encoding") is None
    else:
        assert json.loads(request.body) == json.loads(body)
