"""What the exchange may know of the world outside, handed in."""

from collections.abc import Callable

from msgspec import Struct


class Edges(Struct, frozen=True):
    """Randomness in [0, 1), monotonic and Unix seconds, and fresh ids."""

    draw: Callable[[], float]
    now: Callable[[], float]
    wall: Callable[[], float]
    new_id: Callable[[], str]
