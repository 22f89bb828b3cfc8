"""The pages for kubelets, people and Prometheus: ``/healthz``, ``/readyz`` and ``/metrics``, over plain HTTP."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

_NO_STORE: Final = {"cache-control": "no-store"}
#: How long a page that is being sent may hold up the end of the process, seconds.
_SHUTDOWN_S: Final = 1.0

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class State(Protocol):
    """How the operator is."""

    def alive(self) -> str | None:
        """None, or why it has to be started anew; an API server that cannot be reached is no reason."""

    def ready(self) -> str | None:
        """None once it knows every resource, before that what it waits for. A standby is as ready as the leader."""


@asynccontextmanager
async def serve(address: str, port: int, state: State, registry: CollectorRegistry) -> AsyncIterator[int]:
    """Serve the pages on this event loop for as long as the context lasts; gives the port, as 0 means any free one.

    That they are answered shows that the loop turns. Raises ``OSError`` when nobody can listen there.
    """
    app = web.Application()
    app.add_routes(
        [
            web.get("/", _text("/healthz\n/readyz\n/metrics\n")),
            web.get("/healthz", _judged(state.alive)),
            web.get("/readyz", _judged(state.ready)),
            web.get("/metrics", _metrics(registry)),
        ]
    )
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, address, port, reuse_address=True)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _text(text: str, status: int = 200) -> _Handler:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text=text, status=status, headers=_NO_STORE)

    return page


def _judged(maybe_fault: Callable[[], str | None]) -> _Handler:
    async def page(_: web.Request) -> web.Response:
        fault = maybe_fault()
        return web.Response(text=f"{fault or 'ok'}\n", status=503 if fault else 200, headers=_NO_STORE)

    return page


def _metrics(registry: CollectorRegistry) -> _Handler:
    async def page(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        headers: dict[str, Any] = {**_NO_STORE, "content-type": content_type}
        return web.Response(body=encode(registry), headers=headers)

    return page
