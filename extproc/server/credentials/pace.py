"""When to fetch again: time is passed in, and chance as a draw from [0, 1). All times are seconds."""

from collections.abc import Callable
from dataclasses import dataclass
from random import random
from typing import Final

#: A credential that does not say how long it lives (keys in an environment or a shared file) is looked up this often.
_UNKNOWN_LIFE_S: Final = 300.0
_EARLIEST, _LATEST = 0.7, 0.8
_MARGIN_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How soon to refresh and how long to wait after failures.

    Between 70 and 80 % of the remaining life: each worker and backend draws its own moment, and a one-hour token leaves
    twelve minutes for retries. Metadata services answer with the token they have until it is almost over, so that the
    remaining life shrinks; ``least`` keeps that from becoming a storm.
    """

    least: float = 5.0
    first_retry: float = 1.0
    longest_retry: float = 60.0
    draw: Callable[[], float] = random

    def refresh_in(self, now: float, expires_at: float | None, draw: float) -> float:
        """How long to leave a fetched credential alone."""
        life = _UNKNOWN_LIFE_S if expires_at is None else expires_at - now
        return max(self.least, life * (_EARLIEST + (_LATEST - _EARLIEST) * draw))

    def margin(self, now: float, expires_at: float | None) -> float:
        """How long before its end a fresh credential is let go: a request is on its way for a while, and clocks differ.

        A short life is not to be eaten up by it: a tenth at most.
        """
        return 0.0 if expires_at is None else min(_MARGIN_S, (expires_at - now) / 10)

    def retry_in(self, failures: int, draw: float) -> float:
        """How long to wait after so many failures in a row (1 or more): twice as long each time, less up to half."""
        doublings = min(failures - 1, 16)
        return min(self.longest_retry, self.first_retry * 2.0**doublings) * (1.0 - 0.5 * draw)
