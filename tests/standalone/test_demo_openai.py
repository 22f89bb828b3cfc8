"""The OpenAI side of the demo provider, as the official SDK sees it."""

import json
import time
from collections.abc import Iterator

import httpx2
import jsonschema
import openai
import pytest
from openai.types.chat import ChatCompletionFunctionToolParam, ChatCompletionMessageParam

from controller.standalone.demo import DemoProvider
from tests.support.background import held_open

WEATHER: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with held_open(DemoProvider(wishes="delay 0")) as provider:
        yield f"http://127.0.0.1:{provider.port}/v1"


@pytest.fixture(scope="module")
def client(base_url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
        yield client


def ask(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


def test_a_chat_is_answered_and_counted_in_words(client: openai.OpenAI) -> None:
    """A plain chat gives text and a usage that counts words."""
    done = client.chat.completions.create(model="demo-openai", messages=ask("Hello out there"))

    assert (done.choices[0].message.content or "").startswith("You said: Hello out there")
    assert done.choices[0].finish_reason == "stop"
    assert done.usage is not None
    assert done.usage.prompt_tokens == 3
    assert done.usage.completion_tokens == len((done.choices[0].message.content or "").split())


def test_a_second_turn_finds_the_first_in_the_cache(client: openai.OpenAI) -> None:
    """What was said before the model's last answer counts as cached."""
    messages: list[ChatCompletionMessageParam] = [
        {"role": "user", "content": "one two"},
        {"role": "assistant", "content": "three"},
        {"role": "user", "content": "four"},
    ]
    usage = client.chat.completions.create(model="demo-openai", messages=messages).usage

    assert usage is not None
    assert usage.prompt_tokens_details is not None
    assert (usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens) == (4, 2)


def test_a_stream_gives_the_same_words_and_its_usage_last(client: openai.OpenAI) -> None:
    """A stream adds up to the whole answer and ends with the usage that was asked for."""
    messages = ask("Hello")
    whole = client.chat.completions.create(model="demo-openai", messages=messages)
    chunks = list(
        client.chat.completions.create(
            model="demo-openai", messages=messages, stream=True, stream_options={"include_usage": True}
        )
    )

    assert "".join(c.choices[0].delta.content or "" for c in chunks[:-1]) == whole.choices[0].message.content
    assert [c.choices[0].delta.role for c in chunks[:-1]].count("assistant") == 1
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert whole.usage is not None
    assert chunks[-1].usage.total_tokens == whole.usage.total_tokens


def test_chunks_come_with_the_wished_delay(client: openai.OpenAI) -> None:
    """``delay`` spaces the chunks of a stream."""
    started = time.monotonic()
    times = [
        time.monotonic() - started
        for _ in client.chat.completions.create(model="demo-openai", messages=ask("delay 30; words 4"), stream=True)
    ]

    assert len(times) == 6
    assert times[0] < times[-1] - 0.12


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_is_called_and_its_result_used(client: openai.OpenAI, stream: bool) -> None:
    """With tools the first answer is a call whose arguments fit the schema, the second speaks of the result."""
    messages = ask("What is the weather in Paris?")
    if stream:
        with client.chat.completions.stream(model="demo-openai", messages=messages, tools=[WEATHER]) as events:
            first = events.get_final_completion().choices[0]
        calls = [(call.id, call.function.name, call.function.arguments) for call in first.message.tool_calls or ()]
        reason = first.finish_reason
    else:
        choice = client.chat.completions.create(model="demo-openai", messages=messages, tools=[WEATHER]).choices[0]
        calls = [
            (call.id, call.function.name, call.function.arguments)
            for call in choice.message.tool_calls or ()
            if call.type == "function"
        ]
        reason = choice.finish_reason
    [(call_id, name, arguments)] = calls
    messages += [
        {
            "role": "assistant",
            "tool_calls": [{"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}],
        },
        {"role": "tool", "tool_call_id": call_id, "content": "18 degrees"},
    ]
    second = client.chat.completions.create(model="demo-openai", messages=messages, tools=[WEATHER])

    assert (name, json.loads(arguments), reason) == ("get_weather", {"city": "Paris"}, "tool_calls")
    assert second.choices[0].message.content == "The tool says: 18 degrees"


def test_structured_output_is_an_instance_of_the_schema(client: openai.OpenAI) -> None:
    """A JSON schema is fulfilled by the content."""
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 18}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    done = client.chat.completions.create(
        model="demo-openai",
        messages=ask("Who is Ada"),
        response_format={"type": "json_schema", "json_schema": {"name": "person", "schema": schema}},
    )
    value = json.loads(done.choices[0].message.content or "")

    jsonschema.validate(value, schema)
    assert value == {"name": "Ada", "age": 18}


def test_limits_and_stop_sequences_end_the_text(client: openai.OpenAI) -> None:
    """``max_completion_tokens`` cuts with ``length``, a stop sequence with ``stop``."""
    short = client.chat.completions.create(model="m", messages=ask("words 50"), max_completion_tokens=5).choices[0]
    stopped = client.chat.completions.create(model="m", messages=ask("a b"), stop=" said").choices[0]

    assert (len((short.message.content or "").split()), short.finish_reason) == (5, "length")
    assert (stopped.message.content, stopped.finish_reason) == ("You", "stop")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
def test_errors_come_on_demand(client: openai.OpenAI, status: int, error: type[openai.APIStatusError]) -> None:
    """A message ``error STATUS`` is refused with that status, and so is any request with the header."""
    with pytest.raises(error) as by_message:
        client.chat.completions.create(model="demo-openai", messages=ask(f"error {status}"))
    with pytest.raises(error):
        client.embeddings.create(model="m", input="x", extra_headers={"x-demo": f"error {status}"})

    assert by_message.value.status_code == status
    assert ("retry-after" in by_message.value.response.headers) == (status in {429, 503})


def test_a_stream_breaks_in_three_ways(client: openai.OpenAI) -> None:
    """A wished break is an error event, a reset, or a clean end without the terminator."""
    seen = {}
    for way in ("error", "cut", "end"):
        text = ""
        try:
            for chunk in client.chat.completions.create(
                model="m", messages=ask(f"break {way}; words 9; delay 0"), stream=True
            ):
                text += chunk.choices[0].delta.content or ""
            seen[way] = (len(text.split()), "nothing")
        except openai.APIConnectionError:
            seen[way] = (len(text.split()), "connection")
        except openai.APIError as error:
            seen[way] = (len(text.split()), error.message)
        except httpx2.RemoteProtocolError:
            seen[way] = (len(text.split()), "connection")

    assert seen["error"] == (2, "The demo provider broke off.")
    assert seen["end"] == (2, "nothing")
    assert seen["cut"][1] == "connection"


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"messages": ask("x")}, "model", "missing_required_parameter"),
        ({"model": "m", "messages": []}, "messages", "invalid_value"),
        ({"model": "m", "messages": ask("x"), "wrong": 1}, "wrong", "unknown_parameter"),
        ({"model": "m", "messages": ask("x"), "temperature": 3}, "temperature", "invalid_value"),
        ({"model": "m", "messages": [{"role": "user"}]}, "messages[0].content", "missing_required_parameter"),
        ({"model": "m", "messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}]}, "messages[0].role", None),
        ({"model": "m", "messages": [{"role": "assistant"}]}, "messages[0].content", None),
        ({"model": "m", "messages": ask("x"), "stream_options": {}}, "stream_options", None),
        ({"model": "m", "messages": ask("x"), "tool_choice": "auto"}, "tool_choice", None),
        ({"model": "m", "messages": ask("x"), "tools": []}, "tools", "invalid_value"),
    ],
)
def test_wrong_requests_are_refused(base_url: str, body: dict[str, object], param: str, code: str | None) -> None:
    """What OpenAI would refuse gives a 400 that names the parameter."""
    response = httpx2.post(f"{base_url}/chat/completions", json=body)

    assert response.status_code == 400
    assert (response.json()["error"]["param"], response.json()["error"]["code"]) == (param, code)


def test_text_that_is_no_json_is_refused(base_url: str) -> None:
    """A body that cannot be parsed is a 400 without a parameter."""
    response = httpx2.post(f"{base_url}/chat/completions", content=b"{")

    assert response.status_code == 400
    assert response.json()["error"]["param"] is None


def test_embeddings_are_unit_vectors_in_both_encodings(client: openai.OpenAI) -> None:
    """The SDK's base64 default and plain floats give the same vectors, as long as asked for."""
    packed = client.embeddings.create(model="demo-embedding", input=["one", "two words"], dimensions=8)
    plain = client.embeddings.create(
        model="demo-embedding", input=["one", "two words"], dimensions=8, encoding_format="float"
    )

    assert packed.data[1].embedding == pytest.approx(plain.data[1].embedding, abs=1e-6)
    assert len(packed.data[0].embedding) == 8
    assert sum(x * x for x in plain.data[0].embedding) == pytest.approx(1)
    assert packed.usage.prompt_tokens == 3


def test_the_other_endpoints_answer(client: openai.OpenAI) -> None:
    """Models, completions, moderations and responses, whole and streamed, satisfy the SDK."""
    completion = client.completions.create(model="m", prompt="Hi", max_tokens=3)
    pieces = [c.choices[0].text for c in client.completions.create(model="m", prompt="Hi", max_tokens=3, stream=True)]
    response = client.responses.create(model="m", input="Hi")
    events = list(client.responses.create(model="m", input="Hi", stream=True))

    assert "demo-openai" in [model.id for model in client.models.list()]
    assert client.models.retrieve("demo-openai").owned_by == "llmroute-demo"
    assert "".join(pieces) == completion.choices[0].text == "You said: Hi"
    assert client.moderations.create(input="I kill you").results[0].flagged
    assert response.output_text.startswith("You said: Hi")
    assert events[-1].type == "response.completed"
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == response.output_text
