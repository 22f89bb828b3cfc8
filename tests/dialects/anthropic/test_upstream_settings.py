"""Everything of an OpenAI client's request but its messages, on the way to Anthropic."""

import itertools
import json
from typing import Any

import pytest

from extproc.conversation.capabilities import Capabilities
from extproc.conversation.errors import ClientError
from extproc.conversation.request import Cache, Text
from extproc.dialects.anthropic import DIALECT
from extproc.dialects.contract import Destination
from tests.support import anthropic_oracle
from tests.support.anthropic_messages import (
    NEWEST,
    OPUS_4_6,
    OPUS_4_8,
    SONNET_4_5,
    USER,
    destination,
    losses,
    openai_request,
    read,
    refusal,
    sent,
    upstream,
)

HAIKU_3 = "claude-3-haiku-20240307"
OPUS_5_5 = "claude-opus-5-5"
SONNET_5_5 = "claude-sonnet-5-5"
FABLE = "claude-fable-5"
MODELS = (HAIKU_3, SONNET_4_5, OPUS_4_6, OPUS_4_8, OPUS_5_5, SONNET_5_5, FABLE)
STRICT = {"version": "2026-10-21"}
CLOSED = {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": False}


def function(name: str = "f", **members: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **members}}


def schema_format(schema: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, **members}}


def test_version_2026_drops_sampling() -> None:
    """To the newer version no sampling value goes, and each is listed."""
    asked = {"temperature": 0.2, "top_p": 0.9, "top_k": 5}
    body = upstream(OPUS_4_6, STRICT, **asked)
    assert not {"temperature", "top_p", "top_k"} & set(body)
    assert losses(OPUS_4_6, STRICT, **asked) == [("temperature", "drop"), ("top_p", "drop"), ("top_k", "drop")]
    assert dict(sent(OPUS_4_6, STRICT).headers) == {"anthropic-version": "2026-10-21"}


def test_version_2023_keeps_sampling() -> None:
    """The older version takes them for older models, up to 1."""
    assert upstream(OPUS_4_6, temperature=0.2)["temperature"] == 0.2
    assert upstream(OPUS_4_6, temperature=1.7)["temperature"] == 1
    assert losses(OPUS_4_6, temperature=1.7) == [("temperature", "approx")]
    assert losses(OPUS_4_8, temperature=0.2) == [("temperature", "drop")]
    assert losses(SONNET_4_5, temperature=0.2, top_p=0.5) == [("top_p", "drop")]
    assert upstream(HAIKU_3, temperature=0.2, top_p=0.5, top_k=3)["top_k"] == 3
    assert dict(sent(OPUS_4_6).headers) == {"anthropic-version": "2023-06-01"}


def test_n_and_logprobs() -> None:
    """What would change the answer's shape is refused, and what says the default is not."""
    assert refusal(n=2) == "n"
    assert refusal(logprobs=True) == "logprobs"
    assert refusal(logprobs=False, top_logprobs=3) == "top_logprobs"
    assert losses(n=1, logprobs=False, frequency_penalty=0) == []


def test_max_tokens_default() -> None:
    """The client's limit wins, its newer field first; then the backend's default, then the model's own limit."""
    assert upstream(max_completion_tokens=7, max_tokens=9)["max_tokens"] == 7
    assert upstream(max_tokens=9)["max_tokens"] == 9
    assert upstream(SONNET_4_5, {"max_output_tokens": 123})["max_tokens"] == 123
    assert upstream(HAIKU_3)["max_tokens"] == 4096
    assert refusal("our-alias") == "max_tokens"
    assert read(max_tokens=0).max_output_tokens == 0


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        (None, None),
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ({"type": "function", "function": {"name": "f"}}, {"type": "tool", "name": "f"}),
    ],
)
@pytest.mark.parametrize("parallel", [None, True, False])
def test_tool_choice_matrix(choice: Any, written: dict[str, Any] | None, parallel: bool | None) -> None:
    """Each form of choice has its own word, and parallel calls are switched off where there are any."""
    fields = {"tool_choice": choice, "parallel_tool_calls": parallel}
    given = {name: value for name, value in fields.items() if value is not None}
    body = upstream(tools=[function(), function("g")], **given)
    wanted = written
    if parallel is False and choice != "none":
        wanted = {**(written or {"type": "auto"}), "disable_parallel_tool_use": True}
    assert body.get("tool_choice") == wanted


def test_tool_choice_that_a_model_cannot_follow_is_refused() -> None:
    """Some models cannot be made to call."""
    assert refusal(FABLE, tools=[function()], tool_choice="required") == "tool_choice"


def allowed(mode: str, *names: str) -> dict[str, Any]:
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [function(name) for name in names]}}


def test_allowed_tools() -> None:
    """A part of the tools cannot be allowed without breaking caches; all of them is no restriction."""
    tools = [function(), function("g")]
    assert refusal(tools=tools, tool_choice=allowed("auto", "f")) == "tool_choice"
    assert upstream(tools=tools, tool_choice=allowed("required", "g", "f"))["tool_choice"] == {"type": "any"}
    assert upstream(tools=tools, tool_choice=allowed("auto", "g", "f"))["tool_choice"] == {"type": "auto"}


def test_tools_without_parameters_and_strict() -> None:
    """A tool takes nothing when it says nothing; ``strict`` goes where the schema can be enforced."""
    tools = [
        function(description="d"),
        function("g", parameters=CLOSED, strict=True),
        function("h", parameters={"type": "object", "properties": {"a": {"minimum": 1}}}, strict=True),
    ]
    body = upstream(tools=tools)
    assert body["tools"][0] == {
        "name": "f",
        "description": "d",
        "input_schema": {"type": "object", "properties": {}},
    }
    assert [tool.get("strict") for tool in body["tools"]] == [None, True, None]
    assert losses(tools=tools) == [("tools[2]", "drop")]
    assert losses(HAIKU_3, tools=tools[:2]) == [("tools[1]", "drop")]


def test_tools_of_earlier_calls_are_declared() -> None:
    """A conversation with calls and no tools gets them by name, and may call none."""
    call = {"id": "a", "type": "function", "function": {"name": "old", "arguments": "{}"}}
    messages = [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "ok"},
    ]
    body = upstream(messages=messages)
    assert body["tools"] == [{"name": "old", "input_schema": {"type": "object"}}]
    assert body["tool_choice"] == {"type": "none"}


EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
MODES: tuple[dict[str, Any], ...] = (
    {"type": "enabled", "budget_tokens": 2000},
    {"type": "adaptive"},
    {"type": "disabled"},
    {"type": "between_tools"},
)


@pytest.mark.parametrize("model", MODELS)
def test_effort_thinking_matrix(model: str) -> None:
    """Whatever is asked for, no model gets a type of thinking, an effort or a sampling value that it refuses."""
    asked: list[dict[str, Any]] = [{"reasoning_effort": effort} for effort in EFFORTS]
    asked += [{"thinking": mode} for mode in MODES]
    pairs = itertools.product(EFFORTS, MODES)
    asked += [{"reasoning_effort": effort, "thinking": mode} for effort, mode in pairs]
    for fields in asked:
        _check_thinking(model, upstream(model, max_tokens=4000, temperature=0.5, **fields))


def _check_thinking(model: str, body: dict[str, Any]) -> None:
    able = DIALECT.capabilities(model)
    thinking = body.get("thinking")
    kind = thinking["type"] if thinking else None
    takes = {"none": set[str](), "budget": {"enabled"}, "adaptive": {"adaptive"}}[able.reasoning]
    takes |= {"disabled"} if able.thinking_off and able.reasoning == "adaptive" else set()
    takes |= {"between_tools"} if able.thinking_between_tools else set()
    assert kind is None or kind in takes
    if thinking and kind == "enabled":
        assert 1024 <= thinking["budget_tokens"] < body["max_tokens"]
    effort = body.get("output_config", {}).get("effort")
    assert effort is None or effort in able.efforts
    if kind in {"enabled", "adaptive"}:
        assert "temperature" not in body


@pytest.mark.parametrize(
    ("model", "fields", "thinking", "effort"),
    [
        (OPUS_4_8, {"reasoning_effort": "high"}, {"type": "adaptive"}, "high"),
        (OPUS_4_6, {"reasoning_effort": "xhigh"}, {"type": "adaptive"}, "high"),
        (OPUS_4_8, {"reasoning_effort": "none"}, {"type": "disabled"}, None),
        (OPUS_5_5, {"reasoning_effort": "none"}, None, "low"),
        (SONNET_5_5, {"reasoning_effort": "none"}, {"type": "between_tools"}, None),
        (OPUS_4_8, {"thinking": MODES[0]}, {"type": "adaptive"}, "low"),
        (SONNET_4_5, {"reasoning_effort": "medium"}, {"type": "enabled", "budget_tokens": 4096}, None),
        (
            SONNET_4_5,
            {"reasoning_effort": "high", "max_tokens": 4000},
            {"type": "enabled", "budget_tokens": 2000},
            None,
        ),
        (SONNET_4_5, {"reasoning_effort": "high", "max_tokens": 1000}, None, None),
        (SONNET_4_5, {"thinking": MODES[0]}, MODES[0], None),
        (HAIKU_3, {"reasoning_effort": "high"}, None, None),
    ],
)
def test_effort_thinking_examples(
    model: str, fields: dict[str, Any], thinking: dict[str, Any] | None, effort: str | None
) -> None:
    """An effort is said in the model's own words, within the client's own limit."""
    body = upstream(model, **fields)
    assert body.get("thinking") == thinking
    assert body.get("output_config", {}).get("effort") == effort


def test_budgets_that_cannot_be_are_refused() -> None:
    """A budget must leave room for the answer."""
    assert refusal(thinking={"type": "enabled", "budget_tokens": 500}) == "thinking"
    assert refusal(thinking={"type": "enabled", "budget_tokens": 5000}, max_tokens=5000) == "thinking"


def test_forced_calls_stop_manual_thinking() -> None:
    """Manual thinking and a demanded call exclude each other; the call stays."""
    fields: dict[str, Any] = {"reasoning_effort": "high", "tools": [function()], "tool_choice": "required"}
    assert "thinking" not in upstream(SONNET_4_5, **fields)
    assert ("reasoning_effort", "drop") in losses(SONNET_4_5, **fields)
    assert upstream(OPUS_4_8, **fields)["thinking"] == {"type": "adaptive"}


def test_structured_openai_to_anthropic() -> None:
    """A schema that can be enforced is, verbatim; one that cannot is refused when strict, else the nearest one."""
    assert upstream(response_format=schema_format(CLOSED, strict=True))["output_config"] == {
        "format": {"type": "json_schema", "schema": CLOSED}
    }
    bounded = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}}
    assert refusal(response_format=schema_format(bounded, strict=True)) == "response_format"
    body = upstream(response_format=schema_format(bounded))
    lowered = body["output_config"]["format"]["schema"]
    assert lowered["additionalProperties"] is False
    assert lowered["properties"]["a"] == {"type": "integer", "description": '{"minimum":1}'}
    assert losses(response_format=schema_format(bounded)) == [("response_format", "approx")]


@pytest.mark.parametrize(
    ("model", "form"),
    [
        (SONNET_4_5, {"type": "json_object"}),
        (HAIKU_3, schema_format(CLOSED)),
        (SONNET_4_5, schema_format({"type": "object", "properties": {"a": {"$ref": "#"}}})),
    ],
)
def test_output_formats_without_counterpart_are_asked_for_in_words(model: str, form: dict[str, Any]) -> None:
    """The words are the same each time, at the end of the system text."""
    messages = [{"role": "system", "content": "first"}, USER]
    body = upstream(model, messages=messages, response_format=form)
    assert body["system"][0]["text"] == "first"
    assert body["system"][1]["text"].startswith("Answer with one JSON object and nothing else")
    assert "output_config" not in body
    assert losses(model, messages=messages, response_format=form) == [("response_format", "approx")]


def test_custom_tool() -> None:
    """A tool that takes plain text is a function with one string; a grammar cannot be kept."""
    custom = {"type": "custom", "custom": {"name": "shell", "description": "runs"}}
    written = sent(tools=[custom])
    tool = json.loads(written.body)["tools"][0]
    assert tool["input_schema"]["properties"] == {"input": {"type": "string"}}
    assert written.custom_tools == {"shell"}
    grammar = {"type": "grammar", "grammar": {"definition": "start: A", "syntax": "lark"}}
    assert refusal(tools=[{"type": "custom", "custom": {"name": "shell", "format": grammar}}]) is not None


@pytest.mark.parametrize(
    ("fields", "written"),
    [
        ({"stop": "x"}, {"stop_sequences": ["x"]}),
        ({"stop": ["x", "y"]}, {"stop_sequences": ["x", "y"]}),
        ({"user": "u"}, {"metadata": {"user_id": "u"}}),
        ({"safety_identifier": "s"}, {"metadata": {"user_id": "s"}}),
        ({"service_tier": "auto"}, {"service_tier": "auto"}),
        ({"service_tier": "default"}, {"service_tier": "standard_only"}),
        ({"stream": True}, {"stream": True}),
    ],
)
def test_settings_with_counterpart(fields: dict[str, Any], written: dict[str, Any]) -> None:
    """What Anthropic has under another name arrives under that."""
    body = upstream(**fields)
    assert {name: body[name] for name in written} == written
    assert losses(**fields) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"seed": 1},
        {"logit_bias": {"1": 2}},
        {"frequency_penalty": 1},
        {"presence_penalty": -1},
        {"prediction": {"type": "content", "content": "x"}},
        {"verbosity": "low"},
        {"store": True},
        {"metadata": {"a": "b"}},
        {"service_tier": "flex"},
        {"stop": [" \n"]},
        {"a_new_field": 1},
    ],
)
def test_settings_without_counterpart_are_listed(fields: dict[str, Any]) -> None:
    """Knobs that Anthropic does not have are left out by name."""
    assert losses(**fields) == [(next(iter(fields)), "drop")]


def test_service_tiers_of_hosts() -> None:
    """A cloud has no tiers in its requests; the default is nothing to list."""
    hosted = {"hosted": True, "fetches_urls": False}
    assert "service_tier" not in upstream(SONNET_4_5, hosted, service_tier="auto")
    assert losses(SONNET_4_5, hosted, service_tier="auto") == []
    assert losses(SONNET_4_5, hosted, service_tier="default") == [("service_tier", "drop")]


@pytest.mark.parametrize("name", ["web_search_options", "moderation"])
def test_settings_that_change_the_answer_are_refused(name: str) -> None:
    """Without them the answer would be another one."""
    assert refusal(**{name: {"model": "x"}}) == name


def test_cache_marks() -> None:
    """Marks stand on what they mark; the last four are kept, and none outlives one before it."""
    parts = [{"type": "text", "text": f"t{i}", "cache_control": {"type": "ephemeral"}} for i in range(4)]
    parts[-1]["cache_control"] = {"type": "ephemeral", "ttl": "1h"}
    tool = {**function(), "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    fields: dict[str, Any] = {"messages": [{"role": "user", "content": parts}], "tools": [tool]}
    body = upstream(**fields)
    assert "cache_control" not in body["tools"][0]
    marks = [block["cache_control"] for block in body["messages"][0]["content"]]
    assert marks == [{"type": "ephemeral"}] * 4
    assert losses(**fields) == [("tools[0]", "drop"), ("messages[0].content[3]", "approx")]


def test_cache_breakpoints_of_openai() -> None:
    """OpenAI's marks live at least a time; Anthropic's default serves them. A mark on nothing marks what precedes."""
    mark = {"mode": "explicit", "ttl": "12h"}
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "", "prompt_cache_breakpoint": mark}]
    body = upstream(messages=[{"role": "user", "content": parts}])
    assert body["messages"][0]["content"] == [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]


def test_cache_of_the_whole_prompt_takes_one_place() -> None:
    """The automatic mark counts as one of four."""
    request = read(
        system=[
            {"type": "text", "text": str(i), "cache_control": {"type": "ephemeral", "ttl": "1h"}} for i in range(4)
        ],
        cache_control={"type": "ephemeral", "ttl": "1h"},
    )
    written = DIALECT.write_request(request, destination(SONNET_4_5))
    body = anthropic_oracle.check_request(written.body)
    assert body["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert ["cache_control" in block for block in body["system"]] == [False, True, True, True]


def test_cache_marks_of_models_without() -> None:
    """Where no marks are taken they are listed."""
    request = openai_request()
    marked = type(request)("m", request.turns, system=(Text("s", "system", cache=Cache()),))
    written = DIALECT.write_request(marked, Destination("m", Capabilities(max_output_tokens=5)))
    assert [(loss.path, loss.kind) for loss in written.losses] == [("system", "drop")]


def test_count_tokens_body() -> None:
    """A request to count has what is counted, and neither a limit nor a stream."""
    request = read(
        NEWEST,
        system="s",
        tools=[{"name": "f", "input_schema": {"type": "object"}}],
        stop_sequences=["x"],
        metadata={"user_id": "u"},
        stream=True,
        max_tokens=None,
    )
    written = DIALECT.write_count(request, destination(OPUS_4_8))
    assert set(anthropic_oracle.check_request(written.body, count=True)) == {"model", "system", "tools", "messages"}
    assert DIALECT.read_count(b'{"input_tokens":12}') == 12


def test_counts_need_no_limit() -> None:
    """Tokens are counted for a model whose limit nobody knows, too."""
    written = DIALECT.write_count(openai_request(), destination("our-alias"))
    assert json.loads(written.body)["model"] == "our-alias"


def test_beta_headers_of_a_translated_request() -> None:
    """The client's betas go on to an upstream of Anthropic's."""
    request = read({"anthropic-beta": "a-1, b-2,a-1", **NEWEST})
    written = DIALECT.write_request(request, destination(OPUS_4_8))
    assert dict(written.headers)["anthropic-beta"] == "a-1,b-2"


def test_vendor_fields_of_anthropic_are_refused_elsewhere() -> None:
    """What no neutral form holds is refused by path."""
    request = read(container="c-1")
    with pytest.raises(ClientError) as caught:
        DIALECT.write_request(request, destination(OPUS_4_8))
    assert caught.value.error.param == "container"
