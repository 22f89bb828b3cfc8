"""The neutral stream: what an upstream reader yields and a client writer consumes.

Legal order: ``Started`` once; then, block by block, ``ToolStarted`` or the first delta of an unseen ``index`` opens a
block; ``Stopped`` once; ``Metered`` anywhere, cumulative; ``Ended`` last, or ``Fault`` last. A reader that reaches the
end of its bytes without the upstream's own terminator yields ``Fault``, so that a cut answer never looks whole.
"""

from dataclasses import dataclass

from extproc.conversation.errors import ApiError
from extproc.conversation.response import Stop, Usage


@dataclass(frozen=True, slots=True)
class Started:
    """The answer begins; ids as the upstream gives them, None where it has none."""

    id: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More text of block ``index`` (the upstream's index over all blocks)."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class ThinkingDelta:
    """More reasoning of block ``index``: text, its signature (once, whole), or redacted base64."""

    index: int
    text: str = ""
    signature: str | None = None
    redacted: str | None = None


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A tool call opens as block ``index``."""

    index: int
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class ArgumentsDelta:
    """A fragment of the JSON text of the arguments of the call at block ``index``."""

    index: int
    fragment: str


@dataclass(frozen=True, slots=True)
class BlockEnded:
    """Block ``index`` is complete."""

    index: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """Why the model stopped; ``native`` is the upstream's own word."""

    stop: Stop
    native: str


@dataclass(frozen=True, slots=True)
class Metered:
    """Cumulative usage; the last one of a stream is the truth."""

    usage: Usage
    service_tier: str | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The upstream finished its answer properly."""


@dataclass(frozen=True, slots=True)
class Fault:
    """The answer broke off; the client must be told, and nothing may follow."""

    error: ApiError


Event = (
    Started | TextDelta | ThinkingDelta | ToolStarted | ArgumentsDelta | BlockEnded | Stopped | Metered | Ended | Fault
)
