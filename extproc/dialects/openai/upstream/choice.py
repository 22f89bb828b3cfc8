"""One choice of a stream: its deltas to blocks that come one after the other."""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final

from extproc.conversation import custom_tools
from extproc.conversation.errors import ApiError, Kind
from extproc.conversation.events import (
    ArgumentsDelta,
    BlockEnded,
    Event,
    LogprobsDelta,
    Stopped,
    TextDelta,
    ThinkingDelta,
    ToolStarted,
    VendorDelta,
)
from extproc.conversation.response import Stop
from extproc.dialects.openai.upstream.arguments import ObjectEnd
from extproc.dialects.openai.upstream.shapes import (
    STOPS,
    Call,
    Message,
    arguments_text,
    broken_call,
    is_object,
    logprobs_of,
    made_up_id,
    parts_of,
    reasoning_of,
    stop_of,
)

_TEXT: Final = "text"
_THINKING: Final = "thinking"
_REFUSAL: Final = "refusal"

MAX_HELD: Final = 16 * 1024 * 1024
"""Characters of calls and of text behind them that one choice may hold back: our own bound, ten longest answers."""


class BrokenChoiceError(Exception):
    """The choice makes no sense from here on; the stream ends with ``error``."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(error.message)
        self.error = error


class _Call:
    """One call: what is known of it, and what of its arguments has not been told yet."""

    __slots__ = ("_end", "arguments", "block", "custom", "ended", "held", "id", "name")

    def __init__(self) -> None:
        self.id: str | None = None
        self.name: str | None = None
        self.custom = False
        self.arguments: list[str] = []
        self.held: list[str] = []
        self.block: int | None = None
        self.ended = False
        self._end = ObjectEnd()

    def add(self, text: str) -> None:
        self.arguments.append(text)
        self.held.append(text)
        self._end.feed(text)

    def is_whole(self) -> bool:
        """Whether its arguments have come to their end, as far as braces tell."""
        return not self.custom and self._end.reached


class ChoiceReader:
    """Reads one choice. ``blocks`` numbers the blocks of the whole stream.

    Attributes:
        candidate: its index.
        native: the finish reason, None while there is none.
    """

    def __init__(
        self, candidate: int, answer_id: str | None, blocks: Iterator[int], tool_names: Mapping[str, str]
    ) -> None:
        self.candidate = candidate
        self.native: str | None = None
        self._answer_id = answer_id
        self._blocks = blocks
        self._tool_names = tool_names
        #: Kind and number of the open block of text.
        self._kind = ""
        self._block = -1
        self._refusal: list[str] = []
        self._sequence: str | None = None
        self._calls: dict[Any, _Call] = {}
        #: Those of them that nothing has been told of.
        self._waiting: deque[_Call] = deque()
        self._held = 0
        self._live: _Call | None = None
        #: Text that came while a call was in the middle of its arguments.
        self._late: list[tuple[str, str]] = []

    @property
    def broke_off(self) -> bool:
        """Whether the server says that the answer is none."""
        return STOPS.get(self.native or "") is Stop.MALFORMED

    def read(self, delta: Message) -> list[Event]:
        """The events of one delta. Raises ``BrokenChoiceError``."""
        content = delta.content
        if (
            content.__class__ is str
            and content
            and self._kind == _TEXT
            and not _has_more(delta)
            and self.native is None
        ):
            return [TextDelta(self._block, content, self.candidate)]
        out: list[Event] = []
        if reasoning := reasoning_of(delta):
            self._say(_THINKING, reasoning, out)
        for thinking, text in parts_of(content):
            self._say(_THINKING if thinking else _TEXT, text, out)
        if delta.refusal:
            self._refusal.append(delta.refusal)
            self._say(_REFUSAL, delta.refusal, out)
        for call in delta.tool_calls or ():
            self._read_call(call, out)
        if delta.function_call is not None:
            self._read_call(Call(index="function_call", function=delta.function_call), out)
        return out

    def read_logprobs(self, logprobs: Any) -> list[Event]:
        """The probabilities of the tokens of the last text."""
        entries = logprobs_of(logprobs)
        return [LogprobsDelta(entries, self.candidate)] if entries else []

    def stop(self, native: str, sequence: str | None) -> list[Event]:
        """The finish reason: all blocks end. A later one replaces it."""
        out: list[Event] = []
        first, self.native = self.native is None, native
        self._sequence = sequence or self._sequence
        if first:
            cut = STOPS.get(native) in {Stop.LENGTH, Stop.CONTEXT_FULL, Stop.FILTERED, Stop.MALFORMED}
            self._close_text(out)
            self._end_live(out, cut=cut)
            while self._waiting:
                call = self._waiting.popleft()
                if not (cut and call.name is None):
                    self._begin(call, out)
                    self._end_live(out, cut=cut)
            self._tell_late(out)
            self._close_text(out)
        return out

    def stopped(self, vendor: Mapping[str, Any]) -> Iterator[Event]:
        """The end of a choice that has its finish reason."""
        if vendor:
            yield VendorDelta(dict(vendor), self.candidate)
        refusal = "".join(self._refusal) or None
        stop = stop_of(self.native or "", has_calls=bool(self._calls), refused=refusal is not None)
        if self._sequence is not None and stop is Stop.END:
            stop = Stop.STOP_SEQUENCE
        yield Stopped(stop, self.native or "", self._sequence, refusal, self.candidate)

    def _say(self, kind: str, text: str, out: list[Event]) -> None:
        if self.native is not None:
            raise BrokenChoiceError(_went_on())
        if self._live is not None:
            if not self._live.is_whole():
                self._hold(text)
                self._late.append((kind, text))
                return
            self._end_live(out, cut=False)
        self._tell_late(out)
        self._tell(kind, text, out)

    def _hold(self, text: str) -> None:
        self._held += len(text)
        if self._held > MAX_HELD:
            message = f"the upstream's answer has calls of more than {MAX_HELD} characters"
            raise BrokenChoiceError(ApiError(502, Kind.SERVER, message))

    def _tell_late(self, out: list[Event]) -> None:
        late, self._late = self._late, []
        for kind, text in late:
            self._tell(kind, text, out)

    def _tell(self, kind: str, text: str, out: list[Event]) -> None:
        if self._kind != kind:
            self._close_text(out)
            self._kind, self._block = kind, next(self._blocks)
        if kind == _THINKING:
            out.append(ThinkingDelta(self._block, text, candidate=self.candidate))
        else:
            out.append(TextDelta(self._block, text, self.candidate))

    def _close_text(self, out: list[Event]) -> None:
        if self._kind:
            out.append(BlockEnded(self._block, self.candidate))
            self._kind = ""

    def _read_call(self, fragment: Call, out: list[Event]) -> None:
        call = self._call_of(fragment)
        call.id = call.id or fragment.id or None
        if fragment.custom is not None:
            call.custom = True
            call.name = call.name or fragment.custom.name or None
            text = fragment.custom.input or ""
        else:
            call.name = call.name or (fragment.function.name if fragment.function else None) or None
            text = arguments_text(fragment.function.arguments) if fragment.function else ""
        if call.ended or self.native is not None:
            if text:
                raise BrokenChoiceError(_went_on())
            return
        if text:
            self._hold(text)
            call.add(text)
        self._promote(call, out)

    def _call_of(self, fragment: Call) -> _Call:
        """The call that a fragment belongs to; by its id, or the last one, where the server gives no index."""
        key: int | str | None = fragment.index if isinstance(fragment.index, int | str) else None
        if key is None:
            key = fragment.id or next(reversed(self._calls), 0)
        call = self._calls.get(key)
        if call is None:
            call = self._calls[key] = _Call()
            self._waiting.append(call)
        return call

    def _promote(self, call: _Call, out: list[Event]) -> None:
        """Tells what is held of a call, if its turn has come."""
        if self._live is not call:
            if call.ended or (self._live is not None and not self._live.is_whole()):
                return
            if self._waiting[0] is not call or call.id is None or call.name is None:
                return
            self._close_text(out)
            self._end_live(out, cut=False)
            self._begin(self._waiting.popleft(), out)
        self._tell_held(call, out)

    def _begin(self, call: _Call, out: list[Event]) -> None:
        if call.name is None:
            raise BrokenChoiceError(ApiError(502, Kind.SERVER, "the upstream streamed a call that names no tool"))
        call.block = next(self._blocks)
        call_id = call.id or made_up_id(self._answer_id, call.block)
        self._live = call
        out.append(ToolStarted(call.block, call_id, self._tool_names.get(call.name, call.name), self.candidate))

    def _tell_held(self, call: _Call, out: list[Event]) -> None:
        if call.block is not None and call.held and not call.custom:
            out.extend([ArgumentsDelta(call.block, text, self.candidate) for text in call.held])
            call.held.clear()

    def _end_live(self, out: list[Event], *, cut: bool) -> None:
        """The end of the open call. The arguments of an answer that was cut may be cut as well."""
        call, self._live = self._live, None
        if call is None or call.block is None:
            return
        call.ended = True
        if call.custom:
            text = custom_tools.arguments_of("".join(call.arguments))
            out.append(ArgumentsDelta(call.block, text, self.candidate))
        else:
            self._tell_held(call, out)
            if not "".join(call.arguments).strip():
                out.append(ArgumentsDelta(call.block, "{}", self.candidate))
            elif not cut and not is_object("".join(call.arguments)):
                raise BrokenChoiceError(broken_call(call.name or ""))
        out.append(BlockEnded(call.block, self.candidate))


def _has_more(delta: Message) -> bool:
    """Whether a delta holds something beside its content."""
    return bool(
        delta.tool_calls
        or delta.reasoning_content
        or delta.reasoning
        or delta.refusal
        or delta.function_call is not None
    )


def _went_on() -> ApiError:
    return ApiError(502, Kind.SERVER, "the upstream went on after it had stopped its answer")
