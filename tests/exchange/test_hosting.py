"""What a platform puts around a dialect's bytes, and what belongs to a client's API alone."""

import base64
import gzip
import json
from typing import Any

import pytest

from extproc.config.loader import load
from extproc.exchange.gateway import Gateway
from extproc.exchange.messages import BodyMode, ResponseBody
from tests.support.eventstream_frames import event, exception
from tests.support.every_host import MESSAGE, MESSAGE_EVENTS, WORDS, invoke_frame
from tests.support.exchange_driver import chat, error_of, proceed, reply, response_headers, sent, whole

CONFIG = """
backends:
- {name: claude, outputSchema: {schema: Anthropic}, defaults: {maxOutputTokens: 77}}
- {name: invoke, outputSchema: {schema: AWSAnthropic}}
- {name: rock, outputSchema: {schema: AWSBedrock}}
- {name: vertex, outputSchema: {schema: GCPAnthropic}, gcp: {project: p, location: eu}}
- {name: azure, outputSchema: {schema: AzureOpenAI, version: "2024-10-21"}}
- {name: plain, outputSchema: {schema: OpenAI}}
rules:
- {headers: [{name: x-ai-eg-model, value: claude}], backends: [{name: claude}]}
- {headers: [{name: x-ai-eg-model, value: invoke}], backends: [{name: invoke}]}
- {headers: [{name: x-ai-eg-model, value: rock}], backends: [{name: rock}]}
- {headers: [{name: x-ai-eg-model, value: vertex}], backends: [{name: vertex}]}
- {headers: [{name: x-ai-eg-model, value: azure}], backends: [{name: azure}]}
- {headers: [{name: x-ai-eg-model, value: plain}], backends: [{name: plain}]}
- headers: [{name: x-ai-eg-model, value: sticky}]
  stickiness: Conversation
  backends: [{name: plain}, {name: azure}, {name: claude}]
"""
GATEWAY = Gateway.compile(load(CONFIG.encode()))
MESSAGES = "/v1/messages"
COUNT = "/v1/messages/count_tokens"
EVENTSTREAM = "application/vnd.amazon.eventstream"
ASKED: dict[str, Any] = {"max_tokens": 9}


def ask(model: str, path: str = MESSAGES, headers: dict[str, str] | None = None, **fields: Any) -> Any:
    """An exchange whose request went out, and what was sent."""
    given = {"anthropic-version": "2023-06-01", **(headers or {})} if "messages" in path else headers or {}
    named = {name.replace("-", "_"): value for name, value in given.items()}
    return sent(chat(model, **fields), path=path, gateway=GATEWAY, **named)


def test_invoke_model_gets_a_body_of_its_own() -> None:
    """An Anthropic client's bytes go to Bedrock less model and stream, with version and betas inside and no header."""
    _, action = ask("invoke", stream=True, headers={"anthropic-beta": "context-1m-2025-08-07"}, **ASKED)
    sending = proceed(action)
    body = json.loads(sending.body or b"")

    assert body["anthropic_version"] == "bedrock-2023-05-31"
    assert not {"model", "stream"} & set(body)
    assert {"anthropic-version", "anthropic-beta", "accept-encoding"} & set(sending.remove_headers) >= {
        "anthropic-version",
        "anthropic-beta",
    }
    assert dict(sending.set_headers)[":path"] == "/model/invoke/invoke-with-response-stream"


@pytest.mark.parametrize("encoding", ["", "gzip"])
@pytest.mark.parametrize(("path", "word"), [(MESSAGES, b"event: message_stop"), ("/v1/chat/completions", b"[DONE]")])
def test_frames_are_taken_off(path: str, word: bytes, encoding: str) -> None:
    """What AWS frames comes out as the client's own events, whether or not it was compressed on the way."""
    made, _ = ask("invoke", path, stream=True, **ASKED)
    packed = b"".join(map(invoke_frame, MESSAGE_EVENTS))
    data = gzip.compress(packed) if encoding else packed
    more: Any = {"content_encoding": encoding} if encoding else {}
    headers = proceed(made.receive(response_headers(kind=EVENTSTREAM, **more)))
    first = made.receive(ResponseBody(data[:100], end=False))
    rest = made.receive(ResponseBody(data[100:], end=True))
    out = (proceed(first).body or b"") + (proceed(rest).body or b"")

    assert headers.body_mode is BodyMode.STREAMED
    assert dict(headers.set_headers)["content-type"] == "text/event-stream"
    assert {"content-length", "content-encoding"} <= set(headers.remove_headers)
    assert word in out
    assert WORDS.encode() in out
    record = made.finish()
    assert (record.outcome, record.usage.output_tokens) == ("ok", 5)


@pytest.mark.parametrize("path", [MESSAGES, "/v1/chat/completions"])
def test_damaged_frames_end_in_an_error_event(path: str) -> None:
    """A broken frame, and an exception of AWS's own, are errors in the client's dialect, and nothing follows them."""
    broken = bytearray(invoke_frame(MESSAGE_EVENTS[1]))
    broken[-1] ^= 1
    thrown = exception("throttlingException", b'{"message":"slow down"}')
    for bad in (bytes(broken), thrown):
        made, _ = ask("invoke", path, stream=True, **ASKED)
        made.receive(response_headers(kind=EVENTSTREAM))
        first = invoke_frame(MESSAGE_EVENTS[0])
        out = proceed(made.receive(ResponseBody(first + bad, end=False))).body or b""
        after = made.receive(ResponseBody(invoke_frame(MESSAGE_EVENTS[2]), end=True))

        assert b'"error"' in out
        assert proceed(after).body in {None, b""}
        assert made.finish().outcome == "upstream_error"


def test_a_stream_whose_encoding_breaks_ends_in_an_error_event() -> None:
    """A compressed stream of frames that is damaged is told as broken, in the client's dialect."""
    made, _ = ask("invoke", stream=True, **ASKED)
    made.receive(response_headers(kind=EVENTSTREAM, content_encoding="gzip"))
    out = proceed(made.receive(ResponseBody(b"no gzip at all", end=False))).body or b""

    assert out.startswith(b"event: error\n")
    assert proceed(made.receive(ResponseBody(b"more", end=True))).body == b""
    assert made.finish().outcome == "upstream_error"


@pytest.mark.parametrize("model", ["invoke", "rock"])
def test_a_clouds_own_error_is_told_in_the_clients_dialect(model: str) -> None:
    """AWS's errors have the same form whether they refuse Anthropic's body or Converse's."""
    made, _ = ask(model, **ASKED)
    action = whole(made, b'{"message":"slow down"}', status=429, x_amzn_errortype="ThrottlingException")

    assert error_of(action) == {"type": "rate_limit_error", "message": "slow down"}
    assert made.finish().status == 429


@pytest.mark.parametrize("body", [b'{"error":{"code":429,"message":"quota","status":"RESOURCE_EXHAUSTED"}}', None])
def test_google_errors_are_googles_or_anthropics(body: bytes | None) -> None:
    """On Vertex AI an error is of the one form or of the other, and an Anthropic client sees its own either way."""
    own = b'{"type":"error","error":{"type":"rate_limit_error","message":"quota"}}'
    made, _ = ask("vertex", **ASKED)
    proceed(made.receive(response_headers(429)))
    action = proceed(made.receive(ResponseBody(body or own, end=True)))
    told = json.loads(action.body or own)

    assert (told["type"], told["error"]["type"]) == ("error", "rate_limit_error")
    assert "quota" in told["error"]["message"]
    assert (action.body is None) == (body is None)


@pytest.mark.parametrize(
    ("model", "path", "answer"),
    [
        ("claude", "/v1/messages/count_tokens", {"input_tokens": 7}),
        (
            "vertex",
            "/v1/projects/p/locations/eu/publishers/anthropic/models/count-tokens:rawPredict",
            {"input_tokens": 7},
        ),
        ("invoke", "/model/invoke/count-tokens", {"inputTokens": 7}),
        ("rock", "/model/rock/count-tokens", {"inputTokens": 7}),
    ],
)
def test_tokens_are_counted(model: str, path: str, answer: dict[str, int]) -> None:
    """Each platform is asked in its way, and the client reads one form."""
    made, action = ask(model, COUNT)
    asked = proceed(action)
    done = whole(made, json.dumps(answer).encode())

    assert dict(asked.set_headers).get(":path", COUNT) == path
    assert json.loads(done.body or json.dumps(answer)) == {"input_tokens": 7}
    assert made.finish().outcome == "ok"
    if model == "invoke":
        inner = json.loads(base64.b64decode(json.loads(asked.body or b"")["input"]["invokeModel"]["body"]))
        assert inner["messages"] == [{"role": "user", "content": "hi"}]


def test_what_cannot_count_says_so() -> None:
    """OpenAI's API has no way to count; the backend is named, and nothing is sent."""
    _, action = ask("plain", COUNT)

    assert reply(action).status == 400
    assert "'plain' (OpenAI) cannot serve /v1/messages/count_tokens" in error_of(action)["message"]


def test_a_count_that_is_none_is_a_bad_gateway() -> None:
    """An answer without the number is not passed on as if it had one."""
    made, _ = ask("rock", COUNT)
    action = whole(made, b'{"tokens":7}')

    assert dict(action.set_headers)[":status"] == "502"
    assert error_of(action)["type"] == "api_error"


def test_the_configured_limit_is_for_clients_that_give_none() -> None:
    """Anthropic demands a limit: the backend's, unless the client has one."""
    cases: list[tuple[Any, int]] = [({}, 77), ({"max_completion_tokens": 5}, 5)]
    for fields, limit in cases:
        _, action = ask("claude", "/v1/chat/completions", **fields)
        assert json.loads(proceed(action).body or b"")["max_tokens"] == limit


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-api-key": "sk"}, "Bearer sk"),
        ({"x-api-key": "sk", "authorization": "Bearer other"}, None),
        ({"authorization": "Bearer other"}, None),
        ({}, None),
    ],
)
def test_a_key_goes_under_the_name_that_the_upstream_knows(headers: dict[str, str], expected: str | None) -> None:
    """An Anthropic client's x-api-key is a bearer token to others; what is Anthropic's alone does not leave."""
    _, action = ask("plain", headers={**headers, "anthropic-beta": "x"}, **ASKED)
    sending = proceed(action)

    assert dict(sending.set_headers).get("authorization") == expected
    assert {"anthropic-version", "anthropic-beta"} <= set(sending.remove_headers)
    assert ("x-api-key" in sending.remove_headers) == ("x-api-key" in headers)


def test_queries_go_where_they_mean_something() -> None:
    """A client's query follows the api-version, reaches Anthropic itself, and no cloud that has paths of its own."""
    for model, path, expected in (
        ("azure", "/v1/chat/completions?a=1", "/openai/deployments/azure/chat/completions?api-version=2024-10-21&a=1"),
        (
            "azure",
            "/v1/chat/completions?api-version=1999&a=1&api%2Dversion=2",
            "/openai/deployments/azure/chat/completions?api-version=2024-10-21&a=1",
        ),
        ("claude", f"{MESSAGES}?beta=true", f"{MESSAGES}?beta=true"),
        ("invoke", f"{MESSAGES}?beta=true", "/model/invoke/invoke"),
    ):
        _, action = ask(model, path, **ASKED)
        assert dict(proceed(action).set_headers).get(":path", path) == expected


def test_what_an_answer_cannot_tell_is_in_the_record() -> None:
    """Parts of an upstream's answer that no client form has are named, not dropped without a word."""
    made, _ = ask("rock", "/v1/chat/completions")
    body = {
        "output": {"message": {"role": "assistant", "content": [{"text": "a"}, {"video": {"format": "mp4"}}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
    }
    whole(made, json.dumps(body).encode())
    lost = made.finish().lost
    made, _ = ask("rock", "/v1/chat/completions", stream=True)
    made.receive(response_headers(kind=EVENTSTREAM))
    frames = [
        ("messageStart", {"role": "assistant"}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"surprise": 1}}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("messageStop", {"stopReason": "end_turn"}),
        ("metadata", {"usage": body["usage"]}),
    ]
    data = b"".join(event(kind, json.dumps(payload).encode()) for kind, payload in frames)
    made.receive(ResponseBody(data, end=True))

    assert [path.startswith("output.message.content[1]") for path in lost] == [True]
    assert len(made.finish().lost) == 1


def test_every_turn_of_a_conversation_goes_to_its_backend() -> None:
    """The later turns of a conversation begin like the first one, so they go where it went, for either client."""
    for path in ("/v1/chat/completions", MESSAGES):
        for i in range(8):
            first = [{"role": "user", "content": f"question {i}"}]
            later = [*first, {"role": "assistant", "content": "answer"}, {"role": "user", "content": "and then?"}]
            went = [ask("sticky", path, messages=turns, **ASKED)[0].record.backend for turns in (first, later, first)]
            assert len(set(went)) == 1
    all_of_them = {
        ask("sticky", messages=[{"role": "user", "content": str(i)}], **ASKED)[0].record.backend for i in range(40)
    }
    assert all_of_them == {"plain", "azure", "claude"}


def test_a_passed_message_is_metered() -> None:
    """Anthropic's own answers pass as they are, and their usage is read on the way, whole or streamed."""
    made, action = ask("claude", **ASKED)
    metered = whole(made, json.dumps(MESSAGE).encode())

    assert proceed(action).body is None
    assert metered.body is None
    assert metered.metadata == {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}
