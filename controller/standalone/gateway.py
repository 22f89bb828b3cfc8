"""One gateway: a workspace, an extproc, an Envoy; started, fed with translations, stopped."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import extproc.config
from controller.standalone.envoy import XDS_KINDS, EnvoyAdmin, EnvoyRefused, envoy_command, find_envoy
from controller.standalone.faults import NotReady, Unwritable
from controller.standalone.options import Options, Report
from controller.standalone.probes import ask, check_bind, free_port, wait_until
from controller.standalone.processes import Child, Program, first_failure
from controller.standalone.rollout import merged
from controller.standalone.workspace import Workspace, temporary_workspace
from controller.translate import EnvoyConfig, ProxySettings, Translation, bootstrap, listener
from extproc.config.loader import content_hash, dump

#: Where our packages lie: the processor must be of the same version as the schema that its file is written by.
_PACKAGES = str(Path(extproc.config.__file__).parents[2])
_START_LIMIT_S = 20.0
_RELOAD_LIMIT_S = 5.0
_EXIT_GRACE_S = 5.0


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the parts of a gateway listen."""

    clients: int
    extproc_admin: int
    envoy_admin: int


class Gateway:
    """A running gateway; made by ``running_gateway``."""

    def __init__(self, options: Options, ports: Ports, workspace: Workspace, report: Report) -> None:
        self.options = options
        self.ports = ports
        self.workspace = workspace
        self.revision = 0
        self.extproc = Child(self._extproc_program(), report)
        self.envoy = Child(self._envoy_program(), report)
        self._envoy_admin = EnvoyAdmin(ports.envoy_admin)
        self._report = report
        self._served: Translation | None = None
        self._in_envoy: EnvoyConfig | None = None
        self._pruning: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()
        self._hurried = False
        self._listeners = 0

    @property
    def base_url(self) -> str:
        """What clients use as their base URL, without ``/v1``."""
        host = "127.0.0.1" if ip_address(self.options.address).is_unspecified else self.options.address
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{self.ports.clients}{self.options.path_prefix}"

    async def start(self, translation: Translation) -> None:
        """Bring both processes up with a first configuration; returns when a request would be answered.

        Raises ``ChildFailed`` when one of them ends before that, ``NotReady`` when they take too long and
        ``EnvoyRefused`` when Envoy is up but without this configuration.
        """
        self._hold(translation)
        self._write_envoy(translation.envoy)
        self.workspace.write_bytes(self.workspace.config, self._config_of(translation))
        self._write_static()
        await self.extproc.start()
        await self._or_failure(wait_until(self._extproc_is_ready, "extproc did not become ready", _START_LIMIT_S))
        await self.envoy.start()
        await self._or_failure(wait_until(self._envoy_is_ready, "Envoy did not become ready", _START_LIMIT_S))
        # Envoy also gets ready without what it refused.
        await self._or_failure(self._envoy_has(translation.envoy, {}))
        self._served = translation
        self.extproc.trust()
        self.envoy.trust()

    async def apply(self, translation: Translation) -> bool:
        """Change to another configuration; returns when it is served. Says whether there was anything to change.

        Raises ``EnvoyRefused``, or ``NotReady`` for a process that is down or stuck; what was served before is then
        served on.
        """
        async with self._changing:
            served = self._served or translation
            if self._served is not None and _parts(translation) == _parts(served):
                return False
            await self._stop_pruning()
            before = served
            try:
                # What Envoy shows must be there first; what the processor shows, once Envoy has agreed.
                self._hold(before, translation, credentials=False)
                await self._envoy_takes(translation.envoy)
                # Those of the old configuration stay: exchanges that have begun may still need them.
                self._hold(before, translation)
                await self._extproc_takes(translation)
                self._served = served = translation
            except OSError as error:
                raise NotReady(f"Envoy does not answer ({error.strerror or error})") from None
            finally:
                self._hold(before, translation, served)
                self._pruning = asyncio.create_task(self._prune(served))
            return True

    async def is_ready(self) -> bool:
        """Whether both are up and Envoy has found extproc healthy. Raises ``OSError`` for one that is gone."""
        return await self._extproc_is_ready() and await self._envoy_is_ready()

    def hurry(self) -> None:
        """Let ``stop`` wait no longer."""
        self._hurried = True

    async def failure(self) -> None:
        """Waits until a child is given up and raises its ``ChildFailed``."""
        await first_failure([self.extproc, self.envoy])

    async def stop(self, drain_s: float) -> None:
        """No new connections, then ``drain_s`` seconds for open requests, then Envoy, then extproc."""
        await self._stop_pruning()
        with contextlib.suppress(OSError, NotReady):
            if self.envoy.pid is not None and drain_s > 0:
                await self._envoy_admin.stop_listening()
                if under_way := await self._envoy_admin.active_requests():
                    self._report(f"waiting up to {drain_s:g} s for {_counted(under_way)}")
                await wait_until(self._is_idle, "requests did not end", drain_s)
        await self.envoy.stop(_EXIT_GRACE_S)
        await self.extproc.stop(_EXIT_GRACE_S)

    def _write_static(self) -> None:
        settings = ProxySettings(
            extproc=tuple(self.workspace.worker(i) for i in range(self.options.workers)),
            lds=str(self.workspace.xds("lds")),
            rds=str(self.workspace.xds("rds")),
            cds=str(self.workspace.xds("cds")),
            address=self.options.address,
            port=self.ports.clients,
            admin_port=self.ports.envoy_admin,
            access_log=self.options.access_log,
            path_prefix=self.options.path_prefix,
        )
        self.workspace.write(self.workspace.bootstrap, bootstrap(settings))
        listeners = listener(settings)
        self._listeners = len(listeners["resources"])
        self.workspace.write(self.workspace.xds("lds"), listeners)

    def _write_envoy(self, config: EnvoyConfig) -> None:
        """Clusters before what names them."""
        self.workspace.write(self.workspace.xds("cds"), config.cds)
        self.workspace.write(self.workspace.xds("ecds"), config.ecds)
        self.workspace.write(self.workspace.xds("rds"), config.rds)
        self._in_envoy = config

    def _config_of(self, translation: Translation) -> bytes:
        """The processor's file, under the next revision if it says anything new."""
        if self._served is None or translation.config != self._served.config:
            self.revision += 1
        return dump(translation.config.model_copy(update={"revision": self.revision}))

    async def _envoy_takes(self, config: EnvoyConfig) -> None:
        """Give Envoy these clusters and routes on top of those it has. What it does not take is taken back."""
        before = self._in_envoy or config
        wanted = merged(before, config)
        refusals = await self._envoy_refusals()
        self._write_envoy(wanted)
        try:
            await self._envoy_has(wanted, refusals)
        except (EnvoyRefused, NotReady):
            self._write_envoy(before)
            raise
        if not await self._envoy_admin.warmed():
            self._report("warning: the host name of a backend is not resolved yet; requests to it fail until it is")

    async def _envoy_refusals(self) -> Mapping[str, int]:
        return {kind: await self._envoy_admin.refusals(kind) for kind in XDS_KINDS}

    async def _envoy_has(self, config: EnvoyConfig, refusals: Mapping[str, int]) -> None:
        documents = {"cds": config.cds, "ecds": config.ecds, "rds": config.rds}
        for kind in XDS_KINDS:
            await self._envoy_admin.loaded(kind, str(documents[kind]["version_info"]), refusals.get(kind, 0))

    async def _extproc_takes(self, translation: Translation) -> None:
        """Give extproc this configuration. What it does not take is taken back."""
        before, data = self.workspace.config.read_bytes(), self._config_of(translation)
        self.workspace.write_bytes(self.workspace.config, data)
        try:
            await self._extproc_has(content_hash(data))
        except NotReady:
            self.workspace.write_bytes(self.workspace.config, before)
            raise

    async def _extproc_has(self, wanted: str) -> None:

        async def is_served() -> bool:
            status, body = await ask(self.ports.extproc_admin, "/config")
            return status == 200 and all(worker["hash"] == wanted for worker in json.loads(body)["workers"])

        await wait_until(is_served, "extproc did not load the new configuration", _RELOAD_LIMIT_S)

    def _hold(self, *translations: Translation, credentials: bool = True) -> None:
        """Have the secrets that these need and no others; of two with one name the later."""
        if credentials:
            needed = {name: value for each in translations for name, value in each.credentials.items()}
            self.workspace.hold(self.workspace.credentials, needed)
        needed = {name: value for each in translations for name, value in each.envoy_secrets.items()}
        self.workspace.hold(self.workspace.envoy_secrets, needed)

    async def _prune(self, served: Translation) -> None:
        await asyncio.sleep(self.options.linger_s)
        config = served.envoy
        self._hold(served)
        # Routes before the clusters that they name. Envoy has had all of this once, so it has no reason to refuse.
        self.workspace.write(self.workspace.xds("rds"), config.rds)
        with contextlib.suppress(OSError, NotReady, EnvoyRefused):
            await self._envoy_admin.loaded("rds", str(config.rds["version_info"]), sys.maxsize)
        self._write_envoy(config)

    async def _stop_pruning(self) -> None:
        if self._pruning is not None:
            self._pruning.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._pruning
            self._pruning = None

    async def _or_failure(self, ready: Awaitable[None]) -> None:
        """Wait for readiness, but not for that of a child that is gone."""
        waiting = asyncio.ensure_future(ready)
        failing = asyncio.ensure_future(self.failure())
        try:
            done, _ = await asyncio.wait([waiting, failing], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (waiting, failing):
                task.cancel()
            await asyncio.gather(waiting, failing, return_exceptions=True)

    async def _extproc_is_ready(self) -> bool:
        return (await ask(self.ports.extproc_admin, "/readyz"))[0] == 200

    async def _envoy_is_ready(self) -> bool:
        return await self._envoy_admin.is_serving(self.options.workers, self._listeners)

    async def _is_idle(self) -> bool:
        return self._hurried or await self._envoy_admin.active_requests() == 0

    def _extproc_program(self) -> Program:
        command = (
            *(sys.executable, "-P", "-m", "extproc", "--config", str(self.workspace.config)),
            *("--credentials", str(self.workspace.credentials)),
            *("--listen", self.workspace.listen, "--admin", f"127.0.0.1:{self.ports.extproc_admin}"),
            *(
                "--workers",
                str(self.options.workers),
                "--log-level",
                self.options.log_level,
                "--log-format",
                self.options.log_format,
            ),
            # Envoy is gone before it is stopped, so there is nothing to be graceful for.
            *("--shutdown-grace", "0", "--drain-timeout", "1"),
        )
        # Ours, and not a module or a folder of that name where the command was called.
        ours = os.pathsep.join(filter(None, (_PACKAGES, os.environ.get("PYTHONPATH"))))
        # What it leaves in its temporary directory when it is killed goes with the workspace.
        environment = {"PYTHONPATH": ours, "TMPDIR": str(self.workspace.root)}
        return Program("extproc", command, environment, self.options.stdout, self.options.stderr)

    def _envoy_program(self) -> Program:
        binary = find_envoy(self.options.envoy)
        command = envoy_command(binary, self.workspace.bootstrap, self.options.log_level, self.options.concurrency)
        return Program("Envoy", command, stdout=self.options.stdout, stderr=self.options.stderr)


@asynccontextmanager
async def running_gateway(
    options: Options, translation: Translation, report: Report, workspace: Workspace | None = None
) -> AsyncIterator[Gateway]:
    """A gateway that answers requests; stopped at the end, with time for those that are under way.

    ``workspace``: where its files are; None: in one that is gone at the end. Raises ``CannotListen``, ``Unwritable``,
    ``EnvoyMissing``, ``Unusable`` before anything was started, and what ``Gateway.start`` raises.
    """
    ports = Ports(
        _port("--port", options.port, options.address),
        _port("--admin-port", options.admin_port),
        _port("--envoy-admin-port", options.envoy_admin_port),
    )
    if options.access_log is not None:
        _check_append(options.access_log)
    with contextlib.ExitStack() as stack:
        gateway = Gateway(options, ports, workspace or stack.enter_context(temporary_workspace()), report)
        drain_s = 0.0
        try:
            await gateway.start(translation)
            yield gateway
            drain_s = options.drain_s
        finally:
            await gateway.stop(drain_s)


def _port(flag: str, wanted: int, address: str = "127.0.0.1") -> int:
    check_bind(wanted, flag, address)
    return wanted or free_port()


def _check_append(path: str) -> None:
    """Envoy would find out too, in the words of its own configuration."""
    try:
        # Not blocking: a pipe may have no reader yet.
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o666))
    except OSError as error:
        raise Unwritable(f"--access-log {path}: {error.strerror or error}") from None


def _parts(translation: Translation) -> tuple[object, ...]:
    """What is written out of a translation."""
    return translation.config, translation.envoy, dict(translation.credentials), dict(translation.envoy_secrets)


def _counted(requests: int) -> str:
    return "1 open request" if requests == 1 else f"{requests} open requests"
