"""What the two hosts of Gemini share: model ids in paths, and the names of the methods.

Paths: google-genai 3.4 ``_api_client`` and ``models`` (2026-11-22).
"""

from typing import Final

from extproc.platforms.contract import Place
from extproc.platforms.segments import checked_segment

#: ``?alt=sse``, as the other form of a stream is one JSON array, which few proxies pass on before it is whole.
_STREAM: Final = "streamGenerateContent?alt=sse"


def maybe_method(operation: str, place: Place) -> str | None:
    """The method of the model that serves an operation, None when there is none."""
    if operation == "chat":
        return _STREAM if place.stream else "generateContent"
    return "countTokens" if operation == "count_tokens" else None


def quoted_id(model: str, *prefixes: str) -> str:
    """The model's own id as one path segment, without what may stand before it; raises ``ClientError``."""
    for prefix in prefixes:
        model = model.removeprefix(prefix)
    return checked_segment(model, safe="@")
