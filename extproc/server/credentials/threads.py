"""A thread for each fetch, so that one that hangs delays nobody: neither another's fetch nor the process's end."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

_T = TypeVar("_T")


class OwnThreads:
    """The threads of one account, called ``name``. For one event loop."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._started: list[Future[Any]] = []

    @property
    def alive(self) -> int:
        """How many of those that were started have not ended."""
        self._started = [thread for thread in self._started if not thread.done()]
        return len(self._started)

    async def run(self, call: Callable[[], _T], limit_s: float) -> _T:
        """What ``call`` returns or raises. Raises ``TimeoutError`` when that takes too long.

        A thread cannot be stopped: one that is given up, after ``limit_s`` or by cancellation, ends when its own limits
        let it. It is a daemon, which a pool's would not be: the interpreter waits for those at its end.
        """
        ended: Future[_T] = Future()
        ended.set_running_or_notify_cancel()

        def run() -> None:
            with _Told(ended):
                ended.set_result(call())

        threading.Thread(target=run, name=self._name, daemon=True).start()
        self._started.append(ended)
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
