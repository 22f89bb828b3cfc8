"""What generateContent answers, typed as far as we read it. Unknown members are ignored.

Facts: google-genai 3.4 ``types.GenerateContentResponse``, read 2026-11-22. The wire is proto3 JSON: what has its
default value is absent, and a 64-bit integer may be a string.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import astuple

from extproc.conversation.response import MAX_COUNT, Stop, Usage, maybe_count

#: Of the 24 values of ``FinishReason``, those that say why an answer is as it is. All others, and those that nobody
#: knows yet, say that the model failed: what it said before stands, and an answer without any is none.
STOPS: Final[Mapping[str, Stop]] = {
    "STOP": Stop.END,
    "MAX_TOKENS": Stop.LENGTH,
    "CONTINUATION": Stop.PAUSED,
    "SAFETY": Stop.FILTERED,
    "BLOCKLIST": Stop.FILTERED,
    "PROHIBITED_CONTENT": Stop.FILTERED,
    "SPII": Stop.FILTERED,
    "RECITATION": Stop.FILTERED,
    "LANGUAGE": Stop.FILTERED,
    "MODEL_ARMOR": Stop.FILTERED,
    "ESCALATION": Stop.FILTERED,
    "PUP_LIMITED_DISABLED": Stop.FILTERED,
    "IMAGE_SAFETY": Stop.FILTERED,
    "IMAGE_PROHIBITED_CONTENT": Stop.FILTERED,
    "IMAGE_RECITATION": Stop.FILTERED,
}


#: Stands for a member that nobody knows yet.
UNKNOWN: Final = "(unknown)"


class Shape(msgspec.Struct, rename="camel", gc=False):
    """The wire's camel-case names, ours in snake case."""


class FunctionCall(Shape):
    """A call; ``args`` stays the verbatim JSON text. Models before the third generation give no id."""

    id: str | None = None
    name: str = ""
    args: msgspec.Raw = msgspec.Raw(b"{}")


class Part(Shape):
    """A union of data members, beside which ``thought`` and the signature stand. Untyped ones have no neutral form."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: FunctionCall | None = None
    inline_data: Any = None
    file_data: Any = None
    executable_code: Any = None
    code_execution_result: Any = None
    function_response: Any = None
    tool_call: Any = None
    tool_response: Any = None
    audio_transcription: Any = None

    def unread(self) -> str:
        """The wire's name of the member that has no neutral form."""
        names = ("inline_data", "file_data", "executable_code", "code_execution_result", "function_response")
        others = ("tool_call", "tool_response", "audio_transcription")
        found = next((name for name in (*names, *others) if getattr(self, name) is not None), None)
        return UNKNOWN if found is None else self.__struct_encode_fields__[self.__struct_fields__.index(found)]


class Content(Shape):
    """One message."""

    parts: tuple[Part, ...] | None = None


class Token(Shape):
    """A token and its natural logarithm of probability."""

    token: str = ""
    log_probability: float = 0.0


class TopTokens(Shape):
    """The likeliest tokens at one place."""

    candidates: tuple[Token, ...] = ()


class Logprobs(Shape):
    """What was chosen, and beside it the likeliest at the same place."""

    chosen_candidates: tuple[Token, ...] = ()
    top_candidates: tuple[TopTokens, ...] = ()


class Candidate(Shape):
    """One of several answers, or a piece of it."""

    content: Content | None = None
    index: int | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    logprobs_result: Logprobs | None = None
    safety_ratings: Any = None
    citation_metadata: Any = None
    grounding_metadata: Any = None
    url_context_metadata: Any = None
    avg_logprobs: Any = None
    continuation_token: Any = None

    def vendor(self) -> dict[str, Any]:
        """Google's own members beside the answer, by the name under which a client gets them."""
        return {name: value for name in _VENDOR if (value := getattr(self, name)) is not None}


#: Google's own member beside the usage, under its own name.
TRAFFIC_TYPE: Final = "traffic_type"
_VENDOR: Final = (
    "safety_ratings",
    "citation_metadata",
    "grounding_metadata",
    "url_context_metadata",
    "avg_logprobs",
    "continuation_token",
)
#: What a client may send back, because it was in an answer.
ECHOED: Final = frozenset({*_VENDOR, TRAFFIC_TYPE})


class PromptFeedback(Shape):
    """Why a prompt got no answer; the status is 200 all the same."""

    block_reason: str | None = None
    block_reason_message: str | None = None


class ModalityCount(Shape):
    """The tokens of one modality (``TEXT``, ``IMAGE`` ...)."""

    modality: str = ""
    token_count: Any = None


class UsageMetadata(Shape):
    """Running totals. ``promptTokenCount`` includes what came from the cache, not what tools brought in."""

    prompt_token_count: Any = None
    cached_content_token_count: Any = None
    candidates_token_count: Any = None
    thoughts_token_count: Any = None
    tool_use_prompt_token_count: Any = None
    prompt_tokens_details: tuple[ModalityCount, ...] | None = None
    tool_use_prompt_tokens_details: tuple[ModalityCount, ...] | None = None
    traffic_type: str | None = None
    service_tier: str | None = None

    def updated(self, later: "UsageMetadata") -> "UsageMetadata":
        """The later word wins field by field; an early chunk says less than one before the last may have said."""
        before, after = astuple(self), astuple(later)
        return UsageMetadata(*[old if new is None else new for old, new in zip(before, after, strict=True)])

    def neutral(self) -> Usage:
        """The counts, with all that was read in ``input_tokens`` and all that was thought in ``output_tokens``.

        A count that is absent is 0, as far as anything is said at all. The service's own total is their sum.
        """
        prompt, tools = _count(self.prompt_token_count), _count(self.tool_use_prompt_token_count)
        said, thought = _count(self.candidates_token_count), _count(self.thoughts_token_count)
        if prompt is None and said is None and thought is None:
            return Usage()
        read, written = maybe_count((prompt or 0) + (tools or 0)), maybe_count((said or 0) + (thought or 0))
        total = None if read is None or written is None else maybe_count(read + written)
        return Usage(
            read,
            written,
            total,
            cached_input_tokens=_count(self.cached_content_token_count),
            reasoning_tokens=thought,
            modalities=self._modalities(),
        )

    def tier(self) -> str | None:
        """The tier that served the request, in OpenAI's words where it has one."""
        tier = (self.service_tier or "").lower()
        return None if tier in {"", "unspecified"} else _TIERS.get(tier, tier)

    def _modalities(self) -> dict[str, int] | None:
        if not self.prompt_tokens_details and not self.tool_use_prompt_tokens_details:
            return None
        counts: dict[str, int] = {}
        for detail in (*(self.prompt_tokens_details or ()), *(self.tool_use_prompt_tokens_details or ())):
            tokens, modality = _count(detail.token_count), _MODALITIES.get(detail.modality)
            if tokens is not None and modality is not None:
                counts[modality] = counts.get(modality, 0) + tokens
        return counts or None


_TIERS: Final = {"standard": "default"}
_MODALITIES: Final = {word.upper(): word for word in ("text", "image", "audio", "video", "document")}
#: The most digits of a count; longer ones are none.
_MAX_DIGITS: Final = 16


def _count(value: Any) -> int | None:
    if type(value) is int:
        return value if 0 <= value <= MAX_COUNT else None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS:
        return maybe_count(int(value))
    return None


class Answer(Shape):
    """The body of an answer, or one piece of a stream of them. ``error`` stands alone."""

    candidates: tuple[Candidate, ...] | None = None
    prompt_feedback: PromptFeedback | None = None
    usage_metadata: UsageMetadata | None = None
    model_version: str | None = None
    response_id: str | None = None
    error: Any = None


class Counted(Shape):
    """The answer of countTokens."""

    total_tokens: Any = None

    def tokens(self) -> int | None:
        """The number, None when there is none."""
        return _count(self.total_tokens)
