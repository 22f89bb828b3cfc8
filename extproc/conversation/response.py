"""The neutral answer: blocks, why it stopped, and what it used."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct

from extproc.conversation.request import Text, Thinking, ToolCall


class Stop(StrEnum):
    """Why the model stopped.

    ``REFUSAL`` is the model's own decision, ``FILTERED`` that of a filter around it; ``PAUSED`` is a turn that the
    maker wants to go on with; ``MALFORMED`` is the model's own failure (a broken tool call), not a finished answer.
    """

    END = "end"
    STOP_SEQUENCE = "stop_sequence"
    LENGTH = "length"
    CONTEXT_FULL = "context_full"
    TOOL_CALLS = "tool_calls"
    REFUSAL = "refusal"
    FILTERED = "filtered"
    PAUSED = "paused"
    MALFORMED = "malformed"
    UNKNOWN = "unknown"


#: The answer is cut wherever it stood; the arguments of its last call may be in pieces.
CUT_SHORT: Final = frozenset({Stop.LENGTH, Stop.CONTEXT_FULL, Stop.FILTERED, Stop.REFUSAL})

#: The largest integer that JSON carries safely (https://www.rfc-editor.org/rfc/rfc8259#section-6).
MAX_COUNT: Final = 2**53 - 1


def maybe_count(value: Any) -> int | None:
    """``value`` if it is an integer that can count tokens: from 0 to ``MAX_COUNT``."""
    return value if type(value) is int and 0 <= value <= MAX_COUNT else None


class Usage(Struct, frozen=True, gc=False):
    """Token counts. None means "not said", which is not zero.

    ``input_tokens`` is every prompt token, cached and cache-written ones included; ``output_tokens`` includes
    reasoning. ``cache_write_1h_tokens`` is the part of ``cache_write_tokens`` that was written for an hour.
    ``modalities`` splits ``input_tokens`` by ``text``, ``image``, ``audio``, ``video`` and ``document``.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    modalities: Mapping[str, int] | None = None

    def updated(self, later: "Usage") -> "Usage":
        """Cumulative counts: the later word wins field by field, and silence changes nothing."""
        return Usage(
            later.input_tokens if later.input_tokens is not None else self.input_tokens,
            later.output_tokens if later.output_tokens is not None else self.output_tokens,
            later.total_tokens if later.total_tokens is not None else self.total_tokens,
            later.cached_input_tokens if later.cached_input_tokens is not None else self.cached_input_tokens,
            later.cache_write_tokens if later.cache_write_tokens is not None else self.cache_write_tokens,
            later.reasoning_tokens if later.reasoning_tokens is not None else self.reasoning_tokens,
            later.cache_write_1h_tokens if later.cache_write_1h_tokens is not None else self.cache_write_1h_tokens,
            later.modalities if later.modalities is not None else self.modalities,
        )


#: The usage of an exchange of which nothing is known yet.
NO_USAGE = Usage()


class TokenLogprob(Struct, frozen=True):
    """One token with its natural logarithm of probability, and the likeliest ones at its place."""

    token: str
    logprob: float
    bytes: tuple[int, ...] | None = None
    top: tuple["TokenLogprob", ...] = ()


class Candidate(Struct, frozen=True):
    """One of several answers to one request (``n``), beside the first one."""

    index: int
    blocks: tuple[Text | Thinking | ToolCall, ...]
    stop: Stop
    native_stop: str
    explanation: str | None = None
    logprobs: tuple[TokenLogprob, ...] | None = None
    vendor: Mapping[str, Any] | None = None


class Response(Struct, frozen=True):
    """One whole answer. ``id`` and ``model`` are the upstream's words, None where it has none.

    ``stop_sequence`` is the one that was met; ``explanation`` what a refusal or filter says of itself; ``vendor`` holds
    the maker's own members beside the answer (safety ratings, grounding), by the name under which a client gets them.
    """

    blocks: tuple[Text | Thinking | ToolCall, ...]
    stop: Stop
    native_stop: str
    usage: Usage
    id: str | None = None
    model: str | None = None
    service_tier: str | None = None
    #: Paths of the upstream's answer that the neutral form cannot hold (``output.message.content[1].image``).
    losses: tuple[str, ...] = ()
    stop_sequence: str | None = None
    explanation: str | None = None
    logprobs: tuple[TokenLogprob, ...] | None = None
    others: tuple[Candidate, ...] = ()
    vendor: Mapping[str, Any] | None = None
