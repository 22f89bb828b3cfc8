"""Whole streams over a real gRPC channel: every order and every ending that Envoy produces, with the real exchange."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from extproc.config.loader import load
from extproc.exchange.gateway import Gateway
from extproc.exchange.machine import Exchange
from extproc.exchange.messages import (
    Event,
    RequestBody,
    RequestHeaders,
    RequestTrailers,
    ResponseBody,
    ResponseHeaders,
    ResponseTrailers,
)
from extproc.server.proto import extproc_pb2 as pb
from tests.support import recorded_events as recorded
from tests.support.exchange_driver import GATEWAY, chat, request_headers, response_headers
from tests.support.processor_client import Client, Talk, serving

OK = grpc.StatusCode.OK
ANSWER = (
    b'{"id":"x","object":"chat.completion","created":1,"model":"gpt-real","choices":[],'
    b'"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}'
)
DELTA = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}\n\n'
DONE = b"data: [DONE]\n\n"
SSE = "text/event-stream"


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A processor with the gateway of the exchange's own tests."""
    async with serving(GATEWAY, tmp_path) as client:
        yield client


async def sent(talk: Talk, body: bytes | None = None) -> pb.CommonResponse:
    """Tell a chat request; the answer to its body."""
    await talk.say(request_headers(x_request_id="r-1"))
    response = await talk.say(RequestBody(chat() if body is None else body, end=True))
    assert response.WhichOneof("response") == "request_body"
    return response.request_body.response


def backend_of(answer: pb.CommonResponse) -> bytes:
    """The backend that a request was routed to."""
    return next(o.header.raw_value for o in answer.header_mutation.set_headers if o.header.key == "x-llmroute-backend")


def usage_of(response: pb.ProcessingResponse) -> dict[str, float]:
    """The numbers in the dynamic metadata."""
    fields = response.dynamic_metadata.fields["io.envoy.ai_gateway"].struct_value.fields
    return {name: value.number_value for name, value in fields.items() if value.HasField("number_value")}


def problem_of(response: pb.ProcessingResponse) -> tuple[int, str]:
    """Status and message of an immediate error in the OpenAI dialect."""
    immediate = response.immediate_response
    return immediate.status.code, json.loads(immediate.body)["error"]["message"]


async def test_a_json_exchange_ends_with_its_last_answer(client: Client) -> None:
    """Four messages, four answers, and the server closes the stream itself."""
    talk = client.talk()
    assert backend_of(await sent(talk)) == b"openai"
    headers = await talk.say(response_headers())
    body = await talk.say(ResponseBody(ANSWER, end=True))

    assert headers.mode_override.response_body_mode == pb.ProcessingMode.BUFFERED
    assert body.response_body.response.body_mutation.WhichOneof("mutation") is None
    assert usage_of(body) == {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    assert await talk.status() is OK
    record = await client.observed.record()
    assert (record.outcome, record.request_id, record.backend, record.status) == ("ok", "r-1", "openai", 200)


async def test_a_server_that_drains_leaves_the_end_to_envoy(client: Client) -> None:
    """The last answer is not followed by the connection's end before Envoy has read it."""
    client.processor.drain()
    talk = client.talk()
    await sent(talk)
    await talk.say_all([response_headers(), ResponseBody(ANSWER, end=True)])

    assert await talk.is_open()
    await talk.half_close()
    assert await talk.status() is OK
    assert (await client.observed.record()).outcome == "ok"


@pytest.mark.parametrize("end", [ResponseBody(DONE, end=True), ResponseTrailers()], ids=["end_of_stream", "trailers"])
async def test_a_stream_ends_by_end_of_stream_or_trailers(client: Client, end: Event) -> None:
    """HTTP/1 ends with a body that says so, HTTP/2 may end with trailers; both close an accounted stream."""
    talk = client.talk()
    await sent(talk, chat(stream=True))
    headers = await talk.say(response_headers(kind=SSE))
    delta, usage = await talk.say_all([ResponseBody(DELTA, end=False), ResponseBody(USAGE, end=False)])
    if isinstance(end, ResponseTrailers):
        await talk.say(ResponseBody(DONE, end=False))
    await talk.say(end)

    assert headers.mode_override.response_body_mode == pb.ProcessingMode.STREAMED
    assert delta.response_body.response.body_mutation.WhichOneof("mutation") is None
    assert usage.response_body.response.body_mutation.clear_body
    assert usage_of(usage) == {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    assert await talk.status() is OK
    assert (await client.observed.record()).outcome == "ok"


@pytest.mark.parametrize("method", ["POST", "HEAD", "GET"])
async def test_a_request_without_a_body_is_answered_from_its_headers(client: Client, method: str) -> None:
    """Nothing follows a reply: the server closes the stream."""
    talk = client.talk()
    status, _ = problem_of(await talk.say(request_headers(method=method, end=True)))

    assert status == (400 if method == "POST" else 405)
    assert await talk.status() is OK
    assert (await client.observed.record()).outcome == "client_error"


async def test_an_answer_without_a_body_ends_with_its_headers(client: Client) -> None:
    """A 204 has no body phase, whatever its content-length says."""
    talk = client.talk()
    await talk.say(request_headers("/v1/moderations"))
    await talk.say(RequestBody(b'{"model": "gpt", "input": "x"}', end=True))
    answer = await talk.say(response_headers(204, end=True, content_length="744"))

    assert answer.WhichOneof("response") == "response_headers"
    assert await talk.status() is OK
    assert (await client.observed.record()).status == 204


async def test_request_trailers_are_let_through(client: Client) -> None:
    """A body without end_of_stream, then trailers: the request still goes out once."""
    talk = client.talk()
    await talk.say(request_headers())
    body = await talk.say(RequestBody(chat(), end=False))
    trailers = await talk.say(RequestTrailers())

    assert backend_of(body.request_body.response) == b"openai"
    assert trailers.WhichOneof("response") == "request_trailers"


async def test_a_stream_may_begin_with_a_response(client: Client) -> None:
    """The reply of a filter before ours (401) comes without a request phase, and passes."""
    talk = client.talk()
    headers = await talk.say(response_headers(401, details="jwt_authn_access_denied"))
    await talk.half_close()

    assert headers.WhichOneof("response") == "response_headers"
    assert not headers.HasField("mode_override")
    assert client.observed.failures == 0
    assert (await client.observed.record()).status == 401


async def test_envoys_own_reply_is_told_in_the_dialect(client: Client) -> None:
    """A recorded connection failure of Envoy's becomes an error object."""
    talk = client.talk()
    await sent(talk)
    status, text = problem_of(await talk.say(recorded.LOCAL_REPLY))

    assert (status, "openai" in text) == (503, True)
    assert await talk.status() is OK


@pytest.mark.parametrize("events", [0, 1, 2, 3], ids=["nothing said", "headers", "body", "response headers"])
@pytest.mark.parametrize("way", ["half-close", "cancel"])
async def test_a_stream_may_end_anywhere(
    client: Client, caplog: pytest.LogCaptureFixture, events: int, way: str
) -> None:
    """A half-close or a cancel at any point is a disconnect: recorded once, no error, nothing logged."""
    talk = client.talk()
    told: list[Event | bytes] = [request_headers(), RequestBody(chat(), end=True), response_headers()]
    await talk.say_all(told[:events])
    with caplog.at_level(logging.INFO):
        if way == "half-close":
            await talk.half_close()
            assert await talk.status() is OK
        else:
            await client.observed.opened.wait()
            talk.cancel()
        record = await client.observed.record()

    assert record.outcome == "disconnected"
    assert client.observed.failures == 0
    assert [r.getMessage() for r in caplog.records if r.levelno > logging.DEBUG] == []


async def test_an_exchange_keeps_the_configuration_it_began_with(client: Client) -> None:
    """A reload between two messages of a stream changes nothing for it, and everything for the next."""
    old = client.talk()
    await old.say(request_headers())
    client.source.gateway = Gateway.compile(
        load(b"rules: [{backends: [{name: other, outputSchema: {schema: OpenAI}}]}]"),
    )
    answer = await old.say(RequestBody(chat(), end=True))

    assert backend_of(answer.request_body.response) == b"openai"
    assert backend_of(await sent(client.talk())) == b"other"


async def test_without_a_configuration_requests_get_a_503(client: Client) -> None:
    """No configuration yet is a plain error with retry-after, not a broken stream."""
    client.source.gateway = None
    talk = client.talk()
    answer = await talk.say(request_headers(x_request_id="r-1"))

    assert problem_of(answer) == (503, "no configuration has been loaded yet")
    headers = {o.header.key: o.header.raw_value for o in answer.immediate_response.headers.set_headers}
    assert headers == {"content-type": b"application/json", "retry-after": b"1"}
    assert await talk.status() is OK
    record = await client.observed.record()
    assert (record.outcome, record.status, record.request_id) == ("gateway_error", 503, "r-1")


async def test_without_a_configuration_replies_of_envoy_pass(client: Client) -> None:
    """What another filter answered is not turned into a 503."""
    client.source.gateway = None
    talk = client.talk()

    assert (await talk.say(response_headers(401, details="jwt", end=True))).WhichOneof("response") == "response_headers"


@pytest.mark.parametrize(
    "told", [ResponseBody(b"sk-secret", end=False), b"\xff not protobuf"], ids=["no such order", "no message"]
)
async def test_what_envoy_never_sends_is_an_internal_error(
    client: Client, caplog: pytest.LogCaptureFixture, told: Event | bytes
) -> None:
    """An impossible message is counted and logged once, and the client gets a 500."""
    talk = client.talk()
    status, _ = problem_of(await talk.say(told))

    assert status == 500
    assert await talk.status() is OK
    assert client.observed.failures == 1
    assert (await client.observed.record()).outcome == "internal_error"
    assert [r.levelname for r in caplog.records if r.name == "extproc.server.servicer"] == ["ERROR"]


async def test_a_bug_is_logged_without_what_it_was_about(
    client: Client, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The traceback shows types and places of the whole chain of errors, but no text of theirs."""

    def broken(_: Exchange, event: Event) -> None:
        assert isinstance(event, RequestBody)
        try:
            dict[bytes, bytes]()[event.body]
        except KeyError as error:
            raise ValueError(event.body.decode()) from error

    talk = client.talk()
    await talk.say(request_headers(x_request_id="r-7"))
    monkeypatch.setattr(Exchange, "receive", broken)
    status, text = problem_of(await talk.say(RequestBody(b"sk-secret", end=True)))

    assert (status, "sk-secret" in text) == (500, False)
    assert "internal error at RequestBody of request r-7" in caplog.text
    assert "ValueError from KeyError (text withheld)" in caplog.text
    assert "in broken" in caplog.text
    assert "sk-secret" not in caplog.text


async def test_bodies_of_30_megabytes_pass_both_ways(client: Client) -> None:
    """Envoy's documented buffer fits into a message, in each direction."""
    talk = client.talk()
    big = chat("renamed", padding="x" * 30_000_000)
    answer = await sent(talk, big)

    assert answer.body_mutation.body == big.replace(b'"renamed"', b'"real"')


async def test_streams_do_not_mix(client: Client) -> None:
    """Fifty interleaved exchanges each get their own answers."""
    models = ["gpt", "claude"] * 25
    talks = [client.talk() for _ in models]
    await asyncio.gather(*(talk.say(RequestHeaders(request_headers().headers, end=False)) for talk in talks))
    answers = await asyncio.gather(
        *(talk.say(RequestBody(chat(model), end=True)) for talk, model in zip(talks, models, strict=True))
    )

    assert [backend_of(a.request_body.response) for a in answers] == [b"openai", b"bedrock"] * 25
    assert client.observed.streams == 50
    assert client.observed.records == []
    for talk in talks:
        await talk.half_close()
    assert len(client.observed.records) == 50


async def test_a_translated_answer_states_its_length(client: Client) -> None:
    """A replaced body and its content-length arrive in one message."""
    talk = client.talk()
    await sent(talk, chat("claude"))
    await talk.say(ResponseHeaders(response_headers().headers, end=False, attributes={}))
    converse = b'{"output":{"message":{"role":"assistant","content":[{"text":"hi"}]}},"stopReason":"end_turn"}'
    answer = (await talk.say(ResponseBody(converse, end=True))).response_body.response
    headers = {o.header.key: o.header.raw_value for o in answer.header_mutation.set_headers}

    assert json.loads(answer.body_mutation.body)["choices"][0]["message"]["content"] == "hi"
    assert headers["content-length"] == str(len(answer.body_mutation.body)).encode()
