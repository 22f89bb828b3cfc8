"""OpenAI bodies for tests: requests by field, streams by events, and the real SDK over bytes of ours."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import httpx2
import openai
import pytest

from extproc.conversation.errors import ApiError, ClientError
from extproc.conversation.events import Event
from extproc.conversation.request import Extra, Request
from extproc.dialects.contract import Identity
from extproc.dialects.openai import DIALECT

IDENTITY = Identity(id="abc123", model="client-model", created=1_700_000_000)
USER = {"role": "user", "content": "hi"}


#: Every optional top-level field of the API and of its common extensions.
OPTIONAL_FIELDS = tuple(
    line.strip()
    for line in """
    audio
    frequency_penalty
    function_call
    functions
    logit_bias
    logprobs
    max_completion_tokens
    max_tokens
    metadata
    modalities
    moderation
    n
    parallel_tool_calls
    prediction
    presence_penalty
    prompt_cache_key
    prompt_cache_options
    prompt_cache_retention
    reasoning_effort
    response_format
    safety_identifier
    seed
    service_tier
    stop
    store
    stream
    stream_options
    temperature
    thinking
    tool_choice
    tools
    top_k
    top_logprobs
    top_p
    user
    verbosity
    web_search_options
    """.strip().splitlines()
)


def body(**fields: Any) -> bytes:
    """A small valid request with these fields put in; a field of None is ``null``."""
    return json.dumps({"model": "m", "messages": [USER], **fields}).encode()


def read(**fields: Any) -> Request:
    """The neutral form of ``body(**fields)``."""
    return DIALECT.read_request(body(**fields))


def chat(*messages: Mapping[str, Any], **fields: Any) -> Request:
    """The neutral form of a conversation."""
    return read(messages=list(messages), **fields)


def refusal(raw: bytes) -> ApiError:
    """The error that reading this body ends in."""
    with pytest.raises(ClientError) as caught:
        DIALECT.read_request(raw)
    return caught.value.error


def maybe_refusal(raw: bytes) -> ApiError | None:
    """The error that reading this body ends in, None when it can be read."""
    try:
        DIALECT.read_request(raw)
    except ClientError as refused:
        return refused.error
    return None


def extra_of(request: Request, path: str) -> Extra:
    """The one extra at a path."""
    [extra] = [extra for extra in request.extras if extra.path == path]
    return extra


def call(call_id: str = "c1", name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    """One entry of ``tool_calls``."""
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def tool(name: str = "f", **function: Any) -> dict[str, Any]:
    """One entry of ``tools``."""
    return {"type": "function", "function": {"name": name, **function}}


def written(events: Iterable[Event], request: Request | None = None) -> bytes:
    """The whole stream that a fresh writer makes of these events."""
    writer = DIALECT.stream_writer(request or read(stream=True), IDENTITY)
    return b"".join(writer.write(event) for event in events)


def payloads(stream: bytes) -> list[Any]:
    """The data of each event, parsed; ``[DONE]`` as that string. Demands one ``data:`` line an event, LF only."""
    blocks = stream.decode().split("\n\n")
    assert blocks.pop() == ""
    assert all(block.startswith("data: ") and "\n" not in block for block in blocks)
    return ["[DONE]" if block == "data: [DONE]" else json.loads(block.removeprefix("data: ")) for block in blocks]


def sdk(reply: bytes, content_type: str, sent: list[bytes] | None = None) -> openai.OpenAI:
    """The official client, whose every request is answered with ``reply``; bodies it sends go to ``sent``."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        if sent is not None:
            sent.append(request.content)
        return httpx2.Response(200, content=reply, headers={"content-type": content_type})

    transport = httpx2.MockTransport(answer)
    return openai.OpenAI(
        api_key="none", base_url="http://gateway/v1", max_retries=0, http_client=httpx2.Client(transport=transport)
    )


def sse(*payloads_: Any, done: bool = True) -> bytes:
    """An upstream's stream of these payloads."""
    lines: Sequence[bytes] = [b"data: " + json.dumps(payload).encode() + b"\n\n" for payload in payloads_]
    return b"".join(lines) + (b"data: [DONE]\n\n" if done else b"")
