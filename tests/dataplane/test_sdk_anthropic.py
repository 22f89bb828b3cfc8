"""Anthropic's official SDK through real Envoy: to its own API's bytes, and to two others by translation."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import jsonschema
import pytest

from tests.support.gateway import RunningGateway
from tests.support.sdk import DEMO_MODELS, identified

pytestmark = [pytest.mark.envoy, pytest.mark.xdist_group("demo")]
each_model = pytest.mark.parametrize("model", DEMO_MODELS)
each_way = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])

WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather at a place.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


@pytest.fixture(scope="module")
def claude(demo: RunningGateway) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=demo.base_url, api_key="none", max_retries=0, timeout=20) as client:
        yield client


def user(content: Any) -> Any:
    return [{"role": "user", "content": content}]


def wish(text: str) -> Any:
    return user(f"{text}; delay 0")


def asked(client: anthropic.Anthropic, *, stream: bool, **fields: Any) -> anthropic.types.Message:
    """The message, in one piece or put together by the SDK."""
    fields = {"max_tokens": 2048, **fields}
    if not stream:
        done: anthropic.types.Message = client.messages.create(**fields)
        return done
    with client.messages.stream(**fields) as events:
        return events.get_final_message()


def words(message: anthropic.types.Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


@each_way
@each_model
def test_a_message_is_answered(claude: anthropic.Anthropic, demo: RunningGateway, model: str, *, stream: bool) -> None:
    """Text, why it ended and usage, the same numbers in Envoy's log, with the system text counted."""
    headers = identified()
    done = asked(claude, stream=stream, model=model, system="Be brief", messages=user("words 5"), extra_headers=headers)

    assert words(done) == "every request finds its model"
    assert (done.stop_reason, done.stop_sequence) == ("end_turn", None)
    assert (done.usage.input_tokens, done.usage.output_tokens) == (4, 5)
    line = demo.records.access_of(headers["x-request-id"])
    assert (line["input_tokens"], line["output_tokens"], line["total_tokens"]) == (4, 5, 9)
    assert (line["client_dialect"], line["backend"]) == ("anthropic", f"default/{model}")


@each_way
@each_model
def test_tools_are_used_over_two_rounds(claude: anthropic.Anthropic, model: str, *, stream: bool) -> None:
    """A call with its arguments, then, the result being in, words about it, whoever the upstream is."""
    messages = user("Weather in Paris?")
    first = asked(claude, stream=stream, model=model, messages=messages, tools=[WEATHER])
    [call] = [block for block in first.content if block.type == "tool_use"]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "18 degrees"}
    turns = [*messages, {"role": "assistant", "content": first.content}, *user([result])]
    second = asked(claude, stream=stream, model=model, messages=turns, tools=[WEATHER])

    assert (call.name, call.input, first.stop_reason) == ("get_weather", {"city": "Paris"}, "tool_use")
    assert (words(second), second.stop_reason) == ("The tool says: 18 degrees", "end_turn")


@each_way
@pytest.mark.parametrize("model", ["demo-anthropic", "demo-bedrock"])
def test_thoughts_come_back_to_who_thought_them(claude: anthropic.Anthropic, model: str, *, stream: bool) -> None:
    """A signed thought goes out as it came in, through tools and another question; a wrong one would be refused."""
    common: Any = {"model": model, "tools": [WEATHER], "thinking": {"type": "enabled", "budget_tokens": 1024}}
    messages = user("Weather in Paris?")
    first = asked(claude, stream=stream, messages=messages, **common)
    thought, call = first.content
    assert thought.type == "thinking"
    assert call.type == "tool_use"
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "18 degrees"}
    turns = [*messages, {"role": "assistant", "content": first.content}, *user([result])]
    second = asked(claude, stream=stream, messages=turns, **common)

    assert [block.type for block in second.content] == ["thinking", "text"]


@pytest.mark.parametrize("then", DEMO_MODELS)
@pytest.mark.parametrize("first", ["demo-anthropic", "demo-bedrock"])
def test_thoughts_may_land_elsewhere(claude: anthropic.Anthropic, demo: RunningGateway, first: str, then: str) -> None:
    """A conversation that changes its model goes on, without the other's thoughts where these mean nothing."""
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    begun = asked(claude, stream=False, model=first, messages=user("Why?"), thinking=thinking)
    turns = [*user("Why?"), {"role": "assistant", "content": begun.content}, *user("words 2")]
    headers = identified()
    done = asked(claude, stream=False, model=then, messages=turns, extra_headers=headers)

    assert words(done) == "every request"
    dropped = demo.records.request_of(headers["x-request-id"]).get("dropped", [])
    elsewhere = then == "demo-openai" or (first, then) == ("demo-bedrock", "demo-anthropic")
    assert ("messages[1].content[0]" in dropped) == elsewhere


@each_way
@each_model
def test_structured_output_is_an_instance(claude: anthropic.Anthropic, model: str, *, stream: bool) -> None:
    """The text is JSON that fits the schema, each upstream's way."""
    schema = WEATHER["input_schema"]
    config = {"format": {"type": "json_schema", "schema": schema}}
    done = asked(claude, stream=stream, model=model, messages=user("Paris"), output_config=config)

    jsonschema.validate(json.loads(words(done)), schema)
    assert done.stop_reason == "end_turn"


@each_way
@each_model
def test_limits_end_an_answer(claude: anthropic.Anthropic, model: str, *, stream: bool) -> None:
    """A limit that is met is max_tokens, from everybody."""
    done = asked(claude, stream=stream, model=model, messages=user("words 9"), max_tokens=2)

    assert (words(done), done.stop_reason) == ("every request", "max_tokens")


@pytest.mark.parametrize(("model", "tokens"), [("demo-anthropic", 4), ("demo-bedrock", 4)])
def test_tokens_are_counted_before_they_are_spent(claude: anthropic.Anthropic, model: str, tokens: int) -> None:
    """The number is the upstream's own, and a request that it refuses is refused."""
    counted = claude.messages.count_tokens(
        model=model, system="Be brief", messages=user("Hello there"), tools=[WEATHER]
    )

    assert counted.input_tokens == tokens
    with pytest.raises(anthropic.RateLimitError):
        claude.messages.count_tokens(model=model, messages=wish("error 429"))


def test_the_models_are_listed_page_by_page(claude: anthropic.Anthropic) -> None:
    """The SDK follows the pages to their end, and finds each model by its name."""
    names = [model.id for model in claude.models.list(limit=2)]

    assert names == sorted(names)
    assert set(DEMO_MODELS) <= set(names)
    assert claude.models.retrieve("demo-bedrock").display_name
    with pytest.raises(anthropic.NotFoundError):
        claude.models.retrieve("nobody")


@pytest.mark.parametrize(
    ("status", "exception", "kind"),
    [
        (403, anthropic.PermissionDeniedError, "permission_error"),
        (404, anthropic.NotFoundError, "not_found_error"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
    ],
)
@each_model
def test_errors_and_headers(
    claude: anthropic.Anthropic,
    model: str,
    status: int,
    exception: type[anthropic.APIStatusError],
    kind: str,
) -> None:
    """Any vendor's error is the SDK's exception for its status, typed, with an id, and when to come back."""
    with pytest.raises(exception, match=f"asked for an error {status}") as caught:
        claude.messages.create(model=model, max_tokens=9, messages=wish(f"error {status}"))

    error = caught.value
    assert (error.status_code, error.type) == (status, kind)
    assert error.request_id
    assert ("retry-after" in error.response.headers) == (status == 429)


@pytest.mark.parametrize("model", ["demo-openai", "demo-anthropic"])
def test_a_wrong_key_is_an_authentication_error(claude: anthropic.Anthropic, model: str) -> None:
    """401 is the SDK's AuthenticationError; AWS has none of it, a bad credential being a 403 there."""
    with pytest.raises(anthropic.AuthenticationError) as caught:
        claude.messages.create(model=model, max_tokens=9, messages=wish("error 401"))

    assert caught.value.type == "authentication_error"


@each_model
def test_being_overloaded_is_a_status_of_its_own(claude: anthropic.Anthropic, model: str) -> None:
    """What the others call 503 is Anthropic's 529."""
    status = 529 if model == "demo-anthropic" else 503
    with pytest.raises(anthropic.OverloadedError) as caught:
        claude.messages.create(model=model, max_tokens=9, messages=wish(f"error {status}"))

    assert (caught.value.status_code, caught.value.type) == (529, "overloaded_error")


@pytest.mark.parametrize("how", ["error", "end"])
@each_model
def test_stream_cut(claude: anthropic.Anthropic, demo: RunningGateway, model: str, how: str) -> None:
    """A stream that breaks off is an exception after the words that came, though the SDK misses no end by itself."""
    headers, turns = identified(), wish(f"words 9; break {how}")
    got: list[str] = []
    asking = claude.messages.stream(model=model, max_tokens=99, messages=turns, extra_headers=headers)
    with asking as stream, pytest.raises(anthropic.APIStatusError) as caught:
        got.extend(stream.text_stream)

    assert "".join(got) == "every request"
    assert caught.value.type == "api_error"
    line = demo.records.request_of(headers["x-request-id"])
    assert (line["status"], line["outcome"]) == (200, "upstream_error")


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"messages": []}, "messages"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"messages": [{"role": "robot", "content": "hi"}]}, "role"),
        ({"messages": user([{"type": "text"}])}, "text"),
    ],
)
@each_model
def test_a_malformed_request_names_its_fault(
    claude: anthropic.Anthropic, model: str, fields: dict[str, Any], word: str
) -> None:
    """A wrong request is an invalid_request_error with its field, whoever found it."""
    body = {"model": model, "max_tokens": 9, "messages": user("hi"), **fields}
    with pytest.raises(anthropic.BadRequestError, match=word) as caught:
        claude.post("/v1/messages", body=body, cast_to=object)

    assert caught.value.type == "invalid_request_error"


def test_the_gateways_own_refusals_are_anthropics(claude: anthropic.Anthropic) -> None:
    """A model that nobody serves, and a path that is not there."""
    with pytest.raises(anthropic.NotFoundError, match="claude-unheard-of") as caught:
        claude.messages.create(model="claude-unheard-of", max_tokens=9, messages=user("hi"))
    assert (caught.value.type, bool(caught.value.request_id)) == ("not_found_error", True)
    with pytest.raises(anthropic.NotFoundError, match="unknown path") as caught:
        claude.post("/v1/messages/batches", body={}, cast_to=object)
    assert caught.value.type == "not_found_error"
