"""A whole answer told as a stream: for a client that asked for one where the upstream did not send one."""

from collections.abc import Iterator, Sequence
from typing import assert_never

from extproc.conversation.events import (
    ArgumentsDelta,
    BlockEnded,
    CitationDelta,
    Ended,
    Event,
    LogprobsDelta,
    Metered,
    Started,
    Stopped,
    TextDelta,
    ThinkingDelta,
    ToolStarted,
    VendorDelta,
)
from extproc.conversation.request import Text, Thinking, ToolCall
from extproc.conversation.response import Candidate, Response


def events_of(response: Response) -> Sequence[Event]:
    """The legal sequence of events (see ``conversation.events``) that amounts to ``response``."""
    first = Candidate(
        0,
        response.blocks,
        response.stop,
        response.native_stop,
        response.explanation,
        response.logprobs,
        response.vendor,
    )
    events: list[Event] = [Started(response.id, response.model)]
    index = 0
    for candidate in (first, *response.others):
        events += _candidate(candidate, index, response.stop_sequence if candidate is first else None)
        index += len(candidate.blocks)
    return [*events, Metered(response.usage, response.service_tier), Ended()]


def _candidate(candidate: Candidate, first_index: int, sequence: str | None) -> Iterator[Event]:
    which = candidate.index
    for index, block in enumerate(candidate.blocks, first_index):
        told = list(_block(index, block, which))
        if told:
            yield from told
            yield BlockEnded(index, which)
    if candidate.logprobs:
        yield LogprobsDelta(candidate.logprobs, which)
    if candidate.vendor:
        yield VendorDelta(candidate.vendor, which)
    yield Stopped(candidate.stop, candidate.native_stop, sequence, candidate.explanation, which)


def _block(index: int, block: Text | Thinking | ToolCall, which: int) -> Iterator[Event]:
    match block:
        case Text(text=text):
            if text:
                yield TextDelta(index, text, which)
                yield from (CitationDelta(index, citation, which) for citation in block.citations)
        case ToolCall(id=call_id, name=name, arguments=arguments, kind=kind):
            yield ToolStarted(index, call_id, name, which, kind)
            yield ArgumentsDelta(index, arguments, which)
        case Thinking(text=text, signature=signature, redacted=redacted):
            if text:
                yield ThinkingDelta(index, text, candidate=which)
            if signature is not None or redacted is not None:
                yield ThinkingDelta(index, signature=signature, redacted=redacted, candidate=which)
        case _:
            assert_never(block)
