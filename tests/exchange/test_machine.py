"""Every order of events that Envoy produces, and what the gateway makes of each."""

import json

import pytest

from extproc.conversation.response import Usage
from extproc.exchange.machine import Exchange, State
from extproc.exchange.messages import (
    PASS,
    BodyMode,
    RequestBody,
    RequestTrailers,
    ResponseBody,
    ResponseTrailers,
)
from tests.support.exchange_driver import (
    chat,
    error_of,
    exchange,
    proceed,
    reply,
    request_headers,
    response_headers,
    sent,
    whole,
)

ANSWER = (
    b'{"id":"x","object":"chat.completion","created":1,"model":"gpt-real","choices":[],'
    b'"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}'
)
CONVERSE = (
    b'{"output":{"message":{"role":"assistant","content":[{"text":"hello"}]}},"stopReason":"end_turn",'
    b'"usage":{"inputTokens":3,"outputTokens":4,"totalTokens":7},"metrics":{"latencyMs":1}}'
)


def test_passthrough_sends_the_body_untouched() -> None:
    """A same-dialect request keeps its bytes and gets nothing but the backend header."""
    _, action = sent(chat())
    sending = proceed(action)

    assert sending.body is None
    assert dict(sending.set_headers) == {"x-llmroute-backend": "openai"}
    assert sending.clear_route_cache
    assert sending.metadata == {
        "model": "gpt",
        "backend": "openai",
        "route": "t/chat@1#rules[0]",
        "client_dialect": "openai",
    }


def test_model_override_edits_the_body_and_sets_its_length() -> None:
    """An overridden model is replaced in place, and the length and path follow."""
    body = chat("renamed")
    _, action = sent(body, path="/v1/chat/completions?x=1")
    sending = proceed(action)

    assert sending.body == body.replace(b'"renamed"', b'"real"')
    headers = dict(sending.set_headers)
    assert headers["content-length"] == str(len(sending.body or b""))
    assert headers[":path"] == "/v9/chat/completions?x=1"


def test_translation_goes_to_the_converse_path() -> None:
    """A Bedrock backend gets a Converse body at its percent-encoded path, without the client's query."""
    _, action = sent(chat("claude"), path="/v1/chat/completions?x=1", accept_encoding="gzip")
    sending = proceed(action)

    assert dict(sending.set_headers)[":path"] == "/model/anthropic.claude-x-v1%3A0/converse"
    assert json.loads(sending.body or b"")["messages"] == [{"role": "user", "content": [{"text": "hi"}]}]
    assert "accept-encoding" in sending.remove_headers


def test_usage_of_a_json_answer_reaches_the_metadata() -> None:
    """A passed JSON answer keeps its bytes and leaves its usage."""
    made, _ = sent(chat())
    action = whole(made, ANSWER)

    assert action.body is None
    assert action.metadata == {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    record = made.finish()
    assert (record.outcome, record.status, record.usage) == ("ok", 200, Usage(3, 4, 7))


def test_a_converse_answer_becomes_a_chat_completion() -> None:
    """A translated answer replaces the body and states its length."""
    made, _ = sent(chat("claude"))
    action = whole(made, CONVERSE, x_amzn_requestid="r-1")
    body = json.loads(action.body or b"")

    assert body["choices"][0]["message"]["content"] == "hello"
    assert body["model"] == "claude"
    assert dict(action.set_headers)["content-length"] == str(len(action.body or b""))


@pytest.mark.parametrize("end", ["body", "trailers"])
def test_the_end_may_be_a_body_or_trailers(end: str) -> None:
    """A buffered body without end_of_stream (trailers follow) is translated all the same."""
    made, _ = sent(chat("claude"))
    made.receive(response_headers())
    action = proceed(made.receive(ResponseBody(CONVERSE, end=end == "body")))

    assert action.body is not None
    assert made.receive(ResponseTrailers()) is PASS


def test_a_request_body_without_end_is_whole() -> None:
    """With request trailers Envoy never marks the buffered body's end, and the request goes out all the same."""
    made = exchange()
    made.receive(request_headers())

    assert proceed(made.receive(RequestBody(chat(), end=False))).clear_route_cache
    assert made.receive(RequestTrailers()) is PASS


@pytest.mark.parametrize("status", [200, 204])
def test_bodiless_answers_pass(status: int) -> None:
    """An answer without a body passes with its headers untouched, where an endpoint may have such answers."""
    made, _ = sent(chat(), path="/v1/moderations")

    assert made.receive(response_headers(status, end=True, content_length="5")) is PASS
    assert made.finish().outcome == "ok"


def test_a_translated_answer_without_a_body_is_a_bad_gateway() -> None:
    """A 200 that ends with its headers cannot be an answer of Converse."""
    made, _ = sent(chat("claude"))
    action = reply(made.receive(response_headers(end=True)))

    assert (action.status, error_of(action)["type"]) == (502, "server_error")


def test_only_trailers_after_translated_headers() -> None:
    """Headers, then trailers without any body: the headers still wait, so the client gets the error."""
    made, _ = sent(chat("claude"))
    made.receive(response_headers())

    assert reply(made.receive(ResponseTrailers())).status == 502


def test_a_reply_of_an_earlier_filter_passes() -> None:
    """A stream that starts with response headers has no request phase and is left alone."""
    made = exchange()

    assert made.receive(response_headers(401, details="jwt_authn")) is PASS
    assert made.receive(ResponseBody(b"no", end=True)) is PASS
    assert made.finish().status == 401


@pytest.mark.parametrize(
    ("details", "status", "shown", "word"),
    [
        ("route_not_found", 404, 503, "not known to the proxy yet"),
        ("cluster_not_found", 503, 503, "not known to the proxy yet"),
        ("no_healthy_upstream", 503, 503, "gave no answer"),
        ("upstream_reset_before_response_started{connection_termination}", 503, 503, "gave no answer"),
        ("upstream_response_timeout", 504, 504, "did not answer in time"),
        ("request_payload_too_large", 413, 413, "larger than this gateway takes"),
        ("something_else", 500, 500, "something_else"),
    ],
)
def test_envoys_own_replies_are_told_in_the_dialect(details: str, status: int, shown: int, word: str) -> None:
    """What Envoy answers itself becomes an error of the client's dialect that names the backend."""
    made, _ = sent(chat())
    action = reply(made.receive(response_headers(status, "text/plain", details=details)))

    assert action.status == shown
    assert word in error_of(action)["message"]
    assert (("retry-after", "1") in action.headers) == (shown == 503)


def test_a_413_can_come_before_the_body() -> None:
    """A body over Envoy's limit never arrives; the reply is told in the dialect."""
    made = exchange()
    made.receive(request_headers())
    action = reply(made.receive(response_headers(413, "text/plain", details="request_payload_too_large")))

    assert action.status == 413
    assert "larger" in error_of(action)["message"]


@pytest.mark.parametrize(
    ("method", "path", "end", "status", "code"),
    [
        ("POST", "/v1/nothing", False, 404, None),
        ("GET", "/v1/chat/completions", True, 405, None),
        ("HEAD", "/v1/chat/completions", True, 405, None),
        ("POST", "/v1/chat/completions", True, 400, "invalid_json"),
        ("GET", "/v1/models/nope", True, 404, "model_not_found"),
    ],
)
def test_local_errors_are_answered_at_once(method: str, path: str, end: bool, status: int, code: str | None) -> None:
    """A request nobody can serve is answered from its headers."""
    action = reply(exchange().receive(request_headers(path, method=method, end=end)))

    assert (action.status, error_of(action)["code"]) == (status, code)


def test_models_are_listed_from_the_configuration() -> None:
    """GET /v1/models lists the exact models that can be served, and one of them by id."""
    listed = reply(exchange().receive(request_headers("/v1/models", method="GET", end=True)))
    one = reply(exchange().receive(request_headers("/v1/models/claude?x", method="GET", end=True)))

    assert [m["id"] for m in json.loads(listed.body)["data"]] == ["claude", "gpt", "renamed"]
    assert json.loads(one.body)["id"] == "claude"


@pytest.mark.parametrize(
    ("body", "status", "param", "word"),
    [
        (b"{", 400, None, ""),
        (b'{"messages":[]}', 400, "model", "model"),
        (chat("unknown"), 404, "model", "does not exist"),
        (chat("zero"), 503, None, "t/chat@1#rules[3]"),
        (chat("broken"), 503, None, 'LLMBackend "nope" not found'),
        (chat("claude", n=2), 400, "n", "n"),
    ],
)
def test_a_request_that_cannot_go_out_is_answered(body: bytes, status: int, param: str | None, word: str) -> None:
    """Bad bodies, unknown models and rules without backends are answered in the dialect, naming the field or rule."""
    _, action = sent(body)

    assert reply(action).status == status
    assert error_of(action)["param"] == param
    assert word in error_of(action)["message"]


def test_an_endpoint_a_backend_cannot_serve() -> None:
    """Embeddings at a Bedrock backend are refused with the backend's name."""
    _, action = sent(b'{"model":"claude","input":"x"}', path="/v1/embeddings")

    assert reply(action).status == 400
    assert "'bedrock'" in error_of(action)["message"]


def test_forged_headers_are_overwritten_or_removed() -> None:
    """A client's own copies of gateway-owned headers neither route nor leave."""
    _, action = sent(chat(), x_llmroute_backend="evil", x_ai_eg_model="claude", x_envoy_ai_gateway_llm_model="claude")
    sending = proceed(action)

    assert ("x-llmroute-backend", "openai") in sending.set_headers
    assert {"x-ai-eg-model", "x-envoy-ai-gateway-llm-model"} <= set(sending.remove_headers)
    assert sending.metadata is not None
    assert sending.metadata["model"] == "gpt"


def test_an_sse_stream_is_tapped_and_passed() -> None:
    """Chunks pass as the same bytes; the injected usage event goes, and its counts stay."""
    made, action = sent(chat(stream=True))
    assert b'"include_usage":true' in (proceed(action).body or b"")
    headers = proceed(made.receive(response_headers(kind="text/event-stream; charset=utf-8")))
    delta = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}\n\n'

    assert headers.body_mode is BodyMode.STREAMED
    assert "content-length" in headers.remove_headers
    assert made.receive(ResponseBody(delta, end=False)) is PASS
    last = proceed(made.receive(ResponseBody(usage + b"data: [DONE]\n\n", end=True)))
    assert last.body == b"data: [DONE]\n\n"
    assert last.metadata == {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    assert made.finish().outcome == "ok"


@pytest.mark.parametrize("trailers", [True, False])
def test_a_cut_stream_never_looks_whole(trailers: bool) -> None:
    """A stream without its terminator ends in an error event, or is cut when only trailers are left to answer."""
    made, _ = sent(chat(stream=True, stream_options={"include_usage": True}))
    made.receive(response_headers(kind="text/event-stream"))
    made.receive(ResponseBody(b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n', end=False))
    action = made.receive(ResponseTrailers() if trailers else ResponseBody(b"", end=True))

    if trailers:
        assert reply(action).details == "llmroute_upstream_truncated"
        assert error_of(action)["type"] == "server_error"
    else:
        assert b'"error"' in (proceed(action).body or b"")
    assert made.finish().outcome == "upstream_error"


def test_an_error_that_is_not_json_is_put_into_the_dialect() -> None:
    """A vendor's HTML error page becomes an error object with the vendor's status."""
    made, _ = sent(chat())
    action = whole(made, b"<h1>busy</h1>", status=503, kind="text/html", retry_after="7")

    assert "busy" in error_of(action)["message"]
    assert made.finish().status == 503


def test_a_json_error_of_the_same_dialect_passes() -> None:
    """An upstream's own error object is not touched."""
    made, _ = sent(chat())

    action = whole(made, b'{"error": {"message":"slow"} }', status=429)
    assert (action.body, action.set_headers) == (None, ())
    assert made.finish().outcome == "upstream_error"


def test_fail_answers_while_it_can() -> None:
    """After a failure of ours the client gets a 500 in its dialect."""
    made, _ = sent(chat())

    assert reply(made.fail()).status == 500
    assert made.finish().outcome == "internal_error"


def test_a_stream_that_just_ends_is_a_disconnect() -> None:
    """When the events stop before the answer did, nobody can say who left; Envoy's flags do."""
    made, _ = sent(chat())

    assert made.finish().outcome == "disconnected"


@pytest.mark.parametrize(
    ("last", "outcome"),
    [
        (b"data: [DONE]\n\n", "ok"),
        (b'data: {"error": {"message": "overloaded"}}\n\n', "upstream_error"),
        (b'data: {"choices": [{"index": 0, "delta": {"content": "b"}}]}\n\n', "disconnected"),
    ],
)
def test_a_client_may_leave_after_the_last_event(last: bytes, outcome: str) -> None:
    """What a stream has said of its end counts, though the client did not wait for the end of the bytes."""
    made, _ = sent(chat(stream=True, stream_options={"include_usage": True}))
    made.receive(response_headers(kind="text/event-stream"))
    made.receive(ResponseBody(b'data: {"choices": [{"index": 0, "delta": {"content": "a"}}]}\n\n' + last, end=False))

    assert made.finish().outcome == outcome


def test_every_state_has_a_row() -> None:
    """The table speaks of every state."""
    assert set(Exchange.TABLE) == set(State)


def test_an_error_of_ours_carries_the_request_id() -> None:
    """The client can quote the id under which the logs of Envoy and of the processor know the request."""
    action = reply(exchange().receive(request_headers("/v1/nothing", x_request_id="r-7")))

    assert ("x-request-id", "r-7") in action.headers
