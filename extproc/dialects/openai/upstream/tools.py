"""Tools and the choice among them, as chat completions take them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from extproc.conversation import custom_tools
from extproc.conversation.capabilities import Capabilities
from extproc.conversation.errors import Loss, Refusal
from extproc.conversation.request import Request, Tool, ToolCall, ToolChoice
from extproc.dialects.openai.upstream.names import upstream_id, upstream_name
from extproc.dialects.openai.upstream.schemas import maybe_unenforceable
from extproc.wire import jsontext
from extproc.wire.errors import JsonError

_WORDS: Final[Mapping[str, str]] = {"auto": "auto", "none": "none", "any": "required"}


class _Outline(msgspec.Struct):
    type: Any = None
    properties: msgspec.Raw = msgspec.Raw()


_outline: Final = msgspec.json.Decoder(_Outline)


def write_tools(request: Request, capabilities: Capabilities, losses: list[Loss]) -> list[dict[str, Any]]:
    """``tools``; raises ``Refusal`` for a grammar that nobody would enforce, and for a schema that is no object."""
    return [_written(tool, capabilities, losses) for tool in request.tools]


def write_choice(request: Request, capabilities: Capabilities, losses: list[Loss]) -> dict[str, Any]:
    """``tool_choice`` and ``parallel_tool_calls``; raises ``Refusal`` where a call is demanded and none is possible."""
    choice = request.tool_choice
    if not request.tools:
        if choice.kind in {"any", "named"}:
            raise Refusal(choice.path, "demands a tool call, but the request declares no tools")
        return {}
    members: dict[str, Any] = {}
    if choice.allowed is not None:
        members["tool_choice"] = _allowed(choice, request.tools, capabilities)
    elif choice.kind is not None:
        members["tool_choice"] = _chosen(choice, request.tools, capabilities)
    if choice.parallel is False and choice.kind != "none":
        if capabilities.disable_parallel_tools:
            members["parallel_tool_calls"] = False
        else:
            losses.append(Loss("parallel_tool_calls", "drop", "the model has no switch against parallel tool calls"))
    return members


def write_call(call: ToolCall, capabilities: Capabilities) -> dict[str, Any]:
    """One entry of ``tool_calls``; raises ``Refusal`` unless the arguments of a function are a JSON object."""
    head: dict[str, Any] = {"id": upstream_id(call.id)}
    name = upstream_name(call.name)
    if call.kind == "custom" and capabilities.custom_tools:
        return {**head, "type": "custom", "custom": {"name": name, "input": call.arguments}}
    arguments = custom_tools.arguments_of(call.arguments) if call.kind == "custom" else call.arguments
    if not arguments.strip():
        arguments = "{}"
    try:
        jsontext.check_object(arguments.encode())
        # As models write it, however the client lays its own body out; number literals stay.
        arguments = msgspec.json.format(arguments, indent=-1)
    except (JsonError, RecursionError) as error:
        raise Refusal(call.path, "the arguments of a call must be a JSON object") from error
    return {**head, "type": "function", "function": {"name": name, "arguments": arguments}}


def _written(tool: Tool, capabilities: Capabilities, losses: list[Loss]) -> dict[str, Any]:
    described = {"description": tool.description} if tool.description else {}
    head = {"name": upstream_name(tool.name), **described}
    if tool.kind == "function":
        return {"type": "function", "function": {**head, **_parameters(tool, capabilities, losses)}}
    if capabilities.custom_tools:
        grammar = {} if tool.grammar is None else {"format": _grammar(tool.grammar)}
        return {"type": "custom", "custom": {**head, **grammar}}
    if tool.grammar is not None:
        raise Refusal(tool.path, custom_tools.NO_GRAMMAR)
    losses.append(Loss(tool.path, "approx", "the model knows functions only; sent as one that takes a text"))
    return {"type": "function", "function": {**head, "parameters": msgspec.Raw(custom_tools.SCHEMA.encode())}}


def _grammar(grammar: str) -> dict[str, Any]:
    """``format``, whose grammar stands one level deeper in chat completions than in the Responses API."""
    return {"type": "grammar", "grammar": msgspec.Raw(grammar.encode())}


def _parameters(tool: Tool, capabilities: Capabilities, losses: list[Loss]) -> dict[str, Any]:
    """``parameters`` and ``strict``. An object schema without ``properties`` gets an empty one: the API demands it."""
    if tool.schema is None:
        return {}
    schema = tool.schema.encode()
    try:
        outline = jsontext.peek(schema, _outline)
        if outline.type == "object" and not bytes(outline.properties):
            schema = jsontext.insert_member(schema, "properties", b"{}")
    except JsonError as error:
        raise Refusal(tool.path, "the schema of a tool must be a JSON object") from error
    members: dict[str, Any] = {"parameters": msgspec.Raw(schema)}
    if tool.strict and _enforced(tool, schema.decode(), capabilities, losses):
        members["strict"] = True
    return members


def _enforced(tool: Tool, schema: str, capabilities: Capabilities, losses: list[Loss]) -> bool:
    if capabilities.structured_output != "schema":
        losses.append(Loss(tool.path, "drop", "strict: the model does not enforce tool schemas"))
        return False
    if problem := maybe_unenforceable(schema):
        losses.append(Loss(tool.path, "drop", f"strict: this schema cannot be enforced: {problem}"))
        return False
    return True


def _chosen(choice: ToolChoice, tools: Sequence[Tool], capabilities: Capabilities) -> str | dict[str, Any]:
    kind = choice.kind or "auto"
    if kind in {"any", "named"} and not capabilities.forced_tool_choice:
        raise Refusal(choice.path, "the model cannot be made to call a tool; use 'auto' or another model")
    if kind != "named":
        return _WORDS[kind]
    chosen = next((tool for tool in tools if tool.name == choice.name), None)
    if chosen is None:
        raise Refusal(choice.path, "names a tool that tools does not declare")
    if not capabilities.named_tool_choice:
        if len(tools) == 1:
            return "required"
        raise Refusal(choice.path, "the model cannot be made to call one tool of several; offer only that")
    return _reference(chosen, capabilities)


def _allowed(choice: ToolChoice, tools: Sequence[Tool], capabilities: Capabilities) -> str | dict[str, Any]:
    allowed = set(choice.allowed or ())
    mode = _WORDS.get(choice.kind or "auto", "auto")
    offered = [tool for tool in tools if tool.name in allowed]
    if len(offered) < len(allowed):
        raise Refusal(choice.path, "allows a tool that tools does not declare")
    if len(offered) == len(tools):
        return mode
    if capabilities.maker != "openai":
        raise Refusal(choice.path, "the upstream cannot narrow the tools of a request; offer only those")
    references = [_reference(tool, capabilities) for tool in offered]
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": references}}


def _reference(tool: Tool, capabilities: Capabilities) -> dict[str, Any]:
    kind = "custom" if tool.kind == "custom" and capabilities.custom_tools else "function"
    return {"type": kind, kind: {"name": upstream_name(tool.name)}}
