"""A ConverseStream answer: frames in, neutral events out.

Rules, each with its source in botocore 1.44's ``ConverseStreamOutput`` or the threads named:

1. Text and reasoning blocks have no ``contentBlockStart``; a block opens with its first delta (BerriAI/litellm #24767).
   Only a tool call needs its start, which alone names the tool.
2. ``contentBlockIndex`` counts all blocks and is the only key; blocks may interleave.
3. ``metadata`` comes after ``messageStop``, and carries the only usage.
4. ``messageStop`` is the terminator. Bytes that end without it are a cut answer, whatever came before.
5. ``exception`` and ``error`` frames end the stream; the status was 200 all along.
6. A tool without parameters may stream no argument at all; its arguments are ``{}``.
7. What opens or continues a block of a kind that has no neutral form is told as ``Lost``, once for each block.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import msgspec

from extproc.conversation.errors import ApiError, Kind
from extproc.conversation.events import (
    ArgumentsDelta,
    BlockEnded,
    CitationDelta,
    Ended,
    Event,
    Fault,
    Lost,
    Metered,
    Started,
    Stopped,
    TextDelta,
    ThinkingDelta,
    ToolStarted,
)
from extproc.conversation.response import CUT_SHORT, Stop
from extproc.dialects.bedrock.citations import maybe_citation
from extproc.dialects.bedrock.errors import read_error_frame, read_exception
from extproc.dialects.bedrock.output_tool import OutputToolStream
from extproc.dialects.bedrock.shapes import (
    STOPS,
    BlockStart,
    CitationShape,
    ContentBlockDelta,
    ContentBlockStart,
    ContentBlockStop,
    MessageStop,
    Metadata,
    ReasoningDelta,
    maybe_sequence,
)
from extproc.dialects.contract import StreamReader, UpstreamRequest
from extproc.wire.errors import FrameError
from extproc.wire.eventstream import EventStreamDecoder, Message

_DELTA = msgspec.json.Decoder(ContentBlockDelta)
_BLOCK_START = msgspec.json.Decoder(ContentBlockStart)
_BLOCK_STOP = msgspec.json.Decoder(ContentBlockStop)
_MESSAGE_STOP = msgspec.json.Decoder(MessageStop)
_METADATA = msgspec.json.Decoder(Metadata)


def stream_reader(headers: Mapping[str, str], sent: UpstreamRequest) -> StreamReader:
    """A fresh reader of one answer; ``headers`` has lower-case names."""
    reader = ConverseStreamReader(headers.get("x-amzn-requestid"), sent.tool_names)
    return reader if sent.output_tool is None else _UnwrappingReader(reader, sent.output_tool)


class _UnwrappingReader:
    """The same answer, with the call of the output tool as its text."""

    def __init__(self, inner: StreamReader, output_tool: str) -> None:
        self._inner = inner
        self._unwrap = OutputToolStream(output_tool)

    def feed(self, chunk: bytes) -> Sequence[Event]:
        return self._unwrap.feed(self._inner.feed(chunk))

    def finish(self) -> Sequence[Event]:
        return self._unwrap.feed(self._inner.finish())


def _started_kind(start: BlockStart) -> str:
    if start.tool_use is not None:
        return "toolUse"
    return next((kind for kind, value in (("toolResult", start.tool_result), ("image", start.image)) if value), "other")


class ConverseStreamReader:
    """The state of one stream: which tool calls are open, and whether the end was seen."""

    def __init__(self, request_id: str | None, tool_names: Mapping[str, str]) -> None:
        self._request_id = request_id
        self._tool_names = tool_names
        self._decoder = EventStreamDecoder()
        self._out: list[Event] = []
        self._started = False
        self._stop: Stop | None = None
        self._native_stop = ""
        self._metered = False
        self._broken: str | None = None
        self._first_lost: str | None = None
        self._over = False
        # Open tool calls by block index: True once an argument arrived. Calls that the service runs itself: ignored.
        self._tools: dict[int, bool] = {}
        self._ignored: set[int] = set()
        # Blocks that the consumer knows of: True while open. An empty text block starts and stops without a delta.
        self._blocks: dict[int, bool] = {}
        self._handlers = self._BEFORE_STOP

    def feed(self, chunk: bytes) -> Sequence[Event]:
        """The events completed by this chunk; none after ``Ended`` or ``Fault``."""
        if self._over:
            return ()
        try:
            messages = self._decoder.feed(chunk)
        except FrameError as error:
            self._damaged(error)
        else:
            self._read_all(messages)
        return self._taken()

    def finish(self) -> Sequence[Event]:
        """The end of the bytes: ``Ended`` if the answer had ended and only its usage was still due, else ``Fault``."""
        if self._over:
            return ()
        if self._stop is None:
            self._fail("the stream from Bedrock ended before the answer did")
        elif self._broken is not None:
            self._fail(self._broken)
        elif (damage := self._maybe_damage()) is not None:
            self._damaged(damage)
        else:
            if not self._metered:
                # Whole for the client, who got its end; that nobody can be billed for it stands in the record.
                self._out.append(Lost("metadata.usage"))
            self._end(Ended())
        return self._taken()

    def _maybe_damage(self) -> FrameError | None:
        """What is wrong with the bytes that are left: they end inside a frame."""
        try:
            self._decoder.finish()
        except FrameError as error:
            return error
        return None

    def _read_all(self, messages: Sequence[Message]) -> None:
        for message in messages:
            try:
                self._read(message)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                self._fail(f"Bedrock sent a {message.event_type} event that cannot be read: {error}")
            if self._over:
                return
        if self._decoder.failed:
            # A frame after these is broken; waiting for the next chunk would only delay the news.
            damage = self._maybe_damage()
            if damage is not None:
                self._damaged(damage)

    def _read(self, message: Message) -> None:
        kind = message.headers.get(":message-type")
        if kind == "event":
            handler = self._handlers.get(message.headers.get(":event-type"))
            if handler is not None:
                handler(self, message.payload)
        elif kind == "exception":
            self._end(Fault(read_exception(message.exception_type, message.payload)))
        elif kind == "error":
            self._end(Fault(read_error_frame(message.error_code, message.error_message)))

    def _message_start(self, _payload: bytes) -> None:
        self._begin()

    def _begin(self) -> None:
        if not self._started:
            self._started = True
            self._out.append(Started(self._request_id))

    def _block_start(self, payload: bytes) -> None:
        self._begin()
        event = _BLOCK_START.decode(payload)
        tool, index = event.start.tool_use, event.content_block_index
        if tool is None or tool.type is not None:
            self._lose(index, _started_kind(event.start))
            return
        if index in self._blocks:
            self._fail("Bedrock opened a block of its answer twice")
            return
        self._tools[index] = False
        self._blocks[index] = True
        self._out.append(ToolStarted(index, tool.tool_use_id, self._tool_names.get(tool.name, tool.name)))

    def _delta(self, payload: bytes) -> None:
        if not self._started:
            self._begin()
        event = _DELTA.decode(payload)
        delta, index = event.delta, event.content_block_index
        if delta.text:
            self._blocks[index] = True
            self._out.append(TextDelta(index, delta.text))
        elif delta.tool_use is not None:
            self._arguments(index, delta.tool_use.input)
        elif delta.reasoning_content is not None:
            self._thinking(index, delta.reasoning_content)
        elif delta.citation is not None:
            self._citation(index, delta.citation)
        elif delta.text is None:
            self._lose(index, "other")

    def _citation(self, index: int, told: CitationShape) -> None:
        citation = maybe_citation(told)
        if citation is None or index in self._tools:
            self._out.append(Lost(f"output.message.content[{index}].citation"))
        else:
            self._blocks[index] = True
            self._out.append(CitationDelta(index, citation))

    def _lose(self, index: int, kind: str) -> None:
        if index not in self._ignored:
            self._ignored.add(index)
            self._first_lost = self._first_lost or kind
            self._out.append(Lost(f"output.message.content[{index}].{kind}"))

    def _thinking(self, index: int, delta: ReasoningDelta) -> None:
        if delta.text or delta.signature or delta.redacted_content:
            self._blocks[index] = True
            self._out.append(ThinkingDelta(index, delta.text or "", delta.signature, delta.redacted_content))

    def _arguments(self, index: int, fragment: str) -> None:
        if index in self._tools:
            if fragment:
                self._tools[index] = True
                self._out.append(ArgumentsDelta(index, fragment))
        elif index not in self._ignored:
            self._fail("Bedrock streamed arguments of a tool call that it never opened")

    def _block_stop(self, payload: bytes) -> None:
        index = _BLOCK_STOP.decode(payload).content_block_index
        if self._tools.pop(index, True) is False:
            self._out.append(ArgumentsDelta(index, "{}"))
        if self._blocks.get(index):
            self._blocks[index] = False
            self._out.append(BlockEnded(index))

    def _message_stop(self, payload: bytes) -> None:
        self._begin()
        told = _MESSAGE_STOP.decode(payload)
        self._native_stop = told.stop_reason or ""
        self._stop = STOPS.get(self._native_stop, Stop.UNKNOWN)
        self._out.extend(ArgumentsDelta(index, "{}") for index, begun in self._tools.items() if not begun)
        self._tools.clear()
        self._handlers = self._AFTER_STOP
        self._broken = self._maybe_broken(self._stop)
        if self._broken is None:
            sequence = maybe_sequence(told.additional_model_response_fields)
            self._out.append(Stopped(self._stop, self._native_stop, sequence))

    def _maybe_broken(self, stop: Stop) -> str | None:
        """Why there is no answer after all. Told when the usage was seen: broken answers are billed, too."""
        if stop is Stop.MALFORMED:
            return f"the model broke off its answer ({self._native_stop})"
        if self._first_lost is not None and not self._blocks and stop not in CUT_SHORT:
            return f"the answer from Bedrock holds nothing that can be passed on ({self._first_lost})"
        return None

    def _metadata(self, payload: bytes) -> None:
        metadata = _METADATA.decode(payload)
        if metadata.usage is not None:
            self._metered = True
            tier = metadata.service_tier.type if metadata.service_tier else None
            self._out.append(Metered(metadata.usage.neutral(), tier))
        if self._broken is not None:
            self._fail(self._broken)
        elif self._stop is not None:
            self._end(Ended())

    def _went_on(self, _payload: bytes) -> None:
        self._fail("Bedrock went on after it had stopped its answer")

    def _damaged(self, error: FrameError) -> None:
        self._fail(f"the stream from Bedrock is damaged: {error}")

    def _fail(self, message: str) -> None:
        self._end(Fault(ApiError(502, Kind.SERVER, message)))

    def _end(self, event: Ended | Fault) -> None:
        self._over = True
        self._out.append(event)

    def _taken(self) -> Sequence[Event]:
        out, self._out = self._out, []
        return out

    _BEFORE_STOP: ClassVar[Mapping[object, Callable[["ConverseStreamReader", bytes], None]]] = {
        "contentBlockDelta": _delta,
        "contentBlockStart": _block_start,
        "contentBlockStop": _block_stop,
        "messageStart": _message_start,
        "messageStop": _message_stop,
        "metadata": _metadata,
    }
    _AFTER_STOP: ClassVar[Mapping[object, Callable[["ConverseStreamReader", bytes], None]]] = {
        "contentBlockDelta": _went_on,
        "contentBlockStart": _went_on,
        "messageStop": _went_on,
        "metadata": _metadata,
    }
