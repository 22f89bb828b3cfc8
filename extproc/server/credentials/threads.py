"""A thread for each fetch, so that one that hangs delays nobody: neither another's fetch nor the process's end."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Generic, Self, TypeVar

_T = TypeVar("_T")


async def in_own_thread(call: Callable[[], _T], limit_s: float, name: str) -> _T:
    """What ``call`` returns or raises. Raises ``TimeoutError`` when that takes too long.

    A thread cannot be stopped: one that is given up, after ``limit_s`` or by cancellation, ends when its own limits let
    it. It is a daemon, which a pool's would not be: the interpreter waits for those at its end.
    """
    ended: Future[_T] = Future()
    ended.set_running_or_notify_cancel()

    def run() -> None:
        with _Told(ended):
            ended.set_result(call())

    threading.Thread(target=run, name=name, daemon=True).start()
    async with asyncio.timeout(limit_s):
        # The concurrent future cannot be cancelled any more, so a late result disturbs nobody.
        return await asyncio.wrap_future(ended)


class _Told(Generic[_T]):
    """Whatever is raised within goes to ``ended``."""

    def __init__(self, ended: "Future[_T]") -> None:
        self._ended = ended

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> bool:
        if error is not None:
            self._ended.set_exception(error)
        return True
