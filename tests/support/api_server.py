"""A small API server for what a real one cannot be made to say: sheds load, breaks off, forgets, revokes tokens."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

Answer = web.Response | Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class ApiServer:
    """Answers every request with the next of ``answers``, the last one again and again; ``asked`` has the requests.

    ``kubeconfig`` leads to it with a token that is in the file ``token``.
    """

    folder: Path
    url: str = ""
    answers: list[Answer] = field(default_factory=list)
    asked: list[web.Request] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)

    @property
    def token(self) -> Path:
        """What it holds is who we are."""
        return self.folder / "token"

    @property
    def kubeconfig(self) -> str:
        """The path of one."""
        return str(self.folder / "kubeconfig")

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The next one."""
        self.asked.append(request)
        self.bodies.append(await request.text())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not isinstance(answer, web.Response):
            return await answer(request)
        # A response can be sent once.
        return web.Response(body=answer.body, status=answer.status, headers=answer.headers.copy())

    def point_at(self, url: str) -> None:
        """Write the kubeconfig and the token."""
        self.url = url
        self.token.write_text("first")
        document: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": url}}],
            "users": [{"name": "test", "user": {"tokenFile": str(self.token)}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "current-context": "test",
        }
        Path(self.kubeconfig).write_text(yaml.safe_dump(document))


@asynccontextmanager
async def running_api_server(folder: Path) -> AsyncIterator[ApiServer]:
    """One on a free port of loopback, over plain HTTP."""
    server = ApiServer(folder)
    app = web.Application(client_max_size=8 << 20)
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        server.point_at(f"http://{host}:{port}")
        yield server
    finally:
        await runner.cleanup()


def status(code: int, message: str = "", **headers: str) -> web.Response:
    """A refusal as an API server words it."""
    return web.json_response({"kind": "Status", "code": code, "message": message}, status=code, headers=headers)
