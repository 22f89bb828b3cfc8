"""The bundled table: which model can do what behind OpenAI's API, by name.

First match wins. A name that nothing matches (a deployment's, a new vendor's) gets ``UNKNOWN``: all that servers of
this API usually take, and no tuning that a strict one would refuse. Read 2026-11-22 from

* developers.openai.com/api/docs/guides (reasoning, prompt-caching, structured-outputs) and openai-python 3.54,
* live answers quoted by github.com/anomalyco/opencode #4451 and livekit/agents #7169 (which effort words a model
  knows), BerriAI/litellm #34569, openai/openai-openapi #541 and pipecat-ai/pipecat #4043 (function tools beside
  reasoning), learn.microsoft.com/javascript/api/@azure/ai-projects/reasoningeffort (who can be told ``none``).

Efforts of models later than gpt-5.6 are unconfirmed.
"""

import re
from typing import Final

from msgspec.structs import replace

from extproc.conversation.capabilities import Capabilities, Family, lookup

#: A server that we know nothing of. System text goes where it stood, limits by their present name.
UNKNOWN: Final = Capabilities(
    structured_output="schema", json_object=True, disable_parallel_tools=True, system_in_messages=True, prefill=False
)
_OPENAI: Final = replace(UNKNOWN, maker="openai")
# Of the time before schemas.
_GPT_4: Final = replace(_OPENAI, structured_output="tool")
_REASONING: Final = replace(_OPENAI, reasoning="openai", sampling="none", thinking_off=False)
_O_SERIES: Final = replace(_REASONING, efforts=("low", "medium", "high"), disable_parallel_tools=False)
_GPT_5: Final = replace(_REASONING, efforts=("minimal", "low", "medium", "high"), custom_tools=True)
_GPT_5_PRO: Final = replace(_GPT_5, efforts=("high",))
_GPT_5_1: Final = replace(_GPT_5, efforts=("none", "low", "medium", "high"), thinking_off=True)
_GPT_5_2: Final = replace(_GPT_5_1, efforts=("none", "low", "medium", "high", "xhigh"))
_GPT_5_4: Final = replace(_GPT_5_2, tools_while_reasoning=False)
_GPT_5_6: Final = replace(
    _GPT_5_4, efforts=("none", "low", "medium", "high", "xhigh", "max"), prompt_cache=True, long_cache=True
)
_ALWAYS_THINKS: Final = replace(_GPT_5_6, efforts=("low", "medium", "high", "xhigh", "max"), thinking_off=False)
# Open weights behind vLLM, Ollama and hosted servers of this API: they all know the limit by its old name.
_OPEN_WEIGHT: Final = replace(UNKNOWN, legacy_max_tokens=True, top_k="plain")

#: In order of precedence. ``gpt-5`` never matches ``gpt-5.1``: a version ends where no digit or point follows.
FAMILIES: Final = (
    Family(r"(?:openai/)?gpt-oss", replace(_OPEN_WEIGHT, reasoning="gpt_oss", efforts=("low", "medium", "high"))),
    Family(r"gpt-3\.5|gpt-4(?![.o\d])", _GPT_4),
    Family(r"gpt-4|chatgpt-4|gpt-[\d.]+-chat", _OPENAI),
    Family(r"o\d", _O_SERIES),
    Family(r"gpt-5(?:\.\d+)?-pro", _GPT_5_PRO),
    Family(r"gpt-5(?![.\d])", _GPT_5),
    Family(r"gpt-5\.1(?!\d)", _GPT_5_1),
    Family(r"gpt-5\.[23](?!\d)", _GPT_5_2),
    Family(r"gpt-5\.[45](?!\d)", _GPT_5_4),
    Family(r"gpt-6-astra|gpt-6\.1-sol", _ALWAYS_THINKS),
    Family(r"gpt-\d", _GPT_5_6),
    Family(
        r"(?:[\w.-]+/)?(?:meta-)?(?:llama|mistral|mixtral|ministral|magistral|codestral|devstral|qwen|qwq|deepseek|gemma"
        r"|phi-?\d|kimi|glm|minimax|nemotron|command|granite|olmo|yi-|falcon|smollm)",
        _OPEN_WEIGHT,
    ),
)

_FINE_TUNED = re.compile(r"ft:([^:]+)")


def bare_model_name(model: str) -> str:
    """The base model's name in lower case: of ``ft:gpt-4o-2024-08-06:org::id`` it is ``gpt-4o-2024-08-06``."""
    tuned = _FINE_TUNED.match(model)
    return (tuned[1] if tuned else model).lower()


#: What a model can do by the bundled table; ``UNKNOWN`` when the table does not know it.
capabilities_of: Final = lookup(FAMILIES, bare_model_name, UNKNOWN)
