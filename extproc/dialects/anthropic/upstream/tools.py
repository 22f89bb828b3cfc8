"""Tools and the choice among them.

Facts: anthropic-python 2.12 ``types/tool_param`` and ``types/tool_choice_param``; platform.claude.com thinking and
tool-use pages, read 2026-11-22. The tools are never filtered from turn to turn: signed reasoning is checked against
them, and caches begin with them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from extproc.conversation.capabilities import Capabilities
from extproc.conversation.errors import Loss, Refusal
from extproc.conversation.request import Request, Tool, ToolCall, ToolChoice
from extproc.dialects.anthropic.upstream.cache import CacheMarks
from extproc.dialects.anthropic.upstream.ids import checked_name, embedded_object
from extproc.dialects.anthropic.upstream.schemas import maybe_unsupported
from extproc.wire import jsontext

#: The parameters of a tool that takes plain text: its one string.
_PLAIN_TEXT: Final = '{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}'
_NO_PARAMETERS: Final = '{"type":"object","properties":{}}'
_UNKNOWN_PARAMETERS: Final = '{"type":"object"}'
_TYPES: Final = {"auto": "auto", "any": "any", "named": "tool", "none": "none"}


class _Typed(msgspec.Struct):
    type: msgspec.Raw = msgspec.Raw()


_typed: Final = msgspec.json.Decoder(_Typed)


@dataclass(slots=True)
class ToolPlan:
    """What the request says about tools.

    Attributes:
        tools: ``tools``, empty when there are none.
        choice: ``tool_choice``, None when nothing is to be said.
        forced: whether the model must call a tool.
        custom: the names of tools that take plain text, which Anthropic gets as an object with one member.
    """

    tools: list[dict[str, Any]] = field(default_factory=list)
    choice: dict[str, Any] | None = None
    forced: bool = False
    custom: frozenset[str] = frozenset()


def plan_tools(request: Request, capabilities: Capabilities, marks: CacheMarks, losses: list[Loss]) -> ToolPlan:
    """The tools to send; raises ``Refusal`` for a choice that the model or the API cannot follow."""
    choice, tools = request.tool_choice, request.tools
    kind = _checked_kind(choice, tools, capabilities)
    if not tools:
        used = _names_in_history(request)
        if not used:
            return ToolPlan()
        tools = tuple(Tool(path, name, schema=_UNKNOWN_PARAMETERS) for name, path in used.items())
        losses.append(Loss("tools", "approx", "Anthropic wants the tools of earlier calls; declared, and not callable"))
        kind = "none"
    plan = ToolPlan(_written(tools, capabilities, marks, losses), forced=kind in {"any", "named"})
    plan.choice = _maybe_choice(kind, choice, capabilities, losses)
    # A call in the history names a custom tool of its time; the answer's calls are of the tools that are offered.
    plan.custom = frozenset(tool.name for tool in tools if tool.kind == "custom")
    return plan


def _checked_kind(choice: ToolChoice, tools: Sequence[Tool], capabilities: Capabilities) -> str | None:
    names = {tool.name for tool in tools}
    if choice.allowed is not None:
        if unknown := [name for name in choice.allowed if name not in names]:
            raise Refusal(choice.path, f"allows {len(unknown)} tools that tools does not declare")
        if names - set(choice.allowed):
            reason = "Anthropic cannot allow some of the tools only; send just these, or allow all of them"
            raise Refusal(choice.path, reason)
    if choice.kind not in {"any", "named"}:
        return choice.kind
    if not names:
        raise Refusal(choice.path, "demands a tool call, but the request declares no tools")
    if choice.kind == "named" and choice.name not in names:
        raise Refusal(choice.path, "names a tool that tools does not declare")
    if not capabilities.forced_tool_choice:
        raise Refusal(choice.path, "the model cannot be made to call a tool; use 'auto' or another model")
    return choice.kind


def _maybe_choice(
    kind: str | None, choice: ToolChoice, capabilities: Capabilities, losses: list[Loss]
) -> dict[str, Any] | None:
    """``tool_choice`` with its switch against parallel calls, which ``none`` does not have."""
    written: dict[str, Any] | None = None if kind is None else {"type": _TYPES[kind]}
    if kind == "named" and written is not None:
        written["name"] = choice.name
    if choice.parallel is not False or kind == "none":
        return written
    if not capabilities.disable_parallel_tools:
        losses.append(Loss(choice.parallel_path, "drop", "the model has no switch against parallel tool calls"))
        return written
    return {**(written or {"type": "auto"}), "disable_parallel_tool_use": True}


def _names_in_history(request: Request) -> dict[str, str]:
    """The tools of earlier calls in order of first use, each with the path of a call."""
    return {block.name: block.path for turn in request.turns for block in turn.blocks if isinstance(block, ToolCall)}


def _written(
    tools: Sequence[Tool], capabilities: Capabilities, marks: CacheMarks, losses: list[Loss]
) -> list[dict[str, Any]]:
    elements: list[dict[str, Any]] = []
    for tool in tools:
        element: dict[str, Any] = {"name": checked_name(tool.name, tool.path)}
        if tool.description:
            element["description"] = tool.description
        schema = _schema_of(tool, losses)
        element["input_schema"] = embedded_object(schema, tool.path)
        if tool.strict and _is_enforceable(tool, schema, capabilities, losses):
            element["strict"] = True
        elements.append(element)
        marks.add(elements, tool.cache, tool.path, tool=True)
    return elements


def _schema_of(tool: Tool, losses: list[Loss]) -> str:
    """The parameters; the API wants their type said."""
    if tool.kind == "custom":
        if tool.grammar is not None:
            raise Refusal(tool.path, "Anthropic cannot hold a tool's input to a grammar; leave the format out")
        losses.append(Loss(tool.path, "approx", "sent as a function with one string, which is taken out of its calls"))
        return _PLAIN_TEXT
    if tool.schema is None:
        return _NO_PARAMETERS
    embedded_object(tool.schema, tool.path)
    encoded = tool.schema.encode()
    if bytes(_typed.decode(encoded).type):
        return tool.schema
    return jsontext.insert_member(encoded, "type", b'"object"').decode()


def _is_enforceable(tool: Tool, schema: str, capabilities: Capabilities, losses: list[Loss]) -> bool:
    if capabilities.structured_output != "schema":
        losses.append(Loss(tool.path, "drop", "strict: the model does not enforce tool schemas"))
        return False
    if problem := maybe_unsupported(schema):
        losses.append(Loss(tool.path, "drop", f"strict: Anthropic cannot enforce this schema: {problem}"))
        return False
    return True
