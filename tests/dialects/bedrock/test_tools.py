"""Tools, the choice among them, and structured output."""

import re

import msgspec
import pytest
from msgspec.structs import replace

from extproc.conversation.capabilities import Capabilities
from extproc.conversation.errors import Refusal
from extproc.conversation.request import OutputFormat, Tool, ToolCall, ToolChoice
from extproc.dialects.bedrock import DIALECT
from extproc.dialects.bedrock.tools import upstream_id
from tests.dialects.bedrock.converse import ABLE, ask, body, call, conversation, losses, result, write

TOOLS = (Tool("tools[0]", "f", "does f", '{"type":"object"}'), Tool("tools[1]", "g"))
HISTORY = (("user", "a"), ("assistant", call("1", "f")), ("user", result("1", "x")))
JSON_OBJECT = OutputFormat("json_object")


def test_converse_toolconfig_synth() -> None:
    """Calls in the history without declared tools: declared by name in order of first use, and listed."""
    request = conversation(
        ("user", "a"),
        ("assistant", [call("1", "g"), call("2", "f"), call("3", "g")]),
        ("user", [result("1", "x"), result("2", "x"), result("3", "x")]),
    )
    specs = [tool["toolSpec"] for tool in body(request)["toolConfig"]["tools"]]
    assert specs == [{"name": name, "inputSchema": {"json": {"type": "object"}}} for name in ("g", "f")]
    assert losses(request) == [("tools", "approx")]


def test_converse_tool_choice_none() -> None:
    """Without calls in the history no tools are sent; with them they stay declared, and that is listed."""
    none = ToolChoice("none")
    assert "toolConfig" not in body(ask(tools=TOOLS, tool_choice=none))
    request = conversation(*HISTORY, tools=TOOLS, tool_choice=none)
    assert body(request)["toolConfig"].keys() == {"tools"}
    assert losses(request) == [("tool_choice", "approx")]


@pytest.mark.parametrize("choice", [ToolChoice(), ToolChoice("auto")])
def test_auto_is_left_to_the_service(choice: ToolChoice) -> None:
    """Auto is the default of every model, and some take no tool choice at all."""
    assert body(ask(tools=TOOLS, tool_choice=choice))["toolConfig"].keys() == {"tools"}


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (ToolChoice("any"), {"any": {}}),
        (ToolChoice("named", "g"), {"tool": {"name": "g"}}),
        (ToolChoice("named", "g", allowed=("g",)), {"tool": {"name": "g"}}),
    ],
)
def test_forced_choices(choice: ToolChoice, sent: dict[str, object]) -> None:
    """Any and a named tool have their own members."""
    assert body(ask(tools=TOOLS, tool_choice=choice))["toolConfig"]["toolChoice"] == sent


@pytest.mark.parametrize(
    "choice",
    [ToolChoice("named", "h"), ToolChoice("auto", allowed=("f", "h")), ToolChoice("named", "g", allowed=("f",))],
)
def test_choices_of_undeclared_tools(choice: ToolChoice) -> None:
    """A choice that names a tool which is not offered is refused."""
    with pytest.raises(Refusal) as refused:
        write(ask(tools=TOOLS, tool_choice=choice))
    assert refused.value.error.param == "tool_choice"


@pytest.mark.parametrize("choice", [ToolChoice("any"), ToolChoice("named", "f")])
def test_forced_choice_without_tools(choice: ToolChoice) -> None:
    """Nothing can be forced where nothing is offered, not even when the history has calls."""
    with pytest.raises(Refusal):
        write(conversation(*HISTORY, tool_choice=choice))


def test_converse_tool_id_map() -> None:
    """A 70-character id with a pipe is mapped the same in call and result, and always the same."""
    odd = "call|" + "x" * 65
    request = conversation(("user", "a"), ("assistant", call(odd)), ("user", result(odd, "x")))
    messages = body(request)["messages"]
    sent = messages[1]["content"][0]["toolUse"]["toolUseId"]
    assert sent == messages[2]["content"][0]["toolResult"]["toolUseId"] == upstream_id(odd)
    assert sent.startswith("t_")
    assert len(sent) == 34


def test_ids_that_converse_takes_stay() -> None:
    """Bedrock's own ids, OpenAI's and others come back as they are."""
    for kept in ("tooluse_kZJMlvQmRJ6eAyJE5GIl7Q", "call_abc", "functions.Bash:0", "a" * 64):
        assert upstream_id(kept) == kept
    assert upstream_id("a" * 65) != upstream_id("a" * 66)


@pytest.mark.parametrize("name", ["acme.search", "a" * 65, "näme", "a b"])
def test_converse_tool_name_dot(name: str) -> None:
    """A name that Converse does not take is sent under a derived one, everywhere the same, which leads back to it."""
    request = conversation(
        ("user", "a"),
        ("assistant", call("1", name)),
        ("user", result("1", "x")),
        tools=(Tool("tools[0]", name), Tool("tools[1]", "a_b")),
        tool_choice=ToolChoice("named", name),
    )
    sent, told = write(request), body(request)
    derived = told["toolConfig"]["tools"][0]["toolSpec"]["name"]
    assert re.fullmatch("[a-zA-Z0-9_-]{1,64}", derived)
    assert told["toolConfig"]["toolChoice"] == {"tool": {"name": derived}}
    assert told["messages"][1]["content"][0]["toolUse"]["name"] == derived
    assert sent.tool_names == {derived: name}
    assert losses(request) == [("tools[0]", "approx")]
    answer = {"output": {"message": {"content": [{"toolUse": {"toolUseId": "t", "name": derived, "input": {}}}]}}}
    [named] = DIALECT.read_response(msgspec.json.encode(answer), {}, sent).blocks
    assert isinstance(named, ToolCall)
    assert named.name == name


def test_derived_names_are_told_apart() -> None:
    """Names that differ only in what Converse does not take stay two names."""
    request = ask(tools=tuple(Tool("t", name) for name in ("a.b", "a b", "a_b")))
    names = [tool["toolSpec"]["name"] for tool in body(request)["toolConfig"]["tools"]]
    assert len(set(names)) == 3


def test_a_tool_without_a_name() -> None:
    """No name cannot be told from another."""
    with pytest.raises(Refusal) as refused:
        write(ask(tools=(Tool("tools[0]", ""),)))
    assert refused.value.error.param == "tools[0]"


def test_custom_tool() -> None:
    """A tool of plain text is a function with one text parameter, and so are the calls of it; both are listed."""
    text = 'say "hi"\n'
    used = ToolCall("c", "1", "sh", text, kind="custom")
    request = conversation(
        ("user", "a"),
        ("assistant", used),
        ("user", result("1", "x")),
        tools=(Tool("tools[0]", "sh", "runs it", kind="custom"),),
    )
    told = body(request)
    assert told["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"]["required"] == ["input"]
    assert told["messages"][1]["content"][0]["toolUse"]["input"] == {"input": text}
    assert losses(request) == [("tools[0]", "approx")]


def test_custom_tool_with_a_grammar() -> None:
    """Nobody at Bedrock would hold the model to a grammar."""
    with pytest.raises(Refusal) as refused:
        write(ask(tools=(Tool("tools[0]", "sh", kind="custom", grammar="{}"),)))
    assert refused.value.error.param == "tools[0]"


def test_parallel_calls_are_listed_under_the_clients_word() -> None:
    """A switch that Converse lacks is listed as the client calls it."""
    own = ToolChoice("auto", parallel=False, parallel_path="tool_choice.disable_parallel_tool_use")
    assert losses(ask(tools=TOOLS, tool_choice=own)) == [("tool_choice.disable_parallel_tool_use", "drop")]


@pytest.mark.parametrize("schema", ["[]", "x", '{"a":1},"b":{}'])
def test_schemas_that_are_no_object(schema: str) -> None:
    """A schema is embedded only when it is one JSON object."""
    with pytest.raises(Refusal):
        write(ask(tools=(Tool("tools[0]", "f", schema=schema),)))


def test_parallel_calls() -> None:
    """Claude's own switch is sent where a backend is configured for it, and only when there is something to call."""
    able = replace(ABLE, disable_parallel_tools=True)
    one = ToolChoice(parallel=False)
    sent = body(ask(tools=TOOLS, tool_choice=one), able)["additionalModelRequestFields"]["tool_choice"]
    assert sent == {"type": "auto", "disable_parallel_tool_use": True}
    named = ToolChoice("named", "g", parallel=False)
    sent = body(ask(tools=TOOLS, tool_choice=named), able)["additionalModelRequestFields"]["tool_choice"]
    assert sent == {"type": "tool", "name": "g", "disable_parallel_tool_use": True}
    assert losses(ask(tools=TOOLS, tool_choice=one)) == [("parallel_tool_calls", "drop")]
    assert losses(ask(tool_choice=one)) == []


def test_converse_schema_is_string() -> None:
    """The schema of textFormat is JSON inside a string, the very text that the client wrote."""
    schema = '{"type": "object", "additionalProperties": false, "properties": {"z": {"type": "integer"}, "a": {}}}'
    output = OutputFormat("json_schema", "person", "A person", schema, strict=True)
    sent = body(ask(output_format=output))["outputConfig"]["textFormat"]
    assert sent == {
        "type": "json_schema",
        "structure": {"jsonSchema": {"schema": schema, "name": "person", "description": "A person"}},
    }


def test_schema_format_without_schema() -> None:
    """json_schema without a schema is any object, which textFormat cannot say."""
    request = ask(output_format=OutputFormat("json_schema", "thing"))
    sent = write(request)
    assert sent.output_tool == "answer_in_json"
    assert losses(request) == [("response_format", "approx")]


def test_stand_in_for_a_model_that_takes_no_names() -> None:
    """Alone it is forced by any; with tools of the client's it is one of them."""
    unnamed = Capabilities(named_tool_choice=False)
    assert body(ask(output_format=JSON_OBJECT), unnamed)["toolConfig"]["toolChoice"] == {"any": {}}


def test_stand_in_beside_a_history_without_tools() -> None:
    """The tools of earlier calls stay declared, and the stand-in is the one that is demanded."""
    request = conversation(*HISTORY, output_format=JSON_OBJECT)
    config = body(request)["toolConfig"]
    assert [tool["toolSpec"]["name"] for tool in config["tools"]] == ["f", "answer_in_json"]
    assert config["toolChoice"] == {"tool": {"name": "answer_in_json"}}


def test_output_format_is_moot_when_a_call_is_demanded() -> None:
    """A model that can enforce neither form is not refused for a format of content that there will not be."""
    request = ask(tools=TOOLS, tool_choice=ToolChoice("any"), output_format=JSON_OBJECT)
    assert write(request).output_tool is None


def test_unforceable_model_refuses_structured_output() -> None:
    """Where neither way is open the request is refused, never answered in prose."""
    with pytest.raises(Refusal) as refused:
        write(ask(output_format=JSON_OBJECT), Capabilities(forced_tool_choice=False))
    assert refused.value.error.param == "response_format"
