"""Everything of a request beside its messages, and what each family of models takes of it."""

from typing import Any

import pytest
from msgspec.structs import replace

from extproc.conversation.capabilities import Capabilities
from extproc.conversation.request import (
    Extra,
    OutputFormat,
    Reasoning,
    Sampling,
    Tool,
    ToolChoice,
)
from extproc.dialects.openai import DIALECT
from extproc.dialects.openai.models import FAMILIES, UNKNOWN, capabilities_of
from tests.support.neutral_requests import OPENAI, losses, refused, request, sent, written

TOOL = Tool("tools[0]", "f", schema='{"type":"object","properties":{}}')
CLOSED = '{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}'
OPEN = '{"type":"object","properties":{"a":{"type":"string"}}}'


def of(model: str) -> Capabilities:
    """What the table knows of a model."""
    return capabilities_of(model)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-4o-mini", {"reasoning": "none", "maker": "openai", "structured_output": "schema"}),
        ("gpt-4-0613", {"structured_output": "tool"}),
        ("gpt-4.1", {"structured_output": "schema"}),
        ("gpt-3.5-turbo", {"structured_output": "tool"}),
        ("ft:gpt-4o-2024-08-06:org::id", {"maker": "openai", "structured_output": "schema"}),
        ("o3-mini", {"reasoning": "openai", "sampling": "none", "disable_parallel_tools": False}),
        ("gpt-5", {"efforts": ("minimal", "low", "medium", "high"), "thinking_off": False}),
        ("gpt-5-mini-2025-08-07", {"efforts": ("minimal", "low", "medium", "high")}),
        ("gpt-5.1", {"efforts": ("none", "low", "medium", "high"), "thinking_off": True}),
        ("gpt-5-pro", {"efforts": ("high",)}),
        ("gpt-5.2-chat-latest", {"reasoning": "none"}),
        ("gpt-5.4-mini", {"tools_while_reasoning": False, "thinking_off": True}),
        ("gpt-5.6-sol", {"prompt_cache": True, "tools_while_reasoning": False}),
        ("gpt-6-astra", {"thinking_off": False, "tools_while_reasoning": False}),
        ("gpt-oss-120b", {"reasoning": "gpt_oss", "legacy_max_tokens": True, "maker": ""}),
        ("meta-llama/Llama-3.3-70B-Instruct", {"legacy_max_tokens": True, "top_k": "plain"}),
        ("Qwen/Qwen3-32B", {"legacy_max_tokens": True}),
        ("my-deployment", {"legacy_max_tokens": False, "reasoning": "none", "system_in_messages": True}),
    ],
)
def test_the_table(model: str, expected: dict[str, Any]) -> None:
    """Models are told apart by name, whatever date or maker stands around it."""
    found = of(model)

    assert expected == {name: getattr(found, name) for name in expected}
    assert DIALECT.capabilities(model) == found


def test_every_family_can_be_reached() -> None:
    """No family is hidden behind one before it."""
    names = ("gpt-oss-20b", "gpt-4", "gpt-4o", "o1", "gpt-5-pro", "gpt-5", "gpt-5.1", "gpt-5.3", "gpt-5.5")
    found = [of(name) for name in (*names, "gpt-6-astra", "gpt-5.6", "llama")]

    assert found == [family.capabilities for family in FAMILIES]
    assert of("x") == UNKNOWN


@pytest.mark.parametrize(("capabilities", "name"), [(OPENAI, "max_completion_tokens"), (of("llama-3"), "max_tokens")])
def test_the_limit(capabilities: Capabilities, name: str) -> None:
    """The limit has its present name, and its old one for servers that know no other."""
    assert written(request(max_output_tokens=7), capabilities)[name] == 7


def test_max_tokens_zero() -> None:
    """A limit of nothing, which warms a cache elsewhere, is refused by the client's own name for it."""
    assert refused(request(max_output_tokens=0, max_output_tokens_path="max_tokens")) == "max_tokens"


def test_no_limit_is_none() -> None:
    """The upstream demands no limit, so none is made up."""
    assert written(request()) == {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


def test_a_stream_tells_its_usage() -> None:
    """Streams are always asked for usage."""
    body = written(request(stream=True))

    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})


def test_stop_sequences() -> None:
    """Four are taken; a model that reasons takes none."""
    asked = request(stop=("a", "b", "c", "d", "e"), stop_path="stop_sequences")

    assert written(asked)["stop"] == ["a", "b", "c", "d"]
    assert losses(asked) == [("stop_sequences", "approx")]
    assert "stop" not in written(asked, of("gpt-5"))
    assert losses(asked, of("gpt-5")) == [("stop_sequences", "drop")]


SAMPLING = Sampling(
    temperature=0.5, top_p=0.9, frequency_penalty=0.1, presence_penalty=0.2, seed=7, n=2, logprobs=True, top_logprobs=3
)


def test_sampling() -> None:
    """All of it goes to a model that takes it."""
    body = written(request(sampling=SAMPLING))

    assert {name: body[name] for name in body if name not in {"model", "messages"}} == {
        "temperature": 0.5,
        "top_p": 0.9,
        "frequency_penalty": 0.1,
        "presence_penalty": 0.2,
        "seed": 7,
        "n": 2,
        "logprobs": True,
        "top_logprobs": 3,
    }


def test_sampling_of_a_model_that_reasons() -> None:
    """Values are listed and left out, unless it is told not to reason; probabilities are refused."""
    asked = request(sampling=Sampling(temperature=0.5))

    assert losses(asked, of("gpt-5.1")) == [("temperature", "drop")]
    off = request(sampling=Sampling(temperature=0.5), reasoning=Reasoning("none"))
    assert written(off, of("gpt-5.1"))["temperature"] == 0.5
    assert refused(request(sampling=Sampling(logprobs=True)), of("gpt-5.1")) == "logprobs"


def test_top_k() -> None:
    """OpenAI has no top_k; servers of open weights have."""
    asked = request(sampling=Sampling(top_k=5))

    assert losses(asked) == [("top_k", "drop")]
    assert written(asked, of("llama-3"))["top_k"] == 5


def test_one_of_two_sampling_values() -> None:
    """Where both values exclude each other, temperature is kept."""
    asked = request(sampling=Sampling(temperature=0.5, top_p=0.9))

    assert losses(asked, replace(OPENAI, sampling="one")) == [("top_p", "drop")]


EFFORTS = [
    ("gpt-5.2", Reasoning("high"), "high", None),
    ("gpt-5.2", Reasoning("xhigh"), "xhigh", None),
    ("gpt-5.2", Reasoning("max"), "xhigh", "approx"),
    ("gpt-5.1", Reasoning("max"), "high", "approx"),
    ("gpt-5.1", Reasoning("minimal"), "low", "approx"),
    ("gpt-5", Reasoning("minimal"), "minimal", None),
    ("gpt-5-pro", Reasoning("low"), "high", "approx"),
    ("gpt-5.1", Reasoning("none"), "none", None),
    ("gpt-5.1", Reasoning(mode="disabled"), "none", None),
    ("gpt-5.1", Reasoning(mode="between_tools"), "none", "approx"),
    ("gpt-4o", Reasoning(mode="between_tools"), None, "drop"),
    ("gpt-5", Reasoning(mode="disabled"), None, "drop"),
    ("gpt-6-astra", Reasoning("none"), None, "drop"),
    ("gpt-5.1", Reasoning(mode="adaptive"), None, None),
    ("gpt-5.1", Reasoning("low", mode="adaptive"), "low", None),
    ("gpt-5.1", Reasoning(mode="enabled", budget=4095), "low", "approx"),
    ("gpt-5.1", Reasoning(mode="enabled", budget=4096), "medium", "approx"),
    ("gpt-5.1", Reasoning(mode="enabled", budget=16384), "high", "approx"),
    ("gpt-oss-20b", Reasoning("xhigh"), "high", "approx"),
    ("gpt-oss-20b", Reasoning("none"), None, "drop"),
    ("gpt-4o", Reasoning("high"), None, "drop"),
    ("gpt-4o", Reasoning("none"), None, None),
    ("gpt-4o", None, None, None),
]


@pytest.mark.parametrize(("model", "asked", "effort", "loss"), EFFORTS)
def test_effort_thinking_matrix(model: str, asked: Reasoning | None, effort: str | None, loss: str | None) -> None:
    """Each wish becomes a word that the model knows, and what changes on the way is listed."""
    wished = request(reasoning=asked)

    assert written(wished, of(model)).get("reasoning_effort") == effort
    assert losses(wished, of(model)) == ([] if loss is None else [("reasoning_effort", loss)])


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (None, [("tools", "approx")]),
        (Reasoning("high"), [("reasoning_effort", "approx")]),
        (Reasoning("none"), []),
        (Reasoning(mode="disabled"), []),
    ],
)
def test_tools_without_reasoning(asked: Reasoning | None, expected: list[tuple[str, str]]) -> None:
    """A model that takes tools only without reasoning is told so by word, as leaving it out is refused as well."""
    wished = request(reasoning=asked, tools=(TOOL,))

    assert written(wished, of("gpt-5.6"))["reasoning_effort"] == "none"
    assert losses(wished, of("gpt-5.6")) == expected


def test_tools_that_cannot_go() -> None:
    """A model that always reasons takes no tools, and the refusal says so before the upstream does."""
    assert refused(request(tools=(TOOL,)), of("gpt-6-astra")) == "tools[0]"


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (ToolChoice(), {}),
        (ToolChoice("auto"), {"tool_choice": "auto"}),
        (ToolChoice("none", parallel=False), {"tool_choice": "none"}),
        (ToolChoice("any"), {"tool_choice": "required"}),
        (ToolChoice("named", "f"), {"tool_choice": {"type": "function", "function": {"name": "f"}}}),
        (ToolChoice(parallel=False), {"parallel_tool_calls": False}),
        (ToolChoice("any", parallel=False), {"tool_choice": "required", "parallel_tool_calls": False}),
        (ToolChoice("any", parallel=True), {"tool_choice": "required"}),
        (ToolChoice("any", allowed=("f", "g")), {"tool_choice": "required"}),
        (
            ToolChoice("auto", allowed=("g",)),
            {
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "g"}}]},
                }
            },
        ),
    ],
)
def test_tool_choice_matrix(choice: ToolChoice, expected: dict[str, Any]) -> None:
    """Each form of a choice in this API's words."""
    body = written(request(tools=(TOOL, replace(TOOL, name="g")), tool_choice=choice))

    assert {name: body[name] for name in ("tool_choice", "parallel_tool_calls") if name in body} == expected


@pytest.mark.parametrize(
    ("choice", "capabilities"),
    [
        (ToolChoice("named", "other"), OPENAI),
        (ToolChoice("any", allowed=("other",)), OPENAI),
        (ToolChoice("auto", allowed=("f",)), UNKNOWN),
        (ToolChoice("any"), replace(OPENAI, forced_tool_choice=False)),
        (ToolChoice("named", "f"), replace(OPENAI, named_tool_choice=False)),
    ],
)
def test_choices_that_cannot_be_made(choice: ToolChoice, capabilities: Capabilities) -> None:
    """A choice of what is not there, or that the model does not make, is refused."""
    assert refused(request(tools=(TOOL, replace(TOOL, name="g")), tool_choice=choice), capabilities) == "tool_choice"


def test_a_call_without_tools() -> None:
    """A demanded call is refused when there is nothing to call; other choices mean nothing then."""
    assert refused(request(tool_choice=ToolChoice("any"))) == "tool_choice"
    assert "tool_choice" not in written(request(tool_choice=ToolChoice("none")))


def test_parallel_calls_of_old_reasoning_models() -> None:
    """They have no switch against parallel calls, and it is listed."""
    asked = request(tools=(TOOL,), tool_choice=ToolChoice(parallel=False))

    assert losses(asked, of("o3")) == [("parallel_tool_calls", "drop")]


def test_tool_name_long() -> None:
    """A name that the API does not take is sent under another, which the answer is known by; others stay."""
    long = "x" * 100
    asked = request(tools=(TOOL, replace(TOOL, name=long), replace(TOOL, name="a.b")))
    names = [tool["function"]["name"] for tool in written(asked)["tools"]]

    assert names[0] == "f"
    assert dict(sent(asked).tool_names) == {names[1]: long, names[2]: "a.b"}


def test_parameters() -> None:
    """Schemas keep their text; an object without properties gets them, as the API demands some."""
    bare = Tool("t", "f", "says", '{"type": "object"}')
    none = Tool("t", "g")

    assert written(request(tools=(bare, none)))["tools"] == [
        {
            "type": "function",
            "function": {"name": "f", "description": "says", "parameters": {"type": "object", "properties": {}}},
        },
        {"type": "function", "function": {"name": "g"}},
    ]
    assert refused(request(tools=(Tool("t", "f", schema="[]"),))) == "t"


@pytest.mark.parametrize(("schema", "strict"), [(CLOSED, True), (OPEN, False), ('{"type":"object"}', False)])
def test_strict_tools(schema: str, *, strict: bool) -> None:
    """A tool is strict when its schema can be enforced, else that is listed."""
    asked = request(tools=(Tool("tools[0]", "f", schema=schema, strict=True),))

    assert written(asked)["tools"][0]["function"].get("strict") == (True if strict else None)
    assert losses(asked) == ([] if strict else [("tools[0]", "drop")])


def test_custom_tools() -> None:
    """A tool that takes a text stays one where the model has them; elsewhere it is a function, without a grammar."""
    custom = Tool("t", "c", "says", kind="custom", grammar='{"syntax":"regex","definition":"a+"}')
    [native] = written(request(tools=(custom,)), replace(OPENAI, custom_tools=True))["tools"]
    plain = request(tools=(replace(custom, grammar=None),))

    assert native["custom"]["format"] == {"type": "grammar", "grammar": {"syntax": "regex", "definition": "a+"}}
    assert written(plain)["tools"][0]["function"]["parameters"]["required"] == ["input"]
    assert losses(plain) == [("t", "approx")]
    assert refused(request(tools=(custom,))) == "t"


@pytest.mark.parametrize(
    ("schema", "strict", "enforced"), [(CLOSED, None, True), (CLOSED, False, False), (OPEN, True, False)]
)
def test_structured_output(schema: str, *, strict: bool | None, enforced: bool) -> None:
    """A schema is enforced when it can be and nobody minds; when it cannot, that is listed."""
    asked = request(output_format=OutputFormat("json_schema", schema=schema, strict=strict))
    form = written(asked)["response_format"]["json_schema"]

    assert (form["name"], form["strict"]) == ("output", enforced)
    assert losses(asked) == ([("response_format", "approx")] if strict else [])


def test_formats_that_cannot_be_held() -> None:
    """A model without schemas or JSON mode is refused what it would not keep."""
    schema = request(output_format=OutputFormat("json_schema", schema=CLOSED))
    anything = request(output_format=OutputFormat("json_object"))

    assert refused(schema, of("gpt-4")) == "response_format"
    assert written(anything)["response_format"] == {"type": "json_object"}
    assert refused(anything, replace(OPENAI, json_object=False)) == "response_format"


def test_identity() -> None:
    """The user's id goes under the name that the server knows, a long one as its hash."""
    assert written(request(user="u" * 128))["safety_identifier"] == "u" * 128
    assert len(written(request(user="u" * 129))["safety_identifier"]) == 64
    assert written(request(user="u"), UNKNOWN)["user"] == "u"


@pytest.mark.parametrize(
    ("tier", "capabilities", "expected"),
    [("auto", OPENAI, None), ("standard_only", OPENAI, "default"), ("flex", OPENAI, "flex"), ("flex", UNKNOWN, None)],
)
def test_service_tiers(tier: str, capabilities: Capabilities, expected: str | None) -> None:
    """Tiers that the server has; the usual one is not said."""
    asked = request(service_tier=tier)

    assert written(asked, capabilities).get("service_tier") == expected
    assert losses(asked, capabilities) == ([("service_tier", "drop")] if expected is None and tier != "auto" else [])


def test_the_rest() -> None:
    """What has no place is listed, what the answer needs is refused, and what is harmless passes in silence."""
    extras = (Extra("a", 1), Extra("b", 1, harmless=True))

    assert losses(request(extras=extras, metadata={"k": "v"})) == [("metadata", "drop"), ("a", "drop")]
    assert refused(request(extras=(Extra("c", 1, essential=True),))) == "c"
    assert losses(request(betas=("x",), api_version="2026-10-21")) == []
