"""Tools, the choice among them, and the ids that tie calls to results."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec

from extproc.conversation import custom_tools
from extproc.conversation.capabilities import Capabilities
from extproc.conversation.errors import Loss, Refusal
from extproc.conversation.request import Request, Tool, ToolCall, ToolChoice
from extproc.dialects.bedrock.cache import CachePoints
from extproc.dialects.bedrock.output_tool import output_tool
from extproc.dialects.bedrock.schemas import maybe_unsupported
from extproc.wire import jsontext
from extproc.wire.errors import JsonError

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_UNFIT = re.compile(r"[^a-zA-Z0-9_-]")
_KEPT_CHARS = 55
_NO_PARAMETERS = '{"type":"object","properties":{}}'
_UNKNOWN_PARAMETERS = '{"type":"object"}'


def upstream_id(call_id: str) -> str:
    """The id as Converse takes it: itself, or a name derived from it, the same for the call and its result."""
    if _ID.fullmatch(call_id):
        return call_id
    return "t_" + sha256(call_id.encode()).hexdigest()[:32]


class ToolNames:
    """The names under which the tools of one request are sent: their own, or ones derived from these.

    A derived name is the same in every request, and ``client_names`` leads back from it.
    """

    def __init__(self, losses: list[Loss]) -> None:
        self._losses = losses
        self.client_names: dict[str, str] = {}

    def sent(self, name: str, path: str) -> str:
        """The name for the upstream; raises ``Refusal`` for none at all."""
        if _NAME.fullmatch(name):
            return name
        if not name:
            raise Refusal(path, "a tool without a name cannot be called; give it one")
        derived = f"{_UNFIT.sub('_', name)[:_KEPT_CHARS]}_{sha256(name.encode()).hexdigest()[:8]}"
        if derived not in self.client_names:
            self.client_names[derived] = name
            reason = "Bedrock takes tool names of 1 to 64 letters, digits, _ and -; sent under a derived one"
            self._losses.append(Loss(path, "approx", reason))
        return derived


@dataclass(slots=True)
class ToolPlan:
    """What the request says about tools.

    Attributes:
        names: how the tools are called upstream; calls in messages are written with it, too.
        config: ``toolConfig``, None when there is none.
        forced: whether the model must call a tool.
        output_tool: the name of the tool that stands in for structured output.
        extra_choice: ``additionalModelRequestFields.tool_choice``, for what ``toolConfig`` cannot say.
    """

    names: ToolNames
    config: dict[str, Any] | None = None
    forced: bool = False
    output_tool: str | None = None
    extra_choice: dict[str, Any] | None = None


def written_call(call: ToolCall, names: ToolNames) -> dict[str, Any]:
    """A ``ToolUseBlock``; raises ``Refusal`` for arguments that are no JSON object."""
    arguments = custom_tools.arguments_of(call.arguments) if call.kind == "custom" else call.arguments
    tool_use = {
        "toolUseId": upstream_id(call.id),
        "name": names.sent(call.name, call.path),
        "input": embedded_object(arguments, call.path),
    }
    return {"toolUse": tool_use}


def embedded_object(text: str, path: str) -> msgspec.Raw:
    """JSON text for embedding as it is, number literals and all; raises ``Refusal`` unless it is one object."""
    encoded = text.encode() if text.strip() else b"{}"
    try:
        jsontext.check_object(encoded)
    except JsonError as error:
        raise Refusal(path, "Bedrock takes a JSON object here") from error
    return msgspec.Raw(encoded)


def plan_tools(
    request: Request, capabilities: Capabilities, cache: CachePoints, losses: list[Loss], *, emulate_output: bool
) -> ToolPlan:
    """The tools to send; ``emulate_output``: the demanded output format needs a tool to stand in for it."""
    choice = request.tool_choice
    used = _names_in_history(request)
    offered = _offered(request.tools, choice)
    callable_names = {tool.name for tool in offered} if choice.kind != "none" else set()
    if choice.kind == "none" and not used:
        offered = ()
    if not offered and used:
        offered = tuple(Tool(path, name, schema=_UNKNOWN_PARAMETERS) for name, path in used.items())
        losses.append(Loss("tools", "approx", "Bedrock wants the tools of earlier calls; declared by name only"))
    plan = ToolPlan(ToolNames(losses))
    forced = _forced_choice(choice, callable_names, capabilities)
    if emulate_output and forced is None and request.output_format is not None:
        stand_in = output_tool(request.output_format, (tool.name for tool in offered))
        alone = not callable_names
        offered = (*offered, stand_in)
        plan.output_tool = stand_in.name
        named = alone and capabilities.named_tool_choice
        forced = {"tool": {"name": stand_in.name}} if named else {"any": {}}
    elif choice.kind == "none" and offered:
        losses.append(Loss(choice.path, "approx", "Bedrock cannot forbid calls while the conversation holds some"))
    if not offered:
        return plan
    plan.forced = forced is not None
    plan.config = {"tools": _written(offered, plan.names, capabilities, cache, losses)}
    if forced is not None:
        plan.config["toolChoice"] = forced = _renamed(forced, plan.names)
    if choice.parallel is False and callable_names:
        plan.extra_choice = _maybe_single(choice, forced, capabilities, losses)
    return plan


def _names_in_history(request: Request) -> dict[str, str]:
    """The tools of earlier calls in order of first use, each with the path of a call."""
    return {block.name: block.path for turn in request.turns for block in turn.blocks if isinstance(block, ToolCall)}


def _offered(tools: tuple[Tool, ...], choice: ToolChoice) -> tuple[Tool, ...]:
    if choice.allowed is None:
        return tools
    known = {tool.name for tool in tools}
    if unknown := [name for name in choice.allowed if name not in known]:
        raise Refusal(choice.path, f"allows {len(unknown)} tools that tools does not declare")
    return tuple(tool for tool in tools if tool.name in choice.allowed)


def _forced_choice(choice: ToolChoice, callable_names: set[str], capabilities: Capabilities) -> dict[str, Any] | None:
    if choice.kind not in {"any", "named"}:
        return None
    if not callable_names:
        raise Refusal(choice.path, "demands a tool call, but the request declares no tools")
    if not capabilities.forced_tool_choice:
        raise Refusal(choice.path, "the model cannot be made to call a tool; use 'auto' or another model")
    if choice.kind == "any":
        return {"any": {}}
    if choice.name not in callable_names:
        raise Refusal(choice.path, "names a tool that tools does not declare")
    if capabilities.named_tool_choice:
        return {"tool": {"name": choice.name}}
    if len(callable_names) == 1:
        return {"any": {}}
    raise Refusal(
        choice.path, "the model cannot be made to call one tool of several; use 'required', or offer only that"
    )


def _maybe_single(
    choice: ToolChoice, forced: dict[str, Any] | None, capabilities: Capabilities, losses: list[Loss]
) -> dict[str, Any] | None:
    """Anthropic's own ``tool_choice`` with its switch against parallel calls."""
    if not capabilities.disable_parallel_tools:
        # An old ``function_call`` does not ask for it; its answers have room for one call only.
        if choice.path != "function_call":
            losses.append(Loss(choice.parallel_path, "drop", "Converse has no switch against parallel tool calls"))
        return None
    if forced is None:
        return {"type": "auto", "disable_parallel_tool_use": True}
    kind, detail = next(iter(forced.items()))
    return {"type": kind, **detail, "disable_parallel_tool_use": True}


def _renamed(forced: dict[str, Any], names: ToolNames) -> dict[str, Any]:
    named = forced.get("tool")
    return forced if named is None else {"tool": {"name": names.sent(named["name"], "tool_choice")}}


def _written(
    tools: Sequence[Tool], names: ToolNames, capabilities: Capabilities, cache: CachePoints, losses: list[Loss]
) -> list[dict[str, Any]]:
    elements: list[dict[str, Any]] = []
    for tool in tools:
        spec: dict[str, Any] = {"name": names.sent(tool.name, tool.path)}
        if tool.description and tool.description.strip():
            spec["description"] = tool.description
        schema = _parameters(tool, losses)
        spec["inputSchema"] = {"json": embedded_object(schema, tool.path)}
        if tool.strict and _enforceable(tool, schema, capabilities, losses):
            spec["strict"] = True
        elements.append({"toolSpec": spec})
        cache.add(elements, tool.cache, tool.path, tool=True)
    return elements


def _parameters(tool: Tool, losses: list[Loss]) -> str:
    if tool.kind == "function":
        return tool.schema if tool.schema is not None else _NO_PARAMETERS
    if tool.grammar is not None:
        raise Refusal(tool.path, custom_tools.NO_GRAMMAR)
    losses.append(Loss(tool.path, "approx", "Bedrock knows functions only; sent as one with a single text parameter"))
    return custom_tools.SCHEMA


def _enforceable(tool: Tool, schema: str, capabilities: Capabilities, losses: list[Loss]) -> bool:
    if capabilities.structured_output != "schema":
        losses.append(Loss(tool.path, "drop", "strict: the model does not enforce tool schemas"))
        return False
    if problem := maybe_unsupported(schema):
        losses.append(Loss(tool.path, "drop", f"strict: Bedrock cannot enforce this schema: {problem}"))
        return False
    return True
