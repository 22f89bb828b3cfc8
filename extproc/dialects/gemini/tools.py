"""Tools and the choice among them: ``tools`` and ``toolConfig``."""

from dataclasses import dataclass
from typing import Any

from extproc.conversation import custom_tools
from extproc.conversation.capabilities import Capabilities
from extproc.conversation.errors import Loss, Refusal
from extproc.conversation.request import Request, Tool, ToolChoice
from extproc.dialects.gemini.ids import checked_name
from extproc.dialects.gemini.openapi import write_openapi_schema
from extproc.dialects.gemini.schemas import write_json_schema


@dataclass(frozen=True, slots=True)
class ToolPlan:
    """The two members, None where there is nothing to say."""

    tools: list[dict[str, Any]] | None = None
    config: dict[str, Any] | None = None


def plan_tools(request: Request, capabilities: Capabilities, losses: list[Loss]) -> ToolPlan:
    """What the request says about tools; raises ``Refusal``.

    All functions stand in one tool, and all of them stay when fewer are allowed: the model is told which.
    """
    choice = request.tool_choice
    _check(request, choice, capabilities)
    # An old ``function_call`` does not ask for it; its answers have room for one call only.
    if choice.parallel is False and request.tools and choice.path != "function_call":
        losses.append(Loss(choice.parallel_path, "drop", "Gemini has no switch against parallel tool calls"))
    tools = request.tools
    if request.output_format is not None and tools and not capabilities.format_with_tools:
        if choice.kind != "none":
            reason = "the model takes no output format beside tools; leave one of them out, or use a newer model"
            raise Refusal(request.output_format.path, reason)
        losses.append(Loss("tools", "drop", "the model takes no tools beside an output format, and none may be called"))
        tools = ()
    if not tools:
        return ToolPlan()
    declarations = [_declaration(tool, capabilities, losses) for tool in tools]
    calling = _calling(choice)
    config = {"functionCallingConfig": calling} if calling else None
    return ToolPlan([{"functionDeclarations": declarations}], config)


def _check(request: Request, choice: ToolChoice, capabilities: Capabilities) -> None:
    known = {tool.name for tool in request.tools}
    if choice.kind in {"any", "named"} and not known:
        raise Refusal(choice.path, "demands a tool call, but the request declares no tools")
    if choice.kind in {"any", "named"} and not capabilities.forced_tool_choice:
        raise Refusal(choice.path, "the model cannot be made to call a tool; use 'auto' or another model")
    if choice.kind == "named" and not capabilities.named_tool_choice:
        raise Refusal(choice.path, "the model cannot be made to call one tool of several; use 'required'")
    if choice.kind == "named" and choice.name not in known:
        raise Refusal(choice.path, "names a tool that tools does not declare")
    if unknown := [name for name in choice.allowed or () if name not in known]:
        raise Refusal(choice.path, f"allows {len(unknown)} tools that tools does not declare")


def _calling(choice: ToolChoice) -> dict[str, Any] | None:
    if choice.kind == "named":
        return {"mode": "ANY", "allowedFunctionNames": [choice.name]}
    allowed = {} if choice.allowed is None else {"allowedFunctionNames": list(choice.allowed)}
    if choice.kind == "none" or (choice.allowed is not None and not choice.allowed):
        return {"mode": "NONE"}
    if choice.kind == "any":
        return {"mode": "ANY", **allowed}
    if allowed:
        return {"mode": "VALIDATED", **allowed}
    return None if choice.kind is None else {"mode": "AUTO"}


def _declaration(tool: Tool, capabilities: Capabilities, losses: list[Loss]) -> dict[str, Any]:
    parameters = _parameters(tool, losses)
    declaration: dict[str, Any] = {"name": checked_name(tool.name, tool.path)}
    if tool.description and tool.description.strip():
        declaration["description"] = tool.description
    if parameters is not None:
        write = write_json_schema if capabilities.json_schema_tools else write_openapi_schema
        schema = write(parameters, tool.path, losses, root_object=True)
        if schema is not None:
            declaration["parametersJsonSchema" if capabilities.json_schema_tools else "parameters"] = schema
    if tool.strict:
        losses.append(Loss(tool.path, "drop", "strict: Gemini does not enforce the schemas of single tools"))
    if tool.cache is not None:
        losses.append(Loss(tool.path, "drop", "Gemini decides by itself what it caches"))
    return declaration


def _parameters(tool: Tool, losses: list[Loss]) -> str | None:
    if tool.kind == "function":
        return tool.schema
    if tool.grammar is not None:
        raise Refusal(tool.path, custom_tools.NO_GRAMMAR)
    losses.append(Loss(tool.path, "approx", "Gemini knows functions only; sent as one with a single text parameter"))
    return custom_tools.SCHEMA
