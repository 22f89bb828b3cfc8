"""The demo provider as one server, and the manifest that routes to it."""

from contextlib import AsyncExitStack
from dataclasses import replace
from importlib.resources import files
from typing import Self

from controller.standalone.demo import anthropic, bedrock, openai
from controller.standalone.demo.script import HEADER
from controller.standalone.demo.serving import Answer, Request, Server

#: The manifest of ``llmroute run --demo``; its backends point at the port in ``PORT``.
MANIFEST = files("controller.standalone.demo").joinpath("demo.yaml")
PORT = 1974


class DemoProvider:
    """The vendors on one loopback port, told apart by path, while the context is open.

    ``wishes`` are granted to requests that have no ``x-demo`` header of their own; see ``script``.
    """

    def __init__(self, port: int = 0, wishes: str = "") -> None:
        self._server = Server(self._answer, port)
        self._defaults = {HEADER: wishes}
        self._open = AsyncExitStack()

    @property
    def port(self) -> int:
        """The port it listens on; known once the context is open."""
        return self._server.port

    async def __aenter__(self) -> Self:
        await self._open.enter_async_context(self._server)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def _answer(self, request: Request) -> Answer:
        request = replace(request, headers=self._defaults | dict(request.headers))
        if request.segments[0] == "model":
            return await bedrock.answer(request)
        if request.segments[:2] == ["v1", "messages"]:
            return await anthropic.answer(request)
        return await openai.answer(request)
