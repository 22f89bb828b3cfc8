"""Everything of a request that is no message: limits, sampling, tools, thinking, formats, Google's own fields."""

import json
from typing import Any

import pytest

from extproc.conversation.errors import Refusal
from extproc.conversation.request import (
    Cache,
    Extra,
    OutputFormat,
    Reasoning,
    Request,
    Sampling,
    Text,
    Tool,
    ToolChoice,
    Turn,
)
from extproc.dialects.contract import Destination
from extproc.dialects.gemini import DIALECT
from tests.dialects.gemini.generate import (
    GEMINI_2,
    GEMINI_3,
    GEMINI_25,
    ask,
    body,
    call,
    conversation,
    losses,
    result,
    to,
    write,
)
from tests.support import gemini_oracle

SCHEMA = '{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]}'
TOOLS = (Tool("tools[0]", "f", "Does f", SCHEMA), Tool("tools[1]", "g"))


def config(request: Request, destination: Destination | None = None) -> dict[str, Any]:
    parsed: dict[str, Any] = body(request, destination).get("generationConfig", {})
    return parsed


def test_gemini_body_oracle() -> None:
    """A request with everything in it is one that google-genai's own types take, on both hosts."""
    request = conversation(
        ("user", "Hello"),
        system=(Text("Be kind"),),
        tools=TOOLS,
        tool_choice=ToolChoice("any", allowed=("f",)),
        sampling=Sampling(0.5, 0.9, 40, 7, 0.1, -0.1, None, 2, logprobs=True, top_logprobs=3),
        max_output_tokens=100,
        stop=("END",),
        reasoning=Reasoning("low", "adaptive"),
        output_format=OutputFormat("json_schema", "n", None, SCHEMA, strict=True),
        service_tier="flex",
        metadata={"team": "a"},
        extras=(Extra("safetySettings", [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}]),),
    )
    told = body(request)

    assert list(told)[-1] == "contents"
    assert told == {
        "systemInstruction": {"parts": [{"text": "Be kind"}]},
        "tools": [
            {
                "functionDeclarations": [
                    {"name": "f", "description": "Does f", "parametersJsonSchema": json.loads(SCHEMA)},
                    {"name": "g"},
                ]
            }
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
        "generationConfig": {
            "maxOutputTokens": 100,
            "temperature": 0.5,
            "topP": 0.9,
            "topK": 40,
            "seed": 7,
            "candidateCount": 2,
            "presencePenalty": -0.1,
            "frequencyPenalty": 0.1,
            "responseLogprobs": True,
            "logprobs": 3,
            "stopSequences": ["END"],
            "responseMimeType": "application/json",
            "responseJsonSchema": json.loads(SCHEMA),
            "thinkingConfig": {"includeThoughts": True, "thinkingLevel": "LOW"},
        },
        "serviceTier": "flex",
        "labels": {"team": "a"},
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}],
        "contents": [{"role": "user", "parts": [{"text": "Hello"}]}],
    }
    assert losses(request) == []
    assert losses(request, to(vertex=False)) == [("metadata", "drop")]


def test_nothing_is_said_that_the_client_did_not_say() -> None:
    """A plain request is its contents, and values that say nothing are left out."""
    silent = ask(sampling=Sampling(n=1, presence_penalty=0, logprobs=False, top_logprobs=0), service_tier="auto")

    assert body(silent) == {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"sampling": Sampling(logit_bias={"1": 1.0})}, "logit_bias"),
        ({"max_output_tokens": 0, "max_output_tokens_path": "max_completion_tokens"}, "max_completion_tokens"),
        ({"stop": ("a", "")}, "stop"),
        ({"extras": (Extra("web_search_options", {}, essential=True),)}, "web_search_options"),
        ({"reasoning": Reasoning(mode="between_tools", path="thinking")}, "thinking"),
        ({"tools": (Tool("tools[0]", "f", kind="custom", grammar="{}"),)}, "tools[0]"),
        ({"tools": (Tool("tools[0]", "1f"),)}, "tools[0]"),
        ({"tools": (Tool("tools[0]", "f" * 129),)}, "tools[0]"),
        ({"tool_choice": ToolChoice("any")}, "tool_choice"),
        ({"tools": TOOLS, "tool_choice": ToolChoice("named", "h")}, "tool_choice"),
        ({"tools": TOOLS, "tool_choice": ToolChoice("auto", allowed=("f", "h"))}, "tool_choice"),
    ],
)
def test_what_gemini_cannot_do_is_refused(members: dict[str, Any], path: str) -> None:
    """The refusal names the client's own path."""
    with pytest.raises(Refusal) as refused:
        write(ask(**members))
    assert refused.value.error.param == path


@pytest.mark.parametrize(
    ("members", "listed"),
    [
        ({"user": "u"}, ("user", "drop")),
        ({"cache": Cache()}, ("cache_control", "drop")),
        ({"betas": ("interleaved-thinking-2025-05-14",)}, ("anthropic-beta", "drop")),
        ({"sampling": Sampling(seed=2**31)}, ("seed", "drop")),
        ({"service_tier": "scale"}, ("service_tier", "drop")),
        ({"metadata": {"Team": "a"}}, ("metadata", "drop")),
        ({"metadata": {"team": "A b"}}, ("metadata", "drop")),
        ({"extras": (Extra("store", True),)}, ("store", "drop")),
        ({"extras": (Extra("safetySettings", "none"),)}, ("safetySettings", "drop")),
        ({"extras": (Extra("generationConfig", {"temperature": 1}),)}, ("generationConfig.temperature", "drop")),
        ({"tools": (Tool("tools[0]", "f", strict=True),)}, ("tools[0]", "drop")),
        ({"tools": (Tool("tools[0]", "f", cache=Cache()),)}, ("tools[0]", "drop")),
        ({"tools": TOOLS, "tool_choice": ToolChoice(parallel=False)}, ("parallel_tool_calls", "drop")),
        ({"output_format": OutputFormat("json_schema", description="d", path="r")}, ("r", "drop")),
    ],
)
def test_what_has_no_place_is_listed(members: dict[str, Any], listed: tuple[str, str]) -> None:
    """A knob that Gemini does not have is left out and named."""
    assert losses(ask(**members)) == [listed]


def test_harmless_extras_are_not_listed() -> None:
    """What says nothing is nothing to tell, and neither is what Google itself said in an earlier answer."""
    echoed = Extra("messages[1].safety_ratings", [])

    assert losses(ask(extras=(Extra("store", False, harmless=True), echoed))) == []


@pytest.mark.parametrize(
    ("tier", "sent"),
    [("default", "standard"), ("standard_only", "standard"), ("flex", "flex"), ("priority", "priority")],
)
def test_service_tiers_have_googles_names(tier: str, sent: str) -> None:
    """OpenAI's and Anthropic's words become Google's."""
    assert body(ask(service_tier=tier))["serviceTier"] == sent


def test_googles_own_fields_pass_through() -> None:
    """Members of generationConfig that no client's dialect has are taken from there."""
    request = ask(extras=(Extra("generationConfig", {"mediaResolution": "MEDIA_RESOLUTION_LOW"}),))

    assert config(request) == {"mediaResolution": "MEDIA_RESOLUTION_LOW"}


def test_a_cached_content_brings_its_own_tools_and_system() -> None:
    """Beside it they would be a 400, so they are left out and listed."""
    request = ask(system=(Text("S"),), tools=TOOLS, extras=(Extra("cachedContent", "cachedContents/1"),))

    allowed = to(stored_files=True)

    assert body(request, allowed).keys() == {"cachedContent", "contents"}
    assert losses(request, allowed) == [("cachedContent", "approx")] * 2


def test_a_cached_content_is_the_gateways_own() -> None:
    """A client may name one only where the backend says so: it is read with the gateway's identity."""
    with pytest.raises(Refusal, match="storedFiles") as refused:
        write(ask(extras=(Extra("cachedContent", "cachedContents/1"),)))

    assert refused.value.error.param == "cachedContent"


@pytest.mark.parametrize(
    ("choice", "calling"),
    [
        (ToolChoice(), None),
        (ToolChoice("auto"), {"mode": "AUTO"}),
        (ToolChoice("none"), {"mode": "NONE"}),
        (ToolChoice("any"), {"mode": "ANY"}),
        (ToolChoice("named", "g"), {"mode": "ANY", "allowedFunctionNames": ["g"]}),
        (ToolChoice("auto", allowed=("g",)), {"mode": "VALIDATED", "allowedFunctionNames": ["g"]}),
        (ToolChoice("any", allowed=("g",)), {"mode": "ANY", "allowedFunctionNames": ["g"]}),
        (ToolChoice("auto", allowed=()), {"mode": "NONE"}),
    ],
)
def test_tool_choices(choice: ToolChoice, calling: dict[str, Any] | None) -> None:
    """Each choice has its mode, and all tools stay declared."""
    told = body(ask(tools=TOOLS, tool_choice=choice))

    assert told.get("toolConfig", {}).get("functionCallingConfig") == calling
    assert [tool["name"] for tool in told["tools"][0]["functionDeclarations"]] == ["f", "g"]


def test_a_choice_without_tools_says_nothing() -> None:
    """There is nothing to choose from, and Gemini needs no declarations of earlier calls."""
    assert "toolConfig" not in body(ask(tool_choice=ToolChoice("none")))
    assert "tools" not in body(conversation(("user", "Hi"), ("assistant", call("a")), ("user", result("a"))))


@pytest.mark.parametrize(
    ("model", "reasoning", "thinking", "listed"),
    [
        (GEMINI_3, Reasoning("none"), {"thinkingLevel": "MINIMAL"}, True),
        (GEMINI_3, Reasoning("minimal"), {"thinkingLevel": "MINIMAL"}, False),
        (GEMINI_3, Reasoning("low"), {"thinkingLevel": "LOW"}, False),
        (GEMINI_3, Reasoning("medium"), {"thinkingLevel": "MEDIUM"}, False),
        (GEMINI_3, Reasoning("high"), {"thinkingLevel": "HIGH"}, False),
        (GEMINI_3, Reasoning("max"), {"thinkingLevel": "HIGH"}, True),
        ("gemini-3-pro-preview", Reasoning("none"), {"thinkingLevel": "LOW"}, True),
        ("gemini-3-pro-preview", Reasoning("minimal"), {"thinkingLevel": "LOW"}, True),
        ("gemini-3-pro-preview", Reasoning("medium"), {"thinkingLevel": "HIGH"}, True),
        (GEMINI_3, Reasoning(mode="enabled", budget=1024), {"includeThoughts": True, "thinkingLevel": "LOW"}, True),
        (GEMINI_3, Reasoning(mode="enabled", budget=99_999), {"includeThoughts": True, "thinkingLevel": "HIGH"}, True),
        (GEMINI_3, Reasoning(mode="adaptive"), {"includeThoughts": True}, False),
        (
            GEMINI_3,
            Reasoning("low", "adaptive", display="omitted"),
            {"includeThoughts": False, "thinkingLevel": "LOW"},
            False,
        ),
        (GEMINI_3, Reasoning(mode="disabled"), {"thinkingLevel": "MINIMAL"}, True),
        (GEMINI_25, Reasoning("none"), {"thinkingBudget": 0}, False),
        ("gemini-2.5-pro", Reasoning("none"), {"thinkingBudget": 128}, True),
        (GEMINI_25, Reasoning("minimal"), {"thinkingBudget": 512}, True),
        (GEMINI_25, Reasoning("low"), {"thinkingBudget": 1024}, True),
        (GEMINI_25, Reasoning("medium"), {"thinkingBudget": 8192}, True),
        (GEMINI_25, Reasoning("high"), {"thinkingBudget": 24576}, True),
        ("gemini-2.5-pro", Reasoning("max"), {"thinkingBudget": 32768}, True),
        (GEMINI_25, Reasoning(mode="enabled", budget=2000), {"includeThoughts": True, "thinkingBudget": 2000}, False),
        (
            "gemini-2.5-flash-lite",
            Reasoning(mode="enabled", budget=100),
            {"includeThoughts": True, "thinkingBudget": 512},
            True,
        ),
        (GEMINI_25, Reasoning(mode="adaptive"), {"includeThoughts": True, "thinkingBudget": -1}, False),
        (GEMINI_25, Reasoning(mode="disabled"), {"thinkingBudget": 0}, False),
        (GEMINI_2, Reasoning("high"), None, True),
    ],
)
def test_thinking(model: str, reasoning: Reasoning, thinking: dict[str, Any] | None, *, listed: bool) -> None:
    """Each model is told in its own way how hard to think, never less than asked for, and what changed is listed."""
    request = ask(reasoning=reasoning)

    assert config(request, to(model)).get("thinkingConfig") == thinking
    assert bool(losses(request, to(model))) is listed


def test_a_custom_tool_is_a_function_of_one_text() -> None:
    """What it takes is told by a schema of the gateway's own."""
    [tool] = body(ask(tools=(Tool("tools[0]", "f", kind="custom"),)))["tools"]

    assert tool["functionDeclarations"][0]["parametersJsonSchema"]["required"] == ["input"]


def test_any_json_object_is_a_media_type() -> None:
    """Without a schema only the type of the answer is demanded."""
    assert config(ask(output_format=OutputFormat("json_object"))) == {"responseMimeType": "application/json"}


def test_an_output_format_has_the_form_that_the_model_takes() -> None:
    """Models before 2.5 are told in the older form."""
    request = ask(output_format=OutputFormat("json_schema", schema=SCHEMA))

    assert config(request, to(GEMINI_2))["responseSchema"] == {
        "type": "OBJECT",
        "properties": {"a": {"type": "INTEGER"}},
        "required": ["a"],
    }


def test_an_output_format_beside_tools_needs_a_model_that_takes_both() -> None:
    """Until 2.5 that is a 400, so it is refused; tools that may not be called are left out instead."""
    output = OutputFormat("json_schema", schema=SCHEMA)

    assert {"tools", "generationConfig"} <= body(ask(tools=TOOLS, output_format=output)).keys()
    with pytest.raises(Refusal) as refused:
        write(ask(tools=TOOLS, output_format=output), to(GEMINI_25))
    assert refused.value.error.param == "response_format"
    silent = ask(tools=TOOLS, output_format=output, tool_choice=ToolChoice("none"))
    assert "tools" not in body(silent, to(GEMINI_25))
    assert losses(silent, to(GEMINI_25)) == [("tools", "drop")]


def test_sampling_that_a_backend_says_its_model_does_not_take() -> None:
    """The knobs are left out and listed."""
    request = ask(sampling=Sampling(1.0, 0.5, 3))

    assert losses(request, to(sampling="none", top_k="none")) == [
        ("temperature", "drop"),
        ("top_p", "drop"),
        ("top_k", "drop"),
    ]
    assert config(request, to(sampling="one")) == {"temperature": 1.0, "topK": 3}


@pytest.mark.parametrize(
    ("members", "override"),
    [
        ({"tools": TOOLS, "tool_choice": ToolChoice("any")}, {"forced_tool_choice": False}),
        ({"tools": TOOLS, "tool_choice": ToolChoice("named", "f")}, {"forced_tool_choice": False}),
        ({"tools": TOOLS, "tool_choice": ToolChoice("named", "f")}, {"named_tool_choice": False}),
        ({"output_format": OutputFormat("json_object", path="tool_choice")}, {"json_object": False}),
    ],
)
def test_what_a_backend_says_its_model_cannot_do_is_refused(members: dict[str, Any], override: dict[str, Any]) -> None:
    """The bundled table is corrected by the configuration."""
    write(ask(**members))
    with pytest.raises(Refusal) as refused:
        write(ask(**members), to(**override))
    assert refused.value.error.param == "tool_choice"


def test_tokens_are_counted_with_all_that_the_request_holds() -> None:
    """Vertex AI takes the members one by one, the Gemini API the whole request with the model's name."""
    request = Request("m", (Turn("user", (Text("Hi"),), "messages[0]"),), system=(Text("S"),), service_tier="flex")
    told = [json.loads(DIALECT.write_count(request, to(GEMINI_3, vertex=vertex)).body) for vertex in (True, False)]

    assert told[0] == {"systemInstruction": {"parts": [{"text": "S"}]}, "contents": [_HI]}
    assert told[1]["generateContentRequest"].pop("model") == f"models/{GEMINI_3}"
    gemini_oracle.check_request(json.dumps(told[1]["generateContentRequest"]).encode(), vertex=False)


_HI = {"role": "user", "parts": [{"text": "Hi"}]}
