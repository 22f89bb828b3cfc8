"""A whole Converse answer."""

from collections.abc import Mapping

import msgspec

from extproc.conversation.request import Text, Thinking, ToolCall
from extproc.conversation.response import NO_USAGE, Response, Stop
from extproc.dialects.bedrock.errors import bad_answer
from extproc.dialects.bedrock.output_tool import unwrapped
from extproc.dialects.bedrock.shapes import STOPS, ContentBlock, ConverseResponse, Message, ReasoningText, ToolUse
from extproc.dialects.contract import UpstreamRequest

_DECODER = msgspec.json.Decoder(ConverseResponse)


def read_response(body: bytes, headers: Mapping[str, str], sent: UpstreamRequest) -> Response:
    """The answer in neutral form; ``headers`` has lower-case names.

    Raises ``UpstreamError`` (502) for a body that is no Converse answer, which a 200 may still hold (an unknown
    operation, for one, is a 200 with another shape), and for an answer that the model itself broke.
    """
    try:
        answer = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_answer(f"its body cannot be read as a Converse answer: {error}") from error
    if answer.output is None or answer.output.message is None:
        raise bad_answer("its body has no output.message")
    native = answer.stop_reason or ""
    stop = STOPS.get(native, Stop.UNKNOWN)
    if stop is Stop.MALFORMED:
        raise bad_answer(f"the model broke off its answer ({native})")
    blocks, losses = _read_blocks(answer.output.message, body)
    router = answer.trace.prompt_router if answer.trace else None
    response = Response(
        blocks=blocks,
        stop=stop,
        native_stop=native,
        usage=answer.usage.neutral() if answer.usage else NO_USAGE,
        id=headers.get("x-amzn-requestid"),
        model=router.invoked_model_id if router else None,
        service_tier=answer.service_tier.type if answer.service_tier else None,
        losses=losses,
    )
    return unwrapped(response, sent.output_tool) if sent.output_tool else response


def _read_blocks(message: Message, body: bytes) -> tuple[tuple[Text | Thinking | ToolCall, ...], tuple[str, ...]]:
    blocks: list[Text | Thinking | ToolCall] = []
    losses: list[str] = []
    for position, block in enumerate(message.content):
        known = _maybe_block(block)
        if known is None:
            losses.append(f"output.message.content[{position}].{_member(body, position)}")
        else:
            blocks.append(known)
    return tuple(blocks), tuple(losses)


def _maybe_block(block: ContentBlock) -> Text | Thinking | ToolCall | None:
    if block.text is not None:
        return Text(block.text)
    if block.tool_use is not None:
        return _maybe_call(block.tool_use)
    if block.reasoning_content is not None:
        told = block.reasoning_content.reasoning_text or ReasoningText()
        return Thinking("", told.text, told.signature, block.reasoning_content.redacted_content)
    if block.citations_content is not None:
        return Text("".join(cited.text for cited in block.citations_content.content))
    return None


def _maybe_call(tool_use: ToolUse) -> ToolCall | None:
    """None for the service's own tools: it runs them, and a client could not answer such a call."""
    if tool_use.type is not None:
        return None
    return ToolCall("", tool_use.tool_use_id, tool_use.name, bytes(tool_use.input).decode())


def _member(body: bytes, position: int) -> str:
    """The name of a content block that has none of the members we read."""
    names = sorted(msgspec.json.decode(body)["output"]["message"]["content"][position])
    return names[0] if names else "(empty)"
