"""A Bedrock backend, frame by frame: what it is sent, and what the official SDK makes of its answers."""

import json
from collections.abc import Iterator
from typing import Any, cast

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.support.bedrock_oracle import check_request, check_stream
from tests.support.eventstream_frames import exception
from tests.support.scripted import BEDROCK_MODEL, CONVERSE, CONVERSE_ANSWER, Scripted, frame, frames_reply
from tests.support.sdk import WEATHER, identified, sdk, text_of, user
from tests.support.upstreams import Reply, json_reply

pytestmark = [pytest.mark.envoy, pytest.mark.xdist_group("scripted")]

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
START = frame("messageStart", role="assistant")
USAGE = {"inputTokens": 3, "outputTokens": 5, "totalTokens": 28, "cacheReadInputTokens": 20}
METADATA = frame("metadata", usage=USAGE, metrics={"latencyMs": 1})


@pytest.fixture
def client(scripted: Scripted) -> Iterator[openai.OpenAI]:
    with sdk(scripted.gateway.base_url, "aws-credential") as client:
        yield client


def delta(index: int, **content: Any) -> bytes:
    return frame("contentBlockDelta", contentBlockIndex=index, delta=content)


def tool_start(index: int, call_id: str) -> bytes:
    start = {"toolUse": {"toolUseId": call_id, "name": "get_weather"}}
    return frame("contentBlockStart", contentBlockIndex=index, start=start)


def block_stop(index: int) -> bytes:
    return frame("contentBlockStop", contentBlockIndex=index)


def stop(reason: str) -> bytes:
    return frame("messageStop", stopReason=reason)


def streamed(*frames: bytes) -> Reply:
    """The frames as one answer, once botocore's own parser has agreed that Bedrock could send them."""
    check_stream(b"".join(frames))
    return frames_reply(*frames)


@pytest.mark.parametrize("stream", [False, True])
def test_the_request_is_one_that_bedrock_takes(client: openai.OpenAI, scripted: Scripted, stream: bool) -> None:
    """A request of many parts arrives at its path, with its length, as botocore would have written it."""
    conversation = [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": f"call_{i}", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
                for i in range(2)
            ],
        },
        {"role": "tool", "tool_call_id": "call_0", "content": "18 degrees"},
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "rain"}]},
    ]
    scripted.up.answer(
        streamed(START, delta(0, text="hello"), block_stop(0), stop("end_turn"), METADATA)
        if stream
        else json_reply(CONVERSE_ANSWER)
    )
    client.chat.completions.create(
        model="converse",
        messages=cast("list[ChatCompletionMessageParam]", conversation),
        tools=[WEATHER],
        max_tokens=100,
        temperature=0.5,
        stop=["\n\n"],
        stream=stream,
        extra_query={"api-version": "1"},
    )
    [received] = scripted.up.received

    path = CONVERSE + ("-stream" if stream else "")
    assert received.path == path
    check_request(received.body, BEDROCK_MODEL, path, stream=stream)
    assert received.header("content-length") == str(len(received.body))
    assert received.header("content-type") == "application/json"
    assert received.header("authorization") == "Bearer aws-credential"
    assert [message["role"] for message in received.json["messages"]] == ["user", "assistant", "user"]


def test_cached_tokens_are_counted_as_input(client: openai.OpenAI, scripted: Scripted) -> None:
    """What Bedrock counts apart is part of the prompt in OpenAI's words, in the answer and in the access log."""
    scripted.up.answer(json_reply({**CONVERSE_ANSWER, "usage": USAGE}))
    headers = identified()
    done = client.chat.completions.create(model="converse", messages=user("hello"), extra_headers=headers)

    assert done.usage is not None
    assert done.usage.prompt_tokens_details is not None
    assert (done.usage.prompt_tokens, done.usage.prompt_tokens_details.cached_tokens) == (23, 20)
    line = scripted.gateway.records.access_of(headers["x-request-id"])
    assert (line["input_tokens"], line["cached_input_tokens"], line["total_tokens"]) == (23, 20, 28)


def test_calls_in_parallel_keep_their_indices(client: openai.OpenAI, scripted: Scripted) -> None:
    """Text and two calls whose pieces interleave: the SDK puts each call together under its own index."""
    scripted.up.answer(
        streamed(
            START,
            delta(0, text="Let me see."),
            block_stop(0),
            tool_start(1, "tooluse_a"),
            tool_start(2, "tooluse_b"),
            delta(1, toolUse={"input": '{"city": "Pa'}),
            delta(2, toolUse={"input": '{"city": "Ro'}),
            delta(1, toolUse={"input": 'ris"}'}),
            block_stop(1),
            delta(2, toolUse={"input": 'me"}'}),
            block_stop(2),
            stop("tool_use"),
            METADATA,
        )
    )
    with client.chat.completions.stream(model="converse", messages=user("hello"), tools=[WEATHER]) as events:
        [choice] = events.get_final_completion().choices
    calls = choice.message.tool_calls or []

    assert choice.message.content == "Let me see."
    assert [call.id for call in calls] == ["tooluse_a", "tooluse_b"]
    assert [json.loads(call.function.arguments) for call in calls] == [{"city": "Paris"}, {"city": "Rome"}]
    assert choice.finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("native", "reason"),
    [("end_turn", "stop"), ("max_tokens", "length"), ("guardrail_intervened", "content_filter")],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_reason_is_in_the_clients_words(
    client: openai.OpenAI, scripted: Scripted, stream: bool, native: str, reason: str
) -> None:
    """Why the answer ended has one of OpenAI's names, whole and streamed."""
    if stream:
        scripted.up.answer(streamed(START, delta(0, text="hello"), block_stop(0), stop(native), METADATA))
        *_, last = client.chat.completions.create(model="converse", messages=user("hello"), stream=True)
        found: str | None = last.choices[0].finish_reason
    else:
        scripted.up.answer(json_reply({**CONVERSE_ANSWER, "stopReason": native}))
        found = client.chat.completions.create(model="converse", messages=user("hello")).choices[0].finish_reason

    assert found == reason


def test_json_where_a_stream_was_due_is_streamed(client: openai.OpenAI, scripted: Scripted) -> None:
    """An upstream that answers whole although it was asked to stream does not confuse the SDK."""
    scripted.up.answer(json_reply(CONVERSE_ANSWER))
    chunks = list(client.chat.completions.create(model="converse", messages=user("hello"), stream=True))

    assert text_of(chunks) == "hello"
    assert chunks[-1].choices[0].finish_reason == "stop"


@pytest.mark.parametrize("stream", [False, True])
def test_throttling_says_how_long_to_wait(client: openai.OpenAI, scripted: Scripted, stream: bool) -> None:
    """The wait that Bedrock asks for reaches the SDK with the RateLimitError."""
    error = {"message": "Too many requests"}
    scripted.up.answer(json_reply(error, 429, x_amzn_errortype="ThrottlingException", retry_after="17"))
    with pytest.raises(openai.RateLimitError, match="Too many requests") as caught:
        client.chat.completions.create(model="converse", messages=user("hello"), stream=stream)

    assert caught.value.response.headers["retry-after"] == "17"
    assert caught.value.code == "rate_limit_exceeded"


def test_throttling_in_mid_stream_is_raised(client: openai.OpenAI, scripted: Scripted) -> None:
    """An exception frame in a stream that began well is the same error, as far as a stream can say it."""
    frames = [START, delta(0, text="hello"), exception("throttlingException", b'{"message": "Too many tokens"}')]
    scripted.up.answer(frames_reply(*frames))
    stream = client.chat.completions.create(model="converse", messages=user("hello"), stream=True)

    with pytest.raises(openai.APIError, match="Too many tokens") as caught:
        list(stream)
    assert (caught.value.code, caught.value.type) == ("rate_limit_exceeded", "rate_limit_error")


@pytest.mark.parametrize(
    "frames",
    [
        [START, delta(0, text="hello")],
        [START, delta(0, text="hello"), block_stop(0)],
        [START, delta(0, text="hello")[:-9] + b"\x00" + delta(0, text="hello")[-8:]],
        [START, delta(0, text="hello")[:30]],
    ],
    ids=["cut after a delta", "cut before the stop", "checksum", "half a frame"],
)
def test_a_damaged_stream_is_an_error(client: openai.OpenAI, scripted: Scripted, frames: list[bytes]) -> None:
    """Frames that end too early or do not add up never pass for a whole answer."""
    scripted.up.answer(frames_reply(*frames))
    stream = client.chat.completions.create(model="converse", messages=user("hello"), stream=True)

    with pytest.raises(openai.APIError, match="the stream from Bedrock"):
        list(stream)


def test_a_body_that_breaks_off_is_an_error_in_the_dialect(client: openai.OpenAI, scripted: Scripted) -> None:
    """Half a JSON answer is a 502 with an error object."""
    half = json.dumps(CONVERSE_ANSWER).encode()[:40]
    headers = {"content-type": "application/json", "content-length": "400"}
    scripted.up.answer(Reply((half,), headers=headers, ending="reset"))
    with pytest.raises(openai.InternalServerError, match="broke off") as caught:
        client.chat.completions.create(model="converse", messages=user("hello"))

    assert (caught.value.status_code, caught.value.code) == (502, "upstream_reset")


@pytest.mark.parametrize("body", [b"<html>oops</html>", b"", b"{}", b"[]", b'{"output": {"message": 7}}'])
def test_an_answer_that_is_none_is_a_bad_gateway(client: openai.OpenAI, scripted: Scripted, body: bytes) -> None:
    """A 200 that holds no Converse answer is a 502 in the client's dialect."""
    scripted.up.answer(Reply((body,), headers={"content-type": "application/json"}))
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="converse", messages=user("hello"))

    assert (caught.value.status_code, caught.value.type) == (502, "server_error")
