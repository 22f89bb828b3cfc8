"""The Anthropic side of the demo provider, as the official SDK sees it."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import jsonschema
import pytest

from controller.standalone.demo import DemoProvider
from tests.support.background import held_open

#: No name that the SDK has an opinion on.
MODEL = "demo-claude"
WEATHER: Any = {
    "name": "get_weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
THINK: Any = {"type": "enabled", "budget_tokens": 1024}
RESULT: Any = {"type": "tool_result", "tool_use_id": "t", "content": "18"}
CALL: Any = {"type": "tool_use", "id": "t", "name": "get_weather", "input": {}}


@pytest.fixture(scope="module")
def client() -> Iterator[anthropic.Anthropic]:
    with (
        held_open(DemoProvider(wishes="delay 0")) as provider,
        anthropic.Anthropic(base_url=f"http://127.0.0.1:{provider.port}", api_key="none", max_retries=0) as client,
    ):
        yield client


def user(content: Any) -> Any:
    return [{"role": "user", "content": content}]


def test_a_message_is_answered_and_counted_in_words(client: anthropic.Anthropic) -> None:
    """Text, a stop reason and usage; the counting of tokens agrees."""
    done = client.messages.create(model=MODEL, max_tokens=99, system="Be brief", messages=user("Hello there"))
    counted = client.messages.count_tokens(model=MODEL, system="Be brief", messages=user("Hello there"))

    [block] = done.content
    assert block.type == "text"
    assert block.text.startswith(f"You said: Hello there This is {MODEL}")
    assert (done.stop_reason, done.usage.input_tokens) == ("end_turn", counted.input_tokens) == ("end_turn", 4)
    assert (done._request_id or "").startswith("req_")


def test_the_stream_gives_the_same(client: anthropic.Anthropic) -> None:
    """The SDK puts the same blocks together from the events, thoughts and their signature among them."""
    asked: Any = {"model": MODEL, "max_tokens": 2048, "messages": user("Why?"), "thinking": THINK}
    whole = client.messages.create(**asked)
    with client.messages.stream(**asked) as stream:
        pieced = stream.get_final_message()

    assert [block.type for block in whole.content] == ["thinking", "text"]
    assert [block.to_dict() for block in pieced.content] == [block.to_dict() for block in whole.content]
    assert pieced.usage.output_tokens == whole.usage.output_tokens


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_is_called_and_its_result_is_spoken_of(client: anthropic.Anthropic, *, stream: bool) -> None:
    """Two rounds: a call with arguments that fit, then words about the result; thoughts must come back untouched."""
    asked: Any = {"model": MODEL, "max_tokens": 2048, "tools": [WEATHER], "thinking": THINK}
    messages = user("Weather in Paris?")
    if stream:
        with client.messages.stream(messages=messages, **asked) as events:
            first = events.get_final_message()
    else:
        first = client.messages.create(messages=messages, **asked)
    call = first.content[-1]
    assert call.type == "tool_use"
    assert (call.name, call.input, first.stop_reason) == ("get_weather", {"city": "Paris"}, "tool_use")
    result = {**RESULT, "tool_use_id": call.id}
    second = client.messages.create(
        messages=[*messages, {"role": "assistant", "content": first.content}, *user([result])], **asked
    )

    assert second.content[-1].type == "text"
    assert second.content[-1].text == "The tool says: 18"


def test_structured_output_is_an_instance(client: anthropic.Anthropic) -> None:
    """The text is JSON that fits the schema."""
    schema = {**WEATHER["input_schema"], "additionalProperties": False}
    config: Any = {"format": {"type": "json_schema", "schema": schema}}
    done = client.messages.create(model=MODEL, max_tokens=99, messages=user("Paris"), output_config=config)

    assert done.content[0].type == "text"
    jsonschema.validate(json.loads(done.content[0].text), schema)


def test_stop_sequences_and_limits_end_an_answer(client: anthropic.Anthropic) -> None:
    """The sequence that was met is named; a limit is a stop reason of its own."""
    stopped = client.messages.create(model=MODEL, max_tokens=99, messages=user("words 9"), stop_sequences=["its"])
    cut = client.messages.create(model=MODEL, max_tokens=2, messages=user("words 9"))

    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "its")
    assert (cut.stop_reason, cut.stop_sequence, cut.usage.output_tokens) == ("max_tokens", None, 2)


def test_marks_are_written_and_then_read(client: anthropic.Anthropic) -> None:
    """What a mark covers is written on the first turn and read on the next."""
    system: Any = [{"type": "text", "text": "a b c", "cache_control": {"type": "ephemeral"}}]
    asked: Any = {"model": MODEL, "max_tokens": 9, "system": system}
    first = client.messages.create(messages=user("hi"), **asked).usage
    later = client.messages.create(messages=[*user("hi"), {"role": "assistant", "content": "yo"}, *user("so")], **asked)

    assert (first.cache_creation_input_tokens, first.cache_read_input_tokens, first.input_tokens) == (3, 0, 1)
    assert (later.usage.cache_creation_input_tokens, later.usage.cache_read_input_tokens) == (0, 5)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"messages": [{"role": "assistant", "content": "hi"}]}, "first message"),
        ({"messages": user([{"type": "text", "text": ""}])}, "text"),
        ({"messages": user([RESULT])}, "tool_use ids"),
        ({"messages": [*user("x"), {"role": "assistant", "content": [CALL]}]}, "no tool_result"),
        (
            {"messages": [*user("x"), {"role": "assistant", "content": [CALL]}, *user([user("a")[0], RESULT])]},
            "messages",
        ),
        ({"messages": user([CALL])}, "cannot be in a user message"),
        (
            {
                "messages": [
                    *user("x"),
                    {"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": "forged"}]},
                    *user("y"),
                ]
            },
            "signature",
        ),
        ({"tool_choice": {"type": "any"}}, "tools must be provided"),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "other"}}, "'other' not found"),
        ({"tools": [WEATHER, WEATHER]}, "unique"),
        (
            {"tools": [WEATHER], "tool_choice": {"type": "any"}, "thinking": THINK, "max_tokens": 4096},
            "forces tool use",
        ),
        ({"thinking": THINK}, "less than max_tokens"),
        ({"surprise": 1}, "surprise"),
        ({"temperature": 1.0}, "temperature: Extra inputs"),
    ],
)
def test_what_anthropic_refuses_is_refused(client: anthropic.Anthropic, fields: dict[str, Any], word: str) -> None:
    """Each rule that a gateway can break is an invalid_request_error in the vendor's shape."""
    body = {"model": MODEL, "max_tokens": 9, "messages": user("hi"), **fields}
    with pytest.raises(anthropic.BadRequestError, match=word) as caught:
        client.post("/v1/messages", body=body, cast_to=object)

    assert caught.value.type == "invalid_request_error"


def test_sampling_is_refused_by_version_alone(client: anthropic.Anthropic) -> None:
    """The older version takes a temperature; without any version nothing is taken."""
    asked: Any = {"model": MODEL, "max_tokens": 9, "messages": user("hi"), "temperature": 0.5}
    done = client.post(
        "/v1/messages", body=asked, cast_to=object, options={"headers": {"anthropic-version": "2023-06-01"}}
    )

    assert isinstance(done, dict)
    with pytest.raises(anthropic.BadRequestError, match="anthropic-version"):
        client.post("/v1/messages", body=asked, cast_to=object, options={"headers": {"anthropic-version": "1999"}})


@pytest.mark.parametrize(
    ("status", "exception"),
    [
        (401, anthropic.AuthenticationError),
        (404, anthropic.NotFoundError),
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
        (529, anthropic.OverloadedError),
    ],
)
def test_wishes_for_errors_are_granted(
    client: anthropic.Anthropic, status: int, exception: type[anthropic.APIStatusError]
) -> None:
    """Each status is the SDK's exception, with a wait where waiting helps."""
    with pytest.raises(exception) as caught:
        client.messages.create(model=MODEL, max_tokens=9, messages=user(f"error {status}"))

    assert ("retry-after" in caught.value.response.headers) == (status in {429, 529})


@pytest.mark.parametrize(("how", "exception"), [("error", anthropic.APIStatusError), ("cut", httpx2.TransportError)])
def test_a_stream_breaks_after_two_words(client: anthropic.Anthropic, how: str, exception: type[Exception]) -> None:
    """The vendor's error in the stream, or a connection that is reset."""
    words: list[str] = []
    asked = client.messages.stream(model=MODEL, max_tokens=99, messages=user(f"break {how}; words 9"))
    with asked as stream, pytest.raises(exception):
        words.extend(stream.text_stream)

    assert "".join(words) == "every request"


def test_a_stream_can_just_end(client: anthropic.Anthropic) -> None:
    """Without message_stop the SDK has nothing to complain of: this is what a gateway must not pass on."""
    with client.messages.stream(model=MODEL, max_tokens=99, messages=user("break end; words 9")) as stream:
        done = stream.get_final_message()

    assert done.stop_reason is None
    assert [block.text for block in done.content if block.type == "text"] == ["every request"]
