"""One choice of a stream of chunks: the constant bytes around each kind of piece, made once."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

import msgspec

from extproc.conversation import custom_tools
from extproc.conversation.events import (
    ArgumentsDelta,
    BlockEnded,
    CitationDelta,
    LogprobsDelta,
    Stopped,
    TextDelta,
    ThinkingDelta,
    ToolStarted,
    VendorDelta,
)
from extproc.conversation.request import Thinking
from extproc.dialects.openai.carrier import Seal, bare_entry, entry, extra_content, signs_calls
from extproc.dialects.openai.response import finish_reason, logprobs_object, maybe_annotation, vendor_members
from extproc.wire import sse

#: Stands for a text in the template of a chunk. Nothing but constants follows it there, so its last place is the one.
_HOLE: Final = "\N{OBJECT REPLACEMENT CHARACTER}"
_encode: Final = msgspec.json.Encoder().encode
_HOLE_JSON: Final = _encode(_HOLE)


class OutOfOrderError(Exception):
    """An event that is not legal where it came."""


class Answer:
    """What all choices of one answer have in common.

    Attributes:
        head: the members that every chunk has.
        origin: whose the reasoning is.
        customs: the names of the tools that take a text.
        legacy: whether calls are told in the deprecated form.
        sealing: whether a choice without reasoning is sealed all the same.
    """

    __slots__ = ("_include_usage", "customs", "head", "legacy", "origin", "sealing")

    def __init__(
        self,
        head: Mapping[str, Any],
        *,
        include_usage: bool,
        origin: str = "",
        customs: frozenset[str] = frozenset(),
        legacy: bool = False,
        sealing: bool = False,
    ) -> None:
        self.head = head
        self.origin = origin
        self.customs = customs
        self.legacy = legacy
        self.sealing = sealing
        self._include_usage = include_usage

    def chunk(self, index: int, delta: Mapping[str, Any], reason: str | None = None, logprobs: Any = None) -> bytes:
        """The chunk of one choice."""
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        chunk: dict[str, Any] = {**self.head, "choices": [choice]}
        if self._include_usage:
            chunk["usage"] = None
        return sse.encode(_encode(chunk))


class _Call:
    """One call: the constant bytes around a fragment of its arguments, and how far it has come.

    ``custom``: a call with a text, which is told at its end. ``seen`` takes down what the client gets.
    """

    __slots__ = ("custom", "empty", "ended", "fragments", "head", "position", "seen", "tail")

    def __init__(self, position: int, head: bytes, tail: bytes, seen: list[str], *, custom: bool) -> None:
        self.position = position
        self.head = head
        self.tail = tail
        self.seen = seen
        self.custom = custom
        self.fragments: list[str] = []
        self.empty = True
        self.ended = False


class _Thinking:
    """One block of reasoning: its position among them, and the constant bytes around both places of its text."""

    __slots__ = ("head", "middle", "position", "tail")

    def __init__(self, position: int, head: bytes, middle: bytes, tail: bytes) -> None:
        self.position = position
        self.head = head
        self.middle = middle
        self.tail = tail


class ChoiceWriter:
    """Writes the chunks of one choice. ``stopped``: it has its finish reason, and nothing may follow."""

    __slots__ = (
        "_annotations",
        "_answer",
        "_calls",
        "_closing",
        "_index",
        "_last_type",
        "_seal",
        "_signature",
        "_text_head",
        "_text_tail",
        "_thinking",
        "stopped",
    )

    def __init__(self, answer: Answer, index: int) -> None:
        self._answer = answer
        self._index = index
        self.stopped = False
        self._text_head, self._text_tail = _cut(self._chunk({"content": _HOLE}))
        #: By the upstream's block index; None for a call that the deprecated form has no room for.
        self._calls: dict[int, _Call | None] = {}
        self._thinking: dict[int, _Thinking] = {}
        #: The type of the last block of reasoning: a later piece with another one would turn it into that.
        self._last_type = ""
        self._seal = Seal()
        #: What is told just before the finish reason, once: lists without an ``index`` cannot come in pieces.
        self._closing: dict[str, Any] = {}
        self._annotations: list[tuple[int, CitationDelta]] = []
        #: A signature that belongs to the next thing said or called.
        self._signature: str | None = None

    def opening(self) -> bytes:
        """The first chunk."""
        return self._chunk({"role": "assistant", "content": ""})

    def text(self, event: TextDelta) -> bytes:
        """More text, which is not empty."""
        self._seal.text(event.index, event.text)
        if self._signature is not None:
            self._sign_message()
        return self._text_head + _encode(event.text) + self._text_tail

    def write(self, event: Any) -> bytes:
        """The chunks of any other event. Raises ``OutOfOrderError``, and ``UpstreamError`` for a malformed answer."""
        return self._WRITERS[type(event)](self, event)

    def _chunk(self, delta: Mapping[str, Any], reason: str | None = None, logprobs: Any = None) -> bytes:
        return self._answer.chunk(self._index, delta, reason, logprobs)

    def _text(self, event: TextDelta) -> bytes:
        return self.text(event) if event.text else b""

    def _cite(self, event: CitationDelta) -> bytes:
        start, end = self._seal.place(event.index)
        if end and (annotation := maybe_annotation(event.citation, start, end)) is not None:
            self._closing.setdefault("annotations", []).append(annotation)
        return b""

    def _think(self, event: ThinkingDelta) -> bytes:
        if not event.text and event.signature is None and event.redacted is None:
            return b""
        block = self._thinking.get(event.index)
        # A signature with text before it is the thought's own; one without is that of what follows.
        if event.signature and block is None and not event.text and signs_calls(self._answer.origin):
            self._signature = event.signature
        if block is None:
            return self._open_thinking(event)
        if event.signature is None and event.redacted is None:
            text = _encode(event.text)
            return b"".join((block.head, text, block.middle, text, block.tail))
        return self._chunk(self._thought(block.position, event, first=False))

    def _open_thinking(self, event: ThinkingDelta) -> bytes:
        """The first piece of a block alone says its format; the template is for those after it."""
        position = len(self._thinking)
        self._seal.thought()
        piece = {"index": position, "type": "reasoning.text", "text": _HOLE}
        rest, tail = _cut(self._chunk({"reasoning_content": _HOLE, "reasoning_details": [piece]}))
        self._thinking[event.index] = _Thinking(position, *_cut(rest), tail)
        self._last_type = "reasoning.text" if event.redacted is None else "reasoning.encrypted"
        return self._chunk(self._thought(position, event, first=True))

    def _thought(self, position: int, event: ThinkingDelta, *, first: bool) -> dict[str, Any]:
        told = Thinking("", event.text, event.signature, event.redacted)
        written = entry(position, told, self._answer.origin)
        if not first:
            del written["format"]
            if not event.text:
                written.pop("text", None)
        shown: dict[str, Any] = {"reasoning_content": event.text} if event.text else {}
        return {**shown, "reasoning_details": [written]}

    def _open_call(self, event: ToolStarted) -> bytes:
        if event.index in self._calls:
            raise OutOfOrderError
        if self._answer.legacy:
            return self._open_function_call(event)
        position, custom = len(self._calls), event.name in self._answer.customs
        fragment = {"index": position, "function": {"arguments": _HOLE}}
        seen = self._seal.call(event.id, event.name)
        self._calls[event.index] = _Call(position, *_cut(self._chunk({"tool_calls": [fragment]})), seen, custom=custom)
        call: dict[str, Any] = {"index": position, "id": event.id}
        if custom:
            call |= {"type": "custom", "custom": {"name": event.name, "input": ""}}
        else:
            call |= {"type": "function", "function": {"name": event.name, "arguments": ""}}
        if self._signature is not None:
            call["extra_content"] = extra_content(self._signature, self._answer.origin)
            self._signature = None
        return self._chunk({"tool_calls": [call]})

    def _open_function_call(self, event: ToolStarted) -> bytes:
        """The deprecated form holds one call; the model repeats the others once it sees the first result."""
        if self._calls:
            self._calls[event.index] = None
            return b""
        head, tail = _cut(self._chunk({"function_call": {"arguments": _HOLE}}))
        self._calls[event.index] = _Call(0, head, tail, self._seal.call("", event.name), custom=False)
        return self._chunk({"function_call": {"name": event.name, "arguments": ""}})

    def _write_arguments(self, event: ArgumentsDelta) -> bytes:
        if event.index not in self._calls:
            raise OutOfOrderError
        call = self._calls[event.index]
        if call is None or not event.fragment:
            return b""
        if call.ended:
            raise OutOfOrderError
        call.empty = False
        if call.custom:
            call.fragments.append(event.fragment)
            return b""
        call.seen.append(event.fragment)
        return call.head + _encode(event.fragment) + call.tail

    def _end_block(self, event: BlockEnded) -> bytes:
        call = self._calls.get(event.index)
        return b"" if call is None else self._end_call(call)

    def _end_call(self, call: _Call) -> bytes:
        """A call without arguments has an empty object: clients parse what they get. A text is told whole."""
        if call.ended:
            return b""
        call.ended = True
        if call.custom:
            text = custom_tools.text_of("".join(call.fragments))
            call.seen.append(text)
            return self._chunk({"tool_calls": [{"index": call.position, "custom": {"input": text}}]}) if text else b""
        return call.head + _encode("{}") + call.tail if call.empty else b""

    def _write_logprobs(self, event: LogprobsDelta) -> bytes:
        return self._chunk({}, logprobs=logprobs_object(event.entries))

    def _note(self, event: VendorDelta) -> bytes:
        self._closing |= vendor_members(event.fields, {"role": None, "content": None, "refusal": None})
        return b""

    def _stop(self, event: Stopped) -> bytes:
        reason = finish_reason(event.stop, has_calls=bool(self._calls), legacy=self._answer.legacy)
        ends = [self._end_call(call) for call in self._calls.values() if call is not None]
        if event.explanation:
            self._closing["refusal"] = event.explanation
        if self._signature is not None:
            self._sign_message()
        if self._thinking:
            last = {"index": len(self._thinking) - 1, "type": self._last_type, "id": self._seal.sealed()}
            self._closing["reasoning_details"] = [last]
        elif self._answer.sealing:
            bare = {**bare_entry(self._answer.origin), "id": self._seal.sealed()}
            self._closing["reasoning_details"] = [bare]
        self.stopped = True
        closing = self._chunk(self._closing) if self._closing else b""
        return b"".join((*ends, closing, self._chunk({}, reason)))

    def _sign_message(self) -> None:
        self._closing["extra_content"] = extra_content(self._signature or "", self._answer.origin)
        self._signature = None

    _WRITERS: ClassVar[Mapping[type, Callable[["ChoiceWriter", Any], bytes]]] = {
        TextDelta: _text,
        CitationDelta: _cite,
        ThinkingDelta: _think,
        ToolStarted: _open_call,
        ArgumentsDelta: _write_arguments,
        BlockEnded: _end_block,
        LogprobsDelta: _write_logprobs,
        VendorDelta: _note,
        Stopped: _stop,
    }


def _cut(chunk: bytes) -> tuple[bytes, bytes]:
    """The bytes before and after the last hole."""
    head, _, tail = chunk.rpartition(_HOLE_JSON)
    return head, tail
