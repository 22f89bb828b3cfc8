"""Token counts in Anthropic's words, where ``input_tokens`` leaves out what was read from and written to the cache.

Source: anthropic-python 2.12 ``types/usage`` and ``types/message_delta_usage``, read 2026-11-22. The counts of a stream
are cumulative, and an absent one changes nothing.
"""

from typing import Any, Final

from msgspec import Struct

from extproc.conversation.response import NO_USAGE, Usage, maybe_count

_TIERS: Final = {"standard": "default", "priority": "priority"}
_NATIVE_TIERS: Final = {"standard": "standard", "default": "standard", "priority": "priority", "batch": "batch"}


class Counts(Struct, frozen=True, gc=False):
    """What the upstream said, in its own words; None is "not said"."""

    fresh: int | None = None
    read: int | None = None
    written: int | None = None
    written_1h: int | None = None
    output: int | None = None
    thinking: int | None = None

    def updated(self, later: "Counts") -> "Counts":
        """The later word wins field by field."""
        return Counts(
            *(new if new is not None else old for old, new in zip(_values(self), _values(later), strict=True))
        )

    def neutral(self) -> Usage:
        """Every prompt token in ``input_tokens``."""
        if self == _NOTHING:
            return NO_USAGE
        prompt = None if self.fresh is None else maybe_count(self.fresh + (self.read or 0) + (self.written or 0))
        total = None if prompt is None or self.output is None else maybe_count(prompt + self.output)
        return Usage(
            input_tokens=prompt,
            output_tokens=self.output,
            total_tokens=total,
            cached_input_tokens=self.read,
            cache_write_tokens=self.written,
            reasoning_tokens=self.thinking,
            cache_write_1h_tokens=self.written_1h,
        )


def _values(counts: Counts) -> tuple[int | None, ...]:
    return counts.fresh, counts.read, counts.written, counts.written_1h, counts.output, counts.thinking


_NOTHING: Final = Counts()


def read_counts(value: Any) -> Counts:
    """A ``usage`` object; what cannot be a count is not known."""
    if not isinstance(value, dict):
        return _NOTHING
    by_age, details = value.get("cache_creation"), value.get("output_tokens_details")
    return Counts(
        fresh=maybe_count(value.get("input_tokens")),
        read=maybe_count(value.get("cache_read_input_tokens")),
        written=maybe_count(value.get("cache_creation_input_tokens")),
        written_1h=_maybe(by_age, "ephemeral_1h_input_tokens"),
        output=maybe_count(value.get("output_tokens")),
        thinking=_maybe(details, "thinking_tokens"),
    )


def read_tier(value: Any) -> str | None:
    """``usage.service_tier`` in OpenAI's words, which the neutral form uses."""
    return _TIERS.get(value.get("service_tier", "")) if isinstance(value, dict) else None


def known_tier(service_tier: str | None) -> bool:
    """Whether Anthropic has a word for the tier, or none is said."""
    return service_tier is None or service_tier in _NATIVE_TIERS


def write_usage(usage: Usage, service_tier: str | None = None) -> dict[str, Any]:
    """A message's ``usage``. Overlapping cache counts ("unadjusted" ones) never make a negative rest."""
    written = usage.cache_write_tokens or 0
    counts = write_delta_usage(usage)
    if usage.cache_write_1h_tokens is not None:
        long = min(usage.cache_write_1h_tokens, written)
        counts["cache_creation"] = {"ephemeral_5m_input_tokens": written - long, "ephemeral_1h_input_tokens": long}
    if tier := _NATIVE_TIERS.get(service_tier or ""):
        counts["service_tier"] = tier
    return counts


def write_delta_usage(usage: Usage) -> dict[str, Any]:
    """The ``usage`` of a ``message_delta``, cumulative."""
    read, written = usage.cached_input_tokens or 0, usage.cache_write_tokens or 0
    counts: dict[str, Any] = {
        "input_tokens": max(0, (usage.input_tokens or 0) - read - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": usage.output_tokens or 0,
    }
    if usage.reasoning_tokens is not None:
        counts["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return counts


def _maybe(counts: Any, name: str) -> int | None:
    return maybe_count(counts.get(name)) if isinstance(counts, dict) else None
