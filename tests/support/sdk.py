"""The official OpenAI SDK as the tests use it: no retries, so that each answer of the gateway is seen."""

from collections.abc import Iterable
from typing import Any
from uuid import uuid4

import openai
from openai.types.chat import (
    ChatCompletionChunk,
    ChatCompletionFunctionToolParam,
    ChatCompletionMessage,
    ChatCompletionMessageParam,
)

from tests.support.waiting import until

#: The demo's models: the first one's bytes pass, the others are translated.
DEMO_MODELS = ("demo-openai", "demo-anthropic", "demo-bedrock")

WEATHER: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather at a place.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
            "required": ["city", "days"],
            "additionalProperties": False,
        },
    },
}


def sdk(base_url: str, api_key: str = "none") -> openai.OpenAI:
    """A client of a gateway, whose ``base_url`` is without ``/v1``; to be closed."""
    return openai.OpenAI(base_url=f"{base_url}/v1", api_key=api_key, max_retries=0, timeout=20)


def user(text: str) -> list[ChatCompletionMessageParam]:
    """A conversation of one question."""
    return [{"role": "user", "content": text}]


def identified() -> dict[str, str]:
    """A header with a fresh request id, by which a request is found in the logs."""
    return {"x-request-id": str(uuid4())}


def text_of(chunks: Iterable[ChatCompletionChunk]) -> str:
    """The content of a stream."""
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def extra(value: ChatCompletionMessage | object, name: str) -> Any:
    """A member that the API has not and gateways add, such as ``reasoning_details``; None without it."""
    fields: dict[str, Any] = getattr(value, "model_extra", None) or {}
    return fields.get(name)


def until_listed(client: openai.OpenAI, *models: str) -> None:
    """Returns when every processor lists these models. One may know of a change before another; chance asks one."""
    until(
        lambda: all([each.id for each in client.models.list()] == [*models] for _ in range(20)),
        f"the models are not {models}",
    )
