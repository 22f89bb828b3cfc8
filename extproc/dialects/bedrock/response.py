"""A whole Converse answer."""

from collections.abc import Mapping

import msgspec

from extproc.conversation.request import Text, Thinking, ToolCall
from extproc.conversation.response import CUT_SHORT, NO_USAGE, Response, Stop, maybe_count
from extproc.dialects.bedrock.citations import read_citations
from extproc.dialects.bedrock.errors import bad_answer
from extproc.dialects.bedrock.output_tool import unwrapped
from extproc.dialects.bedrock.shapes import (
    STOPS,
    ContentBlock,
    ConverseResponse,
    CountTokensResponse,
    Message,
    ReasoningText,
    ToolUse,
    Trace,
    maybe_sequence,
)
from extproc.dialects.contract import UpstreamRequest
from extproc.wire import jsontext


class _NamedMessage(msgspec.Struct):
    content: list[dict[str, msgspec.Raw]]


class _NamedOutput(msgspec.Struct):
    message: _NamedMessage


class _Named(msgspec.Struct):
    """The names of what an answer holds."""

    output: _NamedOutput


_DECODER = msgspec.json.Decoder(ConverseResponse)
_NAMES_DECODER = msgspec.json.Decoder(_Named)
_COUNT_DECODER = msgspec.json.Decoder(CountTokensResponse)


def read_response(body: bytes, headers: Mapping[str, str], sent: UpstreamRequest) -> Response:
    """The answer in neutral form; ``headers`` has lower-case names.

    Raises ``UpstreamError`` (502) for a body that is no Converse answer, which a 200 may still hold (an unknown
    operation, for one, is a 200 with another shape), and for an answer that the model itself broke.
    """
    try:
        answer = jsontext.decoded(_DECODER, body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_answer(f"its body cannot be read as a Converse answer: {error}") from error
    if answer.output is None or answer.output.message is None:
        raise bad_answer("its body has no output.message")
    native = answer.stop_reason or ""
    stop = STOPS.get(native, Stop.UNKNOWN)
    if stop is Stop.MALFORMED:
        raise bad_answer(f"the model broke off its answer ({native})")
    blocks, losses = _read_blocks(answer.output.message, body, sent.tool_names)
    if losses and not blocks and stop not in CUT_SHORT:
        raise bad_answer(f"it holds nothing that can be passed on ({losses[0].rpartition('.')[2]})")
    trace = answer.trace or Trace()
    response = Response(
        blocks=blocks,
        stop=stop,
        native_stop=native,
        usage=answer.usage.neutral() if answer.usage else NO_USAGE,
        id=headers.get("x-amzn-requestid"),
        model=trace.prompt_router.invoked_model_id if trace.prompt_router else None,
        service_tier=answer.service_tier.type if answer.service_tier else None,
        losses=losses,
        stop_sequence=maybe_sequence(answer.additional_model_response_fields),
        explanation=trace.guardrail.action_reason if trace.guardrail and stop is Stop.FILTERED else None,
    )
    return unwrapped(response, sent.output_tool) if sent.output_tool else response


def read_count(body: bytes) -> int:
    """The answer of CountTokens; raises ``UpstreamError`` (502) when it does not say it."""
    try:
        counted = _COUNT_DECODER.decode(body).input_tokens
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_answer(f"its body cannot be read as a count of tokens: {error}") from error
    known = maybe_count(counted)
    if known is None:
        raise bad_answer("its body has no inputTokens")
    return known


def _read_blocks(
    message: Message, body: bytes, tool_names: Mapping[str, str]
) -> tuple[tuple[Text | Thinking | ToolCall, ...], tuple[str, ...]]:
    blocks: list[Text | Thinking | ToolCall] = []
    lost: list[int] = []
    for position, block in enumerate(message.content):
        known = _maybe_block(block, tool_names)
        if known is None:
            lost.append(position)
        else:
            blocks.append(known)
    names = _members(body) if lost else ()
    return tuple(blocks), tuple(f"output.message.content[{position}].{names[position]}" for position in lost)


def _maybe_block(block: ContentBlock, tool_names: Mapping[str, str]) -> Text | Thinking | ToolCall | None:
    if block.text is not None:
        return Text(block.text)
    if block.tool_use is not None:
        return _maybe_call(block.tool_use, tool_names)
    if block.reasoning_content is not None:
        told = block.reasoning_content.reasoning_text or ReasoningText()
        return Thinking("", told.text, told.signature, block.reasoning_content.redacted_content)
    if block.citations_content is not None:
        cited = block.citations_content
        return Text("".join(part.text for part in cited.content), citations=read_citations(cited.citations))
    return None


def _maybe_call(tool_use: ToolUse, tool_names: Mapping[str, str]) -> ToolCall | None:
    """None for the service's own tools: it runs them, and a client could not answer such a call."""
    if tool_use.type is not None:
        return None
    name = tool_names.get(tool_use.name, tool_use.name)
    return ToolCall("", tool_use.tool_use_id, name, bytes(tool_use.input).decode())


def _members(body: bytes) -> list[str]:
    """What each content block of the answer is, by the name of its member."""
    try:
        named = _NAMES_DECODER.decode(body).output.message.content
    except msgspec.DecodeError as error:
        raise bad_answer(f"its body cannot be read as a Converse answer: {error}") from error
    return [min(block, default="(empty)") for block in named]
