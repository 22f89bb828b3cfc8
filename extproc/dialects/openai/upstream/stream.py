"""A stream of ``chat.completion.chunk`` events: bytes in, neutral events out.

1. The answer is whole when ``[DONE]`` came, after a finish reason for every choice. Anything else is a cut answer.
2. The finish reason is told at ``[DONE]`` only: Azure's filter may still replace it, and usage comes after it.
3. Blocks of a choice come one after the other, whatever the server interleaves: fragments of a call wait while the call
   before it is not a whole JSON object, or while its id or name is not known.
4. A call ends with a whole JSON object, ``{}`` where the server sent none, or the stream ends in a fault.
5. Azure (openai/openai-python #1677, langchain-ai/langchain #18977): the first chunk has no choices and an empty id;
   filter results come in choices without ``delta``, also after the finish chunk.
6. Comments keep the connection open and say nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from extproc.conversation.errors import ApiError, Kind
from extproc.conversation.events import (
    Ended,
    Event,
    Fault,
    Lost,
    Metered,
    Ping,
    Started,
)
from extproc.conversation.response import NO_USAGE
from extproc.dialects.contract import StreamReader, UpstreamRequest
from extproc.dialects.openai.errors import read_stream_error
from extproc.dialects.openai.passthrough import usage_of
from extproc.dialects.openai.upstream.choice import BrokenChoiceError, ChoiceReader
from extproc.dialects.openai.upstream.shapes import (
    DECODER,
    VENDOR_MEMBERS,
    Choice,
    Completion,
    Message,
    lost_beside,
    maybe_text,
)
from extproc.wire.errors import FrameError
from extproc.wire.sse import Event as SseEvent
from extproc.wire.sse import SseParser

_LOST: Final = ("annotations", "audio")
_PING: Final = Ping()


def stream_reader(headers: Mapping[str, str], sent: UpstreamRequest) -> StreamReader:
    """A fresh reader of one answer."""
    del headers
    return ChunkReader(sent)


class ChunkReader:
    """The state of one stream; see the rules above."""

    def __init__(self, sent: UpstreamRequest) -> None:
        self._sent = sent
        self._parser = SseParser()
        self._out: list[Event] = []
        self._over = False
        self._started = False
        self._id: str | None = None
        self._service_tier: str | None = None
        self._choices: dict[int, ChoiceReader] = {}
        self._blocks = iter(range(2**31))
        self._vendor: dict[str, Any] = {}
        self._lost: set[str] = set()

    def feed(self, chunk: bytes) -> Sequence[Event]:
        """The events completed by this chunk; none after ``Ended`` or ``Fault``."""
        if self._over:
            return ()
        try:
            events = self._parser.feed(chunk)
        except FrameError as error:
            self._fail(f"the upstream's stream is damaged: {error}")
        else:
            self._read_all(events)
        return self._taken()

    def finish(self) -> Sequence[Event]:
        """The end of the bytes: nothing when ``[DONE]`` has passed, else ``Fault``."""
        if self._over:
            return ()
        try:
            self._read_all([event for event in self._parser.finish() if (event.data or b"").startswith(b"[DONE]")])
        except FrameError as error:
            self._fail(f"the upstream's stream is damaged: {error}")
        if not self._over:
            self._fail("the upstream closed the stream before its end; the answer is incomplete")
        return self._taken()

    def _read_all(self, events: Sequence[SseEvent]) -> None:
        for event in events:
            try:
                self._read(event)
            except BrokenChoiceError as broken:
                self._end(Fault(broken.error))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                self._fail(f"the upstream sent an event that cannot be read: {error}")
            if self._over:
                return

    def _read(self, event: SseEvent) -> None:
        data = event.data
        if not data:
            if event.raw.startswith(b":"):
                self._out.append(_PING)
            return
        if data.startswith(b"[DONE]"):
            self._done()
            return
        chunk = DECODER.decode(data)
        if chunk.error or chunk.object == "error" or event.event == b"error":
            self._end(Fault(read_stream_error(chunk.error or msgspec.json.decode(data))))
            return
        if not self._started and chunk.id:
            self._start(chunk)
        for choice in chunk.choices or ():
            self._read_choice(choice, chunk)
        self._read_beside(chunk)

    def _read_beside(self, chunk: Completion) -> None:
        if chunk.usage is not None:
            self._meter(chunk)
        if chunk.usage is not None or chunk.moderation is not None:
            for path in lost_beside(chunk):
                self._lose(path)
        for name in VENDOR_MEMBERS:
            if value := getattr(chunk, name):
                self._vendor[name] = value

    def _start(self, chunk: Completion) -> None:
        self._started = True
        self._id = maybe_text(chunk.id)
        self._out.append(Started(self._id, maybe_text(chunk.model)))

    def _read_choice(self, choice: Choice, chunk: Completion) -> None:
        reader = self._choices.get(choice.index)
        delta = choice.delta
        if reader is None:
            if delta is None and choice.finish_reason is None:
                self._note_filter(choice)
                return
            reader = self._open(choice, chunk)
        if delta is not None:
            self._out += reader.read(delta)
            self._note_losses(delta)
        if choice.logprobs is not None:
            self._out += reader.read_logprobs(choice.logprobs)
        if choice.finish_reason:
            self._out += reader.stop(choice.finish_reason, maybe_text(choice.stop_reason))
        if choice.content_filter_results:
            self._note_filter(choice)

    def _open(self, choice: Choice, chunk: Completion) -> ChoiceReader:
        if not self._started:
            self._start(chunk)
        opened = self._choices[choice.index] = ChoiceReader(choice.index, self._id, self._blocks, self._sent.tool_names)
        return opened

    def _note_filter(self, choice: Choice) -> None:
        if choice.index == 0 and choice.content_filter_results:
            self._vendor["content_filter_results"] = choice.content_filter_results

    def _note_losses(self, delta: Message) -> None:
        if delta.annotations or delta.audio:
            for name in _LOST:
                if getattr(delta, name):
                    self._lose(f"choices[].delta.{name}")

    def _lose(self, path: str) -> None:
        """Lists what is lost, once."""
        if path not in self._lost:
            self._lost.add(path)
            self._out.append(Lost(path))

    def _meter(self, chunk: Completion) -> None:
        self._service_tier = maybe_text(chunk.service_tier) or self._service_tier
        usage = usage_of(chunk.usage)
        if usage != NO_USAGE:
            self._out.append(Metered(usage, self._service_tier))

    def _done(self) -> None:
        readers = [self._choices[index] for index in sorted(self._choices)]
        if not readers or any(reader.native is None for reader in readers):
            self._fail("the upstream ended the stream without a finish reason; the answer is incomplete")
            return
        stops = [event for reader in readers for event in self._stopped(reader)]
        self._out += stops
        if not self._over:
            self._end(Ended())

    def _stopped(self, reader: ChoiceReader) -> Iterator[Event]:
        if self._over:
            return
        if reader.broke_off:
            self._fail(f"the model broke off its answer ({reader.native})")
            return
        yield from reader.stopped(self._vendor if reader.candidate == 0 else {})

    def _fail(self, message: str) -> None:
        self._end(Fault(ApiError(502, Kind.SERVER, message)))

    def _end(self, event: Ended | Fault) -> None:
        self._over = True
        self._out.append(event)

    def _taken(self) -> Sequence[Event]:
        out, self._out = self._out, []
        return out
