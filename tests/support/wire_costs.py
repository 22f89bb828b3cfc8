"""Shows that a cost grows with the size of the input and not with its square, on a busy machine."""

from collections.abc import Callable
from time import process_time


def cpu_seconds(work: Callable[[], object], rounds: int = 3) -> float:
    """The best of some rounds, in CPU seconds of this process."""
    best = float("inf")
    for _ in range(rounds):
        start = process_time()
        work()
        best = min(best, process_time() - start)
    return best


def assert_linear(work: Callable[[int], Callable[[], object]], small: int, factor: int = 8) -> None:
    """`work(size)` prepares a job; one `factor` times the size may cost three times as much more, but no square."""
    little, large = cpu_seconds(work(small)), cpu_seconds(work(small * factor))

    assert large <= 3 * factor * max(little, 1e-4), f"{small}: {little:.6f} s, {small * factor}: {large:.6f} s"
