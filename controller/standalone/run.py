"""``llmroute run``: from sources to a gateway that follows them until it is told to stop."""

import asyncio
import contextlib
import json
import os
import resource
import signal
import time

from controller.standalone import environment
from controller.standalone.authorities import MISSING, maybe_authorities
from controller.standalone.compiled import Compiled, compiled
from controller.standalone.demo import MANIFEST, DemoProvider
from controller.standalone.demo.provider import PORT as DEMO_PORT
from controller.standalone.envoy import EnvoyRefused
from controller.standalone.faults import (
    Fault,
    NoAuthorities,
    NoRoutes,
    NothingToRun,
    NotReady,
    Rejected,
    Unreadable,
)
from controller.standalone.gateway import Gateway, running_gateway
from controller.standalone.greeting import curls, models
from controller.standalone.manifests import Manifests, read_manifests
from controller.standalone.options import Plan, Report
from controller.standalone.probes import check_bind
from controller.standalone.watch import Sources
from controller.standalone.workspace import Workspace, temporary_workspace

#: How long after a failed change it is tried again.
_RETRY_S = 1.0
#: Models that the ready line names.
_SHOWN = 6


def run(plan: Plan, report: Report) -> None:
    """Run until SIGINT, SIGTERM or SIGHUP. A second signal does not wait for open requests.

    Raises a ``Fault`` for what it is given, for what it finds on this machine, and for a child that is gone for good.
    """
    # A dump would have the Secrets of the manifests in it.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    asyncio.run(_Run(plan, report).until_stopped())


class _Run:
    def __init__(self, plan: Plan, report: Report) -> None:
        self._plan = plan
        self._report = report
        self._sources = Sources(plan.paths)
        self._authorities = maybe_authorities(plan.options.ca_certificates, os.environ)
        self._gateway: Gateway | None = None
        self._late: Compiled | None = None
        self._stop = asyncio.Event()
        self._envoy_secrets: str | None = None

    async def until_stopped(self) -> None:
        serving = asyncio.create_task(self._with_provider())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # What was switched off for us (nohup, jobs in the background) stays off.
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self._heed, serving)
        with contextlib.suppress(asyncio.CancelledError):
            await serving

    def _heed(self, serving: asyncio.Task[None]) -> None:
        if self._gateway is None:
            serving.cancel()
        elif self._stop.is_set():
            self._gateway.hurry()
        else:
            self._stop.set()

    async def _with_provider(self) -> None:
        port = self._plan.demo_port
        if port is None:
            await self._serve(self._manifests(None))
            return
        check_bind(port, "--demo-port")
        async with DemoProvider(port) as provider:
            await self._serve(self._manifests(provider.port))

    def _manifests(self, demo_port: int | None) -> Manifests:
        if self._plan.paths:
            return self._sources.read()
        if demo_port is not None:
            return demo_manifests(demo_port)
        if environment.is_set(os.environ):
            text = "\n---\n".join(map(json.dumps, environment.objects_of(os.environ)))
            return read_manifests(["environment"], lambda _: text.encode())
        wanted = f"give manifest files, set {environment.KEY} or {environment.BASE_URL}, or take --demo"
        raise NothingToRun(f"nothing to run: {wanted}")

    async def _serve(self, manifests: Manifests) -> None:
        started = time.monotonic()
        with temporary_workspace() as workspace:
            self._envoy_secrets = str(workspace.envoy_secrets)
            await self._serve_in(workspace, self._compiled(manifests), started)

    async def _serve_in(self, workspace: Workspace, first: Compiled, started: float) -> None:
        async with running_gateway(self._plan.options, first.translation, self._report, workspace) as gateway:
            self._gateway = gateway
            self._greet(gateway, first, time.monotonic() - started)
            tasks = [
                asyncio.create_task(self._stop.wait()),
                asyncio.create_task(gateway.failure()),
                asyncio.create_task(self._follow(gateway)),
                asyncio.create_task(self._catch_up(gateway)),
            ]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, gateway: Gateway) -> None:
        async for change in self._sources.changes():
            if isinstance(change, Unreadable):
                self._report(f"{change}; the configuration before it is served on")
            else:
                await self._reload(gateway, change)
        await asyncio.Event().wait()  # no files: nothing changes

    async def _reload(self, gateway: Gateway, change: Manifests) -> None:
        try:
            changed = self._compiled(change)
        except Fault as fault:
            self._report(f"{fault}; the configuration before it is served on")
            return
        self._late = None
        try:
            await self._apply(gateway, changed)
        except NotReady as error:
            self._late = changed
            self._report(f"{error}; the configuration before it is served on, and the new one is tried again")

    async def _catch_up(self, gateway: Gateway) -> None:
        """Serve what could not be served when it came, as soon as both processes are well again."""
        while True:
            await asyncio.sleep(_RETRY_S)
            late = self._late
            if late is None:
                continue
            with contextlib.suppress(OSError, NotReady):
                if await gateway.is_ready() and late is self._late:
                    await self._apply(gateway, late)
                    if late is self._late:
                        self._late = None

    async def _apply(self, gateway: Gateway, changed: Compiled) -> None:
        try:
            if await gateway.apply(changed.translation):
                self._report(f"reloaded: {_summary(changed)}")
        except EnvoyRefused as error:
            self._report(f"{error}; the configuration before it is served on")

    def _compiled(self, manifests: Manifests) -> Compiled:
        """What can be served. Raises ``Rejected``, ``NoRoutes`` or ``NoAuthorities`` for what cannot."""
        result = compiled(
            manifests, self._plan.options.path_prefix, self._authorities, envoy_secrets=self._envoy_secrets
        )
        for note in result.notes:
            self._report(str(note))
        if result.errors:
            raise Rejected(_counted(result.errors, "error"))
        if not result.has("LLMRoute"):
            # An editor empties a file before it writes it; a pipe may have had nothing to say.
            raise NoRoutes(f"no LLMRoute in {', '.join(self._plan.paths)}")
        if result.uses_tls and self._authorities is None:
            raise NoAuthorities(MISSING)
        return result

    def _greet(self, gateway: Gateway, first: Compiled, took_s: float) -> None:
        self._report(
            f"LLMRoute is ready on {gateway.base_url} after {took_s:.1f} s: {_summary(first)}. Ctrl-C stops it."
        )
        key_variable = environment.KEY if os.environ.get(environment.KEY) and self._plan.demo_port is None else None
        for curl in curls(first.translation.config, gateway.base_url, key_variable=key_variable):
            self._report(f"  {curl}")
        admin, envoy = gateway.ports.extproc_admin, gateway.ports.envoy_admin
        self._report(f"  admin pages: http://127.0.0.1:{admin} (metrics, config), http://127.0.0.1:{envoy} (Envoy)")


def demo_manifests(port: int = DEMO_PORT) -> Manifests:
    """The built-in manifest of the demo, with its provider on ``port``."""
    text = MANIFEST.read_text().replace(f"port: {DEMO_PORT}", f"port: {port}")
    return read_manifests(["demo.yaml"], lambda _: text.encode())


def _summary(done: Compiled) -> str:
    names = models(done.translation.config)
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    rules = _counted(len(done.translation.config.rules), "rule")
    return f"{rules}, {_counted(len(names), 'model')} ({shown})" if names else rules


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
