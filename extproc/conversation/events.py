"""The neutral stream: what an upstream reader yields and a client writer consumes.

Legal order: ``Started`` once; then, block by block, ``ToolStarted`` or the first delta of an unseen ``index`` opens a
block; ``Stopped`` once; ``Metered`` anywhere, cumulative; ``Ended`` last, or ``Fault`` last. A reader that reaches the
end of its bytes without the upstream's own terminator yields ``Fault``, so that a cut answer never looks whole.

``index`` is unique over all blocks of the stream; ``candidate`` says to which of several answers (``n``) it belongs.
The blocks of one candidate come one after the other; a reader holds back what its upstream interleaves.
"""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from extproc.conversation.errors import ApiError
from extproc.conversation.request import Citation
from extproc.conversation.response import Stop, TokenLogprob, Usage


class Started(Struct, frozen=True, gc=False):
    """The answer begins; ids as the upstream gives them, None where it has none."""

    id: str | None = None
    model: str | None = None


class TextDelta(Struct, frozen=True, gc=False):
    """More text of block ``index`` (the upstream's index over all blocks)."""

    index: int
    text: str
    candidate: int = 0


class CitationDelta(Struct, frozen=True, gc=False):
    """A source of the text of block ``index``."""

    index: int
    citation: Citation
    candidate: int = 0


class ThinkingDelta(Struct, frozen=True, gc=False):
    """More reasoning of block ``index``: text, its signature (once, whole), or redacted base64."""

    index: int
    text: str = ""
    signature: str | None = None
    redacted: str | None = None
    candidate: int = 0


class ToolStarted(Struct, frozen=True, gc=False):
    """A tool call opens as block ``index``; ``kind`` custom: its arguments are plain text."""

    index: int
    id: str
    name: str
    candidate: int = 0
    kind: Literal["function", "custom"] = "function"


class ArgumentsDelta(Struct, frozen=True, gc=False):
    """A fragment of the JSON text of the arguments of the call at block ``index``."""

    index: int
    fragment: str
    candidate: int = 0


class BlockEnded(Struct, frozen=True, gc=False):
    """Block ``index`` is complete."""

    index: int
    candidate: int = 0


class Stopped(Struct, frozen=True, gc=False):
    """Why the model stopped; ``native`` is the upstream's own word, ``sequence`` the stop sequence that was met."""

    stop: Stop
    native: str
    sequence: str | None = None
    explanation: str | None = None
    candidate: int = 0


class LogprobsDelta(Struct, frozen=True, gc=False):
    """The probabilities of the tokens of the last text."""

    entries: tuple[TokenLogprob, ...]
    candidate: int = 0


class VendorDelta(Struct, frozen=True, gc=False):
    """The maker's own members beside the answer; a later one of the same name replaces the earlier."""

    fields: Mapping[str, Any]
    candidate: int = 0


class Lost(Struct, frozen=True, gc=False):
    """Something of the upstream's stream, by its path there, that the neutral form cannot hold."""

    path: str


class Ping(Struct, frozen=True, gc=False):
    """The upstream is still there, and says nothing."""


class Metered(Struct, frozen=True, gc=False):
    """Cumulative usage; the last one of a stream is the truth."""

    usage: Usage
    service_tier: str | None = None


class Ended(Struct, frozen=True, gc=False):
    """The upstream finished its answer properly."""


class Fault(Struct, frozen=True, gc=False):
    """The answer broke off; the client must be told, and nothing may follow."""

    error: ApiError


Event = (
    Started
    | TextDelta
    | CitationDelta
    | ThinkingDelta
    | ToolStarted
    | ArgumentsDelta
    | BlockEnded
    | LogprobsDelta
    | VendorDelta
    | Stopped
    | Metered
    | Lost
    | Ping
    | Ended
    | Fault
)
