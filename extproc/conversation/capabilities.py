"""What a target model can do, as data: never a name check in code.

Each upstream dialect has its table of the models it hosts (``models.py``); a backend's configuration overrides single
fields.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

StructuredOutput = Literal["schema", "tool"]
ReasoningStyle = Literal["none", "adaptive", "budget", "level", "nova", "gpt_oss", "openai"]
TopKStyle = Literal["none", "plain", "nova"]
SamplingStyle = Literal["both", "one", "none"]
Maker = Literal["", "anthropic", "google", "amazon", "openai"]


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
        maker: who signs the model's reasoning; only the maker takes it back.
        max_output_tokens: the most the model can be asked to say, where that is known.
        prefill: whether a conversation may end with the beginning of the assistant's answer.
        efforts: the effort words that the model knows, all when empty.
        budget_range: the least and the most tokens of thinking that may be asked for.
        thinking_between_tools: whether the model can be told to think only between tool calls.
        tools_while_reasoning: whether function tools and reasoning go together in this API.
        developer_role: whether system text is sent as the developer's.
        legacy_max_tokens: whether the limit is called ``max_tokens`` instead of ``max_completion_tokens``.
        custom_tools: whether tools that take plain text are understood.
        json_object: whether any JSON object may be demanded without a schema.
        json_schema_tools: whether tools are described by JSON Schema; by the older OpenAPI subset when not.
        media_in_tool_results: whether a tool may answer with images.
        checks_signatures: whether a call without its signature is refused in the turn that made it.
        call_ids: whether a call carries an id that its result must repeat; results go by order when not.
        image_detail: whether an image can say how closely it is to be looked at.
        format_with_tools: whether a demanded output format may go together with function tools.
        stored_files: whether clients may name what lies in the cloud's own stores (``s3://``, ``gs://``, uploaded
            files, cached contents): the cloud reads it as the gateway, whoever asks.
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
    maker: Maker = ""
    max_output_tokens: int | None = None
    prefill: bool = True
    efforts: tuple[str, ...] = ()
    budget_range: tuple[int, int] | None = None
    thinking_between_tools: bool = False
    tools_while_reasoning: bool = True
    developer_role: bool = False
    legacy_max_tokens: bool = False
    custom_tools: bool = False
    json_object: bool = False
    json_schema_tools: bool = True
    media_in_tool_results: bool = False
    checks_signatures: bool = False
    call_ids: bool = False
    image_detail: bool = False
    format_with_tools: bool = True
    stored_files: bool = False

    def overridden(self, overrides: Mapping[str, Any]) -> "Capabilities":
        """A copy with a backend's overrides applied; raises ``ValueError`` naming an unknown field."""
        known = set(self.__struct_fields__)
        if unknown := sorted(set(overrides) - known):
            raise ValueError(f"unknown capability {unknown[0]!r}; known are {', '.join(sorted(known))}")
        return replace(self, **overrides)


@dataclass(frozen=True, slots=True)
class Family:
    """Models that share their abilities: ``pattern`` is matched at the start of the bare model id."""

    pattern: str
    capabilities: Capabilities


#: The longest model id or ARN of any vendor; the name may be the client's, and what is remembered must stay small.
_MAX_ID: Final = 2048


def lookup(
    families: Sequence[Family], bare: Callable[[str], str], unknown: Capabilities | None = None
) -> Callable[[str], Capabilities]:
    """A function from a model's name to its abilities: the first family that matches, else ``unknown``.

    ``bare`` takes what a platform puts around the maker's own id away.
    """
    compiled = tuple((re.compile(family.pattern), family.capabilities) for family in families)
    otherwise = Capabilities() if unknown is None else unknown

    @lru_cache(maxsize=512)
    def looked_up(model: str) -> Capabilities:
        name = bare(model)
        return next((known for pattern, known in compiled if pattern.match(name)), otherwise)

    return lambda model: looked_up(model) if len(model) <= _MAX_ID else otherwise
