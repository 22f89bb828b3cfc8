"""What of an answer Anthropic's clients cannot be told."""

from typing import Final

from extproc.conversation.events import CitationDelta, Event, LogprobsDelta, Metered
from extproc.conversation.request import Text
from extproc.conversation.response import Response
from extproc.dialects.anthropic.citations import maybe_written
from extproc.dialects.anthropic.client.response import cut_calls
from extproc.dialects.anthropic.usage import known_tier

_ORDINARY: Final = (None, "default")


def untold(response: Response) -> tuple[str, ...]:
    """The paths, by the neutral names, of a whole answer: calls in pieces, and what has no place in the form."""
    found = [f"blocks[{position}].arguments" for position in cut_calls(response)]
    for position, block in enumerate(response.blocks):
        if isinstance(block, Text) and any(maybe_written(citation) is None for citation in block.citations):
            found.append(f"blocks[{position}].citations")
    if response.logprobs:
        found.append("logprobs")
    if not known_tier(response.service_tier):
        found.append("service_tier")
    return tuple(found)


def untold_event(event: Event) -> str | None:
    """The path of one event of a stream, None when all of it is told.

    Calls in pieces are told there; a tier is not, as its place is in the first event, before the upstream says it.
    """
    if isinstance(event, CitationDelta) and maybe_written(event.citation) is None:
        return f"blocks[{event.index}].citations"
    if isinstance(event, LogprobsDelta):
        return "logprobs"
    return "service_tier" if isinstance(event, Metered) and event.service_tier not in _ORDINARY else None
