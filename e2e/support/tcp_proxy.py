"""A wire between a client and a server that can be cut."""

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Self

from tests.support.background import Background


class Proxy:
    """Passes bytes to and from ``127.0.0.1:target`` while its context is open.

    ``cut`` breaks what is open and refuses what comes; ``freeze`` keeps connections open and lets nothing through, as a
    network does that loses every packet. ``mend`` ends both.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._flows = asyncio.Event()
        self._flows.set()
        self._is_cut = False
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def cut(self) -> None:
        """Break what is open, refuse what comes."""
        self._is_cut = True
        for writer in self._open:
            writer.transport.abort()

    async def freeze(self) -> None:
        """Nothing is broken, and nothing arrives."""
        self._flows.clear()

    async def mend(self) -> None:
        """As before."""
        self._is_cut = False
        self._flows.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            self._open.discard(writer)
            return
        self._open.add(to_writer)
        try:
            await asyncio.gather(self._pass(reader, to_writer), self._pass(to_reader, writer))
        finally:
            for each in (writer, to_writer):
                self._open.discard(each)
                each.transport.abort()

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while piece := await source.read(1 << 16):
                await self._flows.wait()
                sink.write(piece)
                await sink.drain()
        except OSError:
            pass
        finally:
            sink.close()


class Wire:
    """A ``Proxy`` for code that is not asynchronous."""

    def __init__(self, background: Background, proxy: Proxy) -> None:
        self._background = background
        self._proxy = proxy
        self.url = f"https://127.0.0.1:{proxy.port}"

    def cut(self) -> None:
        """Break what is open, refuse what comes."""
        self._background.run(self._proxy.cut())

    def freeze(self) -> None:
        """Nothing is broken, and nothing arrives."""
        self._background.run(self._proxy.freeze())

    def mend(self) -> None:
        """As before."""
        self._background.run(self._proxy.mend())


@contextmanager
def running_wire(target: int) -> Iterator[Wire]:
    """A wire to ``https://127.0.0.1:target``."""
    with closing(Background()) as background:
        proxy = Proxy(target)
        background.enter(proxy)
        try:
            yield Wire(background, proxy)
        finally:
            background.leave(proxy)
