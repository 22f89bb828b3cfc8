"""How streams end: by trailers, by errors inside them, by upstreams that break off and clients that leave."""

from dataclasses import replace
from typing import Any

import pytest

from tests.support.eventstream_frames import exception
from tests.support.plane import PASSTHROUGH, TRANSLATED, Plane, chat, read_until, rest_of
from tests.support.scripted import CONVERSE_ANSWER, chunk
from tests.support.upstreams import Reply, json_reply, sse_reply
from tests.support.vendor_answers import (
    OPENAI_USAGE,
    USAGE,
    converse_frames,
    counted,
    stream_of_frames,
    usage_chunk,
)
from tests.support.waiting import until

pytestmark = [pytest.mark.envoy, pytest.mark.xdist_group("plane")]

ASKS_USAGE: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
FRAMES = converse_frames("hel", "lo")


def streamed(model: str) -> Reply:
    """A whole stream in the dialect of the model's backend."""
    if model in TRANSLATED:
        return stream_of_frames(FRAMES)
    return sse_reply([chunk("hel"), chunk("lo"), chunk(None, "stop"), usage_chunk()])


def chunked(*parts: bytes, content_type: str = "text/event-stream") -> Reply:
    """A chunked body without its last chunk, after which the connection is closed in order."""
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    return Reply(exact=(head, *(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)))


def gated(reply: Reply) -> Reply:
    """The same, and a gate before its end."""
    if reply.exact is None:
        return replace(reply, parts=(*reply.parts, b""), gated=True)
    return replace(reply, exact=(*reply.exact, b""), gated=True)


def broken_off(plane: Plane, model: str, reply: Reply) -> tuple[bytes, str]:
    """A stream over HTTP/2 that is reset after the client got all that came: the bytes and the request's id.

    Over HTTP/1 Envoy closes only after a second (``delayed_close_timeout``).
    """
    last = gated(reply)
    plane.upstream.answer(last)
    plane.upstream.release(len(last.exact or last.parts) - 1)
    with plane.opened_http2(chat(model, **ASKS_USAGE)) as (call, request_id):
        call.read_until(b'"lo"')
        plane.upstream.release()
        call.read_all()
    assert (call.status, call.ended) == (200, False)
    return bytes(call.body), request_id


@pytest.mark.parametrize("trailers", [{}, {"x-cost": "1"}], ids=["bare", "trailers"])
@pytest.mark.parametrize("model", [*PASSTHROUGH, *TRANSLATED])
def test_a_stream_is_read_to_its_end(plane: Plane, model: str, trailers: dict[str, str]) -> None:
    """Streams over HTTP/1 and HTTP/2, with trailers or without, arrive whole and are counted."""
    plane.upstream.answer(replace(streamed(model), trailers=trailers))

    answer = plane.ask(model, **ASKS_USAGE)

    assert (answer.status, answer.whole, answer.text) == (200, True, "hello")
    assert answer.events[-2:] == [{**answer.events[-2], "choices": [], "usage": OPENAI_USAGE}, "[DONE]"]
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "content-length" not in answer.headers
    line = plane.logged(answer)
    assert (line["flags"], line["status"], line["backend"]) == ("-", 200, f"default/{model}")
    assert plane.usage(answer) == USAGE
    assert plane.gateway.records.request_of(answer.request_id)["outcome"] == "ok"


@pytest.mark.parametrize("model", [*PASSTHROUGH, *TRANSLATED])
def test_a_stream_with_a_length_loses_it(plane: Plane, model: str) -> None:
    """A vendor that buffers its stream and gives its length does not make ours a lie."""
    reply = streamed(model)
    size = sum(map(len, reply.parts))
    headers = {**reply.headers, "content-length": str(size)}
    plane.upstream.answer(replace(reply, framing="length", headers=headers))

    answer = plane.ask(model, stream=True)

    assert (answer.whole, answer.text, answer.events[-1]) == (True, "hello", "[DONE]")
    assert not any("usage" in event for event in answer.events[:-1])
    assert "content-length" not in answer.headers
    assert plane.usage(answer) == USAGE


@pytest.mark.parametrize("framing", ["chunked", "close"])
def test_a_stream_without_its_end_gets_an_error_event(plane: Plane, framing: Any) -> None:
    """A clean end without ``[DONE]`` would make a part look whole, so the client is told."""
    plane.upstream.answer(replace(sse_reply([chunk("hel")], done=False), framing=framing))

    answer = plane.ask("plain", stream=True)

    assert answer.whole
    assert answer.events[0]["choices"][0]["delta"]["content"] == "hel"
    assert answer.events[-1]["error"]["type"] == "server_error"
    assert plane.gateway.records.request_of(answer.request_id)["outcome"] == "upstream_error"


@pytest.mark.parametrize("model", ["plain-h2", "bedrock-h2"])
def test_trailers_before_the_streams_own_end_cut_the_client(plane: Plane, model: str) -> None:
    """No event can be written after trailers, so a part must not end like a whole."""
    reply = streamed(model)

    got, request_id = broken_off(plane, model, replace(reply, parts=reply.parts[:3], trailers={"x-cost": "1"}))

    assert b"[DONE]" not in got
    assert plane.gateway.records.request_of(request_id)["outcome"] == "upstream_error"


@pytest.mark.parametrize(
    ("model", "ending", "flag"), [("plain", "reset", "UPE"), ("plain", "close", "UPE"), ("plain-h2", "reset", "UR")]
)
def test_a_passed_stream_that_the_upstream_breaks_off_is_cut(plane: Plane, model: str, ending: str, flag: str) -> None:
    """The client sees the break, and what was used up to it stands in the log with Envoy's flag."""
    events = sse_reply(counted(["hel", "lo"]), done=False)
    reply = replace(events, ending="reset") if ending == "reset" else chunked(*events.parts)

    got, request_id = broken_off(plane, model, reply)

    assert got == b"".join(events.parts)
    line = plane.logged(request_id)
    assert (line["flags"], line["status"]) == (flag, 200)
    assert plane.usage(request_id) == {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    assert plane.gateway.records.request_of(request_id)["outcome"] == "disconnected"


@pytest.mark.parametrize(
    ("model", "reply"),
    [
        ("bedrock", stream_of_frames(FRAMES[:3], ending="reset")),
        ("bedrock", chunked(*FRAMES[:3], content_type="application/vnd.amazon.eventstream")),
        ("bedrock-h2", stream_of_frames(FRAMES[:3], ending="reset")),
    ],
    ids=["reset", "close", "HTTP/2 reset"],
)
def test_a_translated_stream_that_the_upstream_breaks_off_is_cut(plane: Plane, model: str, reply: Reply) -> None:
    """A part of an answer is never rounded off: the client gets what came, then the break."""
    got, request_id = broken_off(plane, model, reply)

    assert b"[DONE]" not in got
    assert b'"error"' not in got
    assert plane.logged(request_id)["flags"] in {"UPE", "UR"}


@pytest.mark.parametrize("model", ["plain", "bedrock"])
def test_a_break_shows_to_a_client_of_http1(plane: Plane, model: str) -> None:
    """Without stream resets the connection is closed inside the body, before its last chunk."""
    reply = replace(streamed(model), ending="reset")
    plane.upstream.answer(gated(replace(reply, parts=reply.parts[:3])))
    plane.upstream.release(3)

    with plane.opened(chat(model, **ASKS_USAGE)) as (response, _):
        read_until(response, b'"lo"')
        plane.upstream.release()
        _, whole = rest_of(response)

    assert not whole


@pytest.mark.parametrize("model", ["plain", "bedrock"])
def test_an_upstream_that_breaks_off_at_once_is_a_bad_gateway(plane: Plane, model: str) -> None:
    """Headers and then nothing: as long as the client has heard nothing it gets an error object."""
    plane.upstream.answer(replace(streamed(model), parts=(), ending="reset"))

    answer = plane.ask(model, stream=True)

    assert (answer.status, answer.error["type"]) == (502, "server_error") if answer.whole else not answer.whole


@pytest.mark.parametrize("model", PASSTHROUGH)
def test_a_client_that_leaves_has_its_use_in_the_log(plane: Plane, model: str) -> None:
    """What was used up to the client's disconnect is logged with its flag, and the upstream learns of it."""
    plane.upstream.answer(replace(sse_reply(counted(["hel", "lo", *["never seen"] * 50])), gated=True))

    with plane.opened(chat(model, **ASKS_USAGE)) as (response, request_id):
        plane.upstream.release(2)
        read_until(response, b'"lo"')

    line = plane.logged(request_id)
    assert (line["flags"], line["status"]) == ("DC", 200)
    assert plane.usage(request_id) == {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    assert plane.gateway.records.request_of(request_id)["outcome"] == "disconnected"
    plane.upstream.release(50)
    until(lambda: plane.upstream.abandoned, "the upstream went on")


def test_a_client_that_leaves_a_translated_stream_is_no_error(plane: Plane) -> None:
    """A disconnect in the middle of an answer ends the exchange without a complaint of the processor's."""
    plane.upstream.answer(stream_of_frames(FRAMES, gated=True))

    with plane.opened(chat("bedrock", stream=True)) as (response, request_id):
        plane.upstream.release(2)
        read_until(response, b'"hel"')

    assert plane.logged(request_id)["flags"] == "DC"
    assert plane.gateway.records.request_of(request_id)["outcome"] == "disconnected"
    plane.upstream.release(len(FRAMES))


@pytest.mark.parametrize("model", ["plain", "bedrock"])
def test_a_client_that_leaves_before_the_answer_is_no_error(plane: Plane, model: str) -> None:
    """Who gives up waiting is logged with the flag, and nothing of the processor's fails."""
    plane.upstream.answer(replace(json_reply({}), gated=True, exact=(b"", b"never")))
    with pytest.raises(TimeoutError):
        plane.ask(model, headers={"x-request-id": f"impatient-{model}"}, limit_s=0.3)

    line = plane.logged(f"impatient-{model}")

    assert (line["flags"], line["status"], line["backend"]) == ("DC", 0, f"default/{model}")
    plane.upstream.release(2)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ((exception("throttlingException", b'{"message": "Slow down"}'),), "Slow down"),
        ((FRAMES[2][:-4] + b"\x00\x00\x00\x00",), "damaged"),
        ((FRAMES[2][:-9],), "ended before"),
        ((), "ended before"),
    ],
    ids=["exception", "checksum", "cut frame", "cut stream"],
)
@pytest.mark.parametrize("model", TRANSLATED)
def test_a_bedrock_stream_that_fails_ends_in_an_error_event(
    plane: Plane, model: str, broken: tuple[bytes, ...], words: str
) -> None:
    """What goes wrong inside a stream reaches the client as the last event, after what came before."""
    plane.upstream.answer(stream_of_frames([*FRAMES[:2], *broken]))

    answer = plane.ask(model, stream=True)

    *events, last = answer.events
    assert answer.whole
    assert [event["choices"][0]["delta"].get("content") for event in events] == ["", "hel"]
    assert words in last["error"]["message"]
    assert plane.gateway.records.request_of(answer.request_id)["outcome"] == "upstream_error"


@pytest.mark.parametrize("model", TRANSLATED)
def test_frames_after_an_exception_are_not_heard(plane: Plane, model: str) -> None:
    """After its error event a stream says nothing more, whatever the upstream adds."""
    failure = exception("internalServerException", b'{"message": "Broke"}')
    plane.upstream.answer(stream_of_frames([*FRAMES[:2], failure, *FRAMES[2:]], delay_s=0.01))

    answer = plane.ask(model, stream=True)

    assert answer.whole
    assert answer.events[-1]["error"]["message"] == "Broke"


@pytest.mark.parametrize("model", TRANSLATED)
def test_a_whole_answer_where_a_stream_was_due_is_streamed(plane: Plane, model: str) -> None:
    """Bedrock's JSON on a streamed request becomes the same events that a stream would."""
    plane.upstream.answer(json_reply(CONVERSE_ANSWER))

    answer = plane.ask(model, **ASKS_USAGE)

    assert answer.headers["content-type"].startswith("text/event-stream")
    answer.demand_length()
    assert (answer.text, answer.events[-1], answer.events[-2]["usage"]) == ("hello", "[DONE]", OPENAI_USAGE)
    assert plane.usage(answer) == USAGE


def test_an_error_that_passes_inside_a_stream_is_seen(plane: Plane) -> None:
    """An OpenAI error event reaches the client as it is, once, and counts as the upstream's."""
    failure = {"error": {"message": "Broke", "type": "server_error", "param": None, "code": None}}
    plane.upstream.answer(sse_reply([chunk("hel"), failure], done=False))

    answer = plane.ask("plain", stream=True)

    assert answer.events[-1] == failure
    assert len(answer.events) == 2
    assert plane.gateway.records.request_of(answer.request_id)["outcome"] == "upstream_error"


def test_the_rest_of_a_stream_is_what_came_after(plane: Plane) -> None:
    """A slow reader loses nothing: what waits in buffers when the upstream is done still arrives."""
    text = "x" * 100_000
    plane.upstream.answer(sse_reply([chunk(text) for _ in range(40)]))

    with plane.opened(chat("plain", stream=True)) as (response, _):
        until(lambda: len(plane.upstream.sent) >= 30, "the upstream does not send")
        rest, whole = rest_of(response)

    assert whole
    assert rest.count(text.encode()) == 40
