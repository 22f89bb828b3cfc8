"""The same request through us and through LiteLLM's transformation classes, and what is different.

Needs LiteLLM, which is in the extra ``differential`` alone.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from litellm.llms.anthropic.chat.transformation import AnthropicConfig
from litellm.llms.anthropic.experimental_pass_through.adapters.transformation import LiteLLMAnthropicMessagesAdapter
from litellm.llms.bedrock.chat.converse_transformation import AmazonConverseConfig
from litellm.llms.vertex_ai.gemini.transformation import _transform_request_body
from litellm.utils import get_optional_params

from extproc.exchange.messages import Reply
from tests.support.differences import Difference, Found, different
from tests.support.matrix_cells import HOSTS, Cell, sent_body

FIELDS = Path(__file__).parents[1] / "golden" / "fields"
CASES = Path(__file__).parents[1] / "golden" / "differential"

#: Name of a pair -> the cell, and LiteLLM's name for the provider.
PAIRS: Mapping[str, tuple[Cell, str]] = {
    "openai_to_anthropic": (Cell("openai", "Anthropic"), "anthropic"),
    "openai_to_bedrock": (Cell("openai", "AWSBedrock"), "bedrock"),
    "openai_to_gemini": (Cell("openai", "GCPVertexAI"), "vertex_ai"),
    "anthropic_to_openai": (Cell("anthropic", "OpenAI"), "openai"),
}
_LONGEST_REFUSAL = 120
#: Proto JSON takes both spellings (reference notes 2.1), so they are no difference.
_SNAKE = re.compile(r"_([a-z])")
_SNAKE_NAMES = frozenset(
    {
        "function_declarations",
        "inline_data",
        "mime_type",
        "file_data",
        "file_uri",
        "function_call",
        "function_response",
        "system_instruction",
        "tool_config",
        "function_calling_config",
        "allowed_function_names",
        "generation_config",
        "max_output_tokens",
        "top_p",
        "top_k",
        "stop_sequences",
        "candidate_count",
        "response_mime_type",
        "response_schema",
        "response_json_schema",
        "frequency_penalty",
        "presence_penalty",
        "response_logprobs",
        "thinking_config",
    }
)


@dataclass(frozen=True, slots=True)
class Case:
    """One request: which field it shows, and with what values."""

    field: str
    values: str
    body: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.field}: {self.values}"


def request_differences() -> Iterator[Found]:
    """Every place of every request."""
    for pair, (cell, _) in PAIRS.items():
        for case in cases(cell.client):
            for one in differences(pair, case):
                yield Found(pair, case.name, one)


def cases(client: str) -> list[Case]:
    """The probes of the client's dialect, and the conversations in its format."""
    told: list[Case] = []
    for file in (FIELDS / f"{client}.yaml", CASES / f"{client}.yaml"):
        if not file.exists():
            continue
        described = yaml.safe_load(file.read_text())
        for probe in described["probes"]:
            body = {**described["baseline"], **(probe.get("with") or {}), **probe["set"]}
            told.append(Case(probe["field"], str(probe["values"]), body))
    return told


def differences(pair: str, case: Case) -> list[Difference]:
    """Where the two requests differ; a refusal is the place ``refused``."""
    cell, provider = PAIRS[pair]
    ours, theirs = _ours(cell, case.body), _theirs(cell, provider, case.body)
    if isinstance(ours, str) or isinstance(theirs, str):
        if isinstance(ours, str) and isinstance(theirs, str):
            return []
        told = [f"refused: {one}" if isinstance(one, str) else "sent" for one in (ours, theirs)]
        return [Difference("refused", told[0], told[1])]
    return list(different("", _normal(pair, ours), _normal(pair, theirs)))


def _ours(cell: Cell, body: Mapping[str, Any]) -> dict[str, Any] | str:
    written = json.dumps(body).encode()
    _, action = cell.send(written)
    if isinstance(action, Reply):
        return str(json.loads(action.body)["error"]["message"])
    told: dict[str, Any] = json.loads(sent_body(action, written))
    return told


def _theirs(cell: Cell, provider: str, body: Mapping[str, Any]) -> dict[str, Any] | str:
    model = HOSTS[cell.schema][0]
    write: Callable[[str, str, dict[str, Any]], Any] = _from_openai if cell.client == "openai" else _from_anthropic
    with ThreadPoolExecutor(1) as apart:
        written = apart.submit(write, provider, model, deepcopy(dict(body)))
    # Whatever a peer raises is its refusal.
    if (error := written.exception()) is not None:
        return f"{type(error).__name__}: {str(error).splitlines()[0][:_LONGEST_REFUSAL]}"
    plain: dict[str, Any] = json.loads(json.dumps(written.result(), default=lambda one: getattr(one, "__dict__", None)))
    return plain


def _from_openai(provider: str, model: str, body: dict[str, Any]) -> Any:
    messages, body["model"] = body.pop("messages"), model
    options = get_optional_params(custom_llm_provider=provider, messages=messages, drop_params=True, **body)
    if provider == "anthropic":
        return AnthropicConfig().transform_request(model, messages, options, {}, {})
    if provider == "bedrock":
        return AmazonConverseConfig()._transform_request(model, messages, options, {}, {})
    return _transform_request_body(messages, model, options, "vertex_ai", {}, None)


def _from_anthropic(provider: str, model: str, body: dict[str, Any]) -> Any:
    body["model"] = model
    request, _ = LiteLLMAnthropicMessagesAdapter().translate_anthropic_to_openai(body, custom_llm_provider=provider)
    return request


def _normal(pair: str, body: Any) -> Any:
    """Spellings that mean the same at the vendor, made one."""
    if isinstance(body, list):
        return [_normal(pair, one) for one in body]
    if not isinstance(body, dict):
        return body
    told = {_renamed(pair, name): _normal(pair, value) for name, value in body.items() if value is not None}
    if pair.endswith("_anthropic"):
        if isinstance(told.get("content"), str) and told.get("role") in {"user", "assistant", "system"}:
            told["content"] = [{"type": "text", "text": told["content"]}]
        if told.get("type") == "custom" and "input_schema" in told:
            del told["type"]
    if pair.endswith("_openai") and isinstance(told.get("content"), list) and len(told["content"]) == 1:
        [part] = told["content"]
        if part.keys() == {"type", "text"}:
            told["content"] = part["text"]
    return told


def _renamed(pair: str, name: str) -> str:
    if pair.endswith("_gemini") and name in _SNAKE_NAMES:
        return _SNAKE.sub(lambda found: found[1].upper(), name)
    return name
