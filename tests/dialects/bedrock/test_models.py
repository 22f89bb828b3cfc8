"""The bundled table of models: patterns, prefixes, ARNs, and the defaults of what it does not know."""

import re

import pytest

from extproc.conversation.capabilities import Capabilities
from extproc.dialects.bedrock.models import FAMILIES, bare_model_id, capabilities_of


@pytest.mark.parametrize(
    ("model", "bare"),
    [
        ("anthropic.claude-opus-4-8", "anthropic.claude-opus-4-8"),
        ("us.anthropic.claude-opus-4-8", "anthropic.claude-opus-4-8"),
        ("us-gov.anthropic.claude-3-5-sonnet-20240620-v1:0", "anthropic.claude-3-5-sonnet-20240620-v1:0"),
        ("global.amazon.nova-2-lite-v1:0", "amazon.nova-2-lite-v1:0"),
        (
            "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/apac.amazon.nova-pro-v1:0",
            "amazon.nova-pro-v1:0",
        ),
        ("arn:aws:bedrock:us-east-1::foundation-model/meta.llama3-3-70b", "meta.llama3-3-70b"),
        ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2", "a1b2"),
    ],
)
def test_bare_ids(model: str, bare: str) -> None:
    """Geographies and ARNs say nothing about abilities."""
    assert bare_model_id(model) == bare
    assert capabilities_of(model) == capabilities_of(bare)


KNOWN = [
    ("anthropic.claude-3-haiku-20240307-v1:0", "none", "tool", True, True, "both"),
    ("anthropic.claude-3-5-sonnet-20241022-v2:0", "none", "tool", True, True, "both"),
    ("anthropic.claude-3-7-sonnet-20250219-v1:0", "budget", "tool", True, False, "both"),
    ("anthropic.claude-opus-4-20250514-v1:0", "budget", "tool", True, False, "both"),
    ("anthropic.claude-sonnet-4-20250514-v1:0", "budget", "tool", True, False, "both"),
    ("anthropic.claude-opus-4-1-20250805-v1:0", "budget", "tool", True, False, "one"),
    ("anthropic.claude-sonnet-4-5-20250929-v1:0", "budget", "schema", True, False, "one"),
    ("anthropic.claude-haiku-4-5-20251001-v1:0", "budget", "schema", True, False, "one"),
    ("anthropic.claude-opus-4-6-v1", "adaptive", "schema", True, False, "one"),
    ("anthropic.claude-sonnet-4-6", "adaptive", "tool", True, False, "one"),
    ("anthropic.claude-opus-4-7", "adaptive", "tool", True, False, "none"),
    ("anthropic.claude-opus-4-8", "adaptive", "tool", True, True, "none"),
    ("anthropic.claude-opus-4-10", "adaptive", "tool", True, True, "none"),
    ("anthropic.claude-sonnet-5", "adaptive", "tool", True, True, "none"),
    ("anthropic.claude-opus-5-5", "adaptive", "tool", True, True, "none"),
    ("anthropic.claude-fable-5-1", "adaptive", "tool", False, True, "none"),
    ("amazon.nova-pro-v1:0", "none", "tool", True, True, "both"),
    ("amazon.nova-2-lite-v1:0", "nova", "tool", True, True, "both"),
    ("openai.gpt-oss-120b-1:0", "gpt_oss", "schema", True, True, "both"),
    ("openai.gpt-6-luna", "openai", "tool", True, True, "none"),
    ("deepseek.v3.2", "none", "schema", True, True, "both"),
    ("deepseek.r1-v1:0", "none", "tool", False, True, "both"),
    ("mistral.mistral-large-2407-v1:0", "none", "tool", True, True, "both"),
    ("mistral.mistral-large-3-675b-instruct", "none", "schema", False, True, "both"),
    ("mistral.mixtral-8x7b-instruct-v0:1", "none", "tool", False, True, "both"),
    ("qwen.qwen3-32b-v1:0", "none", "schema", False, True, "both"),
    ("meta.llama4-scout-17b-instruct-v1:0", "none", "tool", False, True, "both"),
    ("cohere.command-r-plus-v1:0", "none", "tool", False, True, "both"),
]


@pytest.mark.parametrize(("model", "reasoning", "structured", "forced", "while_thinking", "sampling"), KNOWN)
def test_families(
    model: str, reasoning: str, structured: str, sampling: str, *, forced: bool, while_thinking: bool
) -> None:
    """Each family has the abilities that its makers and users report."""
    known = capabilities_of(model)
    assert (known.reasoning, known.structured_output) == (reasoning, structured)
    assert (known.forced_tool_choice, known.tools_while_thinking_forced) == (forced, while_thinking)
    assert known.sampling == sampling


@pytest.mark.parametrize(
    ("model", "maker", "prefill", "efforts"),
    [
        ("anthropic.claude-3-haiku-20240307-v1:0", "anthropic", True, ()),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic", True, ()),
        ("anthropic.claude-opus-4-6-v1", "anthropic", False, ("low", "medium", "high", "max")),
        ("anthropic.claude-opus-5", "anthropic", False, ()),
        ("amazon.nova-pro-v1:0", "amazon", True, ()),
        ("openai.gpt-oss-120b-1:0", "openai", True, ()),
        ("meta.llama4-scout-17b-instruct-v1:0", "", True, ()),
    ],
)
def test_makers(model: str, maker: str, efforts: tuple[str, ...], *, prefill: bool) -> None:
    """Who signs a model's reasoning, whether it goes on with a begun answer, and which effort words it knows."""
    known = capabilities_of(model)
    assert (known.maker, known.prefill, known.efforts) == (maker, prefill, efforts)


def test_every_family_is_reachable() -> None:
    """No pattern is shadowed by the ones before it."""
    samples = [model for model, *_ in KNOWN]
    samples += ["anthropic.claude-3-5-haiku-20241022-v1:0", "anthropic.claude-haiku-5-5"]
    samples += ["anthropic.claude-sonnet-5-5"]
    first = {
        next((at for at, family in enumerate(FAMILIES) if re.match(family.pattern, sample)), None) for sample in samples
    }
    assert first == set(range(len(FAMILIES)))


def test_unknown_models_get_the_defaults() -> None:
    """A new vendor or an opaque ARN: nothing but what every model takes."""
    assert capabilities_of("newvendor.model-1") == Capabilities()
    assert capabilities_of("") == Capabilities()
    assert capabilities_of("anthropic.claude-opus-5" + "x" * 3000) == Capabilities()


def test_overrides_name_what_they_do_not_know() -> None:
    """A backend may correct single fields; a wrong name is an error that lists the right ones."""
    corrected = capabilities_of("meta.llama3-3-70b").overridden({"forced_tool_choice": True})
    assert corrected.forced_tool_choice
    with pytest.raises(ValueError, match="unknown capability 'forced_tool'; known are"):
        Capabilities().overridden({"forced_tool": True})
