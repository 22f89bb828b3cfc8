"""What Gemini answers, piece by piece: a whole answer is a stream of one piece, and gives the same events.

Rules, each with its source in google-genai 3.4 ``types``, ai.google.dev/gemini-api/docs/thought-signatures, or the
threads named (2026-11-22):

1. A text part goes on with the text before it, unless either is signed: a signed part stays what it is.
2. A call comes whole, and parallel calls come in pieces of their own; each is a new block.
3. A signature is the block before the part that it signs, and the last block when its part has no text
   (``signatures``). It often comes last of all, in a part of empty text.
4. The last ``finishReason`` is the one that counts: older models say STOP in every piece. So it is told at the end of
   the bytes, which is the only end that there is. Bytes that end without any are a cut answer.
5. Usage counts are running totals, and early pieces say less (BerriAI/litellm, envoyproxy/ai-gateway #1829).
6. A blocked prompt is a 200 without candidates; one that is found out late cuts the answer.
7. Code that the service ran itself is text (``code``). An answer that holds nothing else that could be told is none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal

import msgspec

from extproc.conversation.errors import ApiError, Kind
from extproc.conversation.events import (
    ArgumentsDelta,
    BlockEnded,
    Ended,
    Event,
    Fault,
    LogprobsDelta,
    Lost,
    Metered,
    Started,
    Stopped,
    TextDelta,
    ThinkingDelta,
    ToolStarted,
    VendorDelta,
)
from extproc.conversation.response import CUT_SHORT, Stop, TokenLogprob
from extproc.dialects.gemini import signatures
from extproc.dialects.gemini.code import maybe_fenced
from extproc.dialects.gemini.errors import read_fault
from extproc.dialects.gemini.ids import made_up_id
from extproc.dialects.gemini.shapes import (
    STOPS,
    TRAFFIC_TYPE,
    UNKNOWN,
    Answer,
    Candidate,
    FunctionCall,
    Logprobs,
    Part,
    UsageMetadata,
)
from extproc.dialects.gemini.tolerance import read_tolerantly
from extproc.wire import jsontext

_DECODER = msgspec.json.Decoder(Answer)
#: The proto's default value, which says nothing.
_NO_REASON: Final = "BLOCK_REASON_UNSPECIFIED"
#: What OpenAI says of a token that is not among the likeliest; JSON has no infinity.
_UNLIKELY: Final = -9999.0


@dataclass(slots=True)
class _Told:
    """One candidate so far. ``block`` is the one that is open; ``held`` a signature whose part had no text."""

    number: int
    block: int = -1
    kind: Literal["", "text", "thought"] = ""
    held: str | None = None
    called: bool = False
    said: bool = False
    finish: str | None = None
    message: str | None = None
    lost: str | None = None

    def is_unreadable(self) -> bool:
        """Whether there was something, and nothing of it could be told."""
        return self.lost is not None and self.block < 0 and not self.called

    def is_empty(self) -> bool:
        """Whether nothing was told, not even why."""
        return self.finish is None and self.block < 0 and not self.called


class AnswerReader:
    """The state of one answer. No events follow ``Ended`` or ``Fault``."""

    def __init__(self) -> None:
        self.over = False
        self._out: list[Event] = []
        self._started = False
        self._seed = b""
        self._blocks = 0
        self._calls = 0
        self._told: dict[int, _Told] = {}
        self._blocked: tuple[str, str | None] | None = None
        self._usage = UsageMetadata()

    def read(self, piece: bytes) -> Sequence[Event]:
        """The events of one piece (a JSON text). A piece that cannot be read, or is an error, is a ``Fault``."""
        if self.over:
            return ()
        try:
            answer = self._decoded(piece)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return self.fail(f"Gemini sent an answer that cannot be read: {error}")
        if answer.error is not None:
            return self._end(Fault(read_fault(answer.error)))
        if not self._started:
            self._started = True
            self._seed = sha256(piece).digest()
            self._out.append(Started(answer.response_id, answer.model_version))
        feedback = answer.prompt_feedback
        if feedback is not None and feedback.block_reason and feedback.block_reason != _NO_REASON:
            self._blocked = feedback.block_reason, feedback.block_reason_message
        for candidate in answer.candidates or ():
            self._candidate(candidate)
        if answer.usage_metadata is not None:
            self._metered(answer.usage_metadata)
        return self._taken()

    def finish(self, *, cut_without_reason: bool = True) -> Sequence[Event]:
        """The end of the bytes.

        ``cut_without_reason``: an answer without ``finishReason`` is one that broke off, not one whose reason has its
        default value.
        """
        if self.over:
            return ()
        if self._blocked is not None and all(told.is_empty() for told in self._told.values()):
            reason, message = self._blocked
            self._out.append(Stopped(Stop.FILTERED, reason, explanation=message or f"the prompt was blocked: {reason}"))
            return self._end(Ended())
        if not self._told:
            return self.fail("the answer from Gemini holds no candidate")
        if self._blocked is None and cut_without_reason and any(told.finish is None for told in self._told.values()):
            return self.fail("the stream from Gemini ended before the answer did")
        for number in sorted(self._told):
            told = self._told[number]
            self._close(told)
            if told.held is not None:
                self._signed(told, told.held)
            stopped = self._stopped(told)
            if isinstance(stopped, str):
                return self.fail(stopped)
            self._out.append(stopped)
        return self._end(Ended())

    def _decoded(self, piece: bytes) -> Answer:
        try:
            return jsontext.decoded(_DECODER, piece)
        except msgspec.ValidationError:
            answer, lost = read_tolerantly(piece)
        self._out += [Lost(path) for path in lost]
        return answer

    def fail(self, message: str) -> Sequence[Event]:
        """What the gateway itself finds wrong with the answer."""
        return self._end(Fault(ApiError(502, Kind.SERVER, message)))

    def _candidate(self, candidate: Candidate) -> None:
        number = candidate.index or 0
        told = self._told.get(number)
        if told is None:
            told = self._told[number] = _Told(number)
        for part in (candidate.content.parts or ()) if candidate.content is not None else ():
            self._part(told, part)
        if candidate.logprobs_result is not None and (entries := _logprobs(candidate.logprobs_result)):
            self._out.append(LogprobsDelta(entries, number))
        if vendor := candidate.vendor():
            self._out.append(VendorDelta(vendor, number))
        told.finish = candidate.finish_reason or told.finish
        told.message = candidate.finish_message or told.message

    def _part(self, told: _Told, part: Part) -> None:
        text, signature = part.text, part.thought_signature or None
        if text is None and (code := maybe_fenced(part.executable_code, part.code_execution_result)) is not None:
            # What is signed is the code, as which it cannot go back.
            text, signature = code, None
        if text == "" and signature is None and part.function_call is None:
            return
        if told.held is not None:
            self._signed(told, signatures.alone(told.held))
            told.held = None
        if part.function_call is not None:
            self._call(told, part.function_call, signature)
        elif part.thought and text is not None and (text or told.kind == "thought"):
            self._thought(told, text, signature)
        elif text:
            self._text(told, text, signature)
        else:
            self._without_text(told, part, signature)

    def _without_text(self, told: _Told, part: Part, signature: str | None) -> None:
        """A signature that stands alone, or what has no neutral form: images are signed, too."""
        member = part.unread()
        if signature is None or member != UNKNOWN:
            self._lose(told, member)
        if signature is not None:
            self._close(told)
            told.held = signature

    def _lose(self, told: _Told, member: str) -> None:
        told.lost = told.lost or member
        self._out.append(Lost(f"candidates[{told.number}].content.parts[].{member}"))

    def _text(self, told: _Told, text: str, signature: str | None) -> None:
        if signature is not None:
            self._close(told)
            self._signed(told, signature)
        index = self._opened(told, "text")
        told.said = told.said or not text.isspace()
        self._out.append(TextDelta(index, text, told.number))
        if signature is not None:
            self._close(told)

    def _thought(self, told: _Told, text: str, signature: str | None) -> None:
        index = self._opened(told, "thought")
        if text:
            self._out.append(ThinkingDelta(index, text, candidate=told.number))
        if signature is not None:
            self._out.append(ThinkingDelta(index, signature=signature, candidate=told.number))
            told.kind = ""
            self._out.append(BlockEnded(index, told.number))

    def _call(self, told: _Told, call: FunctionCall, signature: str | None) -> None:
        if not call.name:
            self._lose(told, "functionCall")
            return
        self._close(told)
        if signature is not None:
            self._signed(told, signature)
        call_id = call.id or made_up_id(self._seed, self._calls)
        self._calls += 1
        told.called = True
        index = self._next()
        self._out.append(ToolStarted(index, call_id, call.name, told.number))
        self._out.append(ArgumentsDelta(index, _compact(call.args), told.number))
        self._out.append(BlockEnded(index, told.number))

    def _signed(self, told: _Told, signature: str) -> None:
        """A block of its own for the signature of what follows, or of nothing."""
        index = self._next()
        self._out.append(ThinkingDelta(index, signature=signature, candidate=told.number))
        self._out.append(BlockEnded(index, told.number))

    def _opened(self, told: _Told, kind: Literal["text", "thought"]) -> int:
        if told.kind != kind:
            self._close(told)
            told.block, told.kind = self._next(), kind
        return told.block

    def _close(self, told: _Told) -> None:
        if not told.kind:
            return
        if told.kind == "thought":
            unsigned = signatures.UNSIGNED_THOUGHT
            self._out.append(ThinkingDelta(told.block, signature=unsigned, candidate=told.number))
        self._out.append(BlockEnded(told.block, told.number))
        told.kind = ""

    def _next(self) -> int:
        self._blocks += 1
        return self._blocks - 1

    def _metered(self, metadata: UsageMetadata) -> None:
        before, usage = self._usage.traffic_type, self._usage.updated(metadata)
        self._usage = usage
        self._out.append(Metered(usage.neutral(), usage.tier()))
        if metadata.traffic_type and metadata.traffic_type != before:
            self._out.append(VendorDelta({TRAFFIC_TYPE: metadata.traffic_type}))

    def _stopped(self, told: _Told) -> Stopped | str:
        """How it ended, or in words why there is nothing to tell but that."""
        native = told.finish or ""
        stop = STOPS.get(native)
        if self._blocked is not None and stop is not Stop.FILTERED:
            reason, message = self._blocked
            why = message or f"the prompt was blocked: {reason}"
            return Stopped(Stop.FILTERED, reason, explanation=why, candidate=told.number)
        if stop is None:
            # One of several answers may fail without taking the others with it.
            if not (told.called or told.said or len(self._told) > 1):
                told_why = f": {told.message}" if told.message else ""
                return f"the model broke off its answer ({native or 'no reason given'}){told_why}"
            stop = Stop.TOOL_CALLS if told.called else Stop.UNKNOWN
        elif stop is Stop.END and told.called:
            stop = Stop.TOOL_CALLS
        if told.is_unreadable() and stop not in CUT_SHORT and len(self._told) == 1:
            return f"the answer from Gemini holds nothing that can be passed on ({told.lost})"
        explanation = told.message if stop is Stop.FILTERED else None
        return Stopped(stop, native, explanation=explanation, candidate=told.number)

    def _end(self, event: Ended | Fault) -> Sequence[Event]:
        self.over = True
        self._out.append(event)
        return self._taken()

    def _taken(self) -> Sequence[Event]:
        out, self._out = self._out, []
        return out


def _compact(arguments: msgspec.Raw) -> str:
    """The arguments on one line, number literals as they are: Google writes its whole answers over many lines."""
    text = msgspec.json.format(bytes(arguments), indent=-1).decode()
    return "{}" if text == "null" else text


def _logprobs(told: Logprobs) -> tuple[TokenLogprob, ...]:
    """The likeliest tokens go with the chosen one of the same position; lists of other lengths do not fail."""
    tops = told.top_candidates
    return tuple(
        TokenLogprob(
            chosen.token,
            max(_UNLIKELY, chosen.log_probability),
            top=tuple(TokenLogprob(top.token, max(_UNLIKELY, top.log_probability)) for top in tops[at].candidates)
            if at < len(tops)
            else (),
        )
        for at, chosen in enumerate(told.chosen_candidates)
    )
