"""What goes wrong, through real Envoy, as the exceptions of the official SDK."""

import asyncio
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from tests.support.gateway import RunningGateway
from tests.support.sdk import DEMO_MODELS, identified, text_of, user

pytestmark = [pytest.mark.envoy, pytest.mark.xdist_group("demo")]
each_model = pytest.mark.parametrize("model", DEMO_MODELS)


def wish(text: str) -> list[Any]:
    """A message that tells the demo provider what to do."""
    return list(user(f"{text}; delay 0"))


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    """A model that no rule serves is OpenAI's own 404, and says where the served ones are listed."""
    with pytest.raises(openai.NotFoundError, match=r"'gpt-unheard-of'.*GET /v1/models") as caught:
        client.chat.completions.create(model="gpt-unheard-of", messages=user("hello"))

    error = caught.value
    assert (error.code, error.param, error.type) == ("model_not_found", "model", "invalid_request_error")
    assert error.response.headers["content-type"] == "application/json"


def test_a_request_without_a_model_is_malformed(client: openai.OpenAI) -> None:
    """The gateway itself asks for the field that it routes by."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/chat/completions", cast_to=object, body={"messages": user("hello")})

    assert (caught.value.param, caught.value.code) == ("model", "missing_required_parameter")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": "hot"}, "temperature"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "18 degrees"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@each_model
def test_a_malformed_request_names_its_fault(
    client: openai.OpenAI, model: str, fields: dict[str, Any], param: str
) -> None:
    """A wrong request is a 400 with the path of the fault, whoever found it: the provider or the translation."""
    request = {"model": model, "messages": user("hello"), **fields}

    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/chat/completions", cast_to=object, body=request)

    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"


@pytest.mark.parametrize("stream", [False, True])
@each_model
def test_a_throttled_upstream_is_a_rate_limit(client: openai.OpenAI, model: str, stream: bool) -> None:
    """A vendor's throttling is a RateLimitError that still says how long to wait."""
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(
            model=model, messages=wish("error 429"), stream=stream, extra_headers=identified()
        )

    error = caught.value
    assert (error.status_code, error.code, error.type) == (429, "rate_limit_exceeded", "rate_limit_error")
    assert error.response.headers["retry-after"] == "1"
    assert error.request_id == error.response.headers["x-request-id"]


@pytest.mark.parametrize(
    ("status", "exception", "code"),
    [
        (403, openai.PermissionDeniedError, None),
        (404, openai.NotFoundError, "model_not_found"),
        (500, openai.InternalServerError, None),
        (503, openai.InternalServerError, "server_is_overloaded"),
    ],
)
@each_model
def test_an_upstreams_refusal_keeps_its_status(
    client: openai.OpenAI,
    demo: RunningGateway,
    model: str,
    status: int,
    exception: type[openai.APIStatusError],
    code: str | None,
) -> None:
    """An error of either vendor is the SDK's exception for its status, with the vendor's words, and is logged."""
    # What 503 is elsewhere is 529 at Anthropic.
    asked = 529 if (model, status) == ("demo-anthropic", 503) else status
    headers = identified()
    # Anthropic's own words of a 401 or 403 may name the operator's key and account.
    words = (
        "the Anthropic API does not allow this" if (model, status) == ("demo-anthropic", 403) else f"an error {asked}"
    )
    with pytest.raises(exception, match=words) as caught:
        client.chat.completions.create(model=model, messages=wish(f"error {asked}"), extra_headers=headers)

    assert (caught.value.status_code, caught.value.code) == (status, code)
    line = demo.records.request_of(headers["x-request-id"])
    assert (line["status"], line["outcome"], line["backend"]) == (status, "upstream_error", f"default/{model}")


@each_model
def test_an_upstream_that_hangs_up_is_unavailable(client: openai.OpenAI, model: str) -> None:
    """A connection that breaks before the answer is a 503 that names the backend; Envoy has tried again already."""
    with pytest.raises(openai.InternalServerError, match=f"default/{model}") as caught:
        client.chat.completions.create(model=model, messages=wish("break cut"))

    assert caught.value.status_code == 503
    assert caught.value.response.headers["retry-after"] == "1"


@each_model
def test_an_error_in_mid_stream_is_raised(client: openai.OpenAI, demo: RunningGateway, model: str) -> None:
    """The SDK raises the vendor's in-band error in its words, and the log knows that a 200 was not the whole story."""
    headers, asked = identified(), wish("words 9; break error")
    stream = client.chat.completions.create(model=model, messages=asked, stream=True, extra_headers=headers)

    with pytest.raises(openai.APIError, match="The demo provider broke off") as caught:
        list(stream)

    assert not isinstance(caught.value, openai.APIConnectionError)
    assert caught.value.type == "server_error"
    line = demo.records.request_of(headers["x-request-id"])
    assert (line["status"], line["outcome"]) == (200, "upstream_error")


@pytest.mark.parametrize("how", ["break error", "break end"])
@each_model
def test_a_broken_stream_never_looks_whole(client: openai.OpenAI, model: str, how: str) -> None:
    """A stream that breaks off gives the words that came, no finish reason, and an exception instead of an end."""
    stream = client.chat.completions.create(model=model, messages=wish(f"words 9; {how}"), stream=True)
    chunks: list[ChatCompletionChunk] = []

    with pytest.raises(openai.APIError):
        chunks.extend(stream)

    assert text_of(chunks) == "every request"
    assert {chunk.choices[0].finish_reason for chunk in chunks} == {None}


@pytest.mark.parametrize("how", ["break error", "break end"])
@each_model
def test_the_streaming_helper_raises_as_well(client: openai.OpenAI, model: str, how: str) -> None:
    """``.stream()`` does not give a final completion for a stream that broke off."""
    with (
        client.chat.completions.stream(model=model, messages=wish(f"words 9; {how}")) as events,
        pytest.raises(openai.APIError),
    ):
        events.until_done()


async def test_a_stream_whose_connection_was_cut_never_looks_whole(demo: RunningGateway) -> None:
    """A reset in mid-stream is an exception and no end, for either backend; Envoy takes a second to close, so both."""

    async def read(model: str) -> None:
        stream = await client.chat.completions.create(
            model=model, messages=user("words 9; break cut; delay 100"), stream=True
        )
        with pytest.raises(openai.APIConnectionError):
            [chunk async for chunk in stream]

    async with openai.AsyncOpenAI(base_url=f"{demo.base_url}/v1", api_key="none", max_retries=0) as client:
        await asyncio.gather(*map(read, DEMO_MODELS))
