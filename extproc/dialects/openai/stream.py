"""The neutral stream as ``chat.completion.chunk`` events.

Rules that clients rely on, tried with openai-python 3.54 (2026-11-22):

1. ``role`` stands in the first chunk only, and ``id``, ``type`` and ``name`` of a call in its first fragment only: the
   accumulator concatenates strings.
2. ``tool_calls[].index`` counts calls from 0 in order of appearance, whatever the upstream's block indices are. The
   entries of ``thinking_blocks`` carry such an ``index`` as well, without which the accumulator raises.
3. One chunk has the finish reason, at once when the upstream stops. After it comes the usage chunk (``choices: []``)
   if the client asked for it, then ``[DONE]``. With ``include_usage`` every other chunk says ``usage: null``.
4. A stream that breaks gets an error event, and neither finish reason nor ``[DONE]``.

An event that is not legal in the writer's state is a defect of the upstream or its reader, and breaks the stream.
"""

from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Any, ClassVar, Final

import msgspec

from extproc.conversation.errors import ApiError, Kind, UpstreamError
from extproc.conversation.events import (
    ArgumentsDelta,
    BlockEnded,
    Ended,
    Event,
    Fault,
    Metered,
    Started,
    Stopped,
    TextDelta,
    ThinkingDelta,
    ToolStarted,
)
from extproc.conversation.request import Request
from extproc.conversation.response import NO_USAGE
from extproc.dialects.contract import Identity
from extproc.dialects.openai.errors import error_event
from extproc.dialects.openai.response import (
    completion_id,
    finish_reason,
    known_tier,
    speaks_functions,
    thinking_object,
    usage_object,
)
from extproc.wire import sse

#: Stands for a text in the template of a chunk. Nothing but constants follows it there, so its last place is the one.
_HOLE: Final = "\N{OBJECT REPLACEMENT CHARACTER}"
_DONE: Final = sse.encode(b"[DONE]")
_encode: Final = msgspec.json.Encoder().encode
_HOLE_JSON: Final = _encode(_HOLE)


class _State(Enum):
    NEW = auto()
    OPEN = auto()
    STOPPED = auto()
    CLOSED = auto()


class _Call:
    """One call of the answer: the constant bytes around a fragment of its arguments, and how far it has come."""

    __slots__ = ("empty", "ended", "head", "tail")

    def __init__(self, head: bytes, tail: bytes) -> None:
        self.head = head
        self.tail = tail
        self.empty = True
        self.ended = False


class _Thinking:
    """One thinking block: its position among them, and the constant bytes around both places of its text."""

    __slots__ = ("head", "middle", "position", "tail")

    def __init__(self, position: int, head: bytes, middle: bytes, tail: bytes) -> None:
        self.position = position
        self.head = head
        self.middle = middle
        self.tail = tail


class ChunkWriter:
    """Writes one stream; see the rules above."""

    __slots__ = (
        "_calls",
        "_chunk",
        "_identity",
        "_include_usage",
        "_legacy",
        "_legal",
        "_service_tier",
        "_state",
        "_text_head",
        "_text_tail",
        "_thinking",
        "_usage",
    )

    def __init__(self, request: Request, identity: Identity) -> None:
        self._identity = identity
        self._include_usage = request.include_usage
        self._legacy = speaks_functions(request)
        self._enter(_State.NEW)
        self._chunk: dict[str, Any] = {}
        self._text_head = self._text_tail = b""
        #: By the upstream's block index; None for a call that the deprecated form has no room for.
        self._calls: dict[int, _Call | None] = {}
        self._thinking: dict[int, _Thinking] = {}
        self._usage = NO_USAGE
        self._service_tier: str | None = None

    def write(self, event: Event) -> bytes:
        """The chunks that one event makes, ``b""`` for none."""
        handler = self._legal.get(type(event))
        return self._break() if handler is None else handler(self, event)

    def _enter(self, state: _State) -> None:
        self._state = state
        self._legal = self._LEGAL[state]

    def _break(self) -> bytes:
        """The end of a stream whose events make no sense; silence when it has ended already."""
        if self._state is _State.CLOSED:
            return b""
        if self._state is _State.STOPPED:
            message = "the upstream went on after it had stopped its answer"
        else:
            message = "the upstream's answer broke off or lost its order before it was complete"
        return self._fault(Fault(ApiError(status=502, kind=Kind.SERVER, message=message)))

    def _start(self, event: Started) -> bytes:
        self._chunk = {
            "id": completion_id(event.id, self._identity),
            "object": "chat.completion.chunk",
            "created": self._identity.created,
            "model": event.model or self._identity.model,
        }
        self._text_head, self._text_tail = _cut(self._encoded({"content": _HOLE}))
        self._enter(_State.OPEN)
        return self._encoded({"role": "assistant", "content": ""})

    def _start_unnamed(self, event: Event) -> bytes:
        """The upstream said nothing about itself before its first content."""
        return self._start(Started()) + self.write(event)

    def _write_text(self, event: TextDelta) -> bytes:
        if not event.text:
            return b""
        return self._text_head + _encode(event.text) + self._text_tail

    def _write_thinking(self, event: ThinkingDelta) -> bytes:
        if not event.text and event.signature is None and event.redacted is None:
            return b""
        block = self._thinking.get(event.index)
        if block is None:
            block = self._open_thinking(event.index)
        if event.signature is None and event.redacted is None:
            text = _encode(event.text)
            return b"".join((block.head, text, block.middle, text, block.tail))
        entry = {"index": block.position, **thinking_object(event.text, event.signature, event.redacted)}
        delta: dict[str, Any] = {"reasoning_content": event.text} if event.text else {}
        return self._encoded({**delta, "thinking_blocks": [entry]})

    def _open_thinking(self, index: int) -> _Thinking:
        position = len(self._thinking)
        entry = {"index": position, **thinking_object(_HOLE, None, None)}
        rest, tail = _cut(self._encoded({"reasoning_content": _HOLE, "thinking_blocks": [entry]}))
        block = self._thinking[index] = _Thinking(position, *_cut(rest), tail)
        return block

    def _open_call(self, event: ToolStarted) -> bytes:
        if event.index in self._calls:
            return self._break()
        if self._legacy:
            return self._open_function_call(event)
        position = len(self._calls)
        fragment = {"index": position, "function": {"arguments": _HOLE}}
        self._calls[event.index] = _Call(*_cut(self._encoded({"tool_calls": [fragment]})))
        function = {"name": event.name, "arguments": ""}
        call = {"index": position, "id": event.id, "type": "function", "function": function}
        return self._encoded({"tool_calls": [call]})

    def _open_function_call(self, event: ToolStarted) -> bytes:
        """The deprecated form holds one call; the model repeats the others once it sees the first result."""
        if self._calls:
            self._calls[event.index] = None
            return b""
        self._calls[event.index] = _Call(*_cut(self._encoded({"function_call": {"arguments": _HOLE}})))
        return self._encoded({"function_call": {"name": event.name, "arguments": ""}})

    def _write_arguments(self, event: ArgumentsDelta) -> bytes:
        if event.index not in self._calls:
            return self._break()
        call = self._calls[event.index]
        if call is None or not event.fragment:
            return b""
        if call.ended:
            return self._break()
        call.empty = False
        return call.head + _encode(event.fragment) + call.tail

    def _end_block(self, event: BlockEnded) -> bytes:
        call = self._calls.get(event.index)
        return b"" if call is None else self._end_call(call)

    def _end_call(self, call: _Call) -> bytes:
        """A call without arguments has an empty object: clients parse what they get."""
        if call.ended:
            return b""
        call.ended = True
        return call.head + _encode("{}") + call.tail if call.empty else b""

    def _stop(self, event: Stopped) -> bytes:
        try:
            reason = finish_reason(event.stop, has_calls=bool(self._calls), legacy=self._legacy)
        except UpstreamError as error:
            return self._fault(Fault(error.error))
        ends = [self._end_call(call) for call in self._calls.values() if call is not None]
        self._enter(_State.STOPPED)
        return b"".join((*ends, self._encoded({}, reason)))

    def _meter(self, event: Metered) -> bytes:
        self._usage = self._usage.updated(event.usage)
        self._service_tier = known_tier(event.service_tier) or self._service_tier
        return b""

    def _end(self, _: Ended) -> bytes:
        self._enter(_State.CLOSED)
        if not self._include_usage or self._usage == NO_USAGE:
            return _DONE
        chunk = {**self._chunk, "choices": [], "usage": usage_object(self._usage)}
        if self._service_tier is not None:
            chunk["service_tier"] = self._service_tier
        return sse.encode(_encode(chunk)) + _DONE

    def _fault(self, event: Fault) -> bytes:
        self._enter(_State.CLOSED)
        return error_event(event.error)

    def _encoded(self, delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        chunk: dict[str, Any] = {**self._chunk, "choices": [choice]}
        if self._include_usage:
            chunk["usage"] = None
        return sse.encode(_encode(chunk))

    _ANYWHERE: ClassVar[dict[type, Callable[["ChunkWriter", Any], bytes]]] = {
        Metered: _meter,
        BlockEnded: _end_block,
        Fault: _fault,
    }
    _LEGAL: ClassVar[Mapping[_State, Mapping[type, Callable[["ChunkWriter", Any], bytes]]]] = {
        _State.NEW: {
            Started: _start,
            TextDelta: _start_unnamed,
            ThinkingDelta: _start_unnamed,
            ToolStarted: _start_unnamed,
            Stopped: _start_unnamed,
            **_ANYWHERE,
        },
        _State.OPEN: {
            TextDelta: _write_text,
            ThinkingDelta: _write_thinking,
            ToolStarted: _open_call,
            ArgumentsDelta: _write_arguments,
            Stopped: _stop,
            **_ANYWHERE,
        },
        _State.STOPPED: {Ended: _end, **_ANYWHERE},
        _State.CLOSED: {},
    }


def _cut(chunk: bytes) -> tuple[bytes, bytes]:
    """The bytes before and after the last hole."""
    head, _, tail = chunk.rpartition(_HOLE_JSON)
    return head, tail
