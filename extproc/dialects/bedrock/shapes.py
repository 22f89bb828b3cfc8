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
}


class Shape(msgspec.Struct, rename="camel", gc=False):
    """The wire's camel-case names, ours in snake case."""


class TokenUsage(Shape):
    """Counts, where ``inputTokens`` leaves out what was read from and written to the cache.

    The service's own total is not read: its documents disagree on whether the cache is in it.
    """

    input_tokens: Any = None
    output_tokens: Any = None
    cache_read_input_tokens: Any = None
    cache_write_input_tokens: Any = None

    def neutral(self) -> Usage:
        """The counts, every prompt token in ``input_tokens``; what cannot be a count is not known."""
        read, written = maybe_count(self.cache_read_input_tokens), maybe_count(self.cache_write_input_tokens)
        fresh, output = maybe_count(self.input_tokens), maybe_count(self.output_tokens)
        prompt = None if fresh is None else maybe_count(fresh + (read or 0) + (written or 0))
        total = None if prompt is None or output is None else maybe_count(prompt + output)
        return Usage(prompt, output, total, read, written)


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
    """A piece of answer text that carries citations."""

    text: str = ""


class CitationsContent(Shape):
    """Answer text with citations, of which only the text has a neutral form."""

    content: tuple[CitedText, ...] = ()


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


class Trace(Shape):
    """What the service says about its own doing."""

    prompt_router: PromptRouter | None = None


class ConverseResponse(Shape):
    """The body of a Converse answer."""

    output: Output | None = None
    stop_reason: str | None = None
    usage: TokenUsage | None = None
    trace: Trace | None = None
    service_tier: ServiceTier | None = None


class ToolUseStart(Shape):
    """Who is called; the arguments follow in deltas."""

    tool_use_id: str = ""
    name: str = ""
    type: str | None = None


class BlockStart(Shape):
    """A union; other kinds open nothing that a client could see."""

    tool_use: ToolUseStart | None = None


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


class Metadata(Shape):
    """What it cost; after ``messageStop``."""

    usage: TokenUsage | None = None
    service_tier: ServiceTier | None = None
