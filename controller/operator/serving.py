"""Asks the extproc pods which revision they serve."""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import aiohttp
import msgspec

from controller.operator.agreement import Agreement
from controller.operator.failures import ClusterError
from controller.operator.fleet import Replica, serves
from controller.operator.lease import clock
from controller.operator.roster import Answer, Pod, Roster, present_pods
from extproc.config.names import OLDEST_VERSION, VERSION

#: Between two rounds of questions, seconds: just after a write, while something lags, when it has lagged for long, no
#: pod is ready or an old one holds back the newest version, and when all agree.
_AT_ONCE_S: Final = 0.1
_LAGGING_S: Final = 0.5
_STUCK_S: Final = 2.0
_CALM_S: Final = 10.0
#: How long after a write each of the first two applies.
_EAGER_FOR_S: Final = 1.5
_PATIENT_FOR_S: Final = 60.0
#: Between two questions to the API server which pods there are, at the least; and after a write, or when a pod did not
#: answer.
_PODS_S: Final = 2.0
_PODS_SOON_S: Final = 0.5
_ANSWER_S: Final = 2.0
_ANSWER_BYTES: Final = 64 << 20
#: Pods that are asked at a time.
_AT_A_TIME: Final = 100
#: Between two looks of a standby.
_IDLE_S: Final = 0.5

_log = logging.getLogger(__name__)


class Pods(Protocol):
    """The API server, as far as pods go. Raises ``ClusterError``."""

    async def pods(self, selector: str) -> Sequence[Mapping[str, Any]]:
        """The pods of our own namespace with these labels."""


class Counts(Protocol):
    """Who counts the pods."""

    def replicas(self, serving: int, ready: int) -> None:
        """So many of those that are ready serve the present revision."""

    def config_version(self, version: int) -> None:
        """The version of the configuration that all pods read; 0: none of them could be asked."""


class _LastError(msgspec.Struct):
    message: str = ""


class _Page(msgspec.Struct, rename="camel"):
    """What is read of ``GET /config``, see ``extproc.server.admin``."""

    revision: int | None
    last_error: _LastError | None = None
    accepts: tuple[int, ...] = (OLDEST_VERSION,)


class Serving:
    """Keeps asking in ``run``.

    ``changed`` hears of the ready pods whenever they, or their answers, differ, ``agreed`` of another
    ``config_version``.
    """

    def __init__(
        self,
        pods: Pods,
        selector: str,
        admin_port: int,
        metrics: Counts,
        changed: Callable[[Sequence[Replica]], None],
        agreed: Callable[[], None],
    ) -> None:
        self._pods = pods
        self._selector = selector
        self._admin_port = admin_port
        self._metrics = metrics
        self._changed = changed
        self._agreed = agreed
        self._agreement = Agreement()
        self._unasked = False
        self._roster = Roster()
        self._fleet: tuple[Replica, ...] | None = None
        self._wanted = 0
        self._written_at = 0.0
        self._listed: tuple[Pod, ...] | None = None
        self._listed_at = 0.0
        self._wake = asyncio.Event()
        self._unlisted = ""
        #: Whether a pod, or the API server about them, did not answer.
        self._troubled = False
        #: Whether what is known of the pods may well be out of date.
        self._list_soon = False

    def expect(self, revision: int) -> None:
        """The ConfigMap holds this one now; ask more often until all pods serve it."""
        if revision != self._wanted:
            self._wanted, self._written_at = revision, clock()
            self._list_soon = True
            self._wake.set()

    def revision_floor(self) -> int | None:
        """The oldest revision that a ready pod may serve; None when nobody knows, or no pod is ready."""
        return self._roster.lowest_revision()

    @property
    def config_version(self) -> int | None:
        """The newest version of the configuration that every pod reads; None before any has said so."""
        return self._agreement.version

    def follow(self) -> None:
        """The lead is lost, and with it what is known of pods."""
        self._roster, self._fleet, self._listed = Roster(), None, None
        self._agreement, self._unasked = Agreement(), False
        self._wake.set()

    def _agree(self, answers: Mapping[Pod, Answer]) -> None:
        if self._agreement.heard(answers, clock()):
            _log.info("the configuration is written in version %d: extproc reads it", self._agreement.version)
            self._agreed()
        is_unknown = self._agreement.is_unknown(clock())
        if is_unknown and not self._unasked:
            port = self._admin_port
            message = (
                "no extproc pod can be asked on port %d which version of the configuration it reads: it is written in "
                "the one that it has, which may not be able to say what resources ask for"
            )
            _log.warning(message, port)
        self._unasked = is_unknown
        self._metrics.config_version(self._agreement.version or 0)

    async def run(self, active: Callable[[], bool]) -> None:
        """Ask for ever. Ends only by cancellation; a standby, of which ``active`` is not true, does not ask."""
        limit = aiohttp.ClientTimeout(total=_ANSWER_S)
        async with aiohttp.ClientSession(timeout=limit, connector=aiohttp.TCPConnector(limit=_AT_A_TIME)) as session:
            while True:
                self._wake.clear()
                if active():
                    await self._round(session)
                    await self._rest(self._pause())
                else:
                    self.follow()
                    await asyncio.sleep(_IDLE_S)

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _round(self, session: aiohttp.ClientSession) -> None:
        pods = await self._present()
        if pods is None:
            return
        answers = await asyncio.gather(*(self._ask(session, pod) for pod in pods))
        said = dict(zip(pods, answers, strict=True))
        self._agree(said)
        ready = {pod: answer for pod, answer in said.items() if pod.is_ready}
        fleet = self._roster.update(ready, clock())
        self._troubled = self._troubled or any(answer.revision is None for answer in ready.values())
        self._list_soon = self._list_soon or self._troubled
        if fleet is None:
            return
        serving = sum(serves(replica, self._wanted, self._wanted) for replica in fleet)
        self._metrics.replicas(serving, len(fleet))
        if fleet != self._fleet:
            self._fleet = fleet
            self._changed(fleet)

    async def _present(self) -> tuple[Pod, ...] | None:
        """The pods, ready or not; None when the API server does not say, and then what was known still holds."""
        every_s = _PODS_SOON_S if self._list_soon else _PODS_S
        if self._listed is not None and clock() < self._listed_at + every_s:
            return self._listed
        try:
            self._listed = present_pods(await self._pods.pods(self._selector))
        except ClusterError as error:
            self._troubled = True
            if str(error) != self._unlisted:
                self._unlisted = str(error)
                _log.warning("the pods with %s cannot be listed: %s", self._selector, error)
            return self._listed
        self._listed_at, self._unlisted = clock(), ""
        self._troubled = self._list_soon = False
        return self._listed

    async def _ask(self, session: aiohttp.ClientSession, pod: Pod) -> Answer:
        host = f"[{pod.address}]" if ":" in pod.address else pod.address
        try:
            async with session.get(f"http://{host}:{self._admin_port}/config", allow_redirects=False) as answer:
                if answer.status != 200:
                    return Answer(None, f"it answers {answer.status}")
                return read_page(await _limited(answer.content))
        except TimeoutError:
            return Answer(None, f"no answer in {_ANSWER_S:g} s")
        except OSError as error:
            # Not its own text, which names a port that changes, and so would the status.
            return Answer(None, os.strerror(error.errno).lower() if error.errno else "no connection")
        except aiohttp.ClientError:
            return Answer(None, "the connection broke")

    def _holds_back(self) -> bool:
        """Whether some pod is all that what needs the newest version waits for."""
        return (self.config_version or VERSION) < VERSION

    def _pause(self) -> float:
        if self._fleet is None or not self._roster.is_settled():
            return _LAGGING_S
        if not self._fleet:
            return _STUCK_S
        if all(serves(replica, self._wanted, self._wanted) for replica in self._fleet):
            return _STUCK_S if self._troubled or self._holds_back() else _CALM_S
        lag = clock() - self._written_at
        if lag < _EAGER_FOR_S:
            return _AT_ONCE_S
        return _LAGGING_S if lag < _PATIENT_FOR_S else _STUCK_S


async def _limited(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > _ANSWER_BYTES:
            return b""
    return bytes(body)


def read_page(body: bytes) -> Answer:
    """What a pod's ``/config`` page says, or that it is none."""
    try:
        page = msgspec.json.decode(body, type=_Page)
    except msgspec.DecodeError:
        return Answer(None, "its /config page cannot be read")
    accepts = max(page.accepts, default=OLDEST_VERSION)
    if page.revision is None:
        return Answer(None, "it has no configuration yet", accepts=accepts)
    return Answer(page.revision, refusal="" if page.last_error is None else page.last_error.message, accepts=accepts)
