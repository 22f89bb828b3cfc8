"""The bundled table: which Claude can do what on Anthropic's API and on the clouds that host it.

First match wins; a model that nothing matches gets the abilities of the newest, least the extras: an unknown name is
a new model or an operator's alias. Read 2026-11-22 from

* anthropic-python 2.12 ``types/model``, ``types/thinking_types`` and ``types/effort_capability``,
* platform.claude.com/docs/en/build-with-claude: thinking-troubleshooting (who takes which ``thinking.type``),
  structured-outputs, effort, api/errors (prefill),
* docs.aws.amazon.com, Claude on Bedrock: mid-conversation system messages; the models that take them are third-party
  reports (unconfirmed), and so are the limits of output from Claude Opus 4.7 on, given here as the least known.
"""

import re
from typing import Final

from msgspec.structs import replace

from extproc.conversation.capabilities import Capabilities, Family, lookup

_THREE: Final = ("low", "medium", "high")
_FOUR: Final = ("low", "medium", "high", "max")
_FIVE: Final = ("low", "medium", "high", "xhigh", "max")

# Claude 3 and 3.5: tools, and nothing of what came later.
_CLAUDE_3 = Capabilities(
    top_k="plain",
    maker="anthropic",
    prompt_cache=True,
    tool_cache=True,
    disable_parallel_tools=True,
    max_output_tokens=4096,
    media_in_tool_results=True,
)
_CLAUDE_3_5 = replace(_CLAUDE_3, max_output_tokens=8192)
# Manual thinking: a token budget, off unless asked for, never together with a forced tool.
_CLAUDE_3_7 = replace(
    _CLAUDE_3,
    reasoning="budget",
    tools_while_thinking_forced=False,
    thinking_blocks=True,
    long_cache=True,
    max_output_tokens=64_000,
)
_SONNET_4 = _CLAUDE_3_7
_OPUS_4 = replace(_SONNET_4, max_output_tokens=32_000)
# From Opus 4.1 on temperature and top_p exclude each other, and output follows a schema.
_OPUS_4_1 = replace(_OPUS_4, sampling="one", structured_output="schema")
_CLAUDE_4_5 = replace(_OPUS_4_1, max_output_tokens=64_000)
# Adaptive thinking; no answer can be begun for the model. Manual thinking is deprecated, and never written here.
_CLAUDE_4_6 = replace(_CLAUDE_4_5, reasoning="adaptive", prefill=False, efforts=_FOUR, tools_while_thinking_forced=True)
# From here on sampling is the model's own affair.
_CLAUDE_4_7 = replace(_CLAUDE_4_6, sampling="none", top_k="none", efforts=_FIVE)
_CLAUDE_4_8 = replace(_CLAUDE_4_7, system_in_messages=True)
_CLAUDE_5_5 = replace(_CLAUDE_4_8, thinking_off=False)
_UNFORCEABLE = replace(_CLAUDE_4_8, forced_tool_choice=False, thinking_off=False)

#: In order of precedence. A version number never swallows the digits of a date (``claude-opus-4-20250514``).
FAMILIES: Final = (
    Family(r"claude-(?:2|v2|instant|3-(?:opus|sonnet|haiku))", _CLAUDE_3),
    Family(r"claude-3-5-", _CLAUDE_3_5),
    Family(r"claude-3-7-", _CLAUDE_3_7),
    Family(r"claude-opus-4-1(?!\d)", _OPUS_4_1),
    Family(r"claude-opus-4-5(?!\d)", replace(_CLAUDE_4_5, efforts=_THREE)),
    Family(r"claude-(?:sonnet|haiku)-4-5(?!\d)", _CLAUDE_4_5),
    Family(r"claude-opus-4-6(?!\d)", replace(_CLAUDE_4_6, max_output_tokens=128_000)),
    Family(r"claude-(?:sonnet|haiku)-4-6(?!\d)", _CLAUDE_4_6),
    Family(r"claude-(?:opus|sonnet|haiku)-4-7(?!\d)", _CLAUDE_4_7),
    Family(r"claude-(?:opus|sonnet|haiku)-4-8(?!\d)", _CLAUDE_4_8),
    Family(r"claude-(?:4-)?opus-4(?!\d|-\d{1,2}(?!\d))|claude-4-opus", _OPUS_4),
    Family(r"claude-sonnet-4(?!\d|-\d{1,2}(?!\d))|claude-4-sonnet", _SONNET_4),
    Family(r"claude-(?:fable|mythos)", _UNFORCEABLE),
    Family(r"claude-sonnet-5-5(?!\d)", replace(_CLAUDE_5_5, thinking_between_tools=True)),
    Family(r"claude-opus-5-5(?!\d)", _CLAUDE_5_5),
    Family(r"claude-haiku-5-5(?!\d)", _CLAUDE_4_8),
    Family(r"claude-sonnet-5(?!\d|-\d{1,2}(?!\d))", _CLAUDE_4_7),
    Family(r"claude-", _CLAUDE_4_8),
)

#: For a name that is no Claude's: an alias of the operator's, most likely of a new one.
_UNKNOWN: Final = replace(_CLAUDE_4_7, efforts=(), max_output_tokens=None)

# Bedrock's names: a geography and the maker in front; ARNs that end in one. Vertex AI's have ``@date`` at the end.
_MAKER: Final = re.compile(r"(?:[a-z-]+\.)?anthropic\.")


def bare_model_id(model: str) -> str:
    """Anthropic's own id in the name that a cloud gives it: ``eu.anthropic.claude-...``, ``claude-...@20250929``."""
    return _MAKER.sub("", model.rsplit("/", 1)[-1], count=1)


#: What a model can do by the bundled table.
capabilities_of: Final = lookup(FAMILIES, bare_model_id, _UNKNOWN)
