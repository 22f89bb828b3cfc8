"""One Secret of our own namespace whose keys are files of pods' volumes: brings it to what it shall hold."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from controller.api.reasons import Reason
from controller.operator.ceasing import removal_due
from controller.operator.failures import ClusterError, Conflict, Denied, Faulty, Gone, NotLeading, Rejected
from controller.operator.kinds import SECRETS, Kind
from controller.operator.published import BUDGET_BYTES
from controller.operator.secret_packing import HeldSecret, maybe_held, secret, size_of
from controller.operator.secret_plan import Moment, SecretPlan, SecretState, Wanted, plan_secret
from controller.operator.settings import Settings
from controller.translate.secrets import SecretFiles

#: Of the server's words, in a status.
_QUOTED: Final = 300
#: Answers that are a matter of this Secret: a webhook that is away, or cannot cope with it, is a 5xx.
_REFUSALS: Final = (Denied, Rejected, Faulty, Gone)

_log = logging.getLogger(__name__)


class Secrets(Protocol):
    """The part of ``Cluster`` that is needed. Raises ``ClusterError``."""

    async def maybe_object(self, kind: Kind, namespace: str, name: str) -> dict[str, Any] | None:
        """One object, None when there is none."""

    async def apply_secret(self, body: dict[str, Any]) -> dict[str, Any]:
        """Write one of our own namespace; ``Conflict`` when it has changed since."""

    async def prune_secret(self, name: str, keys: Collection[str], version: str) -> dict[str, Any]:
        """Take keys out of it; ``Conflict`` when it has not this version any more."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why files are not what they should be, for whoever they are for."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """``missing``: the files that are not there as wanted, and why. ``size``: bytes that it holds now.

    ``is_refused``: the API server does not let us read or write it, or fails to.
    """

    written: bool
    size: int
    missing: Mapping[str, Trouble] = field(default_factory=dict)
    is_refused: bool = False


class FileSecret:
    """One at a time: all but ``saw`` is called by one task only.

    The refusal of a write is no error of the pass: it costs the files, and nothing else. The Secret is wholly ours:
    what others put into it goes with the next write.
    """

    def __init__(self, secrets: Secrets, name: str, settings: Settings) -> None:
        self.name = name
        self._secrets = secrets
        self._settings = settings
        self._state = SecretState()
        self._is_known = False
        self._refusal: tuple[type[ClusterError], str] | None = None
        #: At which version a write was a conflict.
        self._contested: str | None = None

    @property
    def version(self) -> str:
        """Its ``resourceVersion``; empty while there is none."""
        return "" if self._state.held is None else str(self._state.held.version)

    def removal_due(self) -> float | None:
        """When the first file may leave it at the latest, by the clock of ``Moment``."""
        return removal_due(self._state.ceased, self._settings)

    async def take_over(self) -> None:
        """Read what another leader has left. Raises ``ClusterError``, but not for want of the right to."""
        self._is_known, self._refusal, self._contested = False, None, None
        try:
            held = await self._read()
        except (Denied, Faulty) as error:
            self._refuse(error)
            return
        # Whose a key is nobody knows for sure: what the server notes of that is lost in a restore.
        base = SecretFiles() if held is None else held.files
        self._state, self._is_known = SecretState(held, base), True

    async def refresh(self) -> None:
        """Read it again, as after a conflict. Raises ``ClusterError``."""
        if self._is_known:
            self._state = replace(self._state, held=await self._read())

    def saw(self, obj: Mapping[str, Any] | None) -> bool:
        """Take in what a watch says. Says whether the Secret is not what it was left as."""
        now, known = maybe_held(obj), self._state.held
        if not self._is_known or (now is not None and known is not None and now.version <= known.version):
            return False
        self._state = replace(self._state, held=now)
        return now != known

    async def publish(self, wanted: Wanted, moment: Moment) -> Outcome:
        """Write where there is a difference, and only there. Raises ``ClusterError``."""
        if not self._is_known:
            await self.take_over()
        if not self._is_known:
            return self._missing(wanted)
        planned = plan_secret(self._state, wanted, self._settings, moment)
        if planned.needed:
            try:
                await self._write(planned, moment)
            except NotLeading:
                raise
            except ClusterError as error:
                if not self._is_refusal(error):
                    raise type(error)(self._words(error), error.retry_after_s) from None
                self._refuse(error)
                return self._missing(wanted)
        self._refusal = self._contested = None
        self._state = replace(self._state, base=planned.files, ceased=planned.ceased)
        return Outcome(planned.needed, size_of(planned.files), dict.fromkeys(planned.left_out, self._too_large(wanted)))

    async def _read(self) -> HeldSecret | None:
        return maybe_held(await self._secrets.maybe_object(SECRETS, self._settings.namespace, self.name))

    async def _write(self, planned: SecretPlan, moment: Moment) -> None:
        body = secret(self.name, self._settings.namespace, planned.files, moment.revision, self._state.held)
        held = maybe_held(await self._secrets.apply_secret(body))
        self._state = replace(self._state, held=held)
        if held is not None and (strays := held.files.keys() - planned.files.keys()):
            pruned = await self._secrets.prune_secret(self.name, strays, str(held.version))
            self._state = replace(self._state, held=maybe_held(pruned))

    def _is_refusal(self, error: ClusterError) -> bool:
        """A webhook may say anything, also that there is a conflict where there is none."""
        contested, self._contested = self._contested, self.version if isinstance(error, Conflict) else None
        return isinstance(error, _REFUSALS) or (self._contested is not None and contested == self._contested)

    def _missing(self, wanted: Wanted) -> Outcome:
        held = SecretFiles() if self._state.held is None else self._state.held.files
        words = "" if self._refusal is None else self._refusal[1]
        trouble = Trouble(Reason.CONFIG_NOT_WRITTEN, f"Secret {self.name} could not be written: {words}")
        missing = {name: trouble for name, value in wanted.files.items() if held.get(name) != value}
        return Outcome(written=False, size=size_of(held), missing=missing, is_refused=True)

    def _too_large(self, wanted: Wanted) -> Trouble:
        size = size_of(wanted.files)
        message = (
            f"all credentials together take {size:,} bytes with their names, {size - BUDGET_BYTES:,} more than the "
            f"{BUDGET_BYTES:,} that Secret {self.name} may hold; what it held before stays in force. Remove "
            "backends, or serve some namespaces by an installation of their own"
        )
        return Trouble(Reason.CONFIG_TOO_LARGE, message)

    def _refuse(self, error: ClusterError) -> None:
        """Keep the words of the first refusal of a row of one kind: there may be a number or a time in them."""
        if self._refusal is None or self._refusal[0] is not type(error):
            self._refusal = type(error), self._words(error)
            _log.error("Secret %s cannot be written: %s", self.name, self._refusal[1])

    def _words(self, error: ClusterError) -> str:
        """What the server said, where that cannot quote the Secret: a webhook was shown all of it."""
        words = str(error)
        status, _, _ = words.partition(" ")
        # How RBAC says no.
        if status.isdecimal() and not words.startswith(f'403 secrets "{self.name}" is forbidden: User '):
            return f"{status} of the API server, whose words are not repeated, because they may quote the Secret"
        return words if len(words) <= _QUOTED else f"{words[:_QUOTED]}..."
