"""Reasoning, cache points, sampling and the rest, by what a model can do."""

from typing import Any

import pytest
from msgspec.structs import replace

from extproc.conversation.capabilities import Capabilities
from extproc.conversation.errors import Refusal
from extproc.conversation.request import (
    Cache,
    Extra,
    OutputFormat,
    Reasoning,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolChoice,
)
from tests.dialects.bedrock.converse import ABLE, ask, body, call, conversation, losses, result, write

ADAPTIVE = replace(ABLE, reasoning="adaptive", thinking_between_tools=True)
CLAUDE = replace(ABLE, maker="anthropic")
EFFORT_ALONE = Reasoning("high", path="output_config.effort")
UNFORCED = replace(ABLE, tools_while_thinking_forced=False)


@pytest.mark.parametrize(
    ("capabilities", "asked", "sent"),
    [
        (ADAPTIVE, Reasoning("low"), ({"thinking": {"type": "adaptive"}}, {"effort": "low"})),
        (ADAPTIVE, Reasoning("max"), ({"thinking": {"type": "adaptive"}}, {"effort": "max"})),
        (ADAPTIVE, Reasoning("none"), ({"thinking": {"type": "disabled"}}, None)),
        (ADAPTIVE, Reasoning(mode="between_tools"), ({"thinking": {"type": "between_tools"}}, None)),
        (ADAPTIVE, Reasoning(mode="disabled"), ({"thinking": {"type": "disabled"}}, None)),
        (ADAPTIVE, Reasoning("high", "disabled"), ({"thinking": {"type": "disabled"}}, {"effort": "high"})),
        (ADAPTIVE, EFFORT_ALONE, (None, {"effort": "high"})),
        (ABLE, Reasoning(mode="disabled"), ({"thinking": {"type": "disabled"}}, None)),
        (
            ABLE,
            Reasoning(mode="enabled", budget=5000, display="omitted"),
            ({"thinking": {"type": "enabled", "display": "omitted", "budget_tokens": 5000}}, None),
        ),
        (
            replace(ABLE, reasoning="nova"),
            Reasoning("low"),
            ({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}, None),
        ),
        (replace(ABLE, reasoning="nova"), Reasoning("none"), ({"reasoningConfig": {"type": "disabled"}}, None)),
        (replace(ABLE, reasoning="gpt_oss"), Reasoning("medium"), ({"reasoning_effort": "medium"}, None)),
        (replace(ABLE, reasoning="openai"), Reasoning("xhigh"), ({"reasoning": {"effort": "xhigh"}}, None)),
        (replace(ABLE, reasoning="openai"), Reasoning("none"), ({"reasoning": {"effort": "none"}}, None)),
    ],
)
def test_reasoning_in_each_familys_words(capabilities: Capabilities, asked: Reasoning, sent: tuple[Any, Any]) -> None:
    """Each style of model is told in its own fields, and nothing is lost on the way."""
    written = body(ask(reasoning=asked), capabilities)
    assert (written.get("additionalModelRequestFields"), written.get("outputConfig")) == sent
    assert losses(ask(reasoning=asked), capabilities) == []


@pytest.mark.parametrize(
    ("capabilities", "asked", "kind"),
    [
        (ABLE, Reasoning("high"), "approx"),
        (ABLE, Reasoning(mode="adaptive"), "approx"),
        (ADAPTIVE, Reasoning("minimal"), "approx"),
        (ADAPTIVE, Reasoning(mode="enabled", budget=2000), "approx"),
        (replace(ADAPTIVE, thinking_between_tools=False), Reasoning(mode="between_tools"), "approx"),
        (replace(ABLE, reasoning="nova"), Reasoning(mode="between_tools"), "approx"),
        (ABLE, Reasoning("high", "enabled", 2000), "drop"),
        (replace(ADAPTIVE, thinking_off=False), Reasoning("none"), "drop"),
        (replace(ABLE, reasoning="nova"), Reasoning("max"), "approx"),
        (replace(ABLE, reasoning="gpt_oss"), Reasoning("none"), "drop"),
        (replace(ABLE, reasoning="gpt_oss"), Reasoning("minimal"), "approx"),
        (replace(ABLE, reasoning="openai"), Reasoning("minimal"), "approx"),
        (Capabilities(), Reasoning("high"), "drop"),
    ],
)
def test_reasoning_that_does_not_arrive_as_written(capabilities: Capabilities, asked: Reasoning, kind: str) -> None:
    """Whatever is changed or left out is listed once, under the client's own path."""
    assert losses(ask(reasoning=asked), capabilities) == [("reasoning_effort", kind)]


@pytest.mark.parametrize(
    ("capabilities", "asked"),
    [
        (replace(ABLE, reasoning="nova"), Reasoning(mode="enabled", budget=2000)),
        (Capabilities(), Reasoning(mode="enabled", budget=2000)),
        (ABLE, Reasoning(mode="enabled", budget=100)),
        (ABLE, Reasoning(mode="between_tools")),
    ],
)
def test_budgets_that_the_model_cannot_have(capabilities: Capabilities, asked: Reasoning) -> None:
    """An explicit budget is a demand: it is refused, never silently another one."""
    with pytest.raises(Refusal) as refused:
        write(ask(reasoning=asked), capabilities)
    assert refused.value.error.param == "reasoning_effort"


@pytest.mark.parametrize(
    ("efforts", "asked", "sent"),
    [
        (("low", "medium", "high", "max"), "xhigh", "high"),
        (("low", "medium", "high"), "max", "high"),
        (("medium", "high"), "minimal", "medium"),
        (("low", "medium", "high", "xhigh", "max"), "xhigh", "xhigh"),
    ],
)
def test_efforts_by_model(efforts: tuple[str, ...], asked: Any, sent: str) -> None:
    """A word that the model does not know becomes the nearest below it, and that is listed."""
    capabilities = replace(ADAPTIVE, efforts=efforts)
    assert body(ask(reasoning=Reasoning(asked)), capabilities)["outputConfig"] == {"effort": sent}
    listed = [("reasoning_effort", "approx")] if asked != sent else []
    assert losses(ask(reasoning=Reasoning(asked)), capabilities) == listed


def test_effort_alone_starts_no_thinking() -> None:
    """Anthropic's effort says how much to say, too: a model that is told to think by budget gets none of it."""
    assert "additionalModelRequestFields" not in body(ask(reasoning=EFFORT_ALONE))
    assert losses(ask(reasoning=EFFORT_ALONE)) == [("output_config.effort", "drop")]


def test_converse_stop_sequence_pointer() -> None:
    """Claude is asked which stop sequence it met; others would not know the pointer."""
    request = ask(stop=("END",))
    assert body(request, CLAUDE)["additionalModelResponseFieldPaths"] == ["/stop_sequence"]
    assert "additionalModelResponseFieldPaths" not in body(request)
    assert "additionalModelResponseFieldPaths" not in body(ask(), CLAUDE)


def test_betas() -> None:
    """Claude gets those betas that Converse takes, other models none, and what is left out is counted."""
    request = ask(betas=("context-1m-2025-08-07", "files-api-2025-04-14", "effort-2025-11-24"))
    assert body(request, CLAUDE)["additionalModelRequestFields"] == {
        "anthropic_beta": ["context-1m-2025-08-07", "effort-2025-11-24"]
    }
    assert losses(request, CLAUDE) == [("anthropic-beta", "drop")]
    assert "additionalModelRequestFields" not in body(request)
    assert losses(request) == [("anthropic-beta", "drop")]


def test_paths_are_the_clients_own() -> None:
    """What is refused or listed is named as the client's dialect names it."""
    with pytest.raises(Refusal) as refused:
        write(ask(stop=("",), stop_path="stop_sequences"))
    assert refused.value.error.param == "stop_sequences"
    assert losses(ask(user="u", user_path="metadata.user_id")) == [("metadata.user_id", "drop")]


def test_automatic_cache_mark() -> None:
    """A mark on the whole prompt stands after the last block of the last message, results included."""
    plain = body(ask(cache=Cache()))["messages"]
    assert plain[-1]["content"] == [{"text": "Hello"}, {"cachePoint": {"type": "default"}}]
    request = conversation(("user", "a"), ("assistant", call("1")), ("user", result("1", "x")), cache=Cache("1h"))
    assert body(request)["messages"][-1]["content"][-1] == {"cachePoint": {"type": "default", "ttl": "1h"}}
    assert losses(ask(cache=Cache()), Capabilities()) == [("cache_control", "drop")]


def test_effort_leaves_half_of_the_limit_for_the_answer() -> None:
    """A budget that we chose ourselves never eats the whole output."""
    written = body(ask(reasoning=Reasoning("high"), max_output_tokens=4000))
    assert written["additionalModelRequestFields"]["thinking"]["budget_tokens"] == 2000


def test_tool_loop_without_its_thinking() -> None:
    """Manual thinking cannot go on where the calling turn lost its thinking block; with it, it does."""
    thinking = Thinking("t", text="Hm.", signature="c2ln")
    for blocks, thinks in (([call("1")], False), ([thinking, call("1")], True)):
        request = conversation(
            ("user", "a"), ("assistant", blocks), ("user", result("1", "x")), reasoning=Reasoning("low")
        )
        assert ("additionalModelRequestFields" in body(request)) is thinks
    adaptive = body(conversation(("user", "a"), ("assistant", call("1")), ("user", result("1", "x")),
                                 reasoning=Reasoning("low")), ADAPTIVE)  # fmt: skip
    assert adaptive["outputConfig"] == {"effort": "low"}


def test_forced_call_beside_thinking() -> None:
    """A stand-in for structured output is a forced call, too: the thinking goes, and the sampling values come back."""
    request = ask(
        reasoning=Reasoning("low"), output_format=OutputFormat("json_object"), sampling=Sampling(temperature=0.5)
    )
    assert "additionalModelRequestFields" not in body(request, UNFORCED)
    assert body(request, UNFORCED)["inferenceConfig"] == {"temperature": 0.5}
    assert losses(request, UNFORCED) == [("response_format", "approx"), ("reasoning_effort", "drop")]
    assert "inferenceConfig" not in body(request, ABLE)


def test_thinking_switched_off_goes_with_a_forced_call() -> None:
    """Only thinking conflicts; switching it off does not."""
    request = ask(tools=(Tool("tools[0]", "f"),), tool_choice=ToolChoice("any"), reasoning=Reasoning(mode="disabled"))
    assert body(request, UNFORCED)["additionalModelRequestFields"] == {"thinking": {"type": "disabled"}}
    assert losses(request, UNFORCED) == []


def test_converse_cachepoint_order() -> None:
    """Four points stay, in the order tools, system, messages, and none outlives one before it."""
    request = conversation(
        ("user", [Text(name, name, cache=Cache(ttl)) for name, ttl in (("a", "1h"), ("b", "5m"), ("c", "1h"))]),
        tools=(Tool("t", "f", cache=Cache("1h")),),
        system=(Text("s", "s", cache=Cache("1h")),),
    )
    written = body(request)
    points = [
        element["cachePoint"].get("ttl")
        for element in [*written["toolConfig"]["tools"], *written["system"], *written["messages"][0]["content"]]
        if "cachePoint" in element
    ]
    assert points == ["1h", "1h", "5m", None]
    assert losses(request) == [("t", "drop"), ("c", "approx")]


@pytest.mark.parametrize(
    ("ttl", "sent", "listed"),
    [(None, None, 0), ("5m", "5m", 0), ("1h", "1h", 0), ("30m", "1h", 1), ("12h", "1h", 1), ("9d", "1h", 1)],
)
def test_cache_lifetimes(ttl: str | None, sent: str | None, listed: int) -> None:
    """Five minutes and an hour are Converse's own; anything else gets the hour, and is listed."""
    request = conversation(("user", Text("a", "p", cache=Cache(ttl))))
    assert body(request)["messages"][0]["content"][1]["cachePoint"].get("ttl") == sent
    assert losses(request) == [("p", "approx")] * listed


def test_cache_points_by_capability() -> None:
    """No cache, no cache among tools, no hour: each by the model's own abilities."""
    request = conversation(("user", Text("a", "m", cache=Cache("1h"))), tools=(Tool("t", "f", cache=Cache()),))
    assert losses(request, Capabilities()) == [("t", "drop"), ("m", "drop")]
    assert losses(request, Capabilities(prompt_cache=True)) == [("t", "drop"), ("m", "approx")]


@pytest.mark.parametrize("value", [0, 0.25, 1])
def test_sampling_in_range(value: float) -> None:
    """Zero is a value, not an absence."""
    request = ask(sampling=Sampling(temperature=value, top_p=value))
    assert body(request)["inferenceConfig"] == {"temperature": value, "topP": value}


def test_temperature_beside_top_p() -> None:
    """A model that takes one of them gets the temperature; either alone is taken."""
    one = replace(ABLE, sampling="one")
    both = ask(sampling=Sampling(temperature=0, top_p=0.5))
    assert body(both, one)["inferenceConfig"] == {"temperature": 0}
    assert losses(both, one) == [("top_p", "drop")]
    assert body(ask(sampling=Sampling(top_p=0.5)), one)["inferenceConfig"] == {"topP": 0.5}
    assert losses(both, replace(ABLE, sampling="none")) == [("temperature", "drop"), ("top_p", "drop")]


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"sampling": Sampling(temperature=1.01)}, "temperature"),
        ({"sampling": Sampling(top_p=-0.1)}, "top_p"),
        ({"sampling": Sampling(n=2)}, "n"),
        ({"sampling": Sampling(logprobs=True)}, "logprobs"),
        ({"sampling": Sampling(top_logprobs=1)}, "top_logprobs"),
        ({"sampling": Sampling(logit_bias={"1": 2})}, "logit_bias"),
        ({"max_output_tokens": 0, "max_output_tokens_path": "max_completion_tokens"}, "max_completion_tokens"),
        ({"stop": ("END", "")}, "stop"),
        ({"extras": (Extra("web_search_options", {}, essential=True),)}, "web_search_options"),
    ],
)
def test_refused_settings(members: dict[str, Any], path: str) -> None:
    """What would change the meaning of the answer is refused with the client's own path."""
    with pytest.raises(Refusal) as refused:
        write(ask(**members))
    assert refused.value.error.param == path


def test_listed_and_harmless_settings() -> None:
    """Tuning is listed, and values that say nothing are not."""
    silent = Sampling(n=1, frequency_penalty=0, presence_penalty=0.0, logprobs=False, top_logprobs=0, logit_bias={})
    quiet = ask(sampling=silent, service_tier="auto", metadata={}, extras=(Extra("x", 1, harmless=True),))
    assert losses(quiet) == []
    assert body(quiet) == body(ask())
    loud = ask(
        sampling=Sampling(seed=1, frequency_penalty=1, presence_penalty=-1),
        user="u",
        service_tier="fast",
        extras=(Extra("y", 1),),
    )
    names = ("seed", "frequency_penalty", "presence_penalty", "user", "y", "service_tier")
    assert losses(loud) == [(name, "drop") for name in names]
    assert body(loud) == body(ask())


@pytest.mark.parametrize(
    ("metadata", "fits"),
    [
        ({"a b/c:d_e@f$g#h=i+j,k-l.m": "\tv"}, True),
        ({"k": ""}, True),
        ({"k": "v" * 256}, True),
        ({"k": "v" * 257}, False),
        ({"": "v"}, False),
        ({"k": "é"}, False),
        ({"k": "a%b"}, False),
        ({"k": "a\u2003b"}, False),
        ({f"k{i}": "v" for i in range(16)}, True),
        ({f"k{i}": "v" for i in range(17)}, False),
    ],
)
def test_metadata_goes_whole_or_not_at_all(metadata: dict[str, str], *, fits: bool) -> None:
    """The invocation log's limits decide, for all pairs together."""
    request = ask(metadata=metadata)
    assert body(request).get("requestMetadata") == (metadata if fits else None)
    assert losses(request) == ([] if fits else [("metadata", "drop")])


def test_top_k_by_family() -> None:
    """top_k has a place of its own in each family, and none in others."""
    request = ask(sampling=Sampling(top_k=40))
    assert body(request)["additionalModelRequestFields"] == {"top_k": 40}
    nova = body(request, replace(ABLE, top_k="nova"))["additionalModelRequestFields"]
    assert nova == {"inferenceConfig": {"topK": 40}}
    assert losses(request, Capabilities()) == [("top_k", "drop")]
