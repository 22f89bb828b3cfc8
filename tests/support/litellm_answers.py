"""The same answers as an OpenAI client is told of them by us and by LiteLLM's transformation classes.

Needs LiteLLM, which is in the extra ``differential`` alone.
"""

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import yaml
from litellm import ModelResponse
from litellm.litellm_core_utils.litellm_logging import Logging
from litellm.llms.anthropic.chat.transformation import AnthropicConfig
from litellm.llms.bedrock.chat.converse_transformation import AmazonConverseConfig
from litellm.llms.vertex_ai.gemini.vertex_and_google_ai_studio_gemini import VertexGeminiConfig

from extproc.exchange.messages import Proceed, ResponseBody
from tests.support.differences import Found, different
from tests.support.exchange_driver import response_headers
from tests.support.matrix_cells import HOSTS, Cell

_FILE = Path(__file__).parents[1] / "golden" / "differential" / "answers.yaml"
_SCHEMAS: Mapping[str, str] = {"anthropic": "Anthropic", "bedrock": "AWSBedrock", "gemini": "GCPVertexAI"}
_QUESTION = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def answer_differences() -> Iterator[Found]:
    """Each place of each answer where what the clients see is not the same."""
    for upstream, answers in yaml.safe_load(_FILE.read_text()).items():
        for answer in answers:
            ours, theirs = _ours(_SCHEMAS[upstream], answer["body"]), _theirs(upstream, answer["body"])
            for one in different("", _seen(ours), _seen(theirs)):
                yield Found(f"answers_{upstream}", answer["name"], one)


def _ours(schema: str, body: Mapping[str, Any]) -> dict[str, Any]:
    made, _ = Cell("openai", schema).send(json.dumps(_QUESTION).encode())
    made.receive(response_headers())
    action = made.receive(ResponseBody(json.dumps(body).encode(), end=True))
    assert isinstance(action, Proceed)
    told: dict[str, Any] = json.loads(action.body or b"")
    return told


def _theirs(upstream: str, body: dict[str, Any]) -> dict[str, Any]:
    model = HOSTS[_SCHEMAS[upstream]][0]
    raw, answer = httpx.Response(200, json=body), ModelResponse()
    now = dt.datetime.fromtimestamp(0, dt.UTC)
    log = Logging(model, [], stream=False, call_type="completion", start_time=now, litellm_call_id="1", function_id="1")
    log.optional_params = {}
    if upstream == "anthropic":
        told = AnthropicConfig().transform_parsed_response(body, raw, answer)
    elif upstream == "bedrock":
        rest: dict[str, Any] = {"optional_params": {}, "api_key": None, "data": {}, "messages": [], "encoding": None}
        told = AmazonConverseConfig()._transform_response(model, raw, answer, stream=False, logging_obj=log, **rest)
    else:
        told = VertexGeminiConfig()._transform_google_generate_content_to_openai_model_response(
            body, answer, model, log, raw
        )
    plain: dict[str, Any] = json.loads(told.model_dump_json())
    return plain


def _seen(answer: Mapping[str, Any]) -> dict[str, Any]:
    """What OpenAI's clients look at."""
    usage = answer["usage"]
    read = usage.get("prompt_tokens_details") or {}
    written = read.get("cache_write_tokens") or read.get("cache_creation_tokens") or 0
    thought = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    return {
        "choices": [_seen_choice(choice) for choice in answer["choices"]],
        "usage": {
            "prompt": usage["prompt_tokens"],
            "completion": usage["completion_tokens"],
            "total": usage["total_tokens"],
            "cached": read.get("cached_tokens") or 0,
            "written": written,
            "reasoning": thought,
        },
    }


def _seen_choice(choice: Mapping[str, Any]) -> dict[str, Any]:
    message = choice["message"]
    calls = [(call["id"], call["function"]) for call in message.get("tool_calls") or ()]
    told = {name: message.get(name) for name in ("content", "refusal", "reasoning_content")}
    made = [[one, function["name"], json.loads(function["arguments"])] for one, function in calls]
    return {**told, "finish_reason": choice["finish_reason"], "calls": made}
