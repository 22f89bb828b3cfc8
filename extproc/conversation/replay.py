"""A whole answer told as a stream: for a client that asked for one where the upstream did not send one."""

from collections.abc import Iterator, Sequence
from typing import assert_never

from extproc.conversation.events import (
    ArgumentsDelta,
    BlockEnded,
    Ended,
    Event,
    Metered,
    Started,
    Stopped,
    TextDelta,
    ThinkingDelta,
    ToolStarted,
)
from extproc.conversation.request import Text, Thinking, ToolCall
from extproc.conversation.response import Response


def events_of(response: Response) -> Sequence[Event]:
    """The legal sequence of events (see ``conversation.events``) that amounts to ``response``."""
    events: list[Event] = [Started(response.id, response.model)]
    for index, block in enumerate(response.blocks):
        told = list(_block(index, block))
        if told:
            events += [*told, BlockEnded(index)]
    events += [
        Stopped(response.stop, response.native_stop),
        Metered(response.usage, response.service_tier),
        Ended(),
    ]
    return events


def _block(index: int, block: Text | Thinking | ToolCall) -> Iterator[Event]:
    match block:
        case Text(text=text):
            if text:
                yield TextDelta(index, text)
        case ToolCall(id=call_id, name=name, arguments=arguments):
            yield ToolStarted(index, call_id, name)
            yield ArgumentsDelta(index, arguments)
        case Thinking(text=text, signature=signature, redacted=redacted):
            if text:
                yield ThinkingDelta(index, text)
            if signature is not None or redacted is not None:
                yield ThinkingDelta(index, signature=signature, redacted=redacted)
        case _:
            assert_never(block)
