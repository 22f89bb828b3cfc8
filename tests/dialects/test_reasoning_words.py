"""Every word about thinking, with every other, at a model of every kind: an answer or a refusal, never a failure."""

import json
from itertools import product
from typing import Any

import pytest

from extproc.conversation.errors import ClientError
from extproc.dialects.contract import Destination
from extproc.registry import client_dialect, upstream_dialect

MODELS = {
    "bedrock": [
        "anthropic.claude-sonnet-4-5",
        "anthropic.claude-opus-4-8",
        "amazon.nova-2-lite",
        "openai.gpt-oss",
        "x",
    ],
    "anthropic": ["claude-sonnet-4-5", "claude-opus-4-8", "claude-opus-5-5", "claude-fable-5-1", "claude-sonnet-5-5"],
    "gemini": ["gemini-2.5-pro", "gemini-2.5-flash", "gemini-3-pro"],
    "openai": ["gpt-6", "gpt-5.4", "o3", "gpt-4o", "llama"],
}
EFFORTS = (None, "none", "minimal", "low", "medium", "high", "xhigh", "max")
THINKING: tuple[dict[str, Any] | None, ...] = (
    None,
    {"type": "adaptive"},
    {"type": "disabled"},
    {"type": "between_tools"},
    {"type": "enabled", "budget_tokens": 2000},
)
FORCED: dict[str, dict[str, Any]] = {
    "OpenAI": {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required"},
    "Anthropic": {"tools": [{"name": "f", "input_schema": {"type": "object"}}], "tool_choice": {"type": "any"}},
}


@pytest.mark.parametrize("client", sorted(FORCED))
@pytest.mark.parametrize(("upstream", "model"), [(name, model) for name, models in MODELS.items() for model in models])
def test_any_words_about_thinking_are_written_or_refused(client: str, upstream: str, model: str) -> None:
    """No combination of effort, mode and forced tools raises anything but the refusal that tells the caller."""
    for effort, thinking, forced in product(EFFORTS, THINKING, (False, True)):
        effort_field = {"reasoning_effort": effort} if client == "OpenAI" else {"output_config": {"effort": effort}}
        asked = {
            "model": "m",
            "max_tokens": 9000,
            "messages": [{"role": "user", "content": "hi"}],
            **(effort_field if effort else {}),
            **({"thinking": thinking} if thinking else {}),
            **(FORCED[client] if forced else {}),
        }
        written = _maybe_written(client, upstream, model, asked)
        assert written is None or json.loads(written)


def _maybe_written(client: str, upstream: str, model: str, asked: dict[str, Any]) -> bytes | None:
    back = upstream_dialect(upstream)
    try:
        request = client_dialect(client).read_request(json.dumps(asked).encode())
        return back.write_request(request, Destination(model, back.capabilities(model))).body
    except ClientError:
        return None
