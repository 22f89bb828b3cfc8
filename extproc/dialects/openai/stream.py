"""The neutral stream as ``chat.completion.chunk`` events.

Rules that clients rely on, tried with openai-python 3.54 (2026-11-22):

1. ``role`` stands in the first chunk of a choice only, and ``id``, ``type`` and ``name`` of a call in its first
   fragment only: the accumulator concatenates strings.
2. ``tool_calls[].index`` counts calls from 0 in order of appearance, whatever the upstream's block indices are. The
   entries of ``reasoning_details`` carry such an ``index`` as well, without which the accumulator raises.
3. The first chunk of the stream is of choice 0. One chunk of each choice has the finish reason, at once when the
   upstream stops. After all of them comes the usage chunk (``choices: []``) if the client asked for it, then
   ``[DONE]``. With ``include_usage`` every other chunk says ``usage: null``.
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
from extproc.conversation.request import Request
from extproc.conversation.response import NO_USAGE
from extproc.dialects.contract import Identity
from extproc.dialects.openai.carrier import keeps_sealing
from extproc.dialects.openai.chunks import Answer, ChoiceWriter, OutOfOrderError
from extproc.dialects.openai.errors import error_event
from extproc.dialects.openai.response import completion_id, custom_names, known_tier, speaks_functions, usage_object
from extproc.wire import sse

_DONE: Final = sse.encode(b"[DONE]")
#: A comment: it keeps the connection open, and no client sees it.
_PING: Final = b": ping\n\n"
_encode: Final = msgspec.json.Encoder().encode
_UNNAMED: Final = Answer({}, include_usage=False)


class _State(Enum):
    NEW = auto()
    OPEN = auto()
    CLOSED = auto()


class ChunkWriter:
    """Writes one stream; see the rules above."""

    __slots__ = ("_answer", "_choices", "_identity", "_legal", "_request", "_service_tier", "_state", "_usage")

    def __init__(self, request: Request, identity: Identity) -> None:
        self._request = request
        self._identity = identity
        self._enter(_State.NEW)
        self._answer = _UNNAMED
        self._choices: dict[int, ChoiceWriter] = {}
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
        if self._choices and all(choice.stopped for choice in self._choices.values()):
            message = "the upstream went on after it had stopped its answer"
        else:
            message = "the upstream's answer broke off or lost its order before it was complete"
        return self._fault(Fault(ApiError(status=502, kind=Kind.SERVER, message=message)))

    def _start(self, event: Started) -> bytes:
        head = {
            "id": completion_id(event.id, self._identity),
            "object": "chat.completion.chunk",
            "created": self._identity.created,
            "model": event.model or self._identity.model,
        }
        self._answer = Answer(
            head,
            include_usage=self._request.include_usage,
            origin=self._identity.origin,
            customs=custom_names(self._request),
            legacy=speaks_functions(self._request),
            sealing=keeps_sealing(self._request.turns, self._identity.origin),
        )
        self._enter(_State.OPEN)
        return self._open(0)

    def _start_unnamed(self, event: Event) -> bytes:
        """The upstream said nothing about itself before its first content."""
        return self._start(Started()) + self.write(event)

    def _open(self, candidate: int) -> bytes:
        self._choices[candidate] = choice = ChoiceWriter(self._answer, candidate)
        return choice.opening()

    def _write_text(self, event: TextDelta) -> bytes:
        choice = self._choices.get(event.candidate)
        if choice is None or choice.stopped:
            return self._write_content(event)
        return choice.text(event) if event.text else b""

    def _write_content(self, event: Any) -> bytes:
        """Whatever belongs to one choice; the first of it opens the choice."""
        opening = b"" if event.candidate in self._choices else self._open(event.candidate)
        choice = self._choices[event.candidate]
        if choice.stopped:
            return self._break()
        try:
            return opening + choice.write(event)
        except OutOfOrderError:
            return opening + self._break()
        except UpstreamError as error:
            return opening + self._fault(Fault(error.error))

    def _end_block(self, event: BlockEnded) -> bytes:
        choice = self._choices.get(event.candidate)
        return b"" if choice is None or choice.stopped else choice.write(event)

    def _note(self, event: VendorDelta) -> bytes:
        choice = self._choices.get(event.candidate)
        if choice is None or not choice.stopped:
            return self._write_content(event)
        return b""

    def _meter(self, event: Metered) -> bytes:
        self._usage = self._usage.updated(event.usage)
        self._service_tier = known_tier(event.service_tier) or self._service_tier
        return b""

    def _ping(self, _: Ping) -> bytes:
        return _PING

    def _ignore(self, _: Lost) -> bytes:
        return b""

    def _end(self, _: Ended) -> bytes:
        if not all(choice.stopped for choice in self._choices.values()):
            return self._break()
        self._enter(_State.CLOSED)
        if not self._request.include_usage or self._usage == NO_USAGE:
            return _DONE
        chunk = {**self._answer.head, "choices": [], "usage": usage_object(self._usage)}
        if self._service_tier is not None:
            chunk["service_tier"] = self._service_tier
        return sse.encode(_encode(chunk)) + _DONE

    def _fault(self, event: Fault) -> bytes:
        self._enter(_State.CLOSED)
        return error_event(event.error)

    _ANYWHERE: ClassVar[dict[type, Callable[["ChunkWriter", Any], bytes]]] = {
        Metered: _meter,
        BlockEnded: _end_block,
        Lost: _ignore,
        Ping: _ping,
        Fault: _fault,
    }
    _LEGAL: ClassVar[Mapping[_State, Mapping[type, Callable[["ChunkWriter", Any], bytes]]]] = {
        _State.NEW: {
            Started: _start,
            TextDelta: _start_unnamed,
            CitationDelta: _start_unnamed,
            ThinkingDelta: _start_unnamed,
            ToolStarted: _start_unnamed,
            LogprobsDelta: _start_unnamed,
            VendorDelta: _start_unnamed,
            Stopped: _start_unnamed,
            **_ANYWHERE,
        },
        _State.OPEN: {
            TextDelta: _write_text,
            CitationDelta: _write_content,
            ThinkingDelta: _write_content,
            ToolStarted: _write_content,
            ArgumentsDelta: _write_content,
            LogprobsDelta: _write_content,
            VendorDelta: _note,
            Stopped: _write_content,
            Ended: _end,
            **_ANYWHERE,
        },
        _State.CLOSED: {},
    }
