"""What is not wanted any more, and for how long it stays: until nobody is known to use it, or long after. Pure."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TypeVar

from controller.operator.settings import Settings

Key = TypeVar("Key", bound=tuple[str, ...] | str)


@dataclass(frozen=True, slots=True)
class Ceased:
    """Since when, in seconds of a monotonic clock, and since which revision a part is no longer wanted.

    ``unused_s``: when it was first known that every processor serves that revision.
    """

    revision: int
    since_s: float
    unused_s: float | None = None


def ceased_now(
    unwanted: AbstractSet[Key], before: Mapping[Key, Ceased], revision: int, now_s: float, served: int | None
) -> dict[Key, Ceased]:
    """All that is not wanted in ``revision``. ``served``: what every processor serves at least, None: nobody knows."""
    ceased: dict[Key, Ceased] = {}
    for key in sorted(unwanted):
        left = before.get(key) or Ceased(revision, now_s)
        if left.unused_s is None and served is not None and served >= left.revision:
            left = Ceased(left.revision, left.since_s, now_s)
        ceased[key] = left
    return ceased


def leaves_at(left: Ceased, settings: Settings) -> float:
    """When it may go."""
    latest = left.since_s + settings.removal_s
    return latest if left.unused_s is None else min(latest, left.unused_s + settings.linger_s)


def stays(left: Ceased, settings: Settings, now_s: float) -> bool:
    """Whether somebody may still use it."""
    return now_s < leaves_at(left, settings)


def removal_due(ceased: Mapping[Key, Ceased], settings: Settings) -> float | None:
    """When, by the same clock, the first may go for want of better knowledge; None when nothing waits."""
    return min((leaves_at(left, settings) for left in ceased.values()), default=None)
