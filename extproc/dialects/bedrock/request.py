"""A neutral request as a Converse body.

``messages`` is the last member: the body of a longer conversation begins with the bytes of the shorter one, as far as
the members before it do not change.
"""

from typing import Any

import msgspec

from extproc.conversation.capabilities import Capabilities
from extproc.conversation.errors import Loss, Refusal
from extproc.conversation.request import OutputFormat, Request
from extproc.dialects.bedrock.cache import CachePoints
from extproc.dialects.bedrock.content import write_messages, write_system
from extproc.dialects.bedrock.reasoning import plan_reasoning
from extproc.dialects.bedrock.schemas import maybe_unsupported
from extproc.dialects.bedrock.settings import (
    check_rest,
    check_sampling,
    maybe_metadata,
    maybe_tier,
    response_paths,
    write_inference,
    write_model_fields,
)
from extproc.dialects.bedrock.tools import ToolPlan, embedded_object, plan_tools
from extproc.dialects.contract import UpstreamRequest

_ENCODER = msgspec.json.Encoder()
_COUNTED = ("toolConfig", "system", "additionalModelRequestFields", "messages")


def write_request(request: Request, capabilities: Capabilities) -> UpstreamRequest:
    """The body for Converse and ConverseStream alike; raises ``Refusal`` for what they cannot carry."""
    losses: list[Loss] = []
    members, tools = _members(request, capabilities, losses)
    body = _ENCODER.encode({name: value for name, value in members.items() if value})
    return UpstreamRequest(body, tuple(losses), tools.output_tool, tool_names=tools.names.client_names)


def write_count(request: Request, capabilities: Capabilities) -> UpstreamRequest:
    """The body for CountTokens: what of the same request has tokens. Raises ``Refusal`` as ``write_request``."""
    losses: list[Loss] = []
    members, _ = _members(request, capabilities, losses)
    counted = {name: members[name] for name in _COUNTED if members[name]}
    return UpstreamRequest(_ENCODER.encode({"input": {"converse": counted}}), tuple(losses))


def _members(request: Request, capabilities: Capabilities, losses: list[Loss]) -> tuple[dict[str, Any], ToolPlan]:
    cache = CachePoints(capabilities, losses)
    check_sampling(request.sampling, losses)
    check_rest(request, losses)
    text_format, emulate = _plan_output(request, capabilities, losses)
    tools = plan_tools(request, capabilities, cache, losses, emulate_output=emulate)
    thinking = plan_reasoning(request, capabilities, losses, forced=tools.forced)
    model_fields = write_model_fields(request, capabilities, thinking, losses)
    if tools.extra_choice is not None:
        model_fields["tool_choice"] = tools.extra_choice
    output_config = {"textFormat": text_format, "effort": thinking.effort}
    members: dict[str, Any] = {
        "toolConfig": tools.config,
        "system": write_system(request.system, cache),
        "inferenceConfig": write_inference(request, capabilities, thinking, losses),
        "outputConfig": {name: value for name, value in output_config.items() if value is not None},
        "additionalModelRequestFields": model_fields,
        "additionalModelResponseFieldPaths": response_paths(request, capabilities),
        "serviceTier": maybe_tier(request, losses),
        "requestMetadata": maybe_metadata(request, losses),
        "messages": write_messages(request, capabilities, tools.names, cache, losses),
    }
    cache.settle(
        [
            tools.config["tools"] if tools.config else [],
            members["system"],
            *(message["content"] for message in members["messages"]),
        ]
    )
    return members, tools


def _plan_output(
    request: Request, capabilities: Capabilities, losses: list[Loss]
) -> tuple[dict[str, Any] | None, bool]:
    """``outputConfig.textFormat``, or whether a tool has to stand in for it."""
    output = request.output_format
    if output is None:
        return None, False
    problem = _maybe_problem(output, capabilities)
    if problem is None:
        return _text_format(output), False
    if request.tool_choice.kind in {"any", "named"}:
        reason = f"{problem}, and a tool cannot stand in for it beside a tool_choice that demands a call"
        losses.append(Loss(output.path, "drop", reason))
        return None, False
    if not capabilities.forced_tool_choice:
        reason = f"{problem}, and the model cannot be made to call a tool that would stand in for it; use another model"
        raise Refusal(output.path, reason)
    losses.append(Loss(output.path, "approx", f"{problem}; a forced tool call stands in for it"))
    return None, True


def _maybe_problem(output: OutputFormat, capabilities: Capabilities) -> str | None:
    """Why ``textFormat`` cannot say it."""
    if capabilities.structured_output != "schema":
        return "the model has no output format of its own"
    if output.kind == "json_object" or output.schema is None:
        return "Bedrock takes an output format only with a schema"
    embedded_object(output.schema, output.path)
    problem = maybe_unsupported(output.schema)
    return f"Bedrock cannot enforce this schema ({problem})" if problem else None


def _text_format(output: OutputFormat) -> dict[str, Any]:
    """``schema`` is JSON inside a string here."""
    schema = {"schema": output.schema, "name": output.name, "description": output.description}
    structure = {"jsonSchema": {name: value for name, value in schema.items() if value is not None}}
    return {"type": "json_schema", "structure": structure}
