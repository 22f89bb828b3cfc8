"""An event loop in a thread, so that plain tests and fixtures of any scope can hold asynchronous things open."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, closing, contextmanager
from typing import TypeVar

T = TypeVar("T")

#: Nothing in the tests takes longer to open or to close; hitting it means a hang.
LIMIT_S = 30


class Background:
    """A loop that runs until ``close``."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="background-loop", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[object, object, T]) -> T:
        """The result of a coroutine, or its exception."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(LIMIT_S)

    def enter(self, manager: AbstractAsyncContextManager[T]) -> T:
        """Enter an asynchronous context; ``leave`` it before ``close``."""
        return self.run(_enter(manager))

    def leave(self, manager: AbstractAsyncContextManager[T]) -> None:
        """Leave an asynchronous context."""
        self.run(_leave(manager))

    def close(self) -> None:
        """Stop the loop; what was opened on it is to be closed before."""
        self.run(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(LIMIT_S)
        self._loop.close()


@contextmanager
def held_open(manager: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """An asynchronous context, entered and left on a loop of its own."""
    with closing(Background()) as background:
        value = background.enter(manager)
        try:
            yield value
        finally:
            background.leave(manager)


async def _enter(manager: AbstractAsyncContextManager[T]) -> T:
    return await manager.__aenter__()


async def _leave(manager: AbstractAsyncContextManager[T]) -> None:
    await manager.__aexit__(None, None, None)
