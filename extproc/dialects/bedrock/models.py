"""The bundled table: which model can do what on Bedrock, by id pattern.

First match wins; a model that nothing matches (an opaque ARN, a new vendor) gets the defaults of ``Capabilities``: no
tuning beyond what every model takes, and nothing refused that might work. Read 2026-11-22 from

* botocore 1.44 ``bedrock-runtime`` (tool choice by family, effort words, cache ttl),
* https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html and .../prompt-caching.html,
* https://docs.aws.amazon.com/nova/latest/nova2-userguide/using-converse-api.html (reasoningConfig),
* live answers quoted by github.com/langchain-ai/langchain-aws #1141, #1261, #1273, #1278 (who takes a forced tool
  choice, and who takes it while thinking), anomalyco/opencode #48195 (where OpenAI models take the effort),
  vercel/ai #15352 (no ``textFormat`` from Claude Opus 4.7 on), aws-samples/bedrock-access-gateway #191, #208, #238 and
  aws-samples/bedrock-chat #979 (temperature beside top_p), NousResearch/hermes-agent #108209 (no prefill),
* platform.claude.com/docs/en/build-with-claude/effort and .../adaptive-thinking (effort words; between_tools).
"""

import re
from typing import Final

from msgspec.structs import replace

from extproc.conversation.capabilities import Capabilities, Family, lookup

# Claude 3 and 3.5: tools, and nothing of what came later.
_CLAUDE_3 = Capabilities(top_k="plain", maker="anthropic")
# Manual thinking: a token budget, off unless asked for, never together with a forced tool.
_CLAUDE_BUDGET = Capabilities(
    reasoning="budget",
    tools_while_thinking_forced=False,
    prompt_cache=True,
    tool_cache=True,
    thinking_blocks=True,
    top_k="plain",
    maker="anthropic",
)
# From Opus 4.1 on temperature and top_p exclude each other.
_CLAUDE_4_1 = replace(_CLAUDE_BUDGET, sampling="one")
_CLAUDE_4_5 = replace(_CLAUDE_4_1, structured_output="schema", long_cache=True)
# Adaptive thinking, and no answer that the caller begins; from Opus 4.7 on sampling is the model's own affair.
_CLAUDE_4_6 = replace(_CLAUDE_4_5, reasoning="adaptive", prefill=False, efforts=("low", "medium", "high", "max"))
_CLAUDE_4_7 = replace(_CLAUDE_4_6, structured_output="tool", sampling="none", top_k="none", efforts=())
_CLAUDE_5 = replace(_CLAUDE_4_7, tools_while_thinking_forced=True)
_CLAUDE_UNFORCEABLE = replace(_CLAUDE_5, forced_tool_choice=False, thinking_off=False)
_NOVA = Capabilities(prompt_cache=True, top_k="nova", maker="amazon")
_OPEN_WEIGHT = Capabilities(structured_output="schema", forced_tool_choice=False)


#: In order of precedence. A version number never swallows the digits of a date (``claude-opus-4-20250514``).
FAMILIES = (
    Family(r"anthropic\.claude-(?:v2|instant|3-(?:opus|sonnet|haiku)|3-5-sonnet)", _CLAUDE_3),
    Family(r"anthropic\.claude-3-5-haiku", replace(_CLAUDE_3, prompt_cache=True, tool_cache=True)),
    Family(r"anthropic\.claude-3-7-sonnet", _CLAUDE_BUDGET),
    Family(r"anthropic\.claude-(?:opus|sonnet|haiku)-4-5(?!\d)", _CLAUDE_4_5),
    Family(r"anthropic\.claude-opus-4-6(?!\d)", _CLAUDE_4_6),
    Family(r"anthropic\.claude-(?:sonnet|haiku)-4-6(?!\d)", replace(_CLAUDE_4_6, structured_output="tool")),
    Family(r"anthropic\.claude-opus-4-7(?!\d)", _CLAUDE_4_7),
    Family(r"anthropic\.claude-opus-4-8(?!\d)", _CLAUDE_5),
    Family(r"anthropic\.claude-opus-4-1(?!\d)", _CLAUDE_4_1),
    Family(r"anthropic\.claude-(?:opus|sonnet)-4(?!\d|-\d{1,2}(?!\d))", _CLAUDE_BUDGET),
    Family(r"anthropic\.claude-(?:fable|mythos)", _CLAUDE_UNFORCEABLE),
    Family(r"anthropic\.claude-sonnet-5-5(?!\d)", replace(_CLAUDE_5, thinking_off=False, thinking_between_tools=True)),
    Family(r"anthropic\.claude-(?:opus|haiku)-5-5(?!\d)", replace(_CLAUDE_5, thinking_off=False)),
    Family(r"anthropic\.claude-", _CLAUDE_5),
    Family(r"amazon\.nova-2-", replace(_NOVA, reasoning="nova")),
    Family(r"amazon\.nova-", _NOVA),
    Family(r"openai\.gpt-oss", Capabilities(structured_output="schema", reasoning="gpt_oss", maker="openai")),
    Family(r"openai\.gpt-", Capabilities(reasoning="openai", sampling="none", maker="openai")),
    Family(r"deepseek\.v3", Capabilities(structured_output="schema", named_tool_choice=False)),
    Family(r"mistral\.mistral-large-24", Capabilities(named_tool_choice=False)),
    Family(r"mistral\.(?:mistral-large-3|ministral|magistral|voxtral)", _OPEN_WEIGHT),
    Family(
        r"(?:qwen\.qwen3|google\.gemma-3|minimax\.minimax-m2|moonshot(?:ai)?\.kimi-k2|nvidia\.nemotron)", _OPEN_WEIGHT
    ),
    Family(r"(?:meta\.llama|mistral\.|cohere\.|ai21\.|deepseek\.r1)", Capabilities(forced_tool_choice=False)),
)

# Cross-region inference profiles put a geography before the vendor.
_GEOGRAPHY = re.compile(r"(?:us|us-gov|eu|apac|jp|au|ca|sa|me|af|global)\.")


def bare_model_id(model: str) -> str:
    """The ``vendor.model`` part of an inference profile id (``eu.``, ``global.``) or of an ARN that ends in one."""
    tail = model.rsplit("/", 1)[-1]
    return _GEOGRAPHY.sub("", tail, count=1) if _GEOGRAPHY.match(tail) else tail


def countable_model(model: str) -> str:
    """The name under which CountTokens knows a model: its own id, in which a cross-region profile ends.

    https://docs.aws.amazon.com/bedrock/latest/userguide/count-tokens.html (2026-11-22). A profile that hides its model
    stays as it is.
    """
    bare = bare_model_id(model)
    return bare if "." in bare else model


#: What a model can do by the bundled table; the defaults when the table does not know it.
capabilities_of: Final = lookup(FAMILIES, bare_model_id)
