"""Bodies of 30 MB, both ways, over every pair of protocols; and what is larger than the gateway takes."""

import json
import select
import socket
import time
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest

from e2e.conftest import Tell
from tests.support.plane import CHAT, PASSTHROUGH, TRANSLATED, Answer, Plane, chat, running_plane
from tests.support.scripted import COMPLETION, CONVERSE_ANSWER, chunk
from tests.support.upstreams import Reply, json_reply, sse_reply
from tests.support.vendor_answers import USAGE, converse_frames, stream_of_frames

MODELS = (*PASSTHROUGH, *TRANSLATED)
MB = 1_000_000
#: What a JSON writer must escape, what UTF-8 makes longer, and what it leaves alone.
TEXT = ('All work and no play "makes" Jack\n' + "ein müder Bube. " * 3) * (30 * MB // 85)
LIMIT_S = 30


@pytest.fixture(scope="module")
def running() -> Iterator[Plane]:
    with running_plane() as plane:
        yield plane


@pytest.fixture
def plane(running: Plane) -> Iterator[Plane]:
    running.upstream.forget()
    yield running
    running.demand_clean()
    running.upstream.forget()


@pytest.mark.parametrize("client", ["HTTP/1", "HTTP/2"])
@pytest.mark.parametrize("model", MODELS)
def test_a_request_of_30_mb_arrives(plane: Plane, tell: Tell, model: str, client: str) -> None:
    """Every byte of a long prompt reaches the upstream, as it is or translated, with its length."""
    plane.upstream.answer(json_reply(COMPLETION if model in PASSTHROUGH else CONVERSE_ANSWER))
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": TEXT}]}).encode()
    assert len(body) > 30 * MB

    began = time.monotonic()
    answer = exchange(plane, body, client)
    took_s = time.monotonic() - began

    tell(took_s=took_s)
    assert answer.status == 200, answer.body[:500]
    [request] = plane.upstream.received
    if model in PASSTHROUGH:
        assert sha256(request.body).digest() == sha256(body).digest()
    else:
        [block] = request.json["messages"][0]["content"]
        assert same(block["text"], TEXT)
    assert request.header("content-length") == str(len(request.body))


@pytest.mark.parametrize("client", ["HTTP/1", "HTTP/2"])
@pytest.mark.parametrize("model", MODELS)
def test_an_answer_of_30_mb_arrives(plane: Plane, tell: Tell, model: str, client: str) -> None:
    """Every byte of a long answer reaches the client, as it is or translated, with its length; it is counted, too."""
    whole = json_reply(long_answer(model))
    plane.upstream.answer(Reply(whole.parts, 200, {**whole.headers, "content-length": str(len(whole.parts[0]))}))

    began = time.monotonic()
    answer = exchange(plane, chat(model), client)
    took_s = time.monotonic() - began

    tell(took_s=took_s)
    assert answer.status == 200, answer.body[:500]
    assert same(answer.json["choices"][0]["message"]["content"], TEXT)
    answer.demand_length()
    assert plane.usage(answer) == USAGE


@pytest.mark.parametrize("client", ["HTTP/1", "HTTP/2"])
@pytest.mark.parametrize("model", ["plain", "bedrock", "bedrock-h2"])
def test_a_stream_of_30_mb_arrives(plane: Plane, tell: Tell, model: str, client: str) -> None:
    """A stream is passed on piece by piece, however much of it there is and however large its pieces are."""
    texts = [TEXT[i : i + MB] for i in range(0, len(TEXT), MB)]
    if model in PASSTHROUGH:
        plane.upstream.answer(sse_reply([chunk(text) for text in texts]))
    else:
        plane.upstream.answer(stream_of_frames(converse_frames(*texts)))

    began = time.monotonic()
    answer = exchange(plane, chat(model, stream=True), client)
    took_s = time.monotonic() - began

    tell(took_s=took_s)
    assert answer.whole
    assert same(answer.text, TEXT)
    assert answer.events[-1] == "[DONE]"


@pytest.mark.parametrize("client", ["HTTP/1", "HTTP/2"])
@pytest.mark.parametrize("model", MODELS)
def test_an_answer_beyond_the_limit_is_a_bad_gateway(plane: Plane, model: str, client: str) -> None:
    """What cannot be held is refused in the client's dialect, not cut."""
    answer = long_answer(model, TEXT * 2)
    plane.upstream.answer(json_reply(answer))

    refused = exchange(plane, chat(model), client)

    assert (refused.status, refused.error["code"]) == (502, "response_too_large")
    assert plane.ask(model).status == 502


@pytest.mark.parametrize("model", ["plain", "bedrock"])
def test_an_upload_of_100_mb_is_told_that_it_is_too_large(plane: Plane, tell: Tell, model: str) -> None:
    """A client of HTTP/1 that reads while it writes gets a 413 in its dialect, and long before it has sent it all."""
    port = int(plane.gateway.base_url.rpartition(":")[2])
    body = chat(model, user="x" * (100 * MB))

    began = time.monotonic()
    head, got, written = upload(port, body)

    tell(answered_after_s=time.monotonic() - began, written_mb=written / MB)
    assert head.startswith(b"HTTP/1.1 413 ")
    assert b"content-type: application/json" in head
    assert json.loads(got)["error"]["code"] == "request_too_large"
    assert json.loads(got)["error"]["type"] == "invalid_request_error"
    assert plane.upstream.received == []


def test_an_upload_of_100_mb_over_http2_is_told_that_it_is_too_large(plane: Plane, tell: Tell) -> None:
    """The same over HTTP/2, where the stream is given back before it was sent whole."""
    began = time.monotonic()
    with plane.opened_http2(chat("plain", user="x" * (100 * MB))) as (call, _):
        call.read_all()

    tell(answered_after_s=time.monotonic() - began)
    assert (call.status, json.loads(bytes(call.body))["error"]["code"]) == (413, "request_too_large")
    assert plane.upstream.received == []


def exchange(plane: Plane, body: bytes, client: str) -> Answer:
    """A request and its answer over either protocol."""
    if client == "HTTP/1":
        return plane.send(body, limit_s=LIMIT_S)
    with plane.opened_http2(body) as (call, request_id):
        call.read_all()
    return Answer(call.status, call.headers, bytes(call.body), call.ended, request_id)


def long_answer(model: str, text: str = TEXT) -> dict[str, Any]:
    """A whole answer in the dialect of the model's backend."""
    if model in PASSTHROUGH:
        [choice] = COMPLETION["choices"]
        return {**COMPLETION, "choices": [{**choice, "message": {"role": "assistant", "content": text}}]}
    return {**CONVERSE_ANSWER, "output": {"message": {"role": "assistant", "content": [{"text": text}]}}}


def same(got: str, wanted: str) -> bool:
    """Whether they are equal; pytest would take minutes to show the difference of such texts."""
    return got == wanted


def upload(port: int, body: bytes) -> tuple[bytes, bytes, int]:
    """Write and read at the same time: the answer's head and body, and how much was written by then."""
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    left, got, written = memoryview(head.encode() + body), bytearray(), 0
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as connection:
        connection.setblocking(False)
        while not _complete(got):
            readable, writable, _ = select.select([connection], [connection] if left else [], [], LIMIT_S)
            assert readable or writable, "nothing happens"
            if readable:
                piece = connection.recv(1 << 16)
                assert piece, f"closed after {bytes(got)!r}"
                got += piece
            elif writable:
                count = connection.send(left[: 1 << 18])
                left, written = left[count:], written + count
    answer_head, _, answer_body = bytes(got).partition(b"\r\n\r\n")
    return answer_head, answer_body, written


def _complete(got: bytes | bytearray) -> bool:
    head, found, body = bytes(got).partition(b"\r\n\r\n")
    if not found:
        return False
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return len(body) >= int(length)
