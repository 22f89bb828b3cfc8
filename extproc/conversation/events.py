"""The neutral stream: what an upstream reader yields and a client writer consumes.

Legal order: ``Started`` once; then, block by block, ``ToolStarted`` or the first delta of an unseen ``index`` opens a
block; ``Stopped`` once; ``Metered`` anywhere, cumulative; ``Ended`` last, or ``Fault`` last. A reader that reaches the
end of its bytes without the upstream's own terminator yields ``Fault``, so that a cut answer never looks whole.
"""

from msgspec import Struct

from extproc.conversation.errors import ApiError
from extproc.conversation.response import Stop, Usage


class Started(Struct, frozen=True, gc=False):
    """The answer begins; ids as the upstream gives them, None where it has none."""

    id: str | None = None
    model: str | None = None


class TextDelta(Struct, frozen=True, gc=False):
    """More text of block ``index`` (the upstream's index over all blocks)."""

    index: int
    text: str


class ThinkingDelta(Struct, frozen=True, gc=False):
    """More reasoning of block ``index``: text, its signature (once, whole), or redacted base64."""

    index: int
    text: str = ""
    signature: str | None = None
    redacted: str | None = None


class ToolStarted(Struct, frozen=True, gc=False):
    """A tool call opens as block ``index``."""

    index: int
    id: str
    name: str


class ArgumentsDelta(Struct, frozen=True, gc=False):
    """A fragment of the JSON text of the arguments of the call at block ``index``."""

    index: int
    fragment: str


class BlockEnded(Struct, frozen=True, gc=False):
    """Block ``index`` is complete."""

    index: int


class Stopped(Struct, frozen=True, gc=False):
    """Why the model stopped; ``native`` is the upstream's own word."""

    stop: Stop
    native: str


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
    Started | TextDelta | ThinkingDelta | ToolStarted | ArgumentsDelta | BlockEnded | Stopped | Metered | Ended | Fault
)
