"""No request and no answer, however odd, makes an exchange do anything but answer: for every client and platform."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.config.loader import load
from extproc.config.names import GCP_SCHEMAS, PLATFORMS
from extproc.exchange.gateway import Gateway
from extproc.exchange.messages import Proceed, RequestBody, ResponseBody, ResponseTrailers
from tests.support.every_host import every_host
from tests.support.exchange_driver import exchange, request_headers, response_headers
from tests.support.upstreams import Received

#: A model of each platform's that thinks, calls tools and takes images, so that much can be asked of it.
MODELS = {
    "AWSBedrock": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "AWSAnthropic": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "GCPVertexAI": "gemini-3-pro",
    "Gemini": "gemini-3-pro",
}
GCP = {"project": "p", "location": "eu"}
GATEWAY = Gateway.compile(
    load(
        json.dumps(
            {
                "backends": [
                    {
                        "name": schema,
                        "outputSchema": {"schema": schema},
                        **({"gcp": GCP} if schema in GCP_SCHEMAS else {}),
                    }
                    for schema in PLATFORMS
                ],
                "rules": [
                    {
                        "headers": [{"name": "x-ai-eg-model", "value": schema}],
                        "backends": [{"name": schema, "modelNameOverride": MODELS.get(schema, "claude-sonnet-4-5")}],
                    }
                    for schema in PLATFORMS
                ],
            }
        ).encode()
    )
)
PATHS = ("/v1/chat/completions", "/v1/messages", "/v1/messages/count_tokens", "/v1/embeddings")
KINDS = ("application/json", "text/event-stream", "application/vnd.amazon.eventstream", "text/html", "")

#: Each example is tried in each of them: what is made of it costs less than making it up.
MANY = settings(max_examples=8 * settings().max_examples)
CELLS = [(schema, path) for schema in PLATFORMS for path in PATHS]

#: Words of both APIs, so that what is made up often means something.
WORDS = st.sampled_from(
    [
        *(
            "role",
            "content",
            "type",
            "text",
            "tool_calls",
            "tool_use",
            "tool_result",
            "id",
            "name",
            "function",
            "input",
        ),
        *("arguments", "thinking", "signature", "user", "assistant", "system", "tool", "image", "source", "data"),
        *("auto", "any", "none", "json_schema", "schema", "enabled", "budget_tokens", "", "\ud800", "a" * 50),
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.dictionaries(
    st.sampled_from(
        [
            *("messages", "system", "tools", "tool_choice", "thinking", "output_config", "response_format", "stop"),
            *("stop_sequences", "max_tokens", "temperature", "reasoning_effort", "n", "metadata", "stream", "input"),
            *("stream_options", "cache_control", "logit_bias", "functions", "dimensions", "encoding_format"),
        ]
    ),
    VALUES,
    max_size=4,
)


def opened(path: str, body: bytes) -> Any:
    """An exchange that was sent a body, and the action."""
    made = exchange(GATEWAY)
    made.receive(request_headers(path, anthropic_version="2023-06-01"))
    return made, made.receive(RequestBody(body, end=True))


@MANY
@given(fields=FIELDS)
def test_any_request_is_sent_or_refused(fields: dict[str, Any]) -> None:
    """A body of odd members goes out, or is refused with a status below 500."""
    for schema, path in CELLS:
        base: dict[str, Any] = {"model": schema, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}
        made, action = opened(path, json.dumps({**base, **fields}).encode())

        assert isinstance(action, Proceed) or 400 <= action.status < 500, (schema, path)
        assert made.record.outcome in {"disconnected", "client_error"}, (schema, path)


@MANY
@given(body=st.binary(max_size=40) | st.text(max_size=20).map(str.encode))
def test_any_bytes_are_refused(body: bytes) -> None:
    """What is no JSON object with a model is a 400."""
    for path in PATHS:
        _, action = opened(path, body)

        assert not isinstance(action, Proceed), path
        assert action.status in {400, 404}, path


CALLS = {
    "AWSBedrock": b'{"output":{"message":{"content":[{"toolUse":{"toolUseId":"t","name":"f","input":{"a":"bc"}}}]}},'
    b'"stopReason":"tool_use"}',
    "Gemini": b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"a":"bc"}}}]},'
    b'"finishReason":"STOP"}]}',
    "Anthropic": b'{"type":"message","content":[{"type":"tool_use","id":"t","name":"f","input":{"a":"bc"}}],'
    b'"stop_reason":"tool_use"}',
}


@pytest.mark.parametrize("schema", CALLS)
@given(at=st.integers(0, 200), byte=st.integers(0, 255))
def test_any_byte_of_a_call_may_be_another(schema: str, at: int, byte: int) -> None:
    """A call whose bytes were damaged, in the arguments or around them, is an answer or an error, and always UTF-8."""
    body = {"model": schema, "messages": [{"role": "user", "content": "hi"}]}
    made, action = opened("/v1/chat/completions", json.dumps(body).encode())
    assert isinstance(action, Proceed)
    call = bytearray(CALLS[schema])
    call[at % len(call)] = byte
    made.receive(response_headers(200, "application/json"))
    told = made.receive(ResponseBody(bytes(call), end=True))

    assert isinstance(told, Proceed)
    assert told.body is not None
    json.loads(told.body)


@MANY
@given(
    status=st.sampled_from([200, 200, 200, 302, 400, 401, 404, 429, 500, 503, 529]),
    kind=st.none() | st.sampled_from(KINDS),
    answer=st.none() | st.binary(max_size=60) | VALUES.map(lambda value: json.dumps(value).encode()),
    cut=st.integers(0, 400),
    trailers=st.booleans(),
)
def test_any_answer_is_told(status: int, kind: str | None, answer: bytes | None, cut: int, *, trailers: bool) -> None:
    """Whatever comes back, and wherever it breaks, each event has its action and the exchange its end."""
    for (schema, path), stream in itertools.product(CELLS, (False, True)):
        body = {"model": schema, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 9, "stream": stream}
        made, action = opened(path, json.dumps({**body, "input": "hi"}).encode())
        if not isinstance(action, Proceed):
            continue
        sent = dict(action.set_headers).get(":path", path)
        received = Received(f"POST {sent} HTTP/1.1".encode(), (), action.body or json.dumps(body).encode())
        reply = every_host(received)
        data = b"".join(reply.parts) if answer is None else answer
        made.receive(response_headers(status, kind if kind is not None else reply.headers["content-type"]))
        made.receive(ResponseBody(data[:cut], end=False))
        made.receive(ResponseTrailers() if trailers else ResponseBody(data[cut:], end=True))
        record = made.finish()

        assert record.outcome in {"ok", "upstream_error"}, (schema, path, stream)
        assert record.ended is not None
