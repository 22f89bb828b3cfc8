"""Compressed bodies, both ways: passed as they came, read where they must be read, refused when they are broken."""

import json
from dataclasses import replace
from typing import get_args

import pytest

from extproc.wire.encoding import decode_all
from tests.support.plane import TRANSLATED, Answer, Plane, chat, read_until, rest_of
from tests.support.scripted import COMPLETION, CONVERSE_ANSWER, chunk
from tests.support.upstreams import Encoding, Reply, compressed, json_reply, sse_reply
from tests.support.vendor_answers import (
    OPENAI_USAGE,
    USAGE,
    converse_frames,
    stream_of_frames,
    usage_chunk,
)

pytestmark = [pytest.mark.envoy, pytest.mark.xdist_group("plane")]

ENCODINGS: tuple[Encoding, ...] = tuple(name for name in get_args(Encoding) if name != "identity")
STREAM = sse_reply([chunk("hel"), chunk("lo"), chunk("", "stop"), usage_chunk()])
LIMIT = 1 << 20
#: No decoder takes this for the next bytes of its stream.
DAMAGE = b"\xff\x00\xff\x00" * 40


def packed(body: bytes, encoding: Encoding) -> bytes:
    return b"".join(compressed([body], encoding))


def decoded(answer: Answer) -> Answer:
    """The answer as a client sees it that undoes the encoding."""
    return replace(answer, body=decode_all(answer.body, answer.headers["content-encoding"], LIMIT))


def corrupt(reply: Reply) -> Reply:
    """The last part is damaged in its middle."""
    last = reply.parts[-1]
    middle = len(last) // 2
    return replace(reply, parts=(*reply.parts[:-1], last[:middle] + b"\xff\x00\xff\x00" + last[middle + 4 :]))


def cut_short(reply: Reply) -> Reply:
    """The end of the encoding never comes, though the framing is sound."""
    return replace(reply, parts=(*reply.parts[:-1], reply.parts[-1][:-6]))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_compressed_request_passes_as_it_came(plane: Plane, encoding: Encoding) -> None:
    """A request that needs no edit reaches the upstream in the client's own bytes."""
    plane.upstream.answer(json_reply(COMPLETION))
    body = packed(chat("plain"), encoding)

    answer = plane.send(body, headers={"content-encoding": encoding})

    assert (answer.status, answer.json) == (200, COMPLETION)
    [request] = plane.upstream.received
    assert request.body == body
    assert (request.header("content-encoding"), request.header("content-length")) == (encoding, str(len(body)))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_compressed_request_that_is_edited_goes_plain(plane: Plane, encoding: Encoding) -> None:
    """Where usage has to be asked for, the upstream gets plain JSON of the right length."""
    plane.upstream.answer(STREAM)

    answer = plane.send(packed(chat("plain", stream=True), encoding), headers={"content-encoding": encoding})

    assert answer.text == "hello"
    [request] = plane.upstream.received
    assert request.json["stream_options"] == {"include_usage": True}
    assert request.header("content-encoding") is None
    assert request.header("content-length") == str(len(request.body))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_compressed_request_is_translated(plane: Plane, encoding: Encoding) -> None:
    """Another dialect gets plain JSON of the right length."""
    plane.upstream.answer(json_reply(CONVERSE_ANSWER))

    answer = plane.send(packed(chat("bedrock"), encoding), headers={"content-encoding": encoding})

    assert answer.json["choices"][0]["message"]["content"] == "hello"
    [request] = plane.upstream.received
    assert request.json["messages"] == [{"role": "user", "content": [{"text": "hi"}]}]
    assert request.header("content-encoding") is None
    assert request.header("content-length") == str(len(request.body))


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("gzip", b"\x1f\x8b\x08nothing of the kind", 400),
        ("gzip", packed(chat("plain"), "gzip")[:-9], 400),
        ("br", b"\xff\xff\xff\xff", 400),
        ("zstd", b"(\xb5/\xfdnothing", 400),
        ("compress", chat("plain"), 415),
    ],
)
def test_a_request_that_cannot_be_decoded_is_refused(plane: Plane, encoding: str, body: bytes, status: int) -> None:
    """Broken and unknown encodings are the client's mistake, and the upstream hears nothing of them."""
    answer = plane.send(body, headers={"content-encoding": encoding})

    assert (answer.status, answer.error["type"]) == (status, "invalid_request_error")
    assert encoding in answer.error["message"]
    assert plane.upstream.received == []


@pytest.mark.parametrize("model", ["plain", "plain-h2"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_compressed_answer_passes_and_is_counted(plane: Plane, encoding: Encoding, model: str) -> None:
    """The client gets the upstream's bytes with their length; the tokens are read from a decoded copy."""
    sent = json_reply(COMPLETION).encoded(encoding)
    [body] = sent.parts
    plane.upstream.answer(replace(sent, headers={**sent.headers, "content-length": str(len(body))}))

    answer = plane.ask(model, headers={"accept-encoding": encoding})

    assert (answer.status, answer.body, answer.headers["content-encoding"]) == (200, body, encoding)
    answer.demand_length()
    assert plane.usage(answer) == USAGE
    assert plane.upstream.received[0].header("accept-encoding") == encoding


@pytest.mark.parametrize("model", TRANSLATED)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_compressed_answer_is_translated(plane: Plane, encoding: Encoding, model: str) -> None:
    """What is rewritten is plain, has its length, and was asked for uncompressed in the first place."""
    plane.upstream.answer(json_reply(CONVERSE_ANSWER).encoded(encoding))

    answer = plane.ask(model, headers={"accept-encoding": encoding})

    assert answer.json["choices"][0]["message"]["content"] == "hello"
    answer.demand_length()
    assert "content-encoding" not in answer.headers
    assert plane.usage(answer) == USAGE
    assert plane.upstream.received[0].header("accept-encoding") in {None, "identity"}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_compressed_error_page_is_read(plane: Plane, encoding: Encoding) -> None:
    """The words of a compressed page reach the client in a plain error object."""
    page = Reply((b"<h1>so sorry</h1>",), 502, {"content-type": "text/html"})
    plane.upstream.answer(page.encoded(encoding))

    answer = plane.ask("plain")

    assert (answer.status, answer.error["message"]) == (502, "<h1>so sorry</h1>")
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_compressed_stream_passes_as_it_came_and_is_counted(plane: Plane, encoding: Encoding) -> None:
    """A client that asked for usage itself gets every byte as it was sent; the tokens are counted beside it."""
    sent = STREAM.encoded(encoding)
    plane.upstream.answer(sent)

    answer = plane.ask(
        "plain", stream=True, stream_options={"include_usage": True}, headers={"accept-encoding": encoding}
    )

    assert answer.body == b"".join(sent.parts)
    assert (decoded(answer).text, decoded(answer).events[-2]["usage"]) == ("hello", OPENAI_USAGE)
    assert plane.usage(answer) == USAGE


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_compressed_stream_with_usage_of_ours_arrives_plain_without_it(plane: Plane, encoding: Encoding) -> None:
    """An upstream that compresses though it was not asked to is decoded, so that our usage event can be taken out."""
    plane.upstream.answer(STREAM.encoded(encoding))

    answer = plane.ask("plain", stream=True, headers={"accept-encoding": encoding})

    assert "content-encoding" not in answer.headers
    assert (answer.text, answer.events[-1], len(answer.events)) == ("hello", "[DONE]", 4)
    assert not any("usage" in event for event in answer.events[:-1])
    assert plane.usage(answer) == USAGE
    assert plane.upstream.received[0].header("accept-encoding") in {None, "identity"}


@pytest.mark.parametrize("model", TRANSLATED)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_compressed_stream_is_translated(plane: Plane, encoding: Encoding, model: str) -> None:
    """Frames inside an encoding become the client's plain events."""
    plane.upstream.answer(stream_of_frames(converse_frames("hel", "lo")).encoded(encoding))

    answer = plane.ask(model, stream=True, stream_options={"include_usage": True})

    assert "content-encoding" not in answer.headers
    assert (answer.text, answer.events[-1]) == ("hello", "[DONE]")
    assert answer.events[-2]["usage"] == OPENAI_USAGE
    assert plane.usage(answer) == USAGE


@pytest.mark.parametrize("damage", [corrupt, cut_short])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_broken_answer_passes_uncounted(plane: Plane, encoding: Encoding, damage: type) -> None:
    """What only passes is the client's to read: it gets the broken bytes, and nothing is counted."""
    sent = damage(json_reply(COMPLETION).encoded(encoding))
    plane.upstream.answer(replace(sent, headers={**sent.headers}))

    answer = plane.ask("plain", headers={"accept-encoding": encoding})

    assert (answer.status, answer.body) == (200, sent.parts[0])
    answer.demand_length()
    assert plane.usage(answer) == {}


@pytest.mark.parametrize("damage", [corrupt, cut_short])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_broken_answer_cannot_be_translated(plane: Plane, encoding: Encoding, damage: type) -> None:
    """What must be read and cannot be is a 502 that says why."""
    plane.upstream.answer(damage(json_reply(CONVERSE_ANSWER).encoded(encoding)))

    answer = plane.ask("bedrock")

    assert answer.status == 502
    assert "decoded" in answer.error["message"]
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize("model", ["plain", "bedrock"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_stream_that_breaks_inside_its_encoding_ends_in_an_error_event(
    plane: Plane, encoding: Encoding, model: str
) -> None:
    """The events before the damage are kept, and the client is told that there should have been more."""
    reply = (STREAM if model == "plain" else stream_of_frames(converse_frames("hel", "lo"))).encoded(encoding)
    plane.upstream.answer(replace(reply, parts=(*reply.parts[:3], DAMAGE), gated=True))

    with plane.opened(chat(model, stream=True)) as (response, _):
        plane.upstream.release(3)
        read_until(response, b'"lo"')
        plane.upstream.release()
        rest, whole = rest_of(response)

    assert whole
    last = rest.decode().split("\n\n")[-2]
    error = json.loads(last.removeprefix("data: "))["error"]
    assert (error["type"], error["code"]) == ("server_error", None)
    assert "decoded" in error["message"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_compressed_stream_that_breaks_passes_to_its_last_byte(plane: Plane, encoding: Encoding) -> None:
    """A stream that only passes is not ours to mend: its bytes go on, and what was counted before stays."""
    texts = [chunk("a", usage=OPENAI_USAGE), chunk("b")]
    first, *others = sse_reply(texts).encoded(encoding).parts
    parts = (first, DAMAGE, *others)
    headers = {**STREAM.headers, "content-encoding": encoding}
    plane.upstream.answer(Reply(parts, headers=headers, framing="chunked", gated=True))
    body = chat("plain", stream=True, stream_options={"include_usage": True})

    with plane.opened(body, headers={"accept-encoding": encoding}) as (response, request_id):
        plane.upstream.release()
        got = read_until(response, first)
        plane.upstream.release(len(parts) - 1)
        rest, whole = rest_of(response)

    assert (got + rest, whole) == (b"".join(parts), True)
    assert plane.usage(request_id) == USAGE


def test_an_encoding_that_nobody_knows_passes_uncounted(plane: Plane) -> None:
    """An answer in an encoding of the future reaches the client that asked for it."""
    body = b"\x00\x01\x02"
    headers = {"content-type": "application/json", "content-encoding": "quantum"}
    plane.upstream.answer(Reply((body,), headers=headers))

    answer = plane.ask("plain", headers={"accept-encoding": "quantum"})

    assert (answer.status, answer.body, answer.headers["content-encoding"]) == (200, body, "quantum")
    answer.demand_length()
    assert plane.usage(answer) == {}
