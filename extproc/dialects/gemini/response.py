"""A whole answer, which may also be the JSON array that a stream without server-sent events is."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from extproc.conversation.errors import UpstreamError
from extproc.conversation.events import (
    ArgumentsDelta,
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
from extproc.conversation.request import Text, Thinking, ToolCall
from extproc.conversation.response import NO_USAGE, Candidate, Response, Stop, TokenLogprob
from extproc.dialects.gemini.answer import AnswerReader
from extproc.dialects.gemini.errors import bad_answer

_PIECES = msgspec.json.Decoder(list[msgspec.Raw])


def read_response(body: bytes) -> Response:
    """The answer in neutral form.

    Raises ``UpstreamError`` for a body that is no answer, for an error that came as a 200, and for an answer of which
    the model made nothing.
    """
    pieces, is_stream = _pieces(body)
    reader = AnswerReader()
    events = [event for piece in pieces for event in reader.read(piece)]
    events += reader.finish(cut_without_reason=is_stream)
    return _folded(events)


def _pieces(body: bytes) -> tuple[Sequence[bytes], bool]:
    if not body.lstrip().startswith(b"["):
        return (body,), False
    try:
        return [bytes(piece) for piece in _PIECES.decode(body)], True
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_answer(f"its body cannot be read: {error}") from error


@dataclass(slots=True)
class _Answer:
    """One candidate being put together. A block is the pieces of its text, or what it is once it is whole."""

    blocks: dict[int, Text | Thinking | ToolCall] = field(default_factory=dict)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    vendor: dict[str, Any] = field(default_factory=dict)
    stop: Stopped = field(default_factory=lambda: Stopped(Stop.UNKNOWN, ""))


def _folded(events: Sequence[Event]) -> Response:
    answers: dict[int, _Answer] = {}
    started, usage, tier = Started(), NO_USAGE, None
    losses: list[str] = []
    for event in events:
        match event:
            case Fault(error=error):
                raise UpstreamError(error)
            case Started():
                started = event
            case Metered():
                usage, tier = usage.updated(event.usage), event.service_tier
            case Lost(path=path):
                losses.append(path)
            case TextDelta() | ThinkingDelta() | ToolStarted() | ArgumentsDelta():
                _add_block(answers.setdefault(event.candidate, _Answer()).blocks, event)
            case LogprobsDelta():
                answers.setdefault(event.candidate, _Answer()).logprobs += event.entries
            case VendorDelta():
                answers.setdefault(event.candidate, _Answer()).vendor.update(event.fields)
            case Stopped():
                answers.setdefault(event.candidate, _Answer()).stop = event
            case _:
                pass
    first, *others = (_candidate(number, answers[number]) for number in sorted(answers))
    return Response(
        blocks=first.blocks,
        stop=first.stop,
        native_stop=first.native_stop,
        usage=usage,
        id=started.id,
        model=started.model,
        service_tier=tier,
        losses=tuple(losses),
        explanation=first.explanation,
        logprobs=first.logprobs,
        others=tuple(others),
        vendor=first.vendor,
    )


def _add_block(
    blocks: dict[int, Text | Thinking | ToolCall], event: TextDelta | ThinkingDelta | ToolStarted | ArgumentsDelta
) -> None:
    known = blocks.get(event.index)
    match event:
        case TextDelta(text=text):
            blocks[event.index] = Text(known.text + text if isinstance(known, Text) else text)
        case ThinkingDelta(text=text, signature=signature):
            before = known if isinstance(known, Thinking) else Thinking("")
            blocks[event.index] = Thinking("", before.text + text, signature or before.signature)
        case ToolStarted():
            blocks[event.index] = ToolCall("", event.id, event.name, "")
        case ArgumentsDelta(fragment=fragment):
            if isinstance(known, ToolCall):
                blocks[event.index] = ToolCall("", known.id, known.name, known.arguments + fragment)


def _candidate(number: int, answer: _Answer) -> Candidate:
    return Candidate(
        index=number,
        blocks=tuple(answer.blocks.values()),
        stop=answer.stop.stop,
        native_stop=answer.stop.native,
        explanation=answer.stop.explanation,
        logprobs=tuple(answer.logprobs) or None,
        vendor=answer.vendor or None,
    )
