"""A neutral request as a Messages body.

``messages`` is the last member, after tools and system: the body of a longer conversation begins with the bytes of the
shorter one, as far as the members before it do not change.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from extproc.conversation.capabilities import Capabilities
from extproc.conversation.errors import Loss, Refusal
from extproc.conversation.request import OutputFormat, Request
from extproc.conversation.response import MAX_COUNT
from extproc.dialects.anthropic.upstream.cache import CacheMarks
from extproc.dialects.anthropic.upstream.messages import MessageWriter, write_system
from extproc.dialects.anthropic.upstream.reasoning import plan_reasoning
from extproc.dialects.anthropic.upstream.schemas import maybe_lowered, maybe_unsupported
from extproc.dialects.anthropic.upstream.settings import (
    check_rest,
    check_sampling,
    maybe_tier,
    output_limit,
    write_sampling,
    write_stop,
)
from extproc.dialects.anthropic.upstream.tools import plan_tools
from extproc.dialects.anthropic.versions import DEFAULT_VERSION
from extproc.dialects.contract import Destination, UpstreamRequest

_encode: Final = msgspec.json.Encoder().encode
#: What a request to count tokens has in common with one that is answered.
_COUNTED: Final = (
    "model", "tools", "tool_choice", "thinking", "output_config", "cache_control", "system", "messages",
)  # fmt: skip
#: Where nothing but words can hold the answer to JSON; the same words each time, at the end of the system text.
_ANY_OBJECT: Final = "Answer with one JSON object and nothing else: no other text, no code fence."
_THIS_SCHEMA: Final = f"{_ANY_OBJECT} It must be valid against this JSON Schema:\n{{}}"


def write_request(request: Request, to: Destination) -> UpstreamRequest:
    """The body of a message; raises ``Refusal`` for what the API cannot carry."""
    losses: list[Loss] = []
    members, custom = _members(request, to, output_limit(request, to), losses)
    return UpstreamRequest(_encode(members), tuple(losses), headers=_headers(request, to), custom_tools=custom)


def write_count(request: Request, to: Destination) -> UpstreamRequest:
    """The body that asks how many tokens the same message would have."""
    losses: list[Loss] = []
    limit = request.max_output_tokens if request.max_output_tokens is not None else MAX_COUNT
    members, _ = _members(request, to, limit, losses)
    counted = {name: members[name] for name in _COUNTED if name in members}
    return UpstreamRequest(_encode(counted), tuple(losses), headers=_headers(request, to))


def _headers(request: Request, to: Destination) -> tuple[tuple[str, str], ...]:
    version = ("anthropic-version", to.version or DEFAULT_VERSION)
    return (version, ("anthropic-beta", ",".join(request.betas))) if request.betas else (version,)


def _members(
    request: Request, to: Destination, limit: int, losses: list[Loss]
) -> tuple[Mapping[str, Any], frozenset[str]]:
    capabilities = to.capabilities
    marks = CacheMarks(capabilities, losses, request.cache)
    check_sampling(request, losses)
    check_rest(request, losses)
    tools = plan_tools(request, capabilities, marks, losses)
    thinking = plan_reasoning(request, capabilities, limit, losses, forced=tools.forced)
    form, instruction = _plan_output(request.output_format, capabilities, losses)
    output_config = {"effort": thinking.effort, "format": form}
    members: dict[str, Any] = {
        "model": to.model,
        "max_tokens": limit,
        "stream": request.stream or None,
        **write_sampling(request, to, thinking, losses),
        "stop_sequences": write_stop(request, losses),
        "service_tier": maybe_tier(request, to, losses),
        "metadata": {"user_id": request.user} if request.user is not None else None,
        "thinking": thinking.thinking,
        "output_config": {name: value for name, value in output_config.items() if value is not None},
        "cache_control": marks.maybe_whole(),
        "tool_choice": tools.choice,
        "tools": tools.tools,
        "system": [*write_system(request.system, marks), *instruction],
        "messages": MessageWriter(capabilities, marks, losses, fetches=to.fetches_urls).write(request.turns),
    }
    marks.settle(members["messages"])
    return {name: value for name, value in members.items() if value is not None and value not in ([], {})}, tools.custom


def _plan_output(
    output: OutputFormat | None, capabilities: Capabilities, losses: list[Loss]
) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """``output_config.format``, or the words in the system text that have to do instead."""
    if output is None:
        return None, []
    if output.kind == "json_object" or output.schema is None:
        losses.append(Loss(output.path, "approx", "Anthropic enforces no open object; asked for in the system text"))
        return None, [{"type": "text", "text": _ANY_OBJECT}]
    problem = _maybe_problem(output.schema, capabilities)
    if problem is None:
        return _format(output.schema), []
    if output.strict:
        raise Refusal(output.path, f"{problem}; change the schema, leave strict out, or use another model")
    lowered = maybe_lowered(output.schema) if capabilities.structured_output == "schema" else None
    if lowered is not None:
        losses.append(Loss(output.path, "approx", f"{problem}; the nearest schema is enforced, the rest is described"))
        return _format(lowered), []
    losses.append(Loss(output.path, "approx", f"{problem}; asked for in the system text"))
    return None, [{"type": "text", "text": _THIS_SCHEMA.format(output.schema)}]


def _maybe_problem(schema: str, capabilities: Capabilities) -> str | None:
    if capabilities.structured_output != "schema":
        return "the model enforces no output format"
    problem = maybe_unsupported(schema)
    return f"Anthropic cannot enforce this schema ({problem})" if problem else None


def _format(schema: str) -> dict[str, Any]:
    return {"type": "json_schema", "schema": msgspec.Raw(schema.encode())}
