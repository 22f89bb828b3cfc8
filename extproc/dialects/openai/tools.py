"""Tools, the choice among them, and the demanded output format: whatever carries a JSON Schema or names a tool.

Schemas are kept as the very text that the client wrote (key order, number literals): prompt caches and signed thinking
are byte-sensitive. Facts: openai-python 3.54 ``types/chat/completion_create_params``, read 2026-11-22.
"""

from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from extproc.conversation.request import Extra, OutputFormat, Tool, ToolChoice
from extproc.dialects.openai.fields import Members, missing, unknown_word, wrong_type, wrong_value
from extproc.dialects.openai.parts import read_cache

_ChoiceKind = Literal["auto", "none", "any", "named"]

#: The members that hold schemas; without one of them no verbatim slice is needed.
SCHEMA_MEMBERS: Final = frozenset({"tools", "functions", "response_format"})
#: How ``Tool.path`` begins when the client uses the form that ``tools`` replaced; its answers take that form as well.
LEGACY_TOOLS: Final = "functions["

_TOOL_MEMBERS: Final = frozenset({"type", "function", "cache_control"})
_CUSTOM_TOOL_MEMBERS: Final = frozenset({"type", "custom", "cache_control"})
_CUSTOM_MEMBERS: Final = frozenset({"name", "description", "format"})
_CUSTOM_FORMATS: Final = {word: word for word in ("text", "grammar")}
_SYNTAXES: Final = {word: word for word in ("lark", "regex")}
_FUNCTION_MEMBERS: Final = frozenset({"name", "description", "parameters", "strict", "cache_control"})
_TOOL_TYPES: Final = {"function": "function", "custom": "custom"}
_CHOICES: Final[dict[str, _ChoiceKind]] = {"auto": "auto", "none": "none", "required": "any"}
_FUNCTION_CHOICES: Final[dict[str, _ChoiceKind]] = {"auto": "auto", "none": "none"}
_MODES: Final[dict[str, _ChoiceKind]] = {"auto": "auto", "required": "any"}
_CHOICE_FORMS: Final = {word: word for word in ("function", "allowed_tools", "custom")}
_FORMATS: Final = {word: word for word in ("text", "json_object", "json_schema")}
_FORMAT_MEMBERS: Final = frozenset({"type", "json_schema"})
_SCHEMA_FORMAT_MEMBERS: Final = frozenset({"name", "description", "schema", "strict"})


class _Slices(msgspec.Struct):
    tools: msgspec.Raw = msgspec.Raw()
    functions: msgspec.Raw = msgspec.Raw()
    response_format: msgspec.Raw = msgspec.Raw()


class _GrammarSlice(msgspec.Struct, frozen=True):
    grammar: msgspec.Raw = msgspec.Raw()


class _CustomSlice(msgspec.Struct):
    format: _GrammarSlice = _GrammarSlice()


class _ToolSlice(msgspec.Struct):
    function: msgspec.Raw = msgspec.Raw()
    custom: msgspec.Raw = msgspec.Raw()


class _FunctionSlice(msgspec.Struct):
    parameters: msgspec.Raw = msgspec.Raw()


class _FormatSlice(msgspec.Struct):
    json_schema: msgspec.Raw = msgspec.Raw()


class _SchemaSlice(msgspec.Struct):
    schema: msgspec.Raw = msgspec.Raw()


_slices: Final = msgspec.json.Decoder(_Slices)
_array: Final = msgspec.json.Decoder(list[msgspec.Raw])
_tool_slice: Final = msgspec.json.Decoder(_ToolSlice)
_custom_slice: Final = msgspec.json.Decoder(_CustomSlice)
_function_slice: Final = msgspec.json.Decoder(_FunctionSlice)
_format_slice: Final = msgspec.json.Decoder(_FormatSlice)
_schema_slice: Final = msgspec.json.Decoder(_SchemaSlice)


class ToolReader:
    """Reads the members of one request body that ``SCHEMA_MEMBERS`` and the tool choices name.

    ``root`` is the parsed body and ``body`` its bytes, which must have parsed: slices are cut from them.
    """

    def __init__(self, root: Members, body: bytes, extras: list[Extra]) -> None:
        self._root = root
        self._extras = extras
        self._slices = _Slices() if root.values.keys().isdisjoint(SCHEMA_MEMBERS) else _slices.decode(body)

    def read_tools(self) -> tuple[Tool, ...]:
        """``tools``, or the deprecated ``functions``; names must be unique, as answers are told apart by them."""
        tools, functions = self._root.objects("tools"), self._root.objects("functions")
        if tools and functions:
            raise wrong_value("functions", "cannot stand beside tools, which replaced it; keep tools only")
        if functions:
            raw_functions = _array.decode(self._slices.functions)
            read = [self._read_function(f, raw) for f, raw in zip(functions, raw_functions, strict=True)]
        else:
            raw_tools = _array.decode(self._slices.tools) if tools else []
            read = [self._read_tool(tool, raw) for tool, raw in zip(tools, raw_tools, strict=True)]
        seen: set[str] = set()
        for tool in read:
            if tool.name in seen:
                raise wrong_value(tool.path, "another tool has the same name; names must be unique")
            seen.add(tool.name)
        return tuple(read)

    def read_choice(self, tools: tuple[Tool, ...]) -> ToolChoice:
        """``tool_choice`` and ``parallel_tool_calls``, or the deprecated ``function_call``.

        The deprecated form has room for one call only, so it forbids parallel calls.
        """
        names = {tool.name for tool in tools}
        parallel = self._root.maybe_boolean("parallel_tool_calls")
        legacy = bool(tools) and tools[0].path.startswith(LEGACY_TOOLS)
        stray, offered = ("tool_choice", "tools") if legacy else ("function_call", "functions")
        if self._root.values.get(stray) is not None:
            raise wrong_value(
                stray, f"chooses among {offered}, of which the request has none; use the other form's field"
            )
        if legacy:
            return replace(self._read_function_call(names), parallel=False)
        return replace(self._read_choice(names), parallel=parallel)

    def read_format(self) -> OutputFormat | None:
        """``response_format``; None for plain text."""
        form = self._root.maybe_object("response_format")
        if form is None:
            return None
        self._extras.extend(form.unknown(_FORMAT_MEMBERS))
        kind = form.word("type", _FORMATS)
        if kind == "text":
            return None
        if kind == "json_object":
            return OutputFormat("json_object")
        spec = form.object("json_schema")
        self._extras.extend(spec.unknown(_SCHEMA_FORMAT_MEMBERS))
        schema = None
        if spec.maybe_object("schema") is not None:
            raw = _format_slice.decode(self._slices.response_format).json_schema
            schema = _text_of(_schema_slice.decode(raw).schema)
        return OutputFormat(
            "json_schema", spec.name("name"), spec.maybe_text("description"), schema, spec.maybe_boolean("strict")
        )

    def _read_tool(self, tool: Members, raw: msgspec.Raw) -> Tool:
        if "function" not in tool.values and "name" in tool.values and tool.values.get("type") == "function":
            raise missing(
                tool.at("function"), "an object holding name and parameters (the flat form is the Responses API's)"
            )
        if tool.word("type", _TOOL_TYPES) == "custom":
            return self._read_custom(tool, raw)
        self._extras.extend(tool.unknown(_TOOL_MEMBERS))
        function = self._read_function(tool.object("function"), _tool_slice.decode(raw).function)
        mark = read_cache(tool)
        return replace(function, cache=mark) if mark else function

    def _read_custom(self, tool: Members, raw: msgspec.Raw) -> Tool:
        """A tool that takes a text. Its grammar stays the text that the client wrote."""
        self._extras.extend(tool.unknown(_CUSTOM_TOOL_MEMBERS))
        custom, grammar = tool.object("custom"), None
        self._extras.extend(custom.unknown(_CUSTOM_MEMBERS))
        form = custom.maybe_object("format")
        if form is not None and form.word("type", _CUSTOM_FORMATS) == "grammar":
            rules = form.object("grammar")
            rules.word("syntax", _SYNTAXES)
            rules.name("definition")
            grammar = _text_of(_custom_slice.decode(_tool_slice.decode(raw).custom).format.grammar)
        name, description = custom.name("name"), custom.maybe_text("description")
        return Tool(tool.path, name, description, cache=read_cache(tool), kind="custom", grammar=grammar)

    def _read_function(self, function: Members, raw: msgspec.Raw) -> Tool:
        self._extras.extend(function.unknown(_FUNCTION_MEMBERS))
        schema = None
        if function.maybe_object("parameters") is not None:
            schema = _text_of(_function_slice.decode(raw).parameters)
        return Tool(
            function.path.removesuffix(".function"),
            function.name("name"),
            function.maybe_text("description"),
            schema,
            function.maybe_boolean("strict"),
            read_cache(function),
        )

    def _read_choice(self, names: set[str]) -> ToolChoice:
        value, path = self._root.values.get("tool_choice"), "tool_choice"
        if value is None:
            return ToolChoice()
        if isinstance(value, str):
            if value not in _CHOICES:
                raise unknown_word(path, value, _CHOICES)
            if value == "required" and not names:
                raise wrong_value(path, "a call is required, but tools is empty; add tools or leave the choice out")
            return ToolChoice(_CHOICES[value])
        if not isinstance(value, dict):
            raise wrong_type(path, "a string or an object", value)
        choice = Members(value, path)
        form = choice.word("type", _CHOICE_FORMS)
        target = choice.object(form)
        if form == "allowed_tools":
            return self._read_allowed(target, names)
        return ToolChoice("named", self._chosen(target, names))

    def _read_allowed(self, allowed: Members, names: set[str]) -> ToolChoice:
        kind = allowed.word("mode", _MODES)
        tools = allowed.objects("tools")
        if not tools:
            raise missing(allowed.at("tools"), "at least one of the tools of the request")
        chosen = [self._chosen(tool.object(tool.word("type", _TOOL_TYPES)), names) for tool in tools]
        return ToolChoice(kind, allowed=tuple(chosen))

    def _read_function_call(self, names: set[str]) -> ToolChoice:
        value, path = self._root.values.get("function_call"), "function_call"
        if value is None:
            return ToolChoice(path=path)
        if isinstance(value, str):
            if value not in _FUNCTION_CHOICES:
                raise unknown_word(path, value, _FUNCTION_CHOICES)
            return ToolChoice(_FUNCTION_CHOICES[value], path=path)
        if not isinstance(value, dict):
            raise wrong_type(path, "a string or an object", value)
        return ToolChoice("named", self._chosen(Members(value, path), names), path=path)

    @staticmethod
    def _chosen(target: Members, names: set[str]) -> str:
        """The name of a tool of the request."""
        name = target.name("name")
        if name not in names:
            raise wrong_value(target.at("name"), "the request defines no such function; define it or name another")
        return name


def _text_of(raw: msgspec.Raw) -> str:
    """The slice's text; the whole body has parsed, so it is UTF-8."""
    return bytes(raw).decode()
