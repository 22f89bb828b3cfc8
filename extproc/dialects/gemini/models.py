"""The bundled table: which Gemini model can do what, by the start of its id; first match wins.

Read 2026-11-22 from

* https://docs.cloud.google.com/gemini-enterprise-agent-platform/models/thinking (levels and budgets by model),
* https://docs.cloud.google.com/gemini-enterprise-agent-platform/models/guides/gemini-3-5-flash (levels of 3.5 Flash,
  3.1 Pro and 3.1 Flash-Lite) and .../vertex-ai/generative-ai/docs/models/gemini/3-flash (levels of 3 Flash; media in
  function responses, media resolution and the check of signatures are of the whole third generation),
* google-genai 3.4 ``types`` (JSON Schema for tools and answers), which models before 2.5 do not take
  (envoyproxy/ai-gateway ``gemini_helper``),
* github.com/googleapis/python-genai #706, #867 and alphaXiv/agents #3: until 2.5, no JSON answer beside tools.
"""

import re
from typing import Final

from msgspec.structs import replace

from extproc.conversation.capabilities import Capabilities, Family, lookup

_ANY_GEMINI = Capabilities(
    structured_output="schema",
    json_object=True,
    top_k="plain",
    maker="google",
    max_output_tokens=65_536,
)
_BEFORE_THINKING = replace(
    _ANY_GEMINI, json_schema_tools=False, format_with_tools=False, max_output_tokens=8_192, thinking_off=False
)
_BUDGET = replace(_ANY_GEMINI, reasoning="budget", thinking_blocks=True, format_with_tools=False)
_LEVEL = replace(
    _ANY_GEMINI,
    reasoning="level",
    thinking_off=False,
    thinking_blocks=True,
    media_in_tool_results=True,
    checks_signatures=True,
    call_ids=True,
    image_detail=True,
    efforts=("low", "medium", "high"),
)
_WITH_MINIMAL = replace(_LEVEL, efforts=("minimal", "low", "medium", "high"))

#: In order of precedence. A Gemini that nothing names is newer than this table, and like the newest in it.
FAMILIES = (
    Family(r"gemini-2\.5-pro", replace(_BUDGET, thinking_off=False, budget_range=(128, 32_768))),
    Family(r"gemini-2\.5-flash-lite", replace(_BUDGET, budget_range=(512, 24_576))),
    Family(r"gemini-2\.5-flash", replace(_BUDGET, budget_range=(1, 24_576))),
    Family(r"gemini-(?:1\.|2\.0|pro(?!-latest)|ultra)", _BEFORE_THINKING),
    Family(r"gemini-3-pro", replace(_LEVEL, efforts=("low", "high"))),
    Family(r"gemini-(?:3|3\.5|3\.6)-flash|gemini-3\.1-flash-lite", _WITH_MINIMAL),
    Family(r"gemini-", _LEVEL),
)

#: What stands before the maker's own id in paths, in model lists and in other gateways' names.
_PREFIX: Final = re.compile(r"(?:.*/)?models/|google/")


def bare_model_id(model: str) -> str:
    """The maker's own id: ``publishers/google/models/gemini-2.5-pro`` and ``google/gemini-2.5-pro`` name one model."""
    return _PREFIX.sub("", model, count=1) if _PREFIX.match(model) else model


#: What a model can do by the bundled table. A tuned model's id says nothing: it gets what every Gemini has.
capabilities_of: Final = lookup(FAMILIES, bare_model_id, _ANY_GEMINI)
