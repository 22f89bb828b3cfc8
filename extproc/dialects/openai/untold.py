"""What of an answer OpenAI's clients cannot be told.

A citation has a form there only when its source is on the web (openai-python 3.54 ``types/chat``, read 2026-11-22).
"""

from extproc.conversation.events import CitationDelta, Event, Metered
from extproc.conversation.request import Text
from extproc.conversation.response import Response
from extproc.dialects.openai.response import known_tier, maybe_annotation


def untold(response: Response) -> tuple[str, ...]:
    """The paths, by the neutral names, of a whole answer."""
    cited = (
        f"blocks[{position}].citations"
        for position, block in enumerate(response.blocks)
        if isinstance(block, Text) and any(maybe_annotation(citation, 0, 0) is None for citation in block.citations)
    )
    return (*cited, *(() if _tells_tier(response.service_tier) else ("service_tier",)))


def untold_event(event: Event) -> str | None:
    """The path of one event of a stream, None when all of it is told."""
    if isinstance(event, CitationDelta) and maybe_annotation(event.citation, 0, 0) is None:
        return f"blocks[{event.index}].citations"
    if isinstance(event, Metered) and not _tells_tier(event.service_tier):
        return "service_tier"
    return None


def _tells_tier(service_tier: str | None) -> bool:
    return service_tier is None or known_tier(service_tier) is not None
