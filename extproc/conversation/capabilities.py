"""What a target model can do, as data: never a name check in code.

``conversation.models`` holds the bundled table; a backend's configuration overrides single fields.
"""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

StructuredOutput = Literal["schema", "tool"]
ReasoningStyle = Literal["none", "adaptive", "budget", "nova", "gpt_oss", "openai"]
TopKStyle = Literal["none", "plain", "nova"]
SamplingStyle = Literal["both", "one", "none"]


class Capabilities(Struct, frozen=True):
    """One model's abilities on one platform.

    Attributes:
        structured_output: ``schema``: the target constrains its output to a JSON Schema itself; ``tool``: a forced
            tool call whose arguments come back as the content stands in for it.
        reasoning: how the model is told to think (``adaptive``: an effort word; ``budget``: a token budget; ``nova``,
            ``gpt_oss`` and ``openai``: those families' own fields; ``none``: it cannot).
        thinking_off: whether the model lets its thinking be switched off by word.
        forced_tool_choice: whether ``any`` and a named tool may be demanded.
        named_tool_choice: whether, of these two, a named tool may be.
        tools_while_thinking_forced: whether a forced tool choice may go together with reasoning.
        disable_parallel_tools: whether the vendor's switch against parallel calls may be sent.
        system_in_messages: whether a system message may stand between other messages.
        prompt_cache: whether cache points are understood.
        tool_cache: whether a cache point may stand among the tools, too.
        long_cache: whether a cache point may ask for an hour (the default is five minutes).
        thinking_blocks: whether signed reasoning blocks of earlier turns are taken back.
        sampling: whether temperature and top_p may be set: both, one of them, or none.
        top_k: where top_k goes, if anywhere.
    """

    structured_output: StructuredOutput = "tool"
    reasoning: ReasoningStyle = "none"
    thinking_off: bool = True
    forced_tool_choice: bool = True
    named_tool_choice: bool = True
    tools_while_thinking_forced: bool = True
    disable_parallel_tools: bool = False
    system_in_messages: bool = False
    prompt_cache: bool = False
    tool_cache: bool = False
    long_cache: bool = False
    thinking_blocks: bool = False
    sampling: SamplingStyle = "both"
    top_k: TopKStyle = "none"

    def overridden(self, overrides: Mapping[str, Any]) -> "Capabilities":
        """A copy with a backend's overrides applied; raises ``ValueError`` naming an unknown field."""
        known = set(self.__struct_fields__)
        if unknown := sorted(set(overrides) - known):
            raise ValueError(f"unknown capability {unknown[0]!r}; known are {', '.join(sorted(known))}")
        return replace(self, **overrides)
