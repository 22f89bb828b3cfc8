"""Structured output by a forced tool: the tool that is sent, and its call turned back into content.

While the tool stands in, plain text is held back: a model that explains itself before it calls would break the JSON
that the client asked for. The text comes out after all when the answer turns out not to hold the call.
"""

from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from extproc.conversation.events import (
    ArgumentsDelta,
    BlockEnded,
    CitationDelta,
    Ended,
    Event,
    Fault,
    Stopped,
    TextDelta,
    ToolStarted,
)
from extproc.conversation.request import OutputFormat, Text, Tool, ToolCall
from extproc.conversation.response import Response, Stop

_NAME = "answer_in_json"
_DESCRIPTION = "Gives the final answer. Its arguments are the whole answer; call it exactly once."
_ANY_OBJECT = '{"type":"object"}'


def output_tool(output: OutputFormat, taken: Iterable[str]) -> Tool:
    """The tool to force for ``output``, under a name that none of ``taken`` has."""
    names = set(taken)
    name = _NAME
    while name in names:
        name += "_"
    schema = output.schema if output.kind == "json_schema" and output.schema is not None else _ANY_OBJECT
    return Tool(output.path, name, output.description or _DESCRIPTION, schema)


def unwrapped(response: Response, name: str) -> Response:
    """The answer with the call of the output tool as its text; unchanged when there is none."""
    calls = [block for block in response.blocks if isinstance(block, ToolCall) and block.name == name]
    if not calls:
        return response
    others = any(isinstance(block, ToolCall) and block.name != name for block in response.blocks)
    blocks = tuple(
        Text(calls[0].arguments) if block is calls[0] else block
        for block in response.blocks
        if block is calls[0] or not (isinstance(block, Text) or block in calls)
    )
    stop = Stop.END if response.stop is Stop.TOOL_CALLS and not others else response.stop
    lost = ("output.message.content[].text",) if any(isinstance(block, Text) for block in response.blocks) else ()
    return replace(response, blocks=blocks, stop=stop, losses=response.losses + lost)


class OutputToolStream:
    """Does to a stream of events what ``unwrapped`` does to a whole answer."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._held: list[Event] = []
        self._text: set[int] = set()
        self._output: int | None = None
        self._ignored: set[int] = set()
        self._others = False

    def feed(self, events: Sequence[Event]) -> list[Event]:
        """The events for the client."""
        return [out for event in events for out in self._one(event)]

    def _one(self, event: Event) -> Iterator[Event]:
        match event:
            case ToolStarted(index=index, name=name):
                yield from self._tool_started(event, index, name)
            case ArgumentsDelta(index=index, fragment=fragment) if index == self._output:
                yield TextDelta(index, fragment)
            case TextDelta(index=index) | CitationDelta(index=index):
                self._text.add(index)
                if self._output is None:
                    self._held.append(event)
            case BlockEnded(index=index) if index in self._text:
                if self._output is None:
                    self._held.append(event)
            case ArgumentsDelta(index=index) | BlockEnded(index=index) if index in self._ignored:
                pass
            case Stopped(stop=stop, native=native):
                yield from self._released()
                answered = self._output is not None and not self._others
                yield Stopped(Stop.END, native) if answered and stop is Stop.TOOL_CALLS else event
            case Fault() | Ended():
                yield from self._released()
                yield event
            case _:
                yield event

    def _tool_started(self, event: Event, index: int, name: str) -> Iterator[Event]:
        if name != self._name:
            self._others = True
            yield event
        elif self._output is None:
            self._output = index
            self._held.clear()
        else:
            self._ignored.add(index)

    def _released(self) -> list[Event]:
        held, self._held = self._held, []
        return held
