"""The official SDKs as the clients of the matrix: they get the bytes of a run, and say what they read in them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx2
import openai
from anthropic.types import Message
from openai.types.chat import ChatCompletion

from tests.support.matrix_run import Run

_QUESTION: Any = {"model": "chat", "messages": [{"role": "user", "content": "?"}]}


@dataclass(frozen=True, slots=True)
class Told:
    """An answer as a program sees it. ``stop`` in Anthropic's words, ``input_tokens`` with all that was cached."""

    text: str
    calls: tuple[tuple[str, Mapping[str, Any]], ...]
    thought: str
    stop: str
    input_tokens: int
    output_tokens: int


def read(client: str, result: Run) -> Told:
    """The answer by the SDK; its accumulator puts streams together. Raises what the SDK raises."""
    if client == "anthropic":
        return _of_message(_message(result))
    return _of_completion(_completion(result))


def _http(result: Run) -> httpx2.Client:
    """A network on which the gateway has just answered."""

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(result.status, content=result.body, headers=dict(result.told))

    return httpx2.Client(transport=httpx2.MockTransport(answer))


def _completion(result: Run) -> ChatCompletion:
    client = openai.OpenAI(api_key="k", base_url="http://gw.test/v1", max_retries=0, http_client=_http(result))
    if not result.stream:
        whole: ChatCompletion = client.chat.completions.create(**_QUESTION)
        return whole
    with client.chat.completions.stream(**_QUESTION, stream_options={"include_usage": True}) as stream:
        return stream.get_final_completion()


def _message(result: Run) -> Message:
    client = anthropic.Anthropic(api_key="k", base_url="http://gw.test", max_retries=0, http_client=_http(result))
    if not result.stream:
        whole: Message = client.messages.create(max_tokens=9, **_QUESTION)
        return whole
    with client.messages.stream(max_tokens=9, **_QUESTION) as stream:
        return stream.get_final_message()


def sent_back(client: str, result: Run) -> bytes:
    """The assistant's turn as the SDK's user sends it back, in the form of an answer."""
    if client == "anthropic":
        return json.dumps(_message(result).to_dict(mode="json")).encode()
    return json.dumps(_completion(result).to_dict(mode="json", exclude_unset=True)).encode()


_STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


def _of_completion(answer: ChatCompletion) -> Told:
    [choice] = answer.choices
    message, usage = choice.message, answer.usage
    assert usage is not None
    extra = message.model_extra or {}
    refused = message.refusal if message.content is None and choice.finish_reason == "stop" else None
    return Told(
        message.content or refused or "",
        tuple(
            (c.function.name, json.loads(c.function.arguments))
            for c in message.tool_calls or ()
            if c.type == "function"
        ),
        extra.get("reasoning_content") or extra.get("reasoning") or "",
        "refusal" if refused else _STOPS[choice.finish_reason],
        usage.prompt_tokens,
        usage.completion_tokens,
    )


def _of_message(answer: Message) -> Told:
    usage = answer.usage
    cached = (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
    assert answer.stop_reason is not None
    return Told(
        "".join(block.text for block in answer.content if block.type == "text"),
        tuple((block.name, dict(block.input)) for block in answer.content if block.type == "tool_use"),
        "".join(block.thinking for block in answer.content if block.type == "thinking"),
        answer.stop_reason,
        usage.input_tokens + cached,
        usage.output_tokens,
    )
