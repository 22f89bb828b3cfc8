"""The neutral stream as Anthropic's events.

Rules that clients rely on, tried with anthropic-python 2.12 (2026-11-22):

1. Every event has a name and the same word as its ``type``; nothing stands before ``message_start``.
2. Content blocks have the indices 0, 1, 2 ..., and one is open at a time. A call stays open until it is complete, and
   what the upstream says of others meanwhile waits; text or reasoning that goes on after another block is a new block.
3. ``signature_delta`` is sent once, whole, before the block's stop; redacted reasoning stands in its start.
4. ``message_delta`` comes once, when the upstream has ended and its usage is known; then ``message_stop``.
5. A stream that breaks gets an ``error`` event, and neither of these. So does a call whose arguments are no
   object, unless the answer is cut (``CUT_SHORT``): then it ends where it was cut, as Anthropic's own do.

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
    CitationDelta,
    Ended,
    Event,
    Fault,
    LogprobsDelta,
    Lost,
    Metered,
    Ping,
    Started,
    Stopped,
    TextDelta,
    ThinkingDelta,
    ToolStarted,
    VendorDelta,
)
from extproc.conversation.provenance import UNSIGNED
from extproc.conversation.response import CUT_SHORT, NO_USAGE
from extproc.dialects.anthropic.citations import maybe_written
from extproc.dialects.anthropic.client.ids import told_id
from extproc.dialects.anthropic.client.response import (
    checked_input,
    is_readable,
    message_id,
    own_mark,
    stop_details,
    stop_reason,
)
from extproc.dialects.anthropic.errors import error_event
from extproc.dialects.anthropic.usage import write_delta_usage, write_usage
from extproc.dialects.contract import Identity
from extproc.wire import sse

#: Stands for a text in the template of an event. Nothing but constants follows it there, so its last place is the one.
_HOLE: Final = "\N{OBJECT REPLACEMENT CHARACTER}"
_encode: Final = msgspec.json.Encoder().encode
_HOLE_JSON: Final = _encode(_HOLE)
_PING: Final = sse.encode(b'{"type":"ping"}', b"ping")


def _defect(message: str) -> ApiError:
    return ApiError(status=502, kind=Kind.SERVER, message=message)


_Piece = TextDelta | CitationDelta | ThinkingDelta | ToolStarted | ArgumentsDelta | BlockEnded


class _State(Enum):
    NEW = auto()
    OPEN = auto()
    STOPPED = auto()
    CLOSED = auto()


class _Block:
    """The open content block: its index in the answer, and the constant bytes around a delta."""

    __slots__ = ("arguments", "head", "kind", "name", "position", "signature", "tail", "upstream_index")

    def __init__(self, kind: str, position: int, upstream_index: int, name: str = "") -> None:
        self.kind = kind
        self.position = position
        self.upstream_index = upstream_index
        self.name = name
        self.signature: str | None = None
        self.arguments: list[str] = []
        delta = {"type": _DELTAS[kind][0], _DELTAS[kind][1]: _HOLE}
        self.head, self.tail = _cut(_delta(position, delta))


#: Kind of block -> the type of its deltas, and the member that holds the text.
_DELTAS: Final = {
    "text": ("text_delta", "text"),
    "thinking": ("thinking_delta", "thinking"),
    "tool_use": ("input_json_delta", "partial_json"),
}


class MessageWriter:
    """Writes one stream; see the rules above."""

    __slots__ = (
        "_block",
        "_calls",
        "_held",
        "_identity",
        "_legal",
        "_next",
        "_state",
        "_stopped",
        "_tier",
        "_usage",
        "_vendor",
    )

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._enter(_State.NEW)
        self._block: _Block | None = None
        self._next = 0
        #: The upstream's indices of the calls that have begun.
        self._calls: set[int] = set()
        #: What came of other blocks while a call was open, by the upstream's index.
        self._held: dict[int, list[_Piece]] = {}
        self._usage = NO_USAGE
        self._tier: str | None = None
        self._vendor: dict[str, Any] = {}
        self._stopped: dict[str, Any] = {}

    def write(self, event: Event) -> bytes:
        """The events that one neutral event makes, ``b""`` for none."""
        handler = self._legal.get(type(event))
        if handler is None:
            return self._break()
        try:
            return handler(self, event)
        except UpstreamError as error:
            return self._fault(Fault(error.error))

    def _enter(self, state: _State) -> None:
        self._state = state
        self._legal = self._LEGAL[state]

    def _break(self) -> bytes:
        """The end of a stream whose events make no sense; silence when it has ended already."""
        if self._state is _State.CLOSED:
            return b""
        return self._fault(Fault(_DISORDER[self._state is _State.STOPPED]))

    def _start(self, event: Started) -> bytes:
        self._enter(_State.OPEN)
        message: dict[str, Any] = {
            "id": message_id(event.id, self._identity),
            "type": "message",
            "role": "assistant",
            "model": event.model or self._identity.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": write_usage(self._usage, self._tier),
        }
        return _named("message_start", {"message": message})

    def _start_unnamed(self, event: Event) -> bytes:
        """The upstream said nothing about itself before its first content."""
        return self._start(Started()) + self.write(event)

    def _piece(self, event: _Piece) -> bytes:
        """A piece of a block; that of another block waits while a call is open."""
        block = self._block
        if event.candidate:
            return b""
        if block is not None and block.kind == "tool_use" and event.index != block.upstream_index:
            self._held.setdefault(event.index, []).append(event)
            return b""
        written = self._PIECES[type(event)](self, event)
        return written + self._released() if self._held else written

    def _released(self) -> bytes:
        """What waited, block by block, until a call is open again."""
        out: list[bytes] = []
        while self._held and (self._block is None or self._block.kind != "tool_use"):
            pieces = self._held.pop(next(iter(self._held)))
            out += [self._PIECES[type(piece)](self, piece) for piece in pieces]
        return b"".join(out)

    def _write_text(self, event: TextDelta) -> bytes:
        if not event.text:
            return b""
        block = self._block
        if block is not None and block.kind == "text" and block.upstream_index == event.index:
            return block.head + _encode(event.text) + block.tail
        opened, block = self._opened("text", event.index)
        return opened + block.head + _encode(event.text) + block.tail

    def _write_citation(self, event: CitationDelta) -> bytes:
        written = maybe_written(event.citation)
        if written is None:
            return b""
        opened, block = self._opened("text", event.index)
        return opened + _delta(block.position, {"type": "citations_delta", "citation": written})

    def _write_thinking(self, event: ThinkingDelta) -> bytes:
        if event.redacted is not None:
            return self._write_redacted(event.redacted)
        if not event.text and event.signature is None:
            return b""
        opened, block = self._opened("thinking", event.index)
        if event.signature is not None:
            block.signature = event.signature
        return opened + (block.head + _encode(event.text) + block.tail if event.text else b"")

    def _write_redacted(self, data: str) -> bytes:
        closed, position = self._close(), self._next
        self._next += 1
        block = {"type": "redacted_thinking", "data": own_mark(data, self._identity.origin)}
        start = _named("content_block_start", {"index": position, "content_block": block})
        return closed + start + _named("content_block_stop", {"index": position})

    def _open_call(self, event: ToolStarted) -> bytes:
        if event.index in self._calls:
            raise UpstreamError(_DISORDER[False])
        self._calls.add(event.index)
        closed = self._close()
        self._block = _Block("tool_use", self._next, event.index, event.name)
        call = {"type": "tool_use", "id": told_id(event.id), "name": event.name, "input": {}}
        return closed + self._begun(call)

    def _write_arguments(self, event: ArgumentsDelta) -> bytes:
        block = self._block
        if not event.fragment:
            return b""
        if block is None or block.kind != "tool_use":
            raise UpstreamError(_DISORDER[False])
        block.arguments.append(event.fragment)
        return block.head + _encode(event.fragment) + block.tail

    def _end_block(self, event: BlockEnded) -> bytes:
        """The end of the open block. A call in pieces stays open: why the model stopped tells whether it was cut."""
        block = self._block
        if block is None or block.upstream_index != event.index:
            return b""
        if block.kind == "tool_use" and not is_readable("".join(block.arguments)):
            return b""
        return self._close()

    def _opened(self, kind: str, upstream_index: int) -> tuple[bytes, _Block]:
        """The block of this kind and index: the open one, or a new one with the bytes that open it."""
        block = self._block
        if block is not None and block.kind == kind and block.upstream_index == upstream_index:
            return b"", block
        closed = self._close()
        self._block = block = _Block(kind, self._next, upstream_index)
        return closed + self._begun({"type": kind, **_EMPTY[kind]}), block

    def _begun(self, content_block: dict[str, Any]) -> bytes:
        position = self._next
        self._next += 1
        return _named("content_block_start", {"index": position, "content_block": content_block})

    def _close(self, *, cut: bool = False) -> bytes:
        """The end of the open block, if there is one; ``cut``: it may be the middle of a call.

        Raises ``UpstreamError`` for another call without readable arguments.
        """
        block, self._block = self._block, None
        if block is None:
            return b""
        stop = _named("content_block_stop", {"index": block.position})
        if block.kind == "tool_use" and not cut:
            checked_input("".join(block.arguments), block.name)
        elif block.kind == "thinking":
            mark = own_mark(block.signature or UNSIGNED, self._identity.origin)
            return (_delta(block.position, {"type": "signature_delta", "signature": mark}) if mark else b"") + stop
        return stop

    def _stop(self, event: Stopped) -> bytes:
        if event.candidate:
            return b""
        cut = event.stop in CUT_SHORT
        out = [self._close(cut=cut)]
        while self._held:
            out += [self._released(), self._close(cut=cut)]
        reason = stop_reason(event.stop, has_calls=bool(self._calls))
        sequence = event.sequence if reason == "stop_sequence" else None
        self._stopped = {"stop_reason": reason, "stop_sequence": sequence}
        if reason == "refusal":
            self._stopped["stop_details"] = stop_details(event.explanation)
        self._enter(_State.STOPPED)
        return b"".join(out)

    def _meter(self, event: Metered) -> bytes:
        self._usage = self._usage.updated(event.usage)
        self._tier = event.service_tier or self._tier
        return b""

    def _note_vendor(self, event: VendorDelta) -> bytes:
        if not event.candidate:
            self._vendor.update(event.fields)
        return b""

    def _pass_over(self, _: Event) -> bytes:
        return b""

    def _ping(self, _: Ping) -> bytes:
        return _PING

    def _end(self, _: Ended) -> bytes:
        self._enter(_State.CLOSED)
        delta = {**self._vendor, **self._stopped}
        told = _named("message_delta", {"delta": delta, "usage": write_delta_usage(self._usage)})
        return told + _named("message_stop", {})

    def _fault(self, event: Fault) -> bytes:
        self._enter(_State.CLOSED)
        return error_event(event.error)

    _PIECES: ClassVar[Mapping[type, Callable[["MessageWriter", Any], bytes]]] = {
        TextDelta: _write_text,
        CitationDelta: _write_citation,
        ThinkingDelta: _write_thinking,
        ToolStarted: _open_call,
        ArgumentsDelta: _write_arguments,
        BlockEnded: _end_block,
    }
    _ANYWHERE: ClassVar[dict[type, Callable[["MessageWriter", Any], bytes]]] = {
        Metered: _meter,
        VendorDelta: _note_vendor,
        LogprobsDelta: _pass_over,
        Lost: _pass_over,
        Fault: _fault,
    }
    _LEGAL: ClassVar[Mapping[_State, Mapping[type, Callable[["MessageWriter", Any], bytes]]]] = {
        _State.NEW: {
            Started: _start,
            TextDelta: _start_unnamed,
            ThinkingDelta: _start_unnamed,
            ToolStarted: _start_unnamed,
            Stopped: _start_unnamed,
            BlockEnded: _pass_over,
            Ping: _pass_over,
            **_ANYWHERE,
        },
        _State.OPEN: {
            TextDelta: _piece,
            CitationDelta: _piece,
            ThinkingDelta: _piece,
            ToolStarted: _piece,
            ArgumentsDelta: _piece,
            BlockEnded: _piece,
            Stopped: _stop,
            Ping: _ping,
            **_ANYWHERE,
        },
        _State.STOPPED: {Ended: _end, BlockEnded: _pass_over, Ping: _ping, **_ANYWHERE},
        _State.CLOSED: {},
    }


#: Whether the answer had stopped -> what is wrong with an event that is not legal.
_DISORDER: Final = {
    False: _defect("the upstream's answer broke off or lost its order before it was complete"),
    True: _defect("the upstream went on after it had stopped its answer"),
}
_EMPTY: Final[Mapping[str, Mapping[str, str]]] = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}}


def _named(word: str, members: dict[str, Any]) -> bytes:
    """An event and its ``type``, which are one word."""
    return sse.encode(_encode({"type": word, **members}), word.encode())


def _delta(position: int, delta: dict[str, Any]) -> bytes:
    return _named("content_block_delta", {"index": position, "delta": delta})


def _cut(event: bytes) -> tuple[bytes, bytes]:
    """The bytes before and after the last hole."""
    head, _, tail = event.rpartition(_HOLE_JSON)
    return head, tail
