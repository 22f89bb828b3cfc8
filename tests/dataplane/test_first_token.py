"""Streams are not held back: whatever the upstream has sent is with the client before anything more is sent.

The strict proof has no clock in it: the upstream sends a part only when the test, which is the client, has received
what the part before it said. A gateway that kept a part back to see the next one would wait for ever.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import openai
import pytest

from tests.support.scripted import Scripted, chunk, frame, frames_reply
from tests.support.sdk import user
from tests.support.upstreams import Encoding, Received, Reply, sse_reply
from tests.support.waiting import until

pytestmark = [pytest.mark.envoy, pytest.mark.xdist_group("scripted")]

WORDS = ("Every", " word", " comes", " alone")
START, STOP = frame("messageStart", role="assistant"), frame("messageStop", stopReason="end_turn")
METADATA = frame("metadata", usage={"inputTokens": 1, "outputTokens": 4, "totalTokens": 5}, metrics={"latencyMs": 1})
USAGE_ASKED = {"stream_options": {"include_usage": True}}


def chunks_of_words() -> list[Any]:
    """What an OpenAI backend streams, the usage included."""
    usage = {"prompt_tokens": 1, "completion_tokens": 4, "total_tokens": 5}
    return [*map(chunk, WORDS), chunk(finish="stop"), {**chunk(), "choices": [], "usage": usage}]


def deltas(*contents: dict[str, Any]) -> list[bytes]:
    return [frame("contentBlockDelta", contentBlockIndex=0, delta=content) for content in contents]


def passed(encoding: Encoding) -> Callable[[Received], Reply]:
    return lambda _: sse_reply(chunks_of_words(), gated=True).encoded(encoding)


def translated(*frames: bytes) -> Callable[[Received], Reply]:
    return lambda _: frames_reply(START, *frames, STOP, METADATA, gated=True)


def by_the_forced_tool(request: Received) -> Reply:
    """The answer as arguments of the tool that the gateway forces for an open schema."""
    name = request.json["toolConfig"]["toolChoice"]["tool"]["name"]
    start = {"toolUse": {"toolUseId": "tooluse_1", "name": name}}
    pieces = deltas(*({"toolUse": {"input": piece}} for piece in ('{"a"', ": 1,", ' "b"', ": 2}")))
    opened = frame("contentBlockStart", contentBlockIndex=0, start=start)
    return frames_reply(START, opened, *pieces, STOP, METADATA, gated=True)


@dataclass(frozen=True, slots=True)
class Case:
    """A stream. ``before`` is how many parts may come before the first one that is seen: they say nothing."""

    model: str
    reply: Callable[[Received], Reply]
    seen: Callable[[Any], str | None]
    pieces: Sequence[str] = WORDS
    before: int = 0
    fields: dict[str, Any] = field(default_factory=dict)


def content(delta: Any) -> str | None:
    text: str | None = delta.content
    return text


def reasoning(delta: Any) -> str | None:
    text: str | None = delta.model_extra.get("reasoning_content")
    return text


def arguments(delta: Any) -> str | None:
    return delta.tool_calls[0].function.arguments if delta.tool_calls else None


TOOL_FRAMES = (
    frame("contentBlockStart", contentBlockIndex=0, start={"toolUse": {"toolUseId": "tooluse_1", "name": "f"}}),
    *deltas(*({"toolUse": {"input": word}} for word in WORDS)),
)
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CASES = {
    "passed": Case("plain", passed("identity"), content, fields=USAGE_ASKED),
    "passed, usage taken out": Case("plain", passed("identity"), content),
    "passed over HTTP/2": Case("over-http2", passed("identity"), content),
    "passed, gzip": Case("plain", passed("gzip"), content, fields=USAGE_ASKED),
    "passed, gzip, usage taken out": Case("plain", passed("gzip"), content),
    "translated": Case("converse", translated(*deltas(*({"text": word} for word in WORDS))), content, before=1),
    "translated, reasoning": Case(
        "converse", translated(*deltas(*({"reasoningContent": {"text": word}} for word in WORDS))), reasoning, before=1
    ),
    "translated, a tool's arguments": Case(
        "converse", translated(*TOOL_FRAMES), arguments, before=2, fields={"tools": [TOOL]}
    ),
    "translated, by a forced tool": Case(
        "converse",
        by_the_forced_tool,
        content,
        ('{"a"', ": 1,", ' "b"', ": 2}"),
        before=2,
        fields={"response_format": {"type": "json_object"}},
    ),
}


@pytest.fixture
def client(scripted: Scripted) -> Iterator[openai.OpenAI]:
    base_url = f"{scripted.gateway.base_url}/v1"
    with openai.OpenAI(base_url=base_url, api_key="none", max_retries=0, timeout=5) as client:
        yield client


def open_stream(client: openai.OpenAI, case: Case) -> Iterator[Any]:
    request: dict[str, Any] = {"model": case.model, "messages": user("hello"), **case.fields}
    stream: Any = client.chat.completions.create(**request, stream=True)
    return iter(stream)


def next_piece(stream: Iterator[Any], case: Case) -> str:
    """What the next chunk says that says anything."""
    for found in stream:
        if found.choices and (piece := case.seen(found.choices[0].delta)):
            return piece
    raise AssertionError("the stream is over")


def finish(scripted: Scripted, parts: int) -> None:
    """Waits until the upstream has written the last part; its records belong to the next test after that."""
    until(lambda: len(scripted.up.sent) == parts, f"{parts} parts were not sent")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_each_part_is_received_before_the_next_is_sent(client: openai.OpenAI, scripted: Scripted, case: Case) -> None:
    """The next part is sent only once the client has what the part before it said, to the last one."""
    replies: list[Reply] = []

    def answer(request: Received) -> Reply:
        replies.append(case.reply(request))
        return replies[0]

    scripted.up.answer_with(answer)
    stream = open_stream(client, case)
    scripted.up.release(case.before)
    for i, piece in enumerate(case.pieces, case.before):
        finish(scripted, i)
        scripted.up.release()
        assert next_piece(stream, case) == piece

    parts = len(replies[0].parts)
    scripted.up.release(parts - case.before - len(case.pieces))
    rest = [found for found in stream if found.choices]
    assert rest[-1].choices[0].finish_reason is not None
    finish(scripted, parts)


@pytest.mark.parametrize("name", ["passed", "translated"])
def test_the_headers_do_not_wait_for_the_first_part(client: openai.OpenAI, scripted: Scripted, name: str) -> None:
    """A client knows that its stream is accepted while the model still thinks about the first word."""
    reply = CASES[name].reply(Received(b"", (), b""))
    scripted.up.answer(reply)
    with client.chat.completions.with_streaming_response.create(
        model=CASES[name].model, messages=user("hello"), stream=True
    ) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert scripted.up.sent == []
        scripted.up.release(len(reply.parts))
        response.read()
    finish(scripted, len(reply.parts))


@pytest.mark.parametrize("name", ["passed", "translated"])
def test_parts_at_an_even_pace_are_received_at_that_pace(client: openai.OpenAI, scripted: Scripted, name: str) -> None:
    """With a part every 100 ms, each one is received before the next one is sent."""
    case = CASES[name]
    reply = replace(case.reply(Received(b"", (), b"")), gated=False, delay_s=0.1)
    scripted.up.answer(reply)
    stream = open_stream(client, case)
    received: list[float] = []
    for _ in case.pieces:
        next_piece(stream, case)
        received.append(time.monotonic())
    list(stream)
    finish(scripted, len(reply.parts))
    sent = scripted.up.sent[case.before :]

    assert [i for i, at in enumerate(received) if at >= sent[i + 1]] == []
    took = [round((at - sent_at) * 1000, 1) for at, sent_at in zip(received, sent, strict=False)]
    print(f"{name}: received {took} ms after they were sent")
