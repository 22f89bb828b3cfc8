"""Waiting for things to come true, without sleeping longer than they take."""

import time
from collections.abc import Callable
from pathlib import Path

from controller.standalone.faults import NotReady
from controller.standalone.probes import wait_until

LIMIT_S = 15.0


async def eventually(true: Callable[[], object], what: str = "it did not come true", limit_s: float = LIMIT_S) -> None:
    """Returns as soon as the answer is truthy; raises ``NotReady`` when it never is."""

    async def answer() -> bool:
        return bool(true())

    await wait_until(answer, what, limit_s)


def until(true: Callable[[], object], what: str = "it did not come true", limit_s: float = LIMIT_S) -> None:
    """The same for code that is not asynchronous."""
    deadline = time.monotonic() + limit_s
    while not true():
        if time.monotonic() > deadline:
            raise NotReady(f"{what} within {limit_s:g} s")
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits for its parent to notice does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
