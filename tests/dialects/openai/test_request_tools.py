"""Tools, the choice among them, and the output format."""

import json
from typing import Any

import pytest

from extproc.conversation.request import Cache, OutputFormat, Tool, ToolChoice
from extproc.dialects.openai import DIALECT
from tests.support.openai_chat import USER, body, read, refusal, tool

SCHEMA = '{"type" : "object","properties":{"z":{"maximum":1.0,"const":12345678901234567890},"a":{"x":1E40}}}'


def with_schema(template: str, schema: str = SCHEMA) -> bytes:
    """A body whose text holds the schema exactly as it is written."""
    return ('{"model":"m","messages":[{"role":"user","content":"hi"}],' + template % schema + "}").encode()


def test_tools() -> None:
    """Each function is a tool with its own path; absent stays absent."""
    tools = [
        tool("f", description="d", parameters={"type": "object"}, strict=True),
        {**tool("g"), "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        tool("h", strict=None, description=None, parameters=None, cache_control={"type": "ephemeral"}),
    ]

    assert read(tools=tools).tools == (
        Tool("tools[0]", "f", "d", '{"type": "object"}', strict=True),
        Tool("tools[1]", "g", cache=Cache("1h")),
        Tool("tools[2]", "h", cache=Cache()),
    )


@pytest.mark.parametrize(
    "template",
    [
        '"tools":[{"type":"custom","custom":{"name":"e"}},{"function":{"parameters":%s,"name":"f"},"type":"function"}]',
        '"functions":[{"name":"e"},{"parameters":%s,"name":"f"}]',
    ],
)
def test_parameters_are_verbatim(template: str) -> None:
    """A schema keeps the client's key order, white space and number literals."""
    *_, tool_ = DIALECT.read_request(with_schema(template)).tools

    assert (tool_.name, tool_.schema) == ("f", SCHEMA)


def test_the_output_schema_is_verbatim() -> None:
    """The schema of a response format is kept as written, too."""
    template = '"response_format":{"type":"json_schema","json_schema":{"strict":true,"schema":%s,"name":"n"}}'

    assert DIALECT.read_request(with_schema(template)).output_format == OutputFormat(
        "json_schema", "n", schema=SCHEMA, strict=True
    )


def test_numbers_that_nobody_can_hold_are_refused() -> None:
    """A literal beyond a double is a 400 and not infinity."""
    error = refusal(with_schema('"functions":[{"name":"f","parameters":%s}]', '{"x":1E400}'))

    assert error.code == "invalid_json"
    assert "out of range" in error.message


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("any")),
        ({"type": "function", "function": {"name": "g"}}, ToolChoice("named", "g")),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [tool("g"), tool("f")]}},
            ToolChoice("auto", allowed=("g", "f")),
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [tool("f")]}},
            ToolChoice("any", allowed=("f",)),
        ),
    ],
)
@pytest.mark.parametrize("parallel", [None, True, False])
def test_choices(choice: object, expected: ToolChoice, *, parallel: bool | None) -> None:
    """Every form of tool_choice, with and without parallel_tool_calls."""
    request = read(tools=[tool("f"), tool("g")], tool_choice=choice, parallel_tool_calls=parallel)

    assert ToolChoice(expected.kind, expected.name, expected.allowed, parallel) == request.tool_choice


@pytest.mark.parametrize("choice", ["auto", "none"])
@pytest.mark.parametrize("tools", [None, []])
def test_idle_choices_need_no_tools(choice: str, tools: list[Any] | None) -> None:
    """Auto and none say nothing when there are no tools, and do no harm."""
    request = read(tools=tools, tool_choice=choice, parallel_tool_calls=False)

    assert (request.tools, request.tool_choice.kind) == ((), choice)


def test_functions() -> None:
    """The deprecated form gives tools with paths of their own and forbids parallel calls, which it cannot carry."""
    request = read(functions=[{"name": "f", "description": "d"}], function_call={"name": "f"})

    assert request.tools == (Tool("functions[0]", "f", "d"),)
    assert request.tool_choice == ToolChoice("named", "f", parallel=False, path="function_call")


@pytest.mark.parametrize(("value", "kind"), [("auto", "auto"), ("none", "none"), (None, None)])
def test_function_call_words(value: str | None, kind: str | None) -> None:
    """The deprecated choice knows two words."""
    assert kind == read(functions=[{"name": "f"}], function_call=value).tool_choice.kind


CUSTOM = {"type": "custom", "custom": {"name": "c", "format": {"type": "text"}}}


def test_custom_tools() -> None:
    """A custom tool is a tool that takes a text; a call may be demanded when it is the only one."""
    request = read(tools=[CUSTOM], tool_choice="required")

    assert request.tools == (Tool("tools[0]", "c", kind="custom"),)
    assert request.tool_choice == ToolChoice("any")
    assert request.extras == ()


def test_a_grammar_is_verbatim() -> None:
    """The grammar of a custom tool keeps the text that the client wrote."""
    grammar = '{"syntax": "lark",  "definition": "start: /a+/" }'
    form = '{"type":"grammar","grammar":' + grammar + "}"
    raw = '{"model":"m","messages":[{"role":"user","content":"x"}],"tools":[{"type":"custom","custom":{"name":"c",'
    [made] = DIALECT.read_request(f'{raw}"format":{form}}}}}]}}'.encode()).tools

    assert (made.kind, made.grammar) == ("custom", grammar)


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ({"type": "regex"}, "type"),
        ({"type": "grammar"}, "grammar"),
        ({"type": "grammar", "grammar": {"definition": "a"}}, "grammar.syntax"),
        ({"type": "grammar", "grammar": {"syntax": "lark", "definition": ""}}, "grammar.definition"),
        ({"type": "grammar", "definition": "a", "syntax": "lark"}, "grammar"),
    ],
)
def test_wrong_custom_formats(form: dict[str, Any], param: str) -> None:
    """A format that is none, or the flat one of the Responses API, is refused by its path."""
    error = refusal(body(tools=[{"type": "custom", "custom": {"name": "c", "format": form}}]))

    assert f"tools[0].custom.format.{param}" == error.param


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "custom", "custom": {"name": "c"}}, ToolChoice("named", "c")),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [tool("f"), CUSTOM]}},
            ToolChoice("auto", allowed=("f", "c")),
        ),
    ],
)
def test_choosing_a_custom_tool(choice: dict[str, Any], expected: ToolChoice) -> None:
    """A custom tool is chosen by its name like any other."""
    assert expected == read(tools=[tool("f"), CUSTOM], tool_choice=choice).tool_choice


def test_unknown_members_of_tools_are_listed() -> None:
    """Members of a tool that nobody knows are listed."""
    request = read(tools=[{**tool("f", examples=[1]), "defer_loading": True}])

    assert {extra.path for extra in request.extras} == {"tools[0].function.examples", "tools[0].defer_loading"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ({"type": "text"}, None),
        ({"type": "json_object"}, OutputFormat("json_object")),
        ({"type": "json_schema", "json_schema": {"name": "n"}}, OutputFormat("json_schema", "n")),
        (
            {"type": "json_schema", "json_schema": {"name": "n", "description": "d", "schema": {}, "strict": False}},
            OutputFormat("json_schema", "n", "d", "{}", strict=False),
        ),
    ],
)
def test_output_formats(value: object, expected: OutputFormat | None) -> None:
    """All three response formats."""
    assert expected == read(response_format=value).output_format


def choose(**choice: object) -> dict[str, Any]:
    """Fields with one tool ``f`` and this choice."""
    return {"tools": [tool("f")], "tool_choice": choice}


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"tools": {}}, "tools", "array of objects"),
    ({"tools": ["f"]}, "tools[0]", "expected an object"),
    ({"tools": [{}]}, "tools[0].type", "required"),
    ({"tools": [{"type": "web_search"}]}, "tools[0].type", "expected one of custom, function"),
    ({"tools": [{"type": "function"}]}, "tools[0].function", "required"),
    ({"tools": [{"type": "function", "name": "f"}]}, "tools[0].function", "Responses API"),
    ({"tools": [tool("f"), tool("")]}, "tools[1].function.name", "empty"),
    ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name", "required"),
    ({"tools": [tool("f"), tool("g"), tool("f")]}, "tools[2]", "unique"),
    ({"tools": [tool("f", parameters="{}")]}, "tools[0].function.parameters", "expected an object"),
    ({"tools": [tool("f", parameters=True)]}, "tools[0].function.parameters", "expected an object"),
    ({"tools": [tool("f", description=1)]}, "tools[0].function.description", "expected a string"),
    ({"tools": [tool("f", strict="yes")]}, "tools[0].function.strict", "expected a boolean"),
    ({"tools": [{**tool("f"), "cache_control": {"type": "x"}}]}, "tools[0].cache_control.type", "'x'"),
    ({"tools": [{"type": "custom"}]}, "tools[0].custom", "required"),
    ({"tools": [{"type": "custom", "custom": {}}]}, "tools[0].custom.name", "required"),
    ({"functions": [{"name": "f"}], "tools": [tool("f")]}, "functions", "cannot stand beside tools"),
    ({"functions": [{}]}, "functions[0].name", "required"),
    ({"functions": [{"name": "f"}, {"name": "f"}]}, "functions[1]", "unique"),
    ({"functions": [{"name": "f"}], "function_call": "required"}, "function_call", "expected one of auto, none"),
    ({"functions": [{"name": "f"}], "function_call": {"name": "g"}}, "function_call.name", "no such function"),
    ({"functions": [{"name": "f"}], "function_call": 1}, "function_call", "a string or an object"),
    ({"functions": [{"name": "f"}], "tool_choice": "auto"}, "tool_choice", "chooses among tools"),
    ({"tools": [tool("f")], "function_call": "auto"}, "function_call", "chooses among functions"),
    ({"function_call": {"name": "f"}}, "function_call", "chooses among functions"),
    ({"tools": [tool("f")], "tool_choice": "any"}, "tool_choice", "expected one of auto, none, required"),
    ({"tools": [tool("f")], "tool_choice": 1}, "tool_choice", "a string or an object"),
    ({"tool_choice": "required"}, "tool_choice", "tools is empty"),
    (choose(), "tool_choice.type", "required"),
    (choose(type="tool", name="f"), "tool_choice.type", "expected one of allowed_tools"),
    (choose(type="function"), "tool_choice.function", "required"),
    (choose(type="function", name="f"), "tool_choice.function", "required"),
    (choose(type="function", function={"name": "g"}), "tool_choice.function.name", "no such function"),
    (choose(type="custom", custom={}), "tool_choice.custom.name", "required"),
    (choose(type="allowed_tools"), "tool_choice.allowed_tools", "required"),
    (choose(type="allowed_tools", allowed_tools={"mode": "any"}), "tool_choice.allowed_tools.mode", "'any'"),
    (
        choose(type="allowed_tools", allowed_tools={"mode": "auto", "tools": []}),
        "tool_choice.allowed_tools.tools",
        "at least one",
    ),
    (
        choose(type="allowed_tools", allowed_tools={"mode": "auto", "tools": [tool("g")]}),
        "tool_choice.allowed_tools.tools[0].function.name",
        "no such function",
    ),
    ({"parallel_tool_calls": "no"}, "parallel_tool_calls", "expected a boolean"),
    ({"response_format": "json"}, "response_format", "expected an object"),
    ({"response_format": {}}, "response_format.type", "required"),
    ({"response_format": {"type": "xml"}}, "response_format.type", "'xml'"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "required"),
    ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format.json_schema.name", "required"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": []}}},
        "response_format.json_schema.schema",
        "expected an object",
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "strict": 1}}},
        "response_format.json_schema.strict",
        "expected a boolean",
    ),
]


@pytest.mark.parametrize(("fields", "param", "says"), WRONG, ids=[f"{p}-{s}" for _, p, s in WRONG])
def test_wrong_tools(fields: dict[str, Any], param: str, says: str) -> None:
    """A wrong tool, choice or format is a 400 with its path, and says what is wrong."""
    error = refusal(body(**fields))

    assert (400, param) == (error.status, error.param)
    assert says in error.message


def test_twenty_tools_keep_their_schemas_apart() -> None:
    """Each tool gets the schema that stands in it."""
    schemas = [{"type": "object", "properties": {f"p{i}": {"type": "string"}}} for i in range(20)]
    raw = json.dumps(
        {"tools": [tool(f"f{i}", parameters=s) for i, s in enumerate(schemas)], "model": "m", "messages": [USER]}
    )

    made = DIALECT.read_request(raw.encode()).tools
    assert schemas == [json.loads(one.schema or "") for one in made]
