"""Tools, the choice among them, and the demanded output format: whatever carries a JSON Schema or names a tool.

Schemas are kept as the very text that the client wrote (key order, number literals): prompt caches and signed thinking
are byte-sensitive. Facts: anthropic-python 2.12 ``types/tool_param``, ``types/tool_choice_param`` and
``types/output_config_param``, read 2026-11-22.
"""

from typing import Any, Final, Literal

import msgspec

from extproc.conversation.request import Extra, OutputFormat, Tool, ToolChoice
from extproc.dialects.anthropic.client.blocks import read_cache
from extproc.dialects.fields import Members, missing, wrong_value

_ChoiceKind = Literal["auto", "none", "any", "named"]

_CHOICES: Final[dict[str, _ChoiceKind]] = {"auto": "auto", "any": "any", "tool": "named", "none": "none"}
_CHOICE_MEMBERS: Final = frozenset({"type", "name", "disable_parallel_tool_use"})
_SWITCH: Final = "tool_choice.disable_parallel_tool_use"
_FORMATS: Final = {"json_schema": "json_schema"}
#: Hints about when and how a tool may be called. Their values that change nothing are harmless.
_HINTS: Final[dict[str, tuple[Any, ...]]] = {
    "defer_loading": (False,),
    "input_examples": ([],),
    "allowed_callers": (["direct"],),
    "eager_input_streaming": (True, False),
}
_TOOL_MEMBERS: Final = frozenset({"type", "name", "description", "input_schema", "strict", "cache_control", *_HINTS})


class _Slices(msgspec.Struct):
    tools: msgspec.Raw = msgspec.Raw()
    output_config: msgspec.Raw = msgspec.Raw()
    output_format: msgspec.Raw = msgspec.Raw()


class _ToolSlice(msgspec.Struct):
    input_schema: msgspec.Raw = msgspec.Raw()


class _ConfigSlice(msgspec.Struct):
    format: msgspec.Raw = msgspec.Raw()


class _FormatSlice(msgspec.Struct):
    schema: msgspec.Raw = msgspec.Raw()


_slices: Final = msgspec.json.Decoder(_Slices)
_array: Final = msgspec.json.Decoder(list[msgspec.Raw])
_tool_slice: Final = msgspec.json.Decoder(_ToolSlice)
_config_slice: Final = msgspec.json.Decoder(_ConfigSlice)
_format_slice: Final = msgspec.json.Decoder(_FormatSlice)


class ToolReader:
    """Reads tools, choice and output format of one body; ``body`` must have parsed: slices are cut from it."""

    def __init__(self, root: Members, body: bytes, extras: list[Extra]) -> None:
        self._root = root
        self._extras = extras
        carrying = not root.values.keys().isdisjoint(_Slices.__struct_fields__)
        self._slices = _slices.decode(body) if carrying else _Slices()
        #: Whether there are tools that only Anthropic has; these may be chosen, too.
        self._vendor_tools = False

    def read_tools(self) -> tuple[Tool, ...]:
        """``tools``; names must be unique, as answers are told apart by them."""
        tools = self._root.objects("tools")
        raws = _array.decode(self._slices.tools) if tools else []
        read = [t for tool, raw in zip(tools, raws, strict=True) if (t := self._maybe_tool(tool, raw))]
        seen: set[str] = set()
        for tool in read:
            if tool.name in seen:
                raise wrong_value(f"{tool.path}.name", "another tool has the same name; names must be unique")
            seen.add(tool.name)
        return tuple(read)

    def read_choice(self, tools: tuple[Tool, ...]) -> ToolChoice:
        """``tool_choice`` with its switch against parallel calls."""
        choice = self._root.maybe_object("tool_choice")
        if choice is None:
            return ToolChoice()
        self._extras.extend(choice.unknown(_CHOICE_MEMBERS))
        kind = choice.word("type", _CHOICES)
        parallel = False if choice.maybe_boolean("disable_parallel_tool_use") else None
        if kind == "named":
            name = choice.name("name")
            if not self._vendor_tools and all(tool.name != name for tool in tools):
                raise wrong_value(choice.at("name"), "the request defines no such tool; define it or name another")
            return ToolChoice(kind, name, parallel=parallel, parallel_path=_SWITCH)
        if kind == "any" and not tools and not self._vendor_tools:
            raise wrong_value(choice.path, "a call is demanded, but tools is empty; add tools or leave the choice out")
        return ToolChoice(kind, parallel=parallel, parallel_path=_SWITCH)

    def read_format(self) -> OutputFormat | None:
        """``output_config.format``, else its beta form ``output_format``; None for plain text."""
        config = self._root.maybe_object("output_config")
        form = config.maybe_object("format") if config else None
        if form is not None:
            return self._read_format(form, _config_slice.decode(self._slices.output_config).format)
        form = self._root.maybe_object("output_format")
        return None if form is None else self._read_format(form, self._slices.output_format)

    def _read_format(self, form: Members, raw: msgspec.Raw) -> OutputFormat:
        self._extras.extend(form.unknown(frozenset({"type", "schema"})))
        form.word("type", _FORMATS)
        form.object("schema")
        schema = bytes(_format_slice.decode(raw).schema).decode()
        return OutputFormat("json_schema", schema=schema, strict=True, path=form.path)

    def _maybe_tool(self, tool: Members, raw: msgspec.Raw) -> Tool | None:
        if (tool.maybe_text("type") or "custom") != "custom":
            self._vendor_tools = True
            self._extras.append(Extra(tool.path, tool.values, essential=True))
            return None
        self._extras.extend(tool.unknown(_TOOL_MEMBERS))
        for hint, harmless in _HINTS.items():
            if (value := tool.values.get(hint)) is not None:
                self._extras.append(Extra(tool.at(hint), value, harmless=value in harmless))
        if tool.maybe_object("input_schema") is None:
            raise missing(tool.at("input_schema"), "the JSON Schema of the tool's input, an object")
        return Tool(
            tool.path,
            tool.name("name"),
            tool.maybe_text("description"),
            bytes(_tool_slice.decode(raw).input_schema).decode(),
            tool.maybe_boolean("strict"),
            read_cache(tool),
        )
