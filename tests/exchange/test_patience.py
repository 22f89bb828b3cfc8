"""When a client is told to come back, and when not to."""

import math
from email.utils import formatdate

import pytest

from extproc.conversation.errors import ApiError, Kind
from extproc.exchange import replies
from tests.support.exchange_driver import EDGES, chat, proceed, reply, response_headers, sent, whole

NOW = EDGES.wall()


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, {}),
        ({"retry-after": "7"}, {}),
        ({"retry-after": "120"}, {}),
        ({"retry-after": "121"}, {"retry-after": "120"}),
        ({"retry-after": "86400", "retry-after-ms": "86400000"}, {"retry-after": "120", "retry-after-ms": "120000"}),
        ({"retry-after": "0.5", "retry-after-ms": "500"}, {}),
        ({"retry-after": "9" * 400}, {"retry-after": None}),
        ({"retry-after": "inf"}, {"retry-after": None}),
        ({"retry-after": "nan", "retry-after-ms": "nan"}, {"retry-after": None, "retry-after-ms": None}),
        ({"retry-after": "soon"}, {"retry-after": None}),
        ({"retry-after": "-5"}, {"retry-after": None}),
        ({"retry-after-ms": formatdate(NOW + 600, usegmt=True)}, {"retry-after-ms": None}),
        ({"retry-after": formatdate(NOW + 60, usegmt=True)}, {}),
        ({"retry-after": formatdate(NOW + 600, usegmt=True)}, {"retry-after": "120"}),
        ({"retry-after": "Thu, 99 Foo 2026 00:00:00 GMT"}, {"retry-after": None}),
    ],
)
def test_no_upstream_sends_a_client_to_sleep(headers: dict[str, str], expected: dict[str, str | None]) -> None:
    """A wait of more than two minutes is cut, as anthropic-python sleeps for as long as it is told; nonsense goes."""
    shorter, unread = replies.patience(headers, EDGES.wall)

    assert {**dict(shorter), **dict.fromkeys(unread)} == expected


@pytest.mark.parametrize("model", ["gpt", "claude"])
def test_a_throttled_answer_keeps_its_short_wait_and_loses_a_long_one(model: str) -> None:
    """The wait is cut on errors that pass and on those that are translated, and on nothing else."""
    made, _ = sent(chat(model))
    short = made.receive(response_headers(429, retry_after="5"))
    made, _ = sent(chat(model))
    long = proceed(made.receive(response_headers(429, retry_after="9999")))
    made, _ = sent(chat(model))
    fine = made.receive(response_headers(200, retry_after="9999"))

    assert "retry-after" not in dict(proceed(short).set_headers)
    assert dict(long.set_headers)["retry-after"] == "120"
    assert "retry-after" not in dict(proceed(fine).set_headers)


@pytest.mark.parametrize("model", ["gpt", "claude"])
@pytest.mark.parametrize("end", [False, True])
def test_a_wait_that_is_none_is_not_told_on(model: str, *, end: bool) -> None:
    """SDKs read nan as a number and wait for it, so no error has it, passed, translated or without a body."""
    made, _ = sent(chat(model))
    action = made.receive(response_headers(429, end=end, retry_after="nan"))

    if end:
        assert "retry-after" not in dict(reply(action).headers)
    else:
        assert "retry-after" in proceed(action).remove_headers


@pytest.mark.parametrize(("path", "told"), [("/v1/chat/completions", 503), ("/v1/messages", 529)])
def test_the_gateways_own_replies_have_the_clients_status_for_overloaded(path: str, told: int) -> None:
    """A backend that cannot be reached, and a rule that serves nobody, are 529 to Anthropic's SDKs."""
    made, _ = sent(chat(max_tokens=9), path=path)
    down = reply(made.receive(response_headers(503, "text/plain", details="no_healthy_upstream")))
    _, refused = sent(chat("broken", max_tokens=9), path=path)

    assert (down.status, reply(refused).status) == (told, told)
    assert ("retry-after", "1") in down.headers


def test_a_bodiless_error_keeps_its_wait_too() -> None:
    """An error without a body is answered by the gateway, with what the upstream said about coming back."""
    made, _ = sent(chat("claude"))
    action = reply(made.receive(response_headers(429, end=True, retry_after="9999", x_should_retry="false")))

    assert dict(action.headers)["retry-after"] == "120"
    assert dict(action.headers)["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("flags", "told"), [("0", False), ("32", False), ("32800", True), ("32768", True), ("", False)]
)
def test_what_envoy_has_retried_is_not_retried_again(flags: str, told: bool) -> None:
    """Once Envoy has used up its own attempts, SDKs are told not to multiply them by theirs."""
    made, _ = sent(chat())
    event = response_headers(503, "text/plain", details="upstream_reset_before_response_started{connection_failure}")
    event = type(event)(event.headers, event.end, {**event.attributes, "response.flags": flags})
    action = reply(made.receive(event))

    assert (("x-should-retry", "false") in action.headers) == told
    assert (("retry-after", "1") in action.headers) != told


def test_an_account_without_money_is_not_asked_again() -> None:
    """The operator's empty account is a limit to the client, and trying again fills no account."""
    error = ApiError(402, Kind.BILLING, "no credit")

    assert replies.shown(error, "openai").status == replies.shown(error, "anthropic").status == 429
    assert replies.advice(error) == (("x-should-retry", "false"),)


@pytest.mark.parametrize(
    ("status", "client", "told"),
    [
        (503, "openai", 503),
        (529, "openai", 503),
        (503, "anthropic", 529),
        (529, "anthropic", 529),
        (500, "openai", 500),
    ],
)
def test_being_overloaded_has_a_status_of_its_own_at_anthropic(status: int, client: str, told: int) -> None:
    """529 means something to Anthropic's SDKs alone, and is what they expect."""
    assert replies.shown(ApiError(status, Kind.OVERLOADED, "busy"), client).status == told


@pytest.mark.parametrize(("seconds", "told"), [(3, "3"), (4000, "120")])
def test_a_wait_that_the_body_names_becomes_a_header(seconds: int, told: str) -> None:
    """Google says in the body when to come back; SDKs look for the header."""
    error = ApiError(429, Kind.RATE_LIMIT, "slow down", retry_after=seconds)

    assert replies.advice(error) == (("retry-after", told),)
    assert math.isclose(float(told), min(seconds, replies.MAX_PATIENCE_S))


def test_both_kinds_of_sdk_find_our_id() -> None:
    """OpenAI's SDKs read x-request-id, Anthropic's request-id; errors and translated answers carry both."""
    made, _ = sent(b"{", x_request_id="r-1")
    refused = reply(sent(b"{", x_request_id="r-1")[1])
    made, _ = sent(chat("claude"), x_request_id="r-1")
    waiting = proceed(made.receive(response_headers()))

    for headers in (refused.headers, waiting.set_headers):
        assert {("x-request-id", "r-1"), ("request-id", "r-1")} <= set(headers)


def test_an_html_page_of_an_overloaded_upstream_keeps_the_wait() -> None:
    """An error whose body is replaced still says when to come back, within measure."""
    made, _ = sent(chat())
    waiting = proceed(made.receive(response_headers(503, "text/html", retry_after="600")))

    assert dict(waiting.set_headers) == {"retry-after": "120"}
    assert whole(sent(chat())[0], b"busy", status=503, kind="text/html").body is not None
