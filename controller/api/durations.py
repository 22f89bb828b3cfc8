"""Gateway API durations (https://gateway-api.sigs.k8s.io/geps/gep-2257/, read 2026-11-22)."""

import re

from controller.api.shape import DURATION_PATTERN

_MILLISECONDS = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}


def milliseconds(duration: str) -> int:
    """``1h30m`` as milliseconds. Raises ``ValueError`` for what ``DURATION_PATTERN`` does not allow."""
    if not re.fullmatch(DURATION_PATTERN, duration):
        raise ValueError(f"not a Gateway API duration: {duration[:64]!r}")
    return sum(int(count) * _MILLISECONDS[unit] for count, unit in re.findall(r"([0-9]+)(ms|h|m|s)", duration))


def in_seconds(count_ms: int) -> str:
    """Milliseconds in the form that protobuf's JSON and Envoy take: ``90s``, ``0.250s``."""
    whole, rest = divmod(count_ms, 1_000)
    return f"{whole}.{rest:03d}s" if rest else f"{whole}s"
