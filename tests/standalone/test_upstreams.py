"""The scripted upstreams themselves: what a test says is what goes over the wire."""

import gzip
import socket
from collections.abc import Iterator
from typing import Literal

import brotli
import h2.connection
import h2.events
import httpx2
import pytest
import zstandard

from tests.support.upstreams import Encoding, Reply, Upstream, json_reply, running_upstream, sse_reply
from tests.support.waiting import until


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with running_upstream() as upstream:
        yield upstream


def url(upstream: Upstream) -> str:
    return f"http://127.0.0.1:{upstream.port}/v1/x"


def exchange(upstream: Upstream, data: bytes) -> bytes:
    """Raw bytes there, raw bytes back until the other side closes."""
    with socket.create_connection(("127.0.0.1", upstream.port), timeout=5) as connection:
        connection.sendall(data)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_requests_are_recorded_as_they_came(upstream: Upstream) -> None:
    """The request line is raw, header case is kept, the body is whole in either framing."""
    upstream.answer(json_reply({"ok": True}, 201, retry_after="7"))
    with httpx2.Client() as client:
        first = client.post(f"{url(upstream)}%3A0?q=1", json={"a": 1}, headers={"X-Mixed": "b"})
        client.post(url(upstream), content=iter([b"ab", b"", b"c"]))

    assert (first.status_code, first.json(), first.headers["retry-after"]) == (201, {"ok": True}, "7")
    assert upstream.received[0].line == b"POST /v1/x%3A0?q=1 HTTP/1.1"
    assert upstream.received[0].json == {"a": 1}
    assert ("X-Mixed", "b") in upstream.received[0].headers
    assert upstream.received[0].header("x-mixed") == "b"
    assert upstream.received[1].body == b"abc"
    assert [request.connection for request in upstream.received] == [0, 0]


def test_replies_come_in_turn_and_the_last_one_stays(upstream: Upstream) -> None:
    """A script is a queue; a function sees the request."""
    upstream.answer(Reply(status=500), Reply(status=503))
    statuses = [httpx2.get(url(upstream)).status_code for _ in range(3)]
    upstream.answer_with(lambda request: Reply(status=int(request.header("x-want") or 0)))

    assert statuses == [500, 503, 503]
    assert httpx2.get(url(upstream), headers={"x-want": "418"}).status_code == 418


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_bodies_have_the_framing_that_was_asked_for(
    upstream: Upstream, framing: Literal["length", "chunked", "close"]
) -> None:
    """Length, chunks and the end of the connection are all seen on the wire."""
    marks = {"length": b"content-length: 4", "chunked": b"2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n", "close": b"\r\n\r\nabcd"}
    upstream.answer(Reply((b"ab", b"cd"), framing=framing))
    request = b"GET / HTTP/1.1\r\nhost: x\r\n\r\nnonsense\r\n\r\n"

    assert marks[framing] in exchange(upstream, request)
    assert upstream.malformed == ([] if framing == "close" else [b"nonsense\r\n\r\n"])


def test_exact_bytes_go_as_they_are(upstream: Upstream) -> None:
    """Even what is no HTTP at all."""
    upstream.answer(Reply(exact=(b"SSH-2.0", b"\r\n")))

    assert exchange(upstream, b"GET / HTTP/1.1\r\n\r\n") == b"SSH-2.0\r\n"


def test_a_reset_comes_after_the_parts(upstream: Upstream) -> None:
    """The connection breaks where a test says."""
    upstream.answer(Reply((b"ab",), framing="chunked", ending="reset"))

    with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
        httpx2.get(url(upstream))


def test_gated_parts_wait_for_their_release(upstream: Upstream) -> None:
    """Each part goes when the test lets it go, and not before."""
    upstream.answer(sse_reply([{"n": 1}, {"n": 2}], gated=True))
    with httpx2.stream("GET", url(upstream)) as response:
        lines = response.iter_lines()
        upstream.release()
        first = next(lines)
        sent = len(upstream.sent)
        upstream.release(2)
        rest = [line for line in lines if line]

    assert (first, sent) == ('data: {"n": 1}', 1)
    assert rest == ['data: {"n": 2}', "data: [DONE]"]
    assert len(upstream.sent) == 3


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd"])
def test_encoded_parts_can_be_read_one_by_one(upstream: Upstream, encoding: Encoding) -> None:
    """A content-encoding covers the whole body and is flushed after every part."""
    decode = {
        "gzip": gzip.decompress,
        "br": brotli.decompress,
        "zstd": zstandard.ZstdDecompressor().decompressobj().decompress,
    }
    upstream.answer(Reply((b"one ", b"two ", b"three")).encoded(encoding))
    with httpx2.stream("GET", url(upstream)) as response:
        raw = b"".join(response.iter_raw())

    assert response.headers["content-encoding"] == encoding
    assert decode[encoding](raw) == b"one two three"


def test_a_client_that_leaves_is_noticed(upstream: Upstream) -> None:
    """A response that nobody reads any more counts as abandoned."""
    upstream.answer(Reply((b"x" * 1000,) * 1000, framing="chunked", delay_s=0.01))
    with httpx2.stream("GET", url(upstream)):
        pass

    until(lambda: upstream.abandoned == 1)


def talk_http2(upstream: Upstream, body: bytes) -> tuple[list[h2.events.Event], bytes]:
    """One POST over HTTP/2 with prior knowledge: its events and the body."""
    http = h2.connection.H2Connection()
    http.initiate_connection()
    http.increment_flow_control_window(1 << 24)
    http.send_headers(1, [(":method", "POST"), (":path", "/h2"), (":scheme", "http"), (":authority", "up")])
    http.send_data(1, body, end_stream=True)
    events: list[h2.events.Event] = []
    received = bytearray()
    with socket.create_connection(("127.0.0.1", upstream.port), timeout=5) as connection:
        connection.sendall(http.data_to_send())
        while not any(isinstance(event, h2.events.StreamEnded | h2.events.StreamReset) for event in events):
            new = http.receive_data(connection.recv(65536))
            for event in new:
                if isinstance(event, h2.events.DataReceived):
                    received += event.data or b""
                    http.acknowledge_received_data(event.flow_controlled_length or 0, 1)
            events += new
            connection.sendall(http.data_to_send())
    return events, bytes(received)


def test_http2_is_spoken_on_the_same_port_with_trailers(upstream: Upstream) -> None:
    """A client with prior knowledge gets frames, a body larger than the first window, and trailers."""
    upstream.answer(Reply((b"x" * 100_000, b"y"), headers={"content-type": "a/b"}, trailers={"grpc-ish": "1"}))
    events, body = talk_http2(upstream, b"hello")

    assert body == b"x" * 100_000 + b"y"
    assert [event.headers for event in events if isinstance(event, h2.events.TrailersReceived)] == [
        [(b"grpc-ish", b"1")]
    ]
    assert upstream.received[0].line == b"POST /h2 HTTP/2"
    assert (upstream.received[0].body, upstream.received[0].header("host")) == (b"hello", "up")


def test_http2_streams_are_reset_on_demand(upstream: Upstream) -> None:
    """RST_STREAM comes after the parts; a reply without a body ends with its headers."""
    upstream.answer(Reply((b"ab",), ending="reset"), Reply(status=204))
    broken, body = talk_http2(upstream, b"")
    empty, nothing = talk_http2(upstream, b"")

    assert body == b"ab"
    assert any(isinstance(event, h2.events.StreamReset) for event in broken)
    assert any(isinstance(event, h2.events.StreamEnded) for event in empty)
    assert nothing == b""
