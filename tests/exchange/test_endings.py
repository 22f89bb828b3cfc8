"""What a review found at the edges of an exchange, kept found."""

import gzip

import pytest

from extproc.exchange.messages import PASS, RequestBody, ResponseBody, ResponseTrailers
from tests.support.eventstream_frames import frame
from tests.support.exchange_driver import (
    chat,
    error_of,
    exchange,
    proceed,
    reply,
    request_headers,
    response_headers,
    sent,
)


@pytest.mark.parametrize("details", ["request_overall_timeout", "stream_idle_timeout"])
def test_a_slow_upload_is_the_clients_timeout(details: str) -> None:
    """A request that does not arrive in time is answered 408 and blames no backend."""
    made = exchange()
    made.receive(request_headers())
    action = reply(made.receive(response_headers(408, "text/plain", details=details)))

    assert action.status == 408
    assert "backend" not in error_of(action)["message"]
    assert made.finish().outcome == "client_error"


def test_a_reply_of_another_filter_keeps_its_small_print() -> None:
    """A rate limiter's 429 is told in the dialect and keeps when to come back; what is no error passes untouched."""
    made, _ = sent(chat())
    limited = response_headers(429, details="request_rate_limited", retry_after="30", x_ratelimit_reset="30")
    action = reply(made.receive(limited))
    passed, _ = sent(chat())

    assert {("retry-after", "30"), ("x-ratelimit-reset", "30")} <= set(action.headers)
    assert passed.receive(response_headers(200, details="direct_response")) is PASS


def test_an_unknown_encoding_of_a_stream_is_the_upstreams_fault() -> None:
    """A translated stream in an encoding that nobody has is a bad gateway, not a failure of ours."""
    made, _ = sent(chat("claude", stream=True))
    action = reply(made.receive(response_headers(kind="application/vnd.amazon.eventstream", content_encoding="zpaq")))

    assert action.status == 502
    assert made.finish().outcome == "upstream_error"


def test_a_translated_request_is_json_whatever_the_client_called_it() -> None:
    """The rewritten body carries its own content type."""
    made = exchange()
    made.receive(request_headers(content_type="text/plain"))
    sending = proceed(made.receive(RequestBody(chat("claude"), end=True)))

    assert ("content-type", "application/json") in sending.set_headers


def test_a_finished_answer_before_trailers_is_not_cut() -> None:
    """Trailers after the model stopped, but before its usage, leave the answer whole: only [DONE] is missing."""
    made, _ = sent(chat("claude", stream=True))
    made.receive(response_headers(kind="application/vnd.amazon.eventstream"))
    for kind, payload in (
        ("messageStart", b'{"role":"assistant"}'),
        ("contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"text":"a"}}'),
        ("messageStop", b'{"stopReason":"end_turn"}'),
    ):
        made.receive(ResponseBody(frame({":event-type": kind, ":message-type": "event"}, payload), end=False))

    assert made.receive(ResponseTrailers()) is PASS
    assert made.finish().outcome == "ok"


def test_a_cut_compressed_stream_is_accounted_as_cut() -> None:
    """A compressed stream passes as it came; that it broke off is still known."""
    made, _ = sent(chat(stream=True, stream_options={"include_usage": True}))
    made.receive(response_headers(kind="text/event-stream", content_encoding="gzip"))
    made.receive(ResponseBody(gzip.compress(b'data: {"choices":[{"index":0,"delta":{}}]}\n\n')[:-6], end=False))
    made.receive(ResponseBody(b"", end=True))

    assert made.finish().outcome == "upstream_error"


def test_the_record_holds_no_words_of_the_client() -> None:
    """Neither a wrong value nor an invented field name of the client's reaches the log's record."""
    made, _ = sent(b'{"model":"claude","messages":[{"role":"my secret patient","content":"x"}]}')
    other, _ = sent(chat("claude", **{f"my secret {i}": 1 for i in range(40)}))
    record = other.finish()

    assert "secret" not in made.finish().error
    assert (len(record.dropped), record.dropped_more) == (32, 8)
    assert set(record.dropped) == {"(withheld)"}
