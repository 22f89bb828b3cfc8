"""A stream of Anthropic's: server-sent events in, neutral events out.

Rules, from anthropic-python 2.12 ``types/raw_message_stream_event`` and platform.claude.com (read 2026-11-22):

1. What an event is, its ``type`` says; the name before it may be missing at hosts.
2. A tool call's input streams as text; when nothing came until its stop, the input of its start counts. Input that is
   cut in the middle is no fault before the stop reason says that the answer is not cut.
3. The numbers of ``message_delta`` are cumulative, and an absent one changes nothing.
4. ``message_stop`` is the terminator. Bytes that end without it are a cut answer, whatever came before.
5. ``error`` ends the stream; the status was 200 all along.
6. Unknown events, blocks and deltas are new, not wrong: blocks are listed as lost, the others passed over.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final

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
    Ping,
    Started,
    Stopped,
    TextDelta,
    ThinkingDelta,
    ToolStarted,
)
from extproc.conversation.response import CUT_SHORT, Stop
from extproc.dialects.anthropic.citations import maybe_citation
from extproc.dialects.anthropic.errors import read_error_object
from extproc.dialects.anthropic.upstream.response import citations_of
from extproc.dialects.anthropic.upstream.shapes import (
    STOPS,
    ContentBlock,
    Delta,
    StreamEvent,
    begun_text,
    explanation_of,
    lost_beside,
    plain_text,
)
from extproc.dialects.anthropic.usage import Counts, read_counts, read_tier
from extproc.dialects.contract import UpstreamRequest
from extproc.wire import jsontext
from extproc.wire.errors import FrameError
from extproc.wire.sse import SseParser

_DECODER: Final = msgspec.json.Decoder(StreamEvent)
_NOTHING: Final = b"{}"
_NO_TEXT: Final = "the model called a tool that takes plain text without any"


class _Call:
    """An open call: the input of its start, and the text that was held back where it is to be plain."""

    __slots__ = ("begun", "custom", "held", "whole")

    def __init__(self, whole: bytes, *, custom: bool) -> None:
        self.whole = whole
        self.custom = custom
        self.begun = False
        self.held: list[str] = []


class MessageStreamReader:
    """The state of one stream: which blocks are open, and whether the end was seen."""

    def __init__(self, sent: UpstreamRequest) -> None:
        self._custom = sent.custom_tools
        self._parser = SseParser()
        self._out: list[Event] = []
        self._started = False
        self._stopped = False
        self._over = False
        self._counts = Counts()
        self._tier: str | None = None
        #: Open calls by block index; blocks that the consumer knows of; blocks that it never will.
        self._calls: dict[int, _Call] = {}
        #: A call with plain text that ended within its text: right only at the end of an answer that is cut.
        self._torn: tuple[int, _Call] | None = None
        self._known: set[int] = set()
        self._ignored: set[int] = set()
        self._lost: set[str] = set()
        #: Whether anything of the content was told, and the first kind of block that had no neutral form.
        self._told = False
        self._first_lost: str | None = None

    def feed(self, chunk: bytes) -> Sequence[Event]:
        """The events completed by this chunk; none after ``Ended`` or ``Fault``."""
        if self._over:
            return ()
        try:
            events = self._parser.feed(chunk)
        except FrameError as error:
            self._damaged(error)
            return self._taken()
        for event in events:
            if event.data and not self._over:
                self._read(event.data)
        return self._taken()

    def finish(self) -> Sequence[Event]:
        """The end of the bytes, which is due only after ``message_stop``."""
        if self._over:
            return ()
        try:
            for event in self._parser.finish():
                if event.complete and event.data:
                    self._read(event.data)
        except FrameError as error:
            self._damaged(error)
        if not self._over:
            self._fail("the stream from the Anthropic API ended before the answer did")
        return self._taken()

    def _read(self, data: bytes) -> None:
        try:
            event = jsontext.decoded(_DECODER, data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._fail(f"the Anthropic API sent an event that cannot be read: {error}")
            return
        handler = self._HANDLERS.get(event.type)
        if handler is not None:
            handler(self, event)

    def _message_start(self, event: StreamEvent) -> None:
        if self._started:
            self._fail("the Anthropic API began its answer twice")
            return
        self._started = True
        message = event.message
        self._out.append(Started(message.id, message.model) if message else Started())
        if message is not None:
            self._lose(lost_beside(message))
            self._count(message.usage)

    def _block_start(self, event: StreamEvent) -> None:
        block, index = event.content_block, event.index
        if block is None:
            return
        if self._torn is not None:
            self._fail(_NO_TEXT)
        elif self._stopped or index in self._known or index in self._ignored:
            self._fail("the Anthropic API opened a block of its answer twice, or after its end")
        elif block.type == "tool_use":
            self._open_call(index, block)
        elif block.type == "text":
            self._tell(index, TextDelta(index, block.text) if block.text else None)
            for citation in citations_of(block.citations):
                self._tell(index, CitationDelta(index, citation))
        elif block.type == "thinking":
            told = block.thinking or block.signature
            self._tell(index, ThinkingDelta(index, block.thinking, block.signature or None) if told else None)
        elif block.type == "redacted_thinking":
            self._tell(index, ThinkingDelta(index, redacted=block.data) if block.data is not None else None)
        else:
            self._ignored.add(index)
            self._first_lost = self._first_lost or block.type
            self._out.append(Lost(f"content[{index}].{block.type}"))

    def _open_call(self, index: int, block: ContentBlock) -> None:
        custom = block.name in self._custom
        self._calls[index] = _Call(bytes(block.input) or _NOTHING, custom=custom)
        self._tell(index, ToolStarted(index, block.id, block.name, kind="custom" if custom else "function"))

    def _tell(self, index: int, event: Event | None) -> None:
        if event is not None:
            self._told = True
            self._known.add(index)
            self._out.append(event)

    def _block_delta(self, event: StreamEvent) -> None:
        delta, index = event.delta, event.index
        if delta is None or index in self._ignored:
            return
        if self._torn is not None:
            self._fail(_NO_TEXT)
            return
        if self._stopped:
            self._fail("the Anthropic API went on after it had stopped its answer")
            return
        match delta.type:
            case "text_delta":
                self._tell(index, TextDelta(index, delta.text) if delta.text else None)
            case "input_json_delta":
                self._arguments(index, delta.partial_json)
            case "thinking_delta":
                self._tell(index, ThinkingDelta(index, delta.thinking) if delta.thinking else None)
            case "signature_delta":
                self._tell(index, ThinkingDelta(index, signature=delta.signature) if delta.signature else None)
            case "citations_delta":
                citation = maybe_citation(delta.citation)
                self._tell(index, CitationDelta(index, citation) if citation else None)
            case _:
                pass

    def _arguments(self, index: int, fragment: str) -> None:
        call = self._calls.get(index)
        if call is None:
            self._fail("the Anthropic API streamed the input of a tool call that is not open")
        elif fragment and call.custom:
            call.held.append(fragment)
        elif fragment:
            call.begun = True
            self._out.append(ArgumentsDelta(index, fragment))

    def _block_stop(self, event: StreamEvent) -> None:
        index = event.index
        call = self._calls.pop(index, None)
        if call is not None and not self._end_call(index, call):
            self._torn = index, call
            self._ignored.add(index)
            return
        if index in self._known:
            self._known.discard(index)
            self._out.append(BlockEnded(index))
        # A number that comes again is a new block at no vendor.
        self._ignored.add(index)

    def _end_call(self, index: int, call: _Call) -> bool:
        """Tells what is left of a call; False when there is no telling it."""
        if call.custom:
            text = plain_text("".join(call.held).encode() or call.whole)
            if text is None:
                return False
            self._out.append(ArgumentsDelta(index, text))
        elif not call.begun:
            self._out.append(ArgumentsDelta(index, call.whole.decode()))
        return True

    def _end_torn(self, index: int, call: _Call) -> None:
        """Tells of a plain text as much as came."""
        if text := begun_text("".join(call.held)):
            self._out.append(ArgumentsDelta(index, text))
        self._known.discard(index)
        self._out.append(BlockEnded(index))

    def _message_delta(self, event: StreamEvent) -> None:
        self._lose(lost_beside(event))
        self._count(event.usage)
        delta = event.delta
        if delta is None or delta.stop_reason is None or self._stopped:
            return
        torn = [] if self._torn is None else [self._torn]
        torn += [(index, call) for index, call in self._calls.items() if not self._end_call(index, call)]
        self._calls.clear()
        if torn and STOPS.get(delta.stop_reason) not in CUT_SHORT:
            self._fail(_NO_TEXT)
            return
        for index, call in torn:
            self._end_torn(index, call)
        self._stop(delta, delta.stop_reason)

    def _stop(self, delta: Delta, native: str) -> None:
        self._stopped = True
        self._lose(lost_beside(delta))
        stop = STOPS.get(native, Stop.UNKNOWN)
        if self._first_lost is not None and not self._told and stop not in CUT_SHORT:
            self._fail(f"the answer from the Anthropic API holds nothing that can be passed on ({self._first_lost})")
            return
        self._out.append(Stopped(stop, native, delta.stop_sequence, explanation_of(delta.stop_details)))

    def _message_stop(self, _event: StreamEvent) -> None:
        if self._stopped:
            self._end(Ended())
        else:
            self._fail("the Anthropic API ended its answer without a reason")

    def _ping(self, _event: StreamEvent) -> None:
        self._out.append(Ping())

    def _error(self, event: StreamEvent) -> None:
        self._end(Fault(read_error_object(event.error)))

    def _lose(self, paths: Sequence[str]) -> None:
        """Lists what is lost, once."""
        self._out += [Lost(path) for path in paths if path not in self._lost]
        self._lost.update(paths)

    def _count(self, usage: Any) -> None:
        counts = self._counts.updated(read_counts(usage))
        tier = read_tier(usage) or self._tier
        if counts != self._counts or tier != self._tier:
            self._counts, self._tier = counts, tier
            self._out.append(Metered(counts.neutral(), tier))

    def _damaged(self, error: FrameError) -> None:
        self._fail(f"the stream from the Anthropic API is damaged: {error}")

    def _fail(self, message: str) -> None:
        self._end(Fault(ApiError(502, Kind.SERVER, message)))

    def _end(self, event: Ended | Fault) -> None:
        self._over = True
        self._out.append(event)

    def _taken(self) -> Sequence[Event]:
        out, self._out = self._out, []
        return out

    _HANDLERS: ClassVar[Mapping[str, Callable[["MessageStreamReader", StreamEvent], None]]] = {
        "content_block_delta": _block_delta,
        "content_block_start": _block_start,
        "content_block_stop": _block_stop,
        "message_start": _message_start,
        "message_delta": _message_delta,
        "message_stop": _message_stop,
        "ping": _ping,
        "error": _error,
    }
