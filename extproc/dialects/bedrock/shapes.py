"""What Converse answers, typed as far as we read it. Unknown members are ignored: padding (``p``) is one of them."""

from typing import Any

import msgspec

from extproc.conversation.response import Stop, Usage, maybe_count

STOPS = {
    "end_turn": Stop.END,
    "stop_sequence": Stop.STOP_SEQUENCE,
    "tool_use": Stop.TOOL_CALLS,
    "max_tokens": Stop.LENGTH,
    "model_context_window_exceeded": Stop.CONTEXT_FULL,
    "guardrail_intervened": Stop.FILTERED,
    "content_filtered": Stop.FILTERED,
    "malformed_model_output": Stop.MALFORMED,
    "malformed_tool_use": Stop.MALFORMED,
    # Anthropic's own words, should the service ever pass them on: its model does not list them (unconfirmed).
    "refusal": Stop.REFUSAL,
    "pause_turn": Stop.PAUSED,
}


class Shape(msgspec.Struct, rename="camel", gc=False):
    """The wire's camel-case names, ours in snake case."""


class CacheDetail(Shape):
    """What was written to the cache for one lifetime."""

    ttl: Any = None
    input_tokens: Any = None


class TokenUsage(Shape):
    """Counts, where ``inputTokens`` leaves out what was read from and written to the cache.

    The service's own total is not read: its documents disagree on whether the cache is in it.
    """

    input_tokens: Any = None
    output_tokens: Any = None
    cache_read_input_tokens: Any = None
    cache_write_input_tokens: Any = None
    cache_details: tuple[CacheDetail, ...] | None = None

    def neutral(self) -> Usage:
        """The counts, every prompt token in ``input_tokens``; what cannot be a count is not known."""
        read, written = maybe_count(self.cache_read_input_tokens), maybe_count(self.cache_write_input_tokens)
        fresh, output = maybe_count(self.input_tokens), maybe_count(self.output_tokens)
        prompt = None if fresh is None else maybe_count(fresh + (read or 0) + (written or 0))
        total = None if prompt is None or output is None else maybe_count(prompt + output)
        return Usage(prompt, output, total, read, written, cache_write_1h_tokens=self._written_for_an_hour())

    def _written_for_an_hour(self) -> int | None:
        """None when the answer does not split what was written, or wrote nothing."""
        if not self.cache_details:
            return None
        return sum(maybe_count(detail.input_tokens) or 0 for detail in self.cache_details if detail.ttl == "1h")


class ServiceTier(Shape):
    """The tier that served the request."""

    type: str | None = None


class ReasoningText(Shape):
    """Reasoning in words; the signature binds it to its maker."""

    text: str = ""
    signature: str | None = None


class ReasoningContent(Shape):
    """A union of text and redacted bytes (base64)."""

    reasoning_text: ReasoningText | None = None
    redacted_content: str | None = None


class ToolUse(Shape):
    """A call; ``input`` stays the verbatim JSON text. ``type`` is set for tools that the service runs itself."""

    tool_use_id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")
    type: str | None = None


class CitedText(Shape):
    """A piece of answer text that carries citations, or of the source that it cites."""

    text: str = ""


class WebShape(Shape):
    """A page."""

    url: str | None = None


class SpanShape(Shape):
    """From where to where in a document, or in a search result."""

    document_index: int | None = None
    search_result_index: int | None = None
    start: int | None = None
    end: int | None = None


class LocationShape(Shape):
    """A union; the member's name says what ``start`` and ``end`` count."""

    web: WebShape | None = None
    document_char: SpanShape | None = None
    document_page: SpanShape | None = None
    document_chunk: SpanShape | None = None
    search_result_location: SpanShape | None = None


class CitationShape(Shape):
    """A source of a piece of text."""

    title: str | None = None
    source: str | None = None
    source_content: tuple[CitedText, ...] = ()
    location: LocationShape | None = None


class CitationsContent(Shape):
    """Answer text with its sources."""

    content: tuple[CitedText, ...] = ()
    citations: tuple[CitationShape, ...] = ()


class ContentBlock(Shape):
    """A union: one member is set, or none when the kind is one that we do not know."""

    text: str | None = None
    tool_use: ToolUse | None = None
    reasoning_content: ReasoningContent | None = None
    citations_content: CitationsContent | None = None


class Message(Shape):
    """The answer."""

    content: tuple[ContentBlock, ...] = ()


class Output(Shape):
    """A union; only a message is known."""

    message: Message | None = None


class PromptRouter(Shape):
    """Which model a prompt router chose."""

    invoked_model_id: str | None = None


class Guardrail(Shape):
    """What a guardrail did. Of its assessments, which quote the conversation, nothing is read."""

    action_reason: str | None = None


class Trace(Shape):
    """What the service says about its own doing."""

    prompt_router: PromptRouter | None = None
    guardrail: Guardrail | None = None


def maybe_sequence(fields: Any) -> str | None:
    """The stop sequence in ``additionalModelResponseFields``; a model that met none says null."""
    found = fields.get("stop_sequence") if isinstance(fields, dict) else None
    return found if isinstance(found, str) and found else None


class ConverseResponse(Shape):
    """The body of a Converse answer."""

    output: Output | None = None
    stop_reason: str | None = None
    usage: TokenUsage | None = None
    trace: Trace | None = None
    service_tier: ServiceTier | None = None
    additional_model_response_fields: Any = None


class CountTokensResponse(Shape):
    """The body of a CountTokens answer."""

    input_tokens: Any = None


class ToolUseStart(Shape):
    """Who is called; the arguments follow in deltas."""

    tool_use_id: str = ""
    name: str = ""
    type: str | None = None


class BlockStart(Shape):
    """A union; other kinds open nothing that a client could see, and are told as lost."""

    tool_use: ToolUseStart | None = None
    tool_result: Any = None
    image: Any = None


class ContentBlockStart(Shape):
    """Sent for tool calls, not for text."""

    start: BlockStart
    content_block_index: int = 0


class ToolUseDelta(Shape):
    """A fragment of JSON text."""

    input: str = ""


class ReasoningDelta(Shape):
    """A union: text, the whole signature, or redacted bytes (base64)."""

    text: str | None = None
    signature: str | None = None
    redacted_content: str | None = None


class BlockDelta(Shape):
    """A union."""

    text: str | None = None
    tool_use: ToolUseDelta | None = None
    reasoning_content: ReasoningDelta | None = None
    citation: CitationShape | None = None


class ContentBlockDelta(Shape):
    """More of one block."""

    delta: BlockDelta
    content_block_index: int = 0


class ContentBlockStop(Shape):
    """One block is complete."""

    content_block_index: int = 0


class MessageStop(Shape):
    """The answer is complete."""

    stop_reason: str | None = None
    additional_model_response_fields: Any = None


class Metadata(Shape):
    """What it cost; after ``messageStop``."""

    usage: TokenUsage | None = None
    service_tier: ServiceTier | None = None
