"""One Secret of our own namespace whose keys are files of pods' volumes: brings it to what it shall hold."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from controller.api.reasons import Reason
from controller.operator.ceasing import removal_due
from controller.operator.failures import ClusterError, Denied, Rejected
from controller.operator.kinds import SECRETS, Kind
from controller.operator.published import BUDGET_BYTES
from controller.operator.secret_packing import maybe_held, secret
from controller.operator.secret_plan import Moment, SecretPlan, SecretState, Wanted, plan_secret
from controller.operator.settings import Settings
from controller.translate.secrets import SecretFiles

#: Of the server's words, in a status.
_QUOTED: Final = 300
#: How RBAC says no. Other words may be a webhook's, which was shown the whole Secret.
_OF_RBAC: Final = " is forbidden: User "

_log = logging.getLogger(__name__)


class Secrets(Protocol):
    """The part of ``Cluster`` that is needed. Raises ``ClusterError``."""

    async def maybe_object(self, kind: Kind, namespace: str, name: str) -> dict[str, Any] | None:
        """One object, None when there is none."""

    async def apply_secret(self, body: dict[str, Any]) -> dict[str, Any]:
        """Write one of our own namespace; ``Conflict`` when it has changed since."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why files are not what they should be, for whoever they are for."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """``missing``: the files that are not there as wanted, and why. ``size``: bytes that it holds now.

    ``is_refused``: the API server does not let us read or write it.
    """

    written: bool
    size: int
    missing: Mapping[str, Trouble] = field(default_factory=dict)
    is_refused: bool = False


class FileSecret:
    """One at a time: all but ``saw`` is called by one task only.

    The refusal of a write is no error of the pass: it costs the files, and nothing else.
    """

    def __init__(self, secrets: Secrets, name: str, settings: Settings) -> None:
        self.name = name
        self._secrets = secrets
        self._settings = settings
        self._state = SecretState()
        self._is_known = False
        self._refusal: tuple[type[ClusterError], str] | None = None

    @property
    def version(self) -> str:
        """Its ``resourceVersion``; empty while there is none."""
        return "" if self._state.held is None else str(self._state.held.version)

    def removal_due(self) -> float | None:
        """When the first file may leave it at the latest, by the clock of ``Moment``."""
        return removal_due(self._state.ceased, self._settings)

    async def take_over(self) -> None:
        """Read what another leader has left. Raises ``ClusterError``, but not for want of the right to."""
        self._is_known, self._refusal = False, None
        try:
            held = maybe_held(await self._secrets.maybe_object(SECRETS, self._settings.namespace, self.name))
        except Denied as error:
            self._refuse(error)
            return
        base = {} if held is None else {name: held.files[name] for name in held.ours}
        self._state, self._is_known = SecretState(held, SecretFiles(base)), True

    async def refresh(self) -> None:
        """Read it again, as after a conflict. Raises ``ClusterError``."""
        if self._is_known:
            obj = await self._secrets.maybe_object(SECRETS, self._settings.namespace, self.name)
            self._state = replace(self._state, held=maybe_held(obj))

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
            except (Denied, Rejected) as error:
                self._refuse(error)
                return self._missing(wanted)
        self._refusal = None
        self._state = replace(self._state, base=planned.files, ceased=planned.ceased)
        return Outcome(planned.needed, _size(planned.files), dict.fromkeys(planned.left_out, self._too_large(wanted)))

    async def _write(self, planned: SecretPlan, moment: Moment) -> None:
        body = secret(self.name, self._settings.namespace, planned.files, moment.revision, self._state.held)
        self._state = replace(self._state, held=maybe_held(await self._secrets.apply_secret(body)))

    def _missing(self, wanted: Wanted) -> Outcome:
        held = SecretFiles() if self._state.held is None else self._state.held.files
        words = "" if self._refusal is None else self._refusal[1]
        trouble = Trouble(Reason.CONFIG_NOT_WRITTEN, f"Secret {self.name} could not be written: {words}")
        missing = {name: trouble for name, value in wanted.files.items() if held.get(name) != value}
        return Outcome(written=False, size=_size(held), missing=missing, is_refused=True)

    def _too_large(self, wanted: Wanted) -> Trouble:
        size = _size(wanted.files)
        message = (
            f"all credentials together take {size:,} bytes, {size - BUDGET_BYTES:,} more than the {BUDGET_BYTES:,} "
            f"that Secret {self.name} may hold; what it held before stays in force. Remove backends, or serve some "
            "namespaces by an installation of their own"
        )
        return Trouble(Reason.CONFIG_TOO_LARGE, message)

    def _refuse(self, error: Denied | Rejected) -> None:
        """Keep the words of the first refusal of a row of one kind: there may be a number or a time in them."""
        if self._refusal is None or self._refusal[0] is not type(error):
            self._refusal = type(error), _words(error)
            _log.error("Secret %s cannot be written: %s", self.name, self._refusal[1])


def _words(error: ClusterError) -> str:
    """What the server said, where that cannot quote the Secret."""
    words = str(error)
    if _OF_RBAC not in words:
        return f"{words[:3]} of the API server, whose words are not repeated, because they may quote the Secret"
    return words if len(words) <= _QUOTED else f"{words[:_QUOTED]}..."


def _size(files: Mapping[str, bytes]) -> int:
    return sum(map(len, files.values()))
